"""Writes the SAS file that tests/files/test_statistical.py reads.

usage: python gen_sas.py OUT   OUT: tests/files/data

pyreadstat reads such files and does not write them, but its extension module holds the writer of ReadStat (MIT), which
is called here.
"""

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path

STRING, DOUBLE = 0, 5
ROWS = [(b"drug", 1.5), (b"", 2.0), (b"placebo", None), (b"drug", b"A"), (b"drug", b"R"), (b"placebo", b"A")]


def main(folder):
    lib = ctypes.CDLL(find_spec("pyreadstat._readstat_writer").origin)
    writer_of = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    for name in ("readstat_writer_init", "readstat_add_variable"):
        getattr(lib, name).restype = ctypes.c_void_p
    pointer, parts = ctypes.c_void_p, []

    def take(data, size, _):
        parts.append(ctypes.string_at(data, size))
        return size

    callback = writer_of(take)
    writer = pointer(lib.readstat_writer_init())
    assert lib.readstat_set_data_writer(writer, callback) == 0
    arm = pointer(lib.readstat_add_variable(writer, b"arm", STRING, ctypes.c_size_t(8)))
    score = pointer(lib.readstat_add_variable(writer, b"score", DOUBLE, ctypes.c_size_t(8)))
    lib.readstat_variable_set_label(score, b"Score of the test")
    assert lib.readstat_begin_writing_sas7bdat(writer, pointer(None), ctypes.c_long(len(ROWS))) == 0
    for text, number in ROWS:
        assert lib.readstat_begin_row(writer) == 0
        assert lib.readstat_insert_string_value(writer, arm, text) == 0
        if number is None:
            assert lib.readstat_insert_missing_value(writer, score) == 0
        elif isinstance(number, bytes):
            assert lib.readstat_insert_tagged_missing_value(writer, score, ctypes.c_char(number)) == 0
        else:
            assert lib.readstat_insert_double_value(writer, score, ctypes.c_double(number)) == 0
        assert lib.readstat_end_row(writer) == 0
    assert lib.readstat_end_writing(writer) == 0
    Path(folder, "trial.sas7bdat").write_bytes(b"".join(parts))


if __name__ == "__main__":
    main(sys.argv[1])
