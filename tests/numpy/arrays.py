"""Rows of more functions that shape, index, reduce, scan, sort and multiply arrays."""
import numpy as np

from dtypes import ALL, EPSILON, FLOATS, HALVES, NUMBERS, Array, compute, round_to, wide
from rows import reduction, row, some_axes, spread, summed
from shaping import axis_of, indices, moving, product_case
from values import broadcastable, draw, lay_out, operand, shape

# --- moving elements ---


def moved(rng, size):
    n = int(rng.integers(0, len(size) + 1))
    pair = [[int(x) for x in rng.permutation(len(size))[:n]] for _ in range(2)]
    return [pair]


def rolls(rng, size):
    n = int(rng.integers(0, len(size) + 1))
    return [[[int(x) for x in rng.integers(-9, 10, n)], [int(x) for x in rng.integers(-len(size), len(size), n)]]]


moving("moveaxis", moved, lambda x, pair: np.moveaxis(x, pair[0], pair[1]), least=1)
moving("repeat", lambda rng, size: [int(rng.integers(0, 4))] + axis_of(rng, size), np.repeat, least=1)
moving("tile", lambda rng, size: [[int(x) for x in rng.integers(0, 4, int(rng.integers(0, 4)))]], np.tile)
moving("roll", rolls, lambda x, pair: np.roll(x, pair[0], pair[1]) if pair[0] else x, least=1)
moving("diagonal", lambda rng, size: [int(rng.integers(-4, 5))],
       lambda x, offset: np.diagonal(x, max(-x.shape[-2], min(offset, x.shape[-1])), -2, -1), least=2)
for name in ("tril", "triu"):
    moving(name, lambda rng, size: [int(rng.integers(-4, 5))], getattr(np, name), least=2)


def pad(rng, t):
    a = operand(rng, t, shape(rng, most=3))
    widths = [[int(x) for x in rng.integers(0, 4, len(a.array.shape))] for _ in range(2)]
    value = float(rng.integers(0, 2))
    padded = np.pad(a.array.v, list(zip(*widths)), constant_values=value) if a.array.shape else a.array.v
    return [a, widths, value], Array(t, padded), 0, 0


def unstack(rng, t):
    size = tuple(min(n, 9) for n in shape(rng, least=1))
    a, axis = operand(rng, t, size), int(rng.integers(-len(size), len(size)))
    return [a, axis], [Array(t, np.take(a.array.v, i, axis)) for i in range(size[axis])], 0, 0


def full_like(rng, t):
    a, value = operand(rng, t, shape(rng)), float(rng.integers(0, 100))
    return [a, value], Array(t, np.full(a.array.shape, value)), 0, 0


def asarray(rng, t):
    a, to = operand(rng, t, shape(rng), special=False), t if rng.random() < 0.5 else str(rng.choice(ALL))
    return [a, to], Array(to, round_to(to, compute(a.array))), 0, 0


def broadcast_arrays(rng, t):
    size = shape(rng)
    arrays = [operand(rng, t, broadcastable(rng, size)) for _ in range(int(rng.integers(1, 4)))]
    return [arrays], [Array(t, x) for x in np.broadcast_arrays(*(a.array.v for a in arrays))], 0, 0


def meshgrid(rng, t):
    arrays = [operand(rng, t, (int(rng.integers(0, 6)),)) for _ in range(int(rng.integers(1, 4)))]
    xy = bool(rng.random() < 0.5)
    values = np.meshgrid(*(a.array.v for a in arrays), indexing="xy" if xy else "ij")
    return [arrays, xy], [Array(t, x) for x in values], 0, 0


row("full_like", NUMBERS, full_like)
row("asarray", ALL, asarray)
row("broadcast_arrays", ALL, broadcast_arrays)
row("meshgrid", ALL, meshgrid)
row("pad", ALL, pad)
row("unstack", ALL, unstack)

# --- indices ---


def take_along_axis(rng, t):
    size = tuple(max(1, n) for n in shape(rng, least=1, most=3))
    axis = int(rng.integers(-len(size), len(size)))
    a = operand(rng, t, size)
    wanted = tuple(int(rng.integers(0, 5)) if d == axis % len(size) else n for d, n in enumerate(size))
    i = indices(rng, wanted, min(size[axis], 100))
    return [a, i, axis], Array(t, np.take_along_axis(a.array.v, i.array.v.astype(np.int64), axis)), 0, 0


def put(rng, t):
    size = tuple(max(1, n) for n in shape(rng, least=1, most=3))
    a, n = operand(rng, t, size, repeated=False), int(rng.integers(0, 9))
    i, b = indices(rng, (n,), min(size[0], 100)), operand(rng, t, (n,) + size[1:])
    out = a.array.v.copy()
    for position, value in zip(i.array.v.astype(np.int64), b.array.v):  # the last one wins
        out[position] = value
    return [a, i, b], Array(t, out), 0, 0


def masked_fill(rng, t):
    size = shape(rng)
    a, mask = operand(rng, t, broadcastable(rng, size)), operand(rng, "bool", broadcastable(rng, size))
    value = float(rng.integers(0, 2))
    return [a, mask, value], Array(t, np.where(mask.array.v, Array(t, value).v, a.array.v)), 0, 0


def masked_fill_inplace(rng, t):
    size = shape(rng)
    a, mask = operand(rng, t, size, repeated=False), operand(rng, "bool", broadcastable(rng, size))
    value = float(rng.integers(0, 2))
    return [a, mask, value], Array(t, np.where(mask.array.v, Array(t, value).v, a.array.v)), 0, 0


def nonzero(rng, t):
    a = operand(rng, t, shape(rng, least=1, most=3), -1, 1)
    return [a], [Array("i64", x) for x in np.nonzero(a.array.v)], 0, 0


row("take_along_axis", ALL, take_along_axis)
row("put_inplace", ALL, put)
row("masked_fill", ALL, masked_fill)
row("masked_fill_inplace", ALL, masked_fill_inplace)
row("nonzero", ALL, nonzero)

# --- reductions ---

reduction("count_nonzero", np.count_nonzero, ALL, lambda t: "i64", lo=-1, hi=1)


def log_sum(x, axis, keepdims):
    most = np.max(x, axis=axis, keepdims=True) if x.size else np.zeros([1] * x.ndim)
    sums = np.sum(np.exp(x - most), axis=axis, keepdims=True)
    out = np.log(sums) + most
    return out if keepdims else np.squeeze(out, axis if axis is not None else tuple(range(x.ndim)))


reduction("logsumexp", log_sum, FLOATS, special=False, empty=False, tolerance=lambda a, axes: 8 * EPSILON[a.t])


def variance(f):
    def maker(rng, t):
        a = operand(rng, t, tuple(max(1, n) for n in shape(rng)), special=False)
        axes, numpy_axes = some_axes(rng, len(a.array.shape))
        keep, correction = bool(rng.random() < 0.5), float(rng.integers(0, 2))
        x = wide(a.array)
        values = np.var(x, axis=numpy_axes, keepdims=keep, ddof=correction)
        off = 64 * EPSILON["f32" if t in HALVES else t] * 16
        if f is np.sqrt:
            off = off**0.5 if np.any(values < 1e-3) else off * 32
        return [a, axes, correction, keep], Array(t, f(values)), 1, off

    return maker


def vector_norm(rng, t):
    a = operand(rng, t, tuple(max(1, n) for n in shape(rng)), special=False)
    axes, numpy_axes = some_axes(rng, len(a.array.shape))
    keep, order = bool(rng.random() < 0.5), float(rng.choice([0, 1, 2, 3, np.inf, -np.inf]))
    x = np.abs(wide(a.array))
    if np.isinf(order):
        values = (np.max if order > 0 else np.min)(x, axis=numpy_axes, keepdims=keep)
    elif order == 0:
        values = np.sum(x != 0, axis=numpy_axes, keepdims=keep)
    else:
        values = np.sum(x**order, axis=numpy_axes, keepdims=keep) ** (1 / order)
    return [a, axes, order, keep], Array(t, values), 1, spread(a.array, numpy_axes, 8)


row("variance", FLOATS, variance(lambda x: x))
row("std", FLOATS, variance(np.sqrt))
row("vector_norm", FLOATS, vector_norm)

# --- scans and order ---


def scan(f, start):
    """Running results; with include_initial one element more, the neutral one, in front."""

    def maker(rng, t):
        a = operand(rng, t, shape(rng, least=1), -1.5, 1.5, special=False)
        axis, initial = int(rng.integers(-len(a.array.shape), len(a.array.shape))), bool(rng.random() < 0.3)
        kind = summed(t)
        x = wide(a.array) if t in FLOATS else Array(kind, a.array.v).v
        values = f(x, axis=axis)
        if initial:
            front = list(values.shape)
            front[axis] = 1
            values = np.concatenate([np.full(front, start, values.dtype), values], axis)
        most = float(np.max(f(np.abs(x), axis=axis))) if x.size else 0
        off = max(1, x.shape[axis]) * EPSILON["f32" if t in HALVES else t] * most if t in FLOATS else 0
        return [a, axis, initial], Array(kind, values), 1 if t in FLOATS else 0, off

    return maker


row("cumulative_sum", ALL, scan(np.cumsum, 0))
row("cumulative_prod", ALL, scan(np.cumprod, 1))


def descending(x):
    """Keys that sort the other way round, NaN last as well."""
    return -x if x.dtype.kind == "f" else np.invert(x)


def order_of(x, axis, down):
    return np.argsort(descending(x) if down else x, axis=axis, kind="stable")


def sort(positions):
    def maker(rng, t):
        a = operand(rng, t, shape(rng, least=1))
        axis, down = int(rng.integers(-len(a.array.shape), len(a.array.shape))), bool(rng.random() < 0.5)
        order = order_of(a.array.v, axis, down)
        if positions:
            return [a, axis, down], Array("i64", order), 0, 0
        return [a, axis, down], Array(t, np.take_along_axis(a.array.v, order, axis)), 0, 0

    return maker


def topk(rng, t):
    a = operand(rng, t, shape(rng, least=1), special=False)
    axis, largest = int(rng.integers(-len(a.array.shape), len(a.array.shape))), bool(rng.random() < 0.5)
    k = int(rng.integers(0, a.array.shape[axis] + 1))
    order = np.take(order_of(a.array.v, axis, largest), range(k), axis)
    return [a, k, axis, largest], [Array(t, np.take_along_axis(a.array.v, order, axis)), Array("i64", order)], 0, 0


def searchsorted(rng, t):
    n, right = int(rng.integers(0, 40)), bool(rng.random() < 0.5)
    among = lay_out(rng, Array(t, np.sort(Array(t, draw(rng, t, (n,), special=False)).v)))
    values = operand(rng, t, shape(rng), special=False)
    found = np.searchsorted(among.array.v, values.array.v, side="right" if right else "left")
    return [among, values, right], Array("i64", found), 0, 0


row("sort", ALL, sort(False))
row("argsort", ALL, sort(True))
row("topk", ALL, topk)
row("searchsorted", NUMBERS, searchsorted)

# --- products ---


def pairs_of_axes(rng, t):
    """Dimensions to sum over come last in a and first in b, then both are mixed."""
    n = int(rng.integers(0, 3))
    shared = [int(x) for x in rng.integers(1, 5, n)]
    own = [[int(x) for x in rng.integers(1, 5, int(rng.integers(0, 3)))] for _ in range(2)]
    a_order, b_order = rng.permutation(len(own[0]) + n), rng.permutation(n + len(own[1]))
    a_shape, b_shape = np.array(own[0] + shared, int)[a_order], np.array(shared + own[1], int)[b_order]
    a_axes = [int(np.where(a_order == len(own[0]) + i)[0][0]) for i in range(n)]
    b_axes = [int(np.where(b_order == i)[0][0]) for i in range(n)]
    a, b = (operand(rng, t, tuple(int(x) for x in s), special=False) for s in (a_shape, b_shape))
    out = product_case(t, lambda x, y: np.tensordot(x, y, (a_axes, b_axes)), a.array, b.array)
    return [a, b, [a_axes, b_axes]], *out


def vecdot(rng, t):
    size = shape(rng, least=1, most=3)
    a, b = operand(rng, t, size, special=False), operand(rng, t, size, special=False)
    axis = int(rng.integers(-len(size), 0))
    return [a, b, axis], *product_case(t, lambda x, y: np.sum(x * y, axis, dtype=x.dtype), a.array, b.array)


def outer(rng, t):
    a, b = (operand(rng, t, (int(rng.integers(0, 20)),)) for _ in range(2))
    x, y = (v.array.v.astype(np.float32) if t in HALVES else v.array.v for v in (a, b))
    return [a, b], Array(t, np.multiply.outer(x, y)), 0, 0


FORMULAS = ["ij,jk->ik", "bij,bjk->bik", "ij,kj->ik", "i,i->", "i,j->ij", "ij,j->i", "ijk,kl->ijl", "ij,ij->ij", "ij,ji->"]


def einsum(rng, t):
    formula = str(rng.choice(FORMULAS))
    sizes = {letter: int(rng.integers(1, 6)) for letter in "bijkl"}
    a, b = (operand(rng, t, tuple(sizes[x] for x in word), special=False) for word in formula.split("->")[0].split(","))
    return [formula, a, b], *product_case(t, lambda x, y: np.einsum(formula, x, y), a.array, b.array)


def trace(rng, t):
    a = operand(rng, t, tuple(max(1, n) for n in shape(rng, least=2)), special=False)
    offset = int(rng.integers(-3, 4))
    rows, columns = a.array.shape[-2:]
    inside = max(-rows, min(offset, columns))
    x = wide(a.array) if t in FLOATS else Array(summed(t), a.array.v).v
    off = 40 * EPSILON["f32" if t in HALVES else t] * 16 if t in FLOATS else 0
    return [a, offset], Array(summed(t), np.trace(x, inside, -2, -1)), 1 if t in FLOATS else 0, off


row("tensordot", NUMBERS, pairs_of_axes)
row("vecdot", NUMBERS, vecdot)
row("outer", NUMBERS, outer)
row("einsum", NUMBERS, einsum)
row("trace", NUMBERS, trace)
