"""Sphinx: what the site is made of. `docs/build.py` writes what is generated and runs it (`make docs`)."""

from pathlib import Path

import mixedfx

project = "mixedfx"
author = "The mixedfx developers"
copyright = "The mixedfx developers, BSD-3-Clause"
version = release = mixedfx.__version__

extensions = ["sphinx.ext.autodoc", "myst_nb", "numpydoc"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

# Single backquotes in docstrings are names of things: linked where this site has them.
default_role = "py:obj"
autodoc_typehints = "none"  # signatures show them, and NumPy's docstrings say what they mean
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Every example is executed in the build, and an error in one ends it. Vignettes come executed from docs/build.py.
nb_execution_mode = "force"
nb_execution_excludepatterns = ["_made/stories/*"]
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block"]
myst_heading_anchors = 3
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "pydata_sphinx_theme"
html_title = f"mixedfx {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Pages without pages below them have no use for a side bar.
WITHOUT = ("index", "start", "from_r", "explain/*", "_made/errors", "_made/changelog", "search")
html_sidebars = {page: [] for page in WITHOUT}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "logo": {"text": "mixedfx"},
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
}

assert Path(__file__).with_name("_made").is_dir(), "run docs/build.py, which writes the generated pages first"
