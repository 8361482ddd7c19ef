"""Rows of losses for networks, by their formulas."""
import numpy as np

from dtypes import ALL, EPSILON, FLOATS, HALVES, INTS, Array, wide
from rows import row
from shaping import indices
from values import lay_out, operand, shape


def mean_of(f):
    """The mean of f over pairs of elements; halves may be rounded on the way."""

    def maker(rng, t):
        size = tuple(max(1, n) for n in shape(rng))
        a, b = operand(rng, t, size, special=False), operand(rng, t, size, special=False)
        values = f(wide(a.array), wide(b.array))
        off = 16 * EPSILON["f32"] + EPSILON[t] if t in HALVES else 16 * EPSILON[t]
        return [a, b], Array(t, np.mean(values)), 2, off * max(1.0, float(np.mean(np.abs(values))))

    return maker


def huber_loss(rng, t):
    delta = float(rng.integers(1, 9)) / 4
    d = lambda a, b: np.abs(a - b)  # noqa: E731
    case = mean_of(lambda a, b: np.where(d(a, b) <= delta, d(a, b) ** 2 / 2, delta * (d(a, b) - delta / 2)))(rng, t)
    case[0].append(delta)
    return case


def nll_loss(rng, t):
    n, classes = int(rng.integers(1, 20)), int(rng.integers(1, 12))
    log_probs = operand(rng, t, (n, classes), -9, 0, special=False)
    labels = lay_out(rng, Array(str(rng.choice(INTS)), rng.integers(0, classes, n)))
    value = -np.mean(wide(log_probs.array)[np.arange(n), labels.array.v])
    return [log_probs, labels], Array(t, value), 2, 16 * EPSILON["f32" if t in HALVES else t] * max(1.0, float(value))


def embedding(rng, t):
    weight = operand(rng, t, (int(rng.integers(1, 20)), int(rng.integers(0, 6))))
    rows = indices(rng, tuple(rng.integers(0, 5, int(rng.integers(0, 3)))), weight.array.shape[0])
    return [weight, rows], Array(t, weight.array.v[rows.array.v.astype(np.int64)]), 0, 0


row("l1_loss", FLOATS, mean_of(lambda a, b: np.abs(a - b)))
row("huber_loss", FLOATS, huber_loss)
row("bce_with_logits", FLOATS, mean_of(lambda x, y: np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))))
row("nll_loss", FLOATS, nll_loss)
row("embedding", ALL, embedding)
