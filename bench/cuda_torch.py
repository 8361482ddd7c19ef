"""The cases of bench/cuda.c, measured with PyTorch on the same machine: cuda_torch.py [--json] [--small] [--n N]

Eager mode, no streams of the user's, medians of as many samples, waited for the same way. float32 products are exact
("highest") unless the case is tf32; data is random where that matters.
"""
import argparse
import json
import statistics
import time

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--json", action="store_true")
parser.add_argument("--small", action="store_true", help="sizes that only show that it works")
parser.add_argument("--n", type=int, default=16384, help="rows of the products' matrices")
arguments = parser.parse_args()
small = arguments.small
device = torch.device("cuda:0")
SAMPLES = 3 if small else 21
CHAIN, INDEPENDENT, STEPS = (200, 300, 2) if small else (4000, 10000, 20)
N = 64 if small else arguments.n
ELEMENTS = 1 << 18 if small else 1 << 28
COPIED = 1 << 22 if small else 1 << 30
PIECES = 16


def sample(fn, samples=SAMPLES):
    """Median, smallest and largest of what fn returns, after two calls that do not count."""
    values = [fn() for _ in range(samples + 2)][2:]
    return statistics.median(values), min(values), max(values)


def timed(fn):
    torch.cuda.synchronize()
    begin = time.perf_counter()
    fn()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def report(case, value, unit, **more):
    if arguments.json:
        line = {"bench": "cuda", "case": case, "impl": "torch " + torch.__version__, "value": float("%.4g" % value[0]),
                "unit": unit, "min": float("%.4g" % value[1]), "max": float("%.4g" % value[2])}
        line.update({k: float("%.6g" % v) for k, v in more.items()})
        print(json.dumps(line, separators=(",", ":")), flush=True)
    else:
        extras = "; ".join("%s %.6g" % pair for pair in more.items())
        print("%-12s %10.4g %-3s %9.4g..%-9.4g %s" % (case, value[0], unit, value[1], value[2], extras), flush=True)


def scaled(values, factor):
    return tuple(v * factor for v in values)


def chain():
    x, submitting = torch.ones(1024, device=device), []

    def work():
        y, begin = x, time.perf_counter()
        for _ in range(CHAIN):
            y = y + x
        submitting.append((time.perf_counter() - begin) / CHAIN)

    value = sample(lambda: timed(work) / CHAIN)
    report("chain", scaled(value, 1e6), "us", submit_ns=min(submitting) * 1e9)


def independent():
    x, y = torch.ones(1024, device=device), torch.ones(1024, device=device)

    def work():
        for _ in range(INDEPENDENT):
            x + y

    report("independent", scaled(sample(lambda: timed(work)), 1e3), "ms", operations=INDEPENDENT)


def medium8():
    """Integer products do not exist here: kernels that only pass the time, as long as 200 us."""
    cycles = 1000
    while timed(lambda: torch.cuda._sleep(cycles)) < 200e-6:
        cycles = int(cycles * 1.2)
    one = sample(lambda: timed(lambda: torch.cuda._sleep(cycles)))
    eight = sample(lambda: timed(lambda: [torch.cuda._sleep(cycles) for _ in range(8)]))
    report("medium8", scaled(eight, 1e3), "ms", one_ms=one[0] * 1e3, over_one=eight[0] / one[0])


def mlp_step():
    layer = torch.nn.Linear
    net = torch.nn.Sequential(layer(784, 256), torch.nn.ReLU(), layer(256, 256), torch.nn.ReLU(), layer(256, 10)).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, labels = torch.randn(128, 784, device=device), torch.zeros(128, dtype=torch.int64, device=device)

    def work():
        for _ in range(STEPS):
            torch.nn.functional.cross_entropy(net(x), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

    report("mlp_step", scaled(sample(lambda: timed(work) / STEPS), 1e6), "us")


def overlap():
    """One stream, as a program that says nothing about streams; pinned and pageable host memory."""
    n, floats = min(N, 4096), COPIED // 4 // PIECES
    target = [torch.ones(floats, device=device) for _ in range(PIECES)]
    x = torch.full((n, n), 1 / n, device=device)
    for case, pinned in (("overlap", False), ("overlap_pinned", True)):
        host = [torch.ones(floats).pin_memory() if pinned else torch.ones(floats) for _ in range(PIECES)]

        def copies():
            for to, source in zip(target, host):
                to.copy_(source, non_blocking=True)

        def products(times):
            y = x
            for _ in range(times):
                y = y @ x

        def both():
            products(times)
            copies()

        copy = sample(lambda: timed(copies), 5)[0]
        times = max(1, round(copy / sample(lambda: timed(lambda: products(1)), 5)[0]))
        compute = sample(lambda: timed(lambda: products(times)), 5)[0]
        together = sample(lambda: timed(both), 5)[0]
        ratio = together / max(copy, compute)
        report(case, (ratio, ratio, ratio), "x", copy_ms=copy * 1e3, compute_ms=compute * 1e3, both_ms=together * 1e3)


def matmul(case, dtype, tf32=False):
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    a = (torch.rand(N, N, device=device) * 2 - 1).to(dtype)
    b = (torch.rand(N, N, device=device) * 2 - 1).to(dtype)
    value = sample(lambda: timed(lambda: a @ b), min(SAMPLES, 9))
    report(case, scaled(value, 1e3), "ms", n=N, tflops=2.0 * N ** 3 / value[0] / 1e12)
    torch.set_float32_matmul_precision("highest")


def bandwidth(case, fn, arrays):
    """Bytes counted: what is read and what is written."""
    a, b = torch.ones(ELEMENTS, device=device), torch.ones(ELEMENTS, device=device)
    copy = 8.0 * ELEMENTS / sample(lambda: timed(lambda: a.clone()))[0] / 1e9
    value = sample(lambda: 4.0 * arrays * ELEMENTS / timed(lambda: fn(a, b)) / 1e9)
    report(case, scaled(value, 1 / copy), "x", gb_per_s=value[0], copy_gb_per_s=copy)


def ping():
    x = torch.ones(1, device=device)

    def work():
        for i in range(20):
            x.copy_(torch.tensor([float(i)]))
            x.add_(1)
            assert x.item() == i + 1

    report("ping", scaled(sample(lambda: timed(work) / 20), 1e6), "us")


chain()
independent()
medium8()
mlp_step()
overlap()
matmul("matmul_f32", torch.float32)
matmul("matmul_tf32", torch.float32, tf32=True)
matmul("matmul_bf16", torch.bfloat16)
matmul("matmul_f64", torch.float64)
bandwidth("large_add", lambda a, b: a + b, 3)
bandwidth("large_sum", lambda a, b: a.sum(), 1)
ping()
