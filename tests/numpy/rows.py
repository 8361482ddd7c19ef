"""The table: one row per function of Thrum, the same by NumPy. A row makes cases of (arguments, expected, ulp, absolute).

exact: computed by NumPy in the type that Thrum computes in, equal to the bit. near: computed in a wider type and rounded.
"""
import math

import numpy as np

from dtypes import ALL, EPSILON, FLOATS, HALVES, INTS, NUMBERS, SIGNED, Array, compute, promote, wide
from values import broadcastable, draw, lay_out, operand, shape

TABLE = {}  # name -> (cases per element type, maker); a maker takes (rng, t) and returns one case
TYPES = {}


def row(name, types, maker):
    if name in TABLE:
        raise SystemExit("two rows for " + name)
    TABLE[name], TYPES[name] = maker, types


# --- elementwise ---


def unary(name, f, types=FLOATS, lo=-4.0, hi=4.0, ulp=0.0, result=None, special=True):
    """ulp 0: exact. f takes values of the computing (near: a wider) type."""

    def maker(rng, t):
        a = operand(rng, t, shape(rng), lo, hi, special)
        values = f(wide(a.array) if ulp > 0 and t in FLOATS else compute(a.array))
        return [a], Array(result or t, values), ulp if t in FLOATS else 0, 0

    row(name, types, maker)


def divided(t):
    """th_divide() of integers gives f32, of 64-bit ones f64; NumPy's always f64."""
    return t if t in FLOATS else "f64" if t in ("i64", "u64") else "f32"


def binary(name, f, types=NUMBERS, lo=-4.0, hi=4.0, ulp=0.0, result=None, forms=("scalar", "inplace", "scalar_inplace"),
           special=True, slack=0.0):
    """f(x, y) for arrays of one type. Forms: b a scalar; a written. Rows are made for those that exist. slack: epsilons that a
    result may be off absolutely, where it can be the small difference of large terms."""
    out = result or (lambda t: t)

    def may_differ(kind):
        return (ulp, slack * EPSILON[kind]) if kind in FLOATS else (0, 0)

    def value(t, x, y):
        kind = divided(t) if name == "divide" else t
        x, y = Array(kind, x.v), Array(kind, y.v)
        near = ulp > 0 and kind in FLOATS
        with np.errstate(all="ignore"):
            return f(wide(x), wide(y)) if near else f(compute(x), compute(y))

    def pair(rng, t):
        full = shape(rng)
        second = t if rng.random() < 0.6 else str(rng.choice([s for s in types if promote(t, s) in types]))
        common = promote(t, second)
        a = operand(rng, t, broadcastable(rng, full), lo, hi, special)
        b = operand(rng, second, broadcastable(rng, full), lo, hi, special)
        x, y = Array(common, a.array.v), Array(common, b.array.v)
        kind = out(common)
        return [a, b], Array(kind, value(common, x, y)), *may_differ(kind)

    def scalar_of(rng, t):
        if t == "bool":
            return float(rng.integers(0, 2))
        low = max(lo, 0) if t.startswith("u") else lo
        s = float(rng.integers(math.ceil(low), math.floor(hi) + 1))
        return s + float(rng.integers(0, 8)) / 8 if t in FLOATS and s + 1 <= hi else s

    def scalar(rng, t):
        a, s = operand(rng, t, shape(rng), lo, hi, special), scalar_of(rng, t)
        kind = out(t)
        return [a, s], Array(kind, value(t, a.array, Array(t, s))), *may_differ(kind)

    def inplace(rng, t):
        full = shape(rng)
        a = operand(rng, t, full, lo, hi, special, repeated=False)
        second = t if rng.random() < 0.6 else str(rng.choice(types))
        b = operand(rng, second, broadcastable(rng, full), max(lo, 0) if t.startswith("u") else lo, hi,
                    special and second == t)
        y = Array(t, b.array.v)
        return [a, b], Array(t, np.broadcast_to(value(t, a.array, y), full)), *may_differ(t)

    def scalar_inplace(rng, t):
        a, s = operand(rng, t, shape(rng), lo, hi, special, repeated=False), scalar_of(rng, t)
        return [a, s], Array(t, value(t, a.array, Array(t, s))), *may_differ(t)

    makers = {"scalar": scalar, "inplace": inplace, "scalar_inplace": scalar_inplace}
    row(name, types, pair)
    for form in forms:
        row(name + "_" + form, FLOATS if name == "divide" and "inplace" in form else types, makers[form])


# --- reductions ---


def some_axes(rng, n, least=0):
    """Axes for a call, negative ones among them, and as NumPy's tuple; none = all."""
    count = int(rng.integers(least, n + 1)) if n else 0
    axes = [int(x) for x in rng.choice(n, count, replace=False)] if n else []
    return [x - n if rng.random() < 0.4 else x for x in axes], tuple(axes) if axes else None


def spread(a, axes, factor):
    """How far a sum of rounded terms may be off: by the number of terms' logarithm, in any order."""
    if a.t not in FLOATS:
        return 0.0
    with np.errstate(all="ignore"):
        sums = np.sum(np.abs(np.where(np.isfinite(wide(a)), wide(a), 0)), axis=axes)
    most = float(np.max(sums)) if sums.size else 0.0
    return factor * EPSILON["f32" if a.t in HALVES else a.t] * most


def reduction(name, f, types=NUMBERS, result=None, lo=-4.0, hi=4.0, tolerance=None, empty=True, special=True):
    """tolerance(a, axes): what the result may be off absolutely; None = exact."""

    def maker(rng, t):
        size = shape(rng)
        if not empty:
            size = tuple(max(1, n) for n in size)
        a = operand(rng, t, size, lo, hi, "no largest" if special and tolerance else special)
        axes, numpy_axes = some_axes(rng, len(size))
        keep = bool(rng.random() < 0.5)
        with np.errstate(all="ignore"):
            values = f(wide(a.array) if t in FLOATS else a.array.v, axis=numpy_axes, keepdims=keep)
        kind = result(t) if result else t
        off = tolerance(a.array, numpy_axes) if tolerance else 0
        return [a, axes, keep], Array(kind, values), 1 if kind in FLOATS else 0, off

    row(name, types, maker)


def summed(t):
    """The type of sums and products, as NumPy's on Linux."""
    return t if t in FLOATS else "u64" if t.startswith("u") else "i64"


def searched(name, f, types=NUMBERS):
    """The index of the first extreme along an axis."""

    def maker(rng, t):
        size = tuple(max(1, n) for n in shape(rng, least=1))
        a = operand(rng, t, size)
        axis, keep = int(rng.integers(-len(size), len(size))), bool(rng.random() < 0.5)
        return [a, axis, keep], Array("i64", f(a.array.v, axis=axis, keepdims=keep)), 0, 0

    row(name, types, maker)


def along(name, f, types=FLOATS, lo=-4.0, hi=4.0, tolerance=4.0):
    """Functions of an axis of floats that are made of several: tolerance in units of the result type's epsilon."""

    def maker(rng, t):
        size = shape(rng, least=1)
        a = operand(rng, t, size, lo, hi, special=False)
        axis = int(rng.integers(-len(size), len(size)))
        values = f(wide(a.array), axis) if a.array.v.size else a.array.v
        most = float(np.max(np.abs(values))) if values.size else 0
        return [a, axis], Array(t, values), 1, tolerance * EPSILON[t] * max(1.0, most)

    row(name, types, maker)
