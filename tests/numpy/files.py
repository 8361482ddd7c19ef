"""files.py write|check PATH: a safetensors file as tests/numpy/files.c reads and makes it, with nothing but json and NumPy."""
import json
import struct
import sys

import numpy as np

TYPES = {"BOOL": "?", "U8": "u1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
         "F16": "<f2", "BF16": "bf16", "F32": "<f4", "F64": "<f8"}
SHAPE = (3, 4, 5)
SCALAR = "sc\"al\\ar\t\U0001f600"
NOTE = {"caf\u00e9": "a \"b\" \\ \n"}


def values(name):
    """The elements as bytes; NumPy has no bf16: the upper halves of f32."""
    numbers = (np.arange(60) * 7 + 3) % (2 if name == "BOOL" else 11)
    if name != "BF16":
        return numbers.astype(TYPES[name]).tobytes()
    return (numbers.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()


def write(path, escaped):
    header, data = {"__metadata__": {"format": "np", **NOTE}}, b""
    for name in TYPES:
        content = values(name)
        header[name.lower()] = {"dtype": name, "shape": SHAPE, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    header[SCALAR] = {"data_offsets": [len(data), len(data) + 8], "shape": [], "dtype": "F64"}
    data += struct.pack("<d", 2.5)
    text = json.dumps(header, ensure_ascii=escaped, indent=None if escaped else 1).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def check(path):
    with open(path, "rb") as file:
        whole = file.read()
    (length,) = struct.unpack("<Q", whole[:8])
    assert length % 8 == 0, "the data are not aligned"
    header, data = json.loads(whole[8:8 + length]), whole[8 + length:]
    assert header.pop("__metadata__") == {"format": "np", **NOTE}
    assert set(header) == {name.lower() for name in TYPES} | {"empty", SCALAR}
    spans = []
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        spans.append((begin, end))
        if name.upper() in TYPES:
            assert entry["dtype"] == name.upper() and tuple(entry["shape"]) == SHAPE, name
            assert data[begin:end] == values(name.upper()), name
    assert header["empty"]["shape"] == [0, 2] and header[SCALAR]["shape"] == []
    begin, end = header[SCALAR]["data_offsets"]
    assert struct.unpack("<d", data[begin:end]) == (2.5,)
    spans.sort()
    assert all(a[1] == b[0] for a, b in zip(spans, spans[1:])) and spans[0][0] == 0 and spans[-1][1] == len(data)


if sys.argv[1] == "check":
    check(sys.argv[2])
else:
    write(sys.argv[2], sys.argv[1] == "write-escaped")
