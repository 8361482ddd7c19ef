"""Rows of functions that make, view, copy, choose, join and multiply arrays."""
import numpy as np

from dtypes import ALL, EPSILON, FLOATS, HALVES, INTS, NUMBERS, Array, compute, promote, round_to, wide
from rows import row, some_axes
from values import broadcastable, lay_out, operand, shape


def moving(name, arguments, f, least=0):
    """Functions that move elements: arguments(rng, shape) makes what follows the array; f(values, *arguments)."""

    def maker(rng, t):
        a = operand(rng, t, shape(rng, least=least))
        extra = arguments(rng, a.array.shape)
        return [a] + extra, Array(t, f(a.array.v, *extra)), 0, 0

    row(name, ALL, maker)


def axis_of(rng, size):
    return [int(rng.integers(-len(size), len(size)))]


# --- made of nothing ---


def small_shape(rng):
    return [int(x) for x in rng.integers(0, 6, int(rng.integers(0, 4)))]


def filled(value):
    def maker(rng, t):
        size = small_shape(rng)
        return [size, t], Array(t, np.full(size, value)), 0, 0

    return maker


def full(rng, t):
    size, value = small_shape(rng), float(rng.integers(0, 100))
    return [size, value, t], Array(t, np.full(size, value)), 0, 0


def arange(rng, t):
    start, step, n = float(rng.integers(0, 5)), float(rng.integers(1, 4)), int(rng.integers(0, 9))
    stop = start + step * n
    return [start, stop, step, t], Array(t, np.arange(start, stop, step)), 0, 0


def linspace(rng, t):
    """Of integers NumPy rounds toward minus infinity, as Thrum toward 0: nothing below 0 here."""
    first, n, step = float(rng.integers(0, 5)), int(rng.integers(1, 12)), float(rng.integers(0, 4))
    last = first + step * (n - 1)
    return [first, last, n, t], Array(t, np.linspace(first, last, n)), 1 if t in FLOATS else 0, 0


def eye(rng, t):
    n, m, k = int(rng.integers(0, 6)), int(rng.integers(0, 6)), int(rng.integers(-6, 7))
    return [n, m, k, t], Array(t, np.eye(n, m, k)), 0, 0


def like(value):
    def maker(rng, t):
        a = operand(rng, t, shape(rng))
        return [a], Array(t, np.full(a.array.shape, value)), 0, 0

    return maker


row("zeros", ALL, filled(0))
row("ones", ALL, filled(1))
row("full", NUMBERS, full)
row("arange", NUMBERS, arange)
row("linspace", NUMBERS, linspace)
row("eye", ALL, eye)
row("zeros_like", ALL, like(0))
row("ones_like", ALL, like(1))

# --- views and copies ---


def slice_spec(rng, size):
    words, cuts = [], []
    for n in size[: int(rng.integers(0, len(size) + 1))]:
        if n > 0 and rng.random() < 0.25:
            words.append(str(int(rng.integers(-n, n))))
        else:
            ends = [str(int(rng.integers(-n - 2, n + 3))) if rng.random() < 0.6 else "" for _ in range(2)]
            step = int(rng.choice([-3, -2, -1, 1, 2, 3]))
            words.append("%s:%s:%d" % (ends[0], ends[1], step) if step != 1 else "%s:%s" % tuple(ends))
        if rng.random() < 0.1:
            words.append("None")
    if rng.random() < 0.3 or not words:
        words.append("...")
    return [", ".join(words)]


def reshaped(rng, size):
    n = int(np.prod(size, dtype=int))
    factors = [x for x in (1, 2, 3, 4, 5, 6) if n % x == 0 and n > 0]
    if not factors:
        return [[0, int(rng.integers(1, 4))]]
    first = int(rng.choice(factors))
    new = [first, n // first] + [1] * int(rng.integers(0, 2))
    if rng.random() < 0.4:
        new[1] = -1
    return [new]


def grown(rng, size):
    front = [int(x) for x in rng.integers(1, 4, int(rng.integers(0, 2)))]
    return [front + [int(rng.integers(2, 5)) if n == 1 else n for n in size]]


def ones_of(rng, size):
    axes = [d for d, n in enumerate(size) if n == 1]
    some = [int(x) for x in rng.choice(axes, int(rng.integers(0, len(axes) + 1)), replace=False)] if axes else []
    return [[x - len(size) if rng.random() < 0.5 else x for x in some]]


moving("copy", lambda rng, size: [], lambda x: x)
moving("slice", slice_spec, lambda x, spec: x[eval("np.s_[%s]" % spec)], least=1)
moving("reshape", reshaped, lambda x, new: np.reshape(x, new))
moving("permute_dims", lambda rng, size: [[int(x) for x in rng.permutation(len(size))]], np.transpose)
moving("matrix_transpose", lambda rng, size: [], lambda x: np.swapaxes(x, -1, -2), least=2)
moving("broadcast_to", grown, np.broadcast_to)
moving("expand_dims", lambda rng, size: [int(rng.integers(-len(size) - 1, len(size) + 1))], np.expand_dims)
moving("squeeze", ones_of, lambda x, axes: np.squeeze(x, tuple(axes) if axes else None))
moving("flip", lambda rng, size: [some_axes(rng, len(size))[0]], lambda x, axes: np.flip(x, axes if axes else None))


def astype(rng, t):
    """Float to integer saturates and NaN gives 0, which NumPy leaves undefined: round_to() in dtypes.py."""
    a, to = operand(rng, t, shape(rng), -300, 300), str(rng.choice(ALL))
    return [a, to], Array(to, round_to(to, compute(a.array))), 1 if t in INTS and to in HALVES else 0, 0


def assign(rng, t):
    size = shape(rng)
    a, b = operand(rng, t, size, repeated=False), operand(rng, t, broadcastable(rng, size))
    return [a, b], Array(t, np.broadcast_to(b.array.v, size)), 0, 0


def fill(rng, t):
    a, value = operand(rng, t, shape(rng), repeated=False), float(rng.integers(0, 100))
    return [a, value], Array(t, np.full(a.array.shape, value)), 0, 0


row("astype", ALL, astype)
row("assign", ALL, assign)
row("fill", ALL, fill)

# --- choice ---


def where(rng, t):
    size, second = shape(rng), str(rng.choice(ALL))
    c = operand(rng, "bool", broadcastable(rng, size))
    a, b = operand(rng, t, broadcastable(rng, size)), operand(rng, second, broadcastable(rng, size))
    common = promote(t, second)
    return [c, a, b], Array(common, np.where(c.array.v, Array(common, a.array.v).v, Array(common, b.array.v).v)), 0, 0


def clip(rng, t):
    a, lo = operand(rng, t, shape(rng)), float(rng.integers(0, 3))
    hi = lo + float(rng.integers(0, 3))
    value = np.clip(a.array.v, a.array.v.dtype.type(lo), a.array.v.dtype.type(hi))
    return [a, lo, hi], Array(t, value), 0.5 if t in FLOATS else 0, 0  # 0.5: either zero


row("where", ALL, where)
row("clip", NUMBERS, clip)

# --- indices ---


def indices(rng, size, limit):
    t = str(rng.choice(INTS))
    return lay_out(rng, Array(t, rng.integers(0, limit, size)))


def take(rng, t):
    size = tuple(max(1, n) for n in shape(rng, least=1))
    a, axis = operand(rng, t, size), int(rng.integers(-len(size), len(size)))
    where_from = indices(rng, tuple(rng.integers(0, 5, int(rng.integers(0, 3)))), min(size[axis], 100))
    return [a, where_from, axis], Array(t, np.take(a.array.v, where_from.array.v.astype(np.int64), axis)), 0, 0


def scatter_add(rng, t):
    size = tuple(max(1, n) for n in shape(rng, least=1, most=3))
    a, n = operand(rng, t, size, special=False, repeated=False), int(rng.integers(0, 9))
    where_to = indices(rng, (n,), min(size[0], 100))
    b = operand(rng, t, (n,) + size[1:], special=False)
    out = compute(a.array).copy()
    np.add.at(out, where_to.array.v.astype(np.int64), compute(b.array))
    return [a, where_to, b], Array(t, out), 1 if t in FLOATS else 0, 16 * n * EPSILON[t] if t in FLOATS else 0


def one_hot(rng, t):
    n = int(rng.integers(1, 9))
    where_to = indices(rng, tuple(rng.integers(0, 5, int(rng.integers(0, 3)))), n)
    return [where_to, n, t], Array(t, np.eye(n)[where_to.array.v.astype(np.int64)]), 0, 0


row("take", ALL, take)
row("scatter_add_inplace", NUMBERS, scatter_add)
row("one_hot", ALL, one_hot)

# --- joins ---


def several(rng, t, sizes):
    types = [t] + [t if rng.random() < 0.7 else str(rng.choice(ALL)) for _ in sizes[1:]]
    common = types[0]
    for other in types[1:]:
        common = promote(common, other)
    arrays = [operand(rng, s, size) for s, size in zip(types, sizes)]
    return arrays, common, [Array(common, a.array.v).v for a in arrays]


def concat(rng, t):
    size = shape(rng, least=1)
    axis = int(rng.integers(-len(size), len(size)))
    sizes = [tuple(int(rng.integers(0, 4)) if d == axis % len(size) else n for d, n in enumerate(size)) for _ in range(3)]
    arrays, common, values = several(rng, t, sizes[: int(rng.integers(1, 4))])
    return [arrays, axis], Array(common, np.concatenate(values, axis)), 0, 0


def stack(rng, t):
    size = shape(rng, most=3)
    axis = int(rng.integers(-len(size) - 1, len(size) + 1))
    arrays, common, values = several(rng, t, [size] * int(rng.integers(1, 4)))
    return [arrays, axis], Array(common, np.stack(values, axis)), 0, 0


row("concat", ALL, concat)
row("stack", ALL, stack)

# --- products ---


def product_case(t, f, a, b):
    """f(x, y) sums products: floats may be off by the sum of their magnitudes times some epsilon."""
    if t not in FLOATS:
        return Array(t, f(a.v, b.v)), 0, 0
    most = f(np.abs(wide(a)), np.abs(wide(b)))
    most = float(np.max(most)) if np.size(most) else 0
    return Array(t, f(wide(a), wide(b))), 1, 8 * EPSILON["f32" if t in HALVES else t] * most


def matmul(rng, t):
    m, k, n = (int(x) for x in rng.choice([0, 1, 2, 3, 5, 8, 17, 40], 3, p=[0.02] + [0.14] * 7))
    batch = shape(rng, most=2) if m * n <= 40 else ()
    first, second = broadcastable(rng, batch) + (m, k), broadcastable(rng, batch) + (k, n)
    if rng.random() < 0.15:
        first = (k,)
    if rng.random() < 0.15:
        second = (k,)
    a, b = operand(rng, t, first, special=False), operand(rng, t, second, special=False)
    expected, ulp, absolute = product_case(t, np.matmul, a.array, b.array)
    return [a, b], expected, ulp, absolute


def linear(rng, t):
    m, k, n = (int(x) for x in rng.integers(1, 20, 3))
    x, w, b = (operand(rng, t, size, special=False) for size in ((m, k), (k, n), (n,)))
    expected, ulp, absolute = product_case(t, np.matmul, x.array, w.array)
    value = np.matmul(wide(x.array), wide(w.array)) + wide(b.array)
    # Halves are rounded between product and sum.
    return [x, w, b], Array(t, value), ulp, absolute + EPSILON[t] * float(np.max(np.abs(value)) + 4)


row("matmul", NUMBERS, matmul)
row("linear", FLOATS, linear)
