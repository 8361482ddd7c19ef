"""The thirteen element types for NumPy, which has no bf16: arrays of it are kept as f32 whose values are bf16 ones."""
import numpy as np

NUMPY = {"bool": np.bool_, "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64, "i8": np.int8,
         "i16": np.int16, "i32": np.int32, "i64": np.int64, "f16": np.float16, "bf16": np.float32, "f32": np.float32,
         "f64": np.float64}
UNSIGNED = ["u8", "u16", "u32", "u64"]
SIGNED = ["i8", "i16", "i32", "i64"]
INTS = UNSIGNED + SIGNED
HALVES = ["f16", "bf16"]
FLOATS = HALVES + ["f32", "f64"]
NUMBERS = INTS + FLOATS
ALL = ["bool"] + NUMBERS
EPSILON = {"f16": 2.0**-10, "bf16": 2.0**-7, "f32": 2.0**-23, "f64": 2.0**-52}


class Array:
    """Values of NumPy with the name of our element type."""

    def __init__(self, t, values):
        self.t, self.v = t, round_to(t, values)

    @property
    def shape(self):
        return self.v.shape


def _to_bf16(values):
    """f32 to the nearest bf16, ties to even, still as f32."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), np.float32(np.nan), rounded).reshape(np.shape(values))


def round_to(t, values):
    """What values become in type t: floats are rounded once, integers wrap, floats to integers truncate and saturate and NaN
    gives 0 (NumPy leaves those undefined), to bool: != 0."""
    values = np.asarray(values)
    if t == "bool":
        return values != 0
    if t == "bf16":
        return _to_bf16(values.astype(np.float32))
    if t in FLOATS or values.dtype.kind != "f":
        return values.astype(NUMPY[t])
    info = np.iinfo(NUMPY[t])
    wide = np.nan_to_num(np.trunc(values.astype(np.longdouble)), nan=0, posinf=info.max, neginf=info.min)
    low, high = wide <= np.longdouble(info.min), wide >= np.longdouble(info.max)
    inside = np.where(low | high, 0, wide).astype(NUMPY[t])
    return np.where(low, NUMPY[t](info.min), np.where(high, NUMPY[t](info.max), inside)).astype(NUMPY[t])


def compute(a):
    """Values in the type that Thrum computes in: halves in f32."""
    return a.v.astype(np.float32) if a.t in HALVES else a.v


def wide(a):
    """Values in a type in which a function can be taken as exact: f64, of f64 80 bits."""
    return a.v.astype(np.longdouble if a.t in ("f64", "u64", "i64") else np.float64)


def promote(s, t):
    """The Array API's table; unlike NumPy, an integer with a float gives the float's type (NumPy: f64 for i32 with f32)."""
    if s == t or t == "bool":
        return s
    if s == "bool":
        return t
    if s in FLOATS or t in FLOATS:
        if s not in FLOATS or t not in FLOATS:
            return s if s in FLOATS else t
        return "f32" if {s, t} == set(HALVES) else max(s, t, key=lambda x: int(x.lstrip("bf")))
    bits = {x: int(x[1:]) for x in (s, t)}
    if s[0] == t[0]:
        return max(s, t, key=bits.get)
    signed, unsigned = (s, t) if s[0] == "i" else (t, s)
    most = bits[signed] if bits[signed] > bits[unsigned] else 2 * bits[unsigned]
    return "i%d" % most if most <= 64 else "f64"


def to_bytes(a):
    """The elements as Thrum keeps them, rows first."""
    values = np.ascontiguousarray(a.v)
    if a.t == "bf16":
        values = (values.view(np.uint32) >> 16).astype(np.uint16)
    return values.tobytes()
