"""Tables in, whole files out; whatever is wrong with a file is said in one line."""

import re

import pandas as pd
import pytest

from mixedfx.cli.files import check_output, read_table
from mixedfx.datasets import load, names
from mixedfx.errors import DataError
from mixedfx.files.read import READERS

TEXT = (".csv", ".tsv", ".txt")

FRAME = pd.DataFrame({"y": [1.5, 2.0, None], "g": ["a", "b", "ä"]})


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".CSV"])
def test_a_table_reads_the_same_from_every_kind_of_file(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    if suffix == ".parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    pd.testing.assert_frame_equal(read_table(str(path))[0], FRAME)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbfy,g\n1,a\n")
    assert list(read_table(str(path))[0].columns) == ["y", "g"]


@pytest.mark.parametrize("name", names())
def test_the_name_of_a_data_set_is_a_table(name):
    pd.testing.assert_frame_equal(read_table(name)[0], load(name))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("header.csv", b"y,g\n", "holds no rows"),
        ("header.tsv", b"y\tg\n", "holds no rows"),
        ("latin.csv", "y,g\n1,ä\n".encode("latin-1"), "not UTF-8 text"),
        ("longer.csv", b"y,g\n1,a,9\n2,b,9\n", "cannot be read"),
        ("ragged.csv", b"y,g\n1,a\n2,b,c,d\n", "cannot be read"),
        ("binary.csv", bytes(range(256)), "cannot be read|not UTF-8"),
        *[(f"text{ending}", b"y,g\n1,a\n", "cannot be read") for ending in READERS if ending not in TEXT],
        *[(f"empty{ending}", b"", "cannot be read") for ending in READERS if ending not in TEXT],
        ("data.docx", b"PK", "kind of this file"),
        ("data", b"y\n1\n", "kind of this file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(str(path))
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_missing_files_folders_and_unknown_data_sets_are_told_apart(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="no such file"):
        read_table(str(tmp_path / "none.csv"))
    with pytest.raises(DataError, match="not a file"):
        read_table(str(tmp_path / "folder.csv"))
    with pytest.raises(DataError, match=r"neither a file nor a data set\nData sets: star"):
        read_table("sta")


def test_an_output_that_cannot_work_is_refused_beforehand(tmp_path):
    (tmp_path / "taken.png").mkdir()
    check_output(tmp_path / "new.PNG", [".png"])
    for path, message in [
        (tmp_path / "plot.docx", "must end in .png or .svg"),
        (tmp_path / "taken.png", "is a folder"),
        (tmp_path / "nowhere" / "plot.png", "there is no folder"),
    ]:
        with pytest.raises(DataError, match=re.escape(message)):
            check_output(path, [".png", ".svg"])
