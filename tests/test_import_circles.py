"""No circle of imports: a file below never asks a file above, not even inside a function.

Folders are kept in order by import-linter; this test looks at files. It reads every `import` of the package, those
inside functions too, since a late import hides a circle and does not open it; and those under `if TYPE_CHECKING:`,
since who must know the other's type to be read knows the other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import mixedfx

PACKAGE = Path(mixedfx.__file__).parent
ROOT = PACKAGE.parent


def test_no_file_of_the_package_imports_itself_through_others():
    """Every set of files that reach each other is printed, with the imports that tie them."""
    graph = imports_of_package(PACKAGE)
    found = circles(graph)
    assert not found, "\n\n".join(_described(circle, graph) for circle in found)


def test_a_circle_is_found_where_one_is():
    """The walk itself: two circles, a file between them that is in none."""
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"f"}, "f": {"e"}, "g": {"a"}}
    assert circles(graph) == [["a", "b", "c"], ["e", "f"]]


def test_imports_inside_functions_and_those_for_types_count(tmp_path):
    """Wherever they stand, and relative ones."""
    (tmp_path / "pack").mkdir()
    for name in ("__init__", "late", "types_only", "types_attribute", "otherwise", "top"):
        (tmp_path / "pack" / f"{name}.py").write_text("")
    (tmp_path / "pack" / "reader.py").write_text(
        "import typing\n"
        "from typing import TYPE_CHECKING\n"
        "from pack import top\n"
        "if TYPE_CHECKING:\n"
        "    from pack.types_only import name\n"
        "else:\n"
        "    import pack.otherwise\n"
        "if typing.TYPE_CHECKING:\n"
        "    import pack.types_attribute\n"
        "def work():\n"
        "    from .late import name\n"
    )
    assert imports_of_package(tmp_path / "pack")["pack.reader"] == {
        f"pack.{name}" for name in ("top", "otherwise", "late", "types_only", "types_attribute")
    }


def imports_of_package(package: Path) -> dict[str, set[str]]:
    """For each module of `package` the modules of it that it imports, anywhere in the file.

    Importing a module runs the `__init__` of its parents as well; that edge is ignored, for it would tie every file
    to the top of the package, which imports them all.
    """
    files = {_module(path, package): path for path in sorted(package.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        imported: set[str] = set()
        for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                imported |= set(_targets(statement, name, is_package=path.name == "__init__.py", known=files))
        graph[name] = imported - {name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node (Tarjan 1972, without recursion), sorted."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_nodes: list[str] = []
    found: list[list[str]] = []
    for start in sorted(graph):
        if start in index:
            continue
        index[start] = lowest[start] = len(index)
        open_nodes.append(start)
        path = [(start, iter(sorted(graph[start])))]
        while path:
            node, targets = path[-1]
            for target in targets:
                if target not in index:
                    index[target] = lowest[target] = len(index)
                    open_nodes.append(target)
                    path.append((target, iter(sorted(graph.get(target, ())))))
                    break
                if target in open_nodes:
                    lowest[node] = min(lowest[node], index[target])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == index[node]:
                    place = open_nodes.index(node)
                    component = sorted(open_nodes[place:])
                    del open_nodes[place:]
                    if len(component) > 1:
                        found.append(component)
    return sorted(found)


def _targets(statement: ast.Import | ast.ImportFrom, module: str, *, is_package: bool, known: dict) -> Iterator[str]:
    """The modules of the package that one statement imports."""
    if isinstance(statement, ast.Import):
        yield from (alias.name for alias in statement.names if alias.name in known)
        return
    origin = statement.module or ""
    if statement.level:
        above = module.split(".")[: None if is_package and statement.level == 1 else is_package - statement.level]
        origin = ".".join([*above, *([statement.module] if statement.module else [])])
    for alias in statement.names:
        submodule = f"{origin}.{alias.name}"
        if submodule in known:
            yield submodule
        elif origin in known and not module.startswith(f"{origin}."):
            yield origin


def _module(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _described(circle: list[str], graph: dict[str, set[str]]) -> str:
    lines = [f"A circle of {len(circle)} files:"]
    for name in circle:
        inside = ", ".join(sorted(graph[name] & set(circle)))
        lines.append(f"  {name} imports {inside}")
    return "\n".join(lines)
