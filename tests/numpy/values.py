"""Random shapes, values and layouts. A layout is a base array and the public calls that turn it into the view wanted."""
import numpy as np

from dtypes import FLOATS, NUMPY, Array

MOST_ELEMENTS = 200


def shape(rng, least=0, most=4):
    """0-d now and then, sizes 0 and 1 too; at times one dimension longer than what runs inside a call (4,096)."""
    n = int(rng.integers(least, most + 1))
    if n >= 1 and rng.random() < 0.02:
        return (1,) * (n - 1) + (int(rng.integers(4000, 9000)),)
    sizes = [int(x) for x in rng.choice([0, 1, 2, 3, 4, 5, 7, 16, 33], size=n, p=[0.04] + [0.12] * 8)]
    while np.prod(sizes, dtype=int) > MOST_ELEMENTS:
        sizes[int(rng.integers(n))] = int(rng.integers(1, 4))
    return tuple(sizes)


def broadcastable(rng, full):
    """A shape that broadcasts to this one: leading dimensions left out, others 1."""
    first = int(rng.integers(0, len(full) + 1)) if rng.random() < 0.3 else 0
    return tuple(1 if rng.random() < 0.2 else size for size in full[first:])


SPECIAL = {t: np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtype=np.float64) for t in FLOATS}
LIMITS = {"f16": (2.0**-24, 2.0**-14, 65504.0), "bf16": (2.0**-133, 2.0**-126, 3.3895313892515355e38),
          "f32": (2.0**-149, 2.0**-126, 3.4028234663852886e38), "f64": (2.0**-1074, 2.0**-1022, 1.7976931348623157e308)}


def draw(rng, t, size, lo=-4.0, hi=4.0, special=True):
    """Values of [lo, hi); with special: NaN, infinities, both zeros, denormals, the largest, extremes of integers. "no largest"
    is for sums, which overflow or not by their order."""
    if t == "bool":
        return rng.random(size) < 0.5
    if t in FLOATS:
        values = np.asarray(rng.uniform(lo, hi, size))
        halves = np.asarray(np.rint(2 * values) / 2)
        values = np.where((rng.random(size) < 0.2) & (halves >= lo) & (halves <= hi), halves, values)
        if special and rng.random() < 0.5:
            least, normal, most = LIMITS[t]
            pool = np.concatenate([SPECIAL[t], [least, -least, normal, -normal, normal - least]])
            if special != "no largest":
                pool = np.concatenate([pool, [most, -most]])
            values = np.where(rng.random(size) < 0.3, rng.choice(pool, size), values)
        return values
    info = np.iinfo(NUMPY[t])
    values = np.asarray(rng.integers(max(info.min, int(np.floor(lo))), int(np.ceil(hi)) + 1, size)).astype(NUMPY[t])
    if special and rng.random() < 0.5:
        anything = rng.integers(info.min, info.max, size, dtype=NUMPY[t], endpoint=True)
        extremes = rng.choice(np.array([info.min, info.max, 0, 1], dtype=NUMPY[t]), size)
        values = np.where(rng.random(size) < 0.3, np.where(rng.random(size) < 0.5, anything, extremes), values)
    return values


class Operand:
    """An array, the base it is cut from and how."""

    def __init__(self, array, base=None, steps=()):
        self.array, self.base, self.steps = array, base if base is not None else array, list(steps)


def _junk(rng, a, sizes):
    return draw(rng, a.t, tuple(sizes), -9, 9, False).astype(a.v.dtype)


def _sliced(rng, a):
    """Behind gaps, some dimensions backwards, some cut out of the middle."""
    sizes, cuts, specs = [], [], []
    for n in a.shape:
        first, step = int(rng.integers(0, 3)), int(rng.choice([1, 1, 2, 3]))
        size = first + n * step + int(rng.integers(0, 3))
        if rng.random() < 0.4 and n > 0:  # from the last one down
            start, stop = first + (n - 1) * step, first - 1
            cuts.append(slice(start, stop if stop >= 0 else None, -step))
            specs.append("%d:%s:-%d" % (start, stop if stop >= 0 else "", step))
        else:
            cuts.append(slice(first, first + n * step, step))
            specs.append("%d:%d:%d" % (first, first + n * step, step))
        sizes.append(size)
    base = _junk(rng, a, sizes)
    base[tuple(cuts)] = a.v
    return Operand(a, Array(a.t, base), [("slice", ", ".join(specs))])


def _permuted(rng, a):
    axes = [int(x) for x in rng.permutation(len(a.shape))]
    back = np.argsort(axes)
    return Operand(a, Array(a.t, np.transpose(a.v, axes)), [("permute", [int(x) for x in back])])


def _backwards(rng, a):
    axes = [d for d in range(len(a.shape)) if rng.random() < 0.6] or [0]
    spec = ", ".join("::-1" if d in axes else ":" for d in range(len(a.shape)))
    return Operand(a, Array(a.t, np.flip(a.v, axes)), [("slice", spec)])


def lay_out(rng, a, written=False):
    """One of: contiguous, sliced with steps, permuted, backwards, and (by draw_operand) broadcast."""
    if not a.shape or rng.random() < 0.35:
        return Operand(a)
    return [_sliced, _permuted, _backwards][int(rng.integers(3))](rng, a)


def operand(rng, t, size, lo=-4.0, hi=4.0, special=True, repeated=True):
    """Random values in a random layout; with repeated, now and then one with strides of 0."""
    if repeated and len(size) > 0 and rng.random() < 0.15:
        small = tuple(1 if rng.random() < 0.5 else n for n in size)
        a = Array(t, draw(rng, t, small, lo, hi, special))
        full = Array(t, np.broadcast_to(a.v, size))
        inner = lay_out(rng, a)
        return Operand(full, inner.base, inner.steps + [("broadcast", list(size))])
    return lay_out(rng, Array(t, draw(rng, t, size, lo, hi, special)))
