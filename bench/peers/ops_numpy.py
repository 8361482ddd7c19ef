"""The operators by NumPy, for their benchmark: ops_numpy.py WORKERS. Speaks as common/serve.h says. Only products use
more than one thread, by the BLAS that NumPy was built with, whose own environment variables say how many."""
import os
import re
import resource
import sys
import time

import numpy as np


def softmax(x):
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    e /= np.sum(e, axis=-1, keepdims=True)
    return e


def topk(x, k):
    return -np.sort(-np.partition(x, -k, axis=-1)[..., -k:], axis=-1)


KINDS = {
    "add": lambda a, b: a + b,
    "multiply": lambda a, b: a * b,
    "relu": lambda a: np.maximum(a, 0),
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "softmax": softmax,
    "sum": np.sum,
    "sum_axis": lambda a: np.sum(a, axis=numbers["axis"]),
    "mean_axis": lambda a: np.mean(a, axis=numbers["axis"]),
    "max": np.max,
    "max_axis": lambda a: np.max(a, axis=numbers["axis"]),
    "copy": lambda a: a.copy(order="C"),
    "matmul": np.matmul,
    "take": lambda a, i: np.take(a, i, axis=0),
    "scatter_add": lambda a, i, b: np.add.at(a, i, b),
    "concat": lambda a, b: np.concatenate((a, b), axis=numbers["axis"]),
    "sort": lambda a: np.sort(a, axis=-1, kind="stable"),
    "argsort": lambda a: np.argsort(a, axis=-1, kind="stable"),
    "topk": lambda a: topk(a, numbers["k"]),
    "cumsum": lambda a: np.cumsum(a, axis=numbers["axis"]),
}
numbers = {}


def make(word, rng):
    positive, kind, limit, sizes, layout = re.match(r"(\+?)(f32|f64|i64)(?:<(\d+))?:([\dx]+)([TS]?)$", word).groups()
    shape = [int(n) for n in sizes.split("x")]
    if layout == "T":
        shape[-1], shape[-2] = shape[-2], shape[-1]
    if layout == "S":
        shape[-1] *= 2
    if kind == "i64":
        a = rng.integers(0, int(limit), shape)
    else:
        a = rng.random(shape, np.float32 if kind == "f32" else np.float64)
        a *= a.dtype.type(3.9 if positive else 4)
        a += a.dtype.type(0.1 if positive else -2)
    return np.swapaxes(a, -1, -2) if layout == "T" else a[..., ::2] if layout == "S" else a


def load():
    """CPU seconds: of everybody, busy and in all; of this process."""
    with open("/proc/stat") as file:
        ticks = [int(n) / os.sysconf("SC_CLK_TCK") for n in file.readline().split()[1:9]]
    own = resource.getrusage(resource.RUSAGE_SELF)
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks), own.ru_utime + own.ru_stime


def timed(f, inputs, times):
    start = time.perf_counter()
    for _ in range(times):
        f(*inputs)
    return time.perf_counter() - start


def measure(f, inputs):
    times = 1
    f(*inputs)
    while timed(f, inputs, times) < 0.001 and times < 1000000:
        times *= 2
    before, start, samples = load(), time.perf_counter(), []
    while len(samples) < 15 and (len(samples) < 5 or time.perf_counter() - start < 0.1):
        samples.append(timed(f, inputs, times) * 1e9 / times)
    after = load()
    total = after[1] - before[1]
    foreign = (after[0] - before[0]) - (after[2] - before[2])
    share = min(1, max(0, foreign / total)) if total > 0 else 0
    return "%.3f %d %s" % (share, len(samples), " ".join("%.2f" % s for s in samples))


print("ready numpy", np.__version__, flush=True)
for line in sys.stdin:
    kind, text = line.rstrip("\n").split("\t")
    words = text.split()
    numbers = {"axis": -1}
    numbers.update((w.split("=")[0], int(w.split("=")[1])) for w in words if "=" in w)
    if kind not in KINDS:
        print("none", flush=True)
        continue
    rng = np.random.default_rng(1)
    inputs = [make(w, rng) for w in words if "=" not in w]
    print(measure(KINDS[kind], inputs), flush=True)
    del inputs
