"""Which function is what in NumPy, and the list of those that NumPy cannot speak for."""
import math

import numpy as np

from dtypes import ALL, EPSILON, FLOATS, HALVES, INTS, NUMBERS, Array, wide
from rows import along, binary, reduction, row, searched, spread, summed, unary
from values import lay_out, operand, shape

_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


# --- functions of one array; ulp as in tests/ops/accuracy.def, halves are rounded once more ---

unary("abs", np.abs, ALL[1:], special=True)
unary("negative", np.negative, NUMBERS)
unary("positive", np.positive, NUMBERS)
unary("square", np.square, NUMBERS)
unary("sign", np.sign, NUMBERS)
unary("ceil", np.ceil, FLOATS)
unary("floor", np.floor, FLOATS)
unary("round", np.rint, FLOATS)
unary("trunc", np.trunc, FLOATS)
unary("relu", lambda x: np.where(x < 0, x.dtype.type(0), x), NUMBERS)
unary("sqrt", np.sqrt, lo=0, hi=9)
unary("reciprocal", lambda x: 1 / x)
unary("isfinite", np.isfinite, ALL, result="bool")
unary("isinf", np.isinf, ALL, result="bool")
unary("isnan", np.isnan, ALL, result="bool")
unary("signbit", np.signbit, ALL[1:], result="bool")
unary("logical_not", np.logical_not, ALL, result="bool")
unary("bitwise_invert", np.invert, ["bool"] + INTS)
unary("acos", np.arccos, lo=-1, hi=1, ulp=2)
unary("acosh", np.arccosh, lo=1, hi=9, ulp=2)
unary("asin", np.arcsin, lo=-1, hi=1, ulp=2)
unary("asinh", np.arcsinh, lo=-9, hi=9, ulp=2)
unary("atan", np.arctan, lo=-9, hi=9, ulp=2)
unary("atanh", np.arctanh, lo=-1, hi=1, ulp=2)
unary("cos", np.cos, lo=-20, hi=20, ulp=2)
unary("cosh", np.cosh, lo=-9, hi=9, ulp=2)
unary("erf", lambda x: _erf(x.astype(np.float64)), FLOATS[:3], ulp=3)
unary("exp", np.exp, lo=-20, hi=20, ulp=2)
unary("expm1", np.expm1, lo=-9, hi=9, ulp=2)
unary("log", np.log, lo=0, hi=9, ulp=2)
unary("log1p", np.log1p, lo=-1, hi=9, ulp=2)
unary("log2", np.log2, lo=0, hi=9, ulp=2)
unary("log10", np.log10, lo=0, hi=9, ulp=3)
unary("rsqrt", lambda x: 1 / np.sqrt(x), lo=0, hi=9, ulp=2)
unary("sigmoid", lambda x: 1 / (1 + np.exp(-x)), lo=-9, hi=9, ulp=3)
unary("silu", lambda x: x / (1 + np.exp(-x)), lo=-9, hi=9, ulp=4, special=False)
unary("gelu", lambda x: x * _erfc((-x / math.sqrt(2)).astype(np.float64)) / 2, FLOATS[:3], lo=-2, hi=4, ulp=8,
      special=False)
unary("softplus", lambda x: np.logaddexp(0, x), lo=-9, hi=9, ulp=3)
unary("sin", np.sin, lo=-20, hi=20, ulp=2)
unary("sinh", np.sinh, lo=-9, hi=9, ulp=3)
unary("tan", np.tan, lo=-9, hi=9, ulp=2)
unary("tanh", np.tanh, lo=-9, hi=9, ulp=3)

# --- of two ---


def power(x, y):
    """NumPy refuses negative exponents of integers; Thrum gives the truncated quotient, 0 for the base 0."""
    if x.dtype.kind != "i":
        return np.power(x, y)
    positive = np.power(x, np.maximum(y, 0))
    negative = np.where(x == 1, 1, np.where(x == -1, np.where(y % 2 == 0, 1, -1), 0)).astype(x.dtype)
    return np.where(y < 0, negative, positive)


to_bool = {"result": lambda t: "bool"}
binary("add", lambda x, y: x + y)
binary("subtract", lambda x, y: x - y)
binary("multiply", lambda x, y: x * y)
binary("divide", np.divide, ALL, result=lambda t: t if t in FLOATS else "f64" if t in ("i64", "u64") else "f32")
binary("floor_divide", np.floor_divide)
binary("remainder", np.remainder, special=False)
binary("pow", power, lo=0, hi=4, ulp=2)
binary("maximum", np.maximum)
binary("minimum", np.minimum)
binary("atan2", np.arctan2, FLOATS, ulp=2)
binary("hypot", np.hypot, FLOATS, ulp=2)
binary("copysign", np.copysign, FLOATS)
binary("logaddexp", np.logaddexp, FLOATS, ulp=4, special=False, slack=8)
for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    binary(name, getattr(np, name), ALL, **to_bool)
for name in ("logical_and", "logical_or", "logical_xor"):
    binary(name, getattr(np, name), ALL, **to_bool)
for name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    binary(name, getattr(np, name), ["bool"] + INTS)
for name, f in (("bitwise_left_shift", np.left_shift), ("bitwise_right_shift", np.right_shift)):
    binary(name, f, INTS, lo=0, hi=6, special=False)


# --- reductions and searches ---


def spread_product(a, axes):
    if a.t not in FLOATS:
        return 0
    products = np.abs(np.prod(wide(a), axis=axes))
    return a.v.size * EPSILON["f32" if a.t in HALVES else a.t] * float(np.max(products) if products.size else 0)


reduction("sum", np.sum, ALL, summed, tolerance=lambda a, axes: spread(a, axes, 4))
reduction("prod", np.prod, ALL, summed, lo=-1.5, hi=1.5, special=False, tolerance=spread_product)
reduction("mean", np.mean, NUMBERS, lambda t: t if t in FLOATS else "f32", special=False, empty=False,
          tolerance=lambda a, axes: spread(Array("f32", a.v) if a.t in INTS else a, axes, 4))
reduction("max", np.max, ALL, empty=False)
reduction("min", np.min, ALL, empty=False)
reduction("all", np.all, ALL, lambda t: "bool")
reduction("any", np.any, ALL, lambda t: "bool")
searched("argmax", np.argmax)
searched("argmin", np.argmin)


# --- softmax and losses, by their formulas ---


def softmax(x, axis):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


along("softmax", softmax)
along("log_softmax", lambda x, axis: np.log(softmax(x, axis)), tolerance=8)


def mse_loss(rng, t):
    size = tuple(max(1, n) for n in shape(rng))
    a, b = operand(rng, t, size, special=False), operand(rng, t, size, special=False)
    value = np.mean((wide(a.array) - wide(b.array)) ** 2)
    return [a, b], Array(t, value), 2, 8 * EPSILON["f32" if t in HALVES else t] * float(value)


def cross_entropy(rng, t):
    n, classes = int(rng.integers(1, 20)), int(rng.integers(1, 12))
    logits = operand(rng, t, (n, classes), special=False)
    labels = lay_out(rng, Array(str(rng.choice(INTS)), rng.integers(0, classes, n)))
    value = -np.mean(np.log(softmax(wide(logits.array), 1))[np.arange(n), labels.array.v])
    return [logits, labels], Array(t, value), 2, 16 * EPSILON["f32" if t in HALVES else t] * max(1.0, float(value))


row("mse_loss", FLOATS, mse_loss)
row("cross_entropy", FLOATS, cross_entropy)

# --- who has no row, and why ---

REASONS = {
    "map": "a function of the host's; tests/ops/test_functional.c",
    "zip": "a function of the host's; tests/ops/test_functional.c",
    "reduce": "a function of the host's; tests/ops/test_functional.c",
    "op_call": "runs an operator of the user's; tests/ops/test_custom.c",
    "copy_to": "to another device; tests/ndarray/test_host.c and the oracle",
    "random_bits": "NumPy has Philox4x64, not 4x32; known answers in tests/ops/test_random.c",
    "uniform": "as random_bits",
    "normal": "as random_bits",
    "permutation": "as random_bits",
}
for name in "randint bernoulli categorical dropout sdpa_dropout".split():
    REASONS[name] = "as random_bits"
for name in "sgd_step adam_step adamw_step rmsprop_step".split():
    REASONS[name] = "NumPy has no optimizers; tests/ops/test_update.c"
for name in "sdpa conv1d conv2d max_pool2d avg_pool2d layer_norm rms_norm batch_norm".split():
    REASONS[name] = "NumPy has no networks; by formula in tests/ops/test_nn.c"
for name in ("retain release keep array_ndim array_shape array_strides array_size array_dtype array_device array_version "
             "array_is_contiguous array_shares array_var wait wait_many wait_for is_ready read write item print map_read "
             "map_write unmap save_npy load_npy from_host wrap pinned empty empty_like").split():
    REASONS[name] = "computes nothing"
