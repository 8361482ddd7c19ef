"""Writes random cases with the results that NumPy gives: generate.py [--cases N] [--seed S] [--only NAME] HEADER... > stream

Cases depend on the seed, the name and the element type alone. Fails when a function of the headers has neither a row nor a
reason.
"""
import argparse
import sys
import warnings
import zlib

import numpy as np

import arrays  # noqa: F401 (rows)
import headers
import networks  # noqa: F401 (rows)
import operators
import shaping  # noqa: F401 (rows)
from rows import TABLE, TYPES
from stream import Stream

parser = argparse.ArgumentParser()
parser.add_argument("--cases", type=int, default=150, help="of each function")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--only", help="this function")
parser.add_argument("headers", nargs="+")
options = parser.parse_args()

np.seterr(all="ignore")
warnings.simplefilter("ignore")
functions = headers.read(options.headers)
unknown = sorted(name for name in functions if name not in TABLE and name not in operators.REASONS)
if unknown:
    sys.exit("no row in tests/numpy and no reason in REASONS of operators.py: " + ", ".join(unknown))
absent = sorted(name for name in TABLE if name not in functions and not name.endswith(("_scalar", "_inplace")))
if absent:
    print("not there yet: " + ", ".join(absent), file=sys.stderr)

stream = Stream(sys.stdout.buffer)
ran = 0
for name, maker in TABLE.items():
    if name not in functions or (options.only and options.only != name):
        continue
    ran += 1
    types = TYPES[name]
    for i in range(max(options.cases, 2 * len(types))):
        t = types[i % len(types)]
        rng = np.random.default_rng([options.seed, zlib.crc32((name + t).encode()), i])
        arguments, expected, ulp, absolute = maker(rng, t)
        stream.case(name, functions[name], arguments, expected, ulp, absolute)
stream.line("end", stream.cases)
print("%d cases of %d functions from NumPy %s; seed %d; %d others have a reason" %
      (stream.cases, ran, np.__version__, options.seed, len(set(functions) & set(operators.REASONS))), file=sys.stderr)
