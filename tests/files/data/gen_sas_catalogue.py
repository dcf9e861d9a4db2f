"""Writes the SAS files with a catalogue of value labels that tests/files/test_sas_catalogues.py reads.

usage: python gen_sas_catalogue.py OUT   OUT: tests/files/data/catalogue

As gen_sas.py does, by the writer of ReadStat (MIT) inside pyreadstat's extension module.
"""

import ctypes
import sys
from importlib.util import find_spec
from pathlib import Path

STRING, DOUBLE = 0, 5
# arm, trust, score; a letter is a special missing value
ROWS = [(b"d", 1.0, 1.5), (b"p", 3.0, 2.5), (b"d", b"R", 3.5), (b"p", 2.0, 4.5), (b"d", 3.0, 5.5), (b"p", 4.0, 6.5)]
FORMATS = {
    b"$ARM": (STRING, {b"p": b"placebo", b"d": b"drug"}),
    b"TRUST": (DOUBLE, {1.0: b"low", 2.0: b"middle", 3.0: b"high"}),
}


class Writer:
    """A writer of ReadStat whose bytes are kept."""

    def __init__(self):
        self.lib = ctypes.CDLL(find_spec("pyreadstat._readstat_writer").origin)
        for name in ("readstat_writer_init", "readstat_add_variable", "readstat_add_label_set"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        self.parts = []
        kind = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
        self.callback = kind(self.take)
        self.handle = ctypes.c_void_p(self.lib.readstat_writer_init())
        self.call("readstat_set_data_writer", self.callback)

    def take(self, data, size, _):
        self.parts.append(ctypes.string_at(data, size))
        return size

    def call(self, name, *arguments):
        assert getattr(self.lib, name)(self.handle, *arguments) == 0, name

    def variable(self, name, kind, format_name):
        made = ctypes.c_void_p(self.lib.readstat_add_variable(self.handle, name, kind, ctypes.c_size_t(8)))
        if format_name is not None:
            self.lib.readstat_variable_set_format(made, format_name)
        return made

    def labels(self, name, kind, labels):
        made = ctypes.c_void_p(self.lib.readstat_add_label_set(self.handle, kind, name))
        for code, text in labels.items():
            if kind == STRING:
                self.lib.readstat_label_string_value(made, code, text)
            else:
                self.lib.readstat_label_double_value(made, ctypes.c_double(code), text)


def data():
    out = Writer()
    arm = out.variable(b"arm", STRING, b"$ARM")
    numbers = out.variable(b"trust", DOUBLE, b"TRUST"), out.variable(b"score", DOUBLE, None)
    out.call("readstat_begin_writing_sas7bdat", None, ctypes.c_long(len(ROWS)))
    for text, *values in ROWS:
        out.call("readstat_begin_row")
        out.call("readstat_insert_string_value", arm, text)
        for variable, value in zip(numbers, values, strict=True):
            if isinstance(value, bytes):
                out.call("readstat_insert_tagged_missing_value", variable, ctypes.c_char(value))
            else:
                out.call("readstat_insert_double_value", variable, ctypes.c_double(value))
        out.call("readstat_end_row")
    out.call("readstat_end_writing")
    return b"".join(out.parts)


def catalogue():
    out = Writer()
    for name, (kind, labels) in FORMATS.items():
        out.labels(name, kind, labels)
    out.call("readstat_begin_writing_sas7bcat", None)
    out.call("readstat_end_writing")
    return b"".join(out.parts)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "survey.sas7bdat").write_bytes(data())
    (folder / "formats.sas7bcat").write_bytes(catalogue())
