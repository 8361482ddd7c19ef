"""Cases as a stream of lines and bytes, which compare.c reads:

case NUMBER FUNCTION SIGNATURE
array TYPE NDIM SIZES...   then the bytes of the base, and its steps:
  slice SPEC | permute N AXES... | broadcast N SIZES...
  done
double HEX | int N | ints N... | text T | type T | arrays N (then so many arrays)
expect N ULP ABSOLUTE
result TYPE NDIM SIZES...  then the bytes; N times
"""
import struct

from dtypes import to_bytes



class Stream:
    def __init__(self, out):
        self.out, self.cases = out, 0

    def line(self, *words):
        self.out.write((" ".join(str(w) for w in words) + "\n").encode())

    def array(self, operand):
        self.line("array", operand.base.t, len(operand.base.shape), *operand.base.shape)
        self.out.write(to_bytes(operand.base))
        for what, value in operand.steps:
            self.line(what, value if isinstance(value, str) else " ".join(str(x) for x in [len(value)] + value))
        self.line("done")

    def argument(self, kind, value):
        if kind == "a":
            self.array(value)
        elif kind == "A":
            self.line("arrays", len(value))
            for operand in value:
                self.array(operand)
        elif kind in "IL":
            self.line("ints", len(value), *value)
        elif kind in "PSD":  # two lists of one length
            self.line("ints", len(value[0]), *value[0])
            self.line("ints", len(value[1]), *value[1])
        elif kind == "d":
            self.line("double", struct.pack("<d", value)[::-1].hex())
        elif kind in "ilb":
            self.line("int", int(value))
        elif kind == "t":
            self.line("type", value)
        else:
            self.line("text", value)

    def case(self, name, signature, arguments, expected, ulp, absolute):
        self.cases += 1
        self.line("case", self.cases, name, signature)
        kinds = [k for k in signature[2:] if k not in "vO"]
        if len(kinds) != len(arguments):
            raise SystemExit("%s: %d arguments for %s" % (name, len(arguments), signature))
        for kind, value in zip(kinds, arguments):
            self.argument(kind, value)
        results = expected if isinstance(expected, list) else [expected]
        self.line("expect", len(results), "%.17g" % ulp, "%.17g" % absolute)
        for result in results:
            self.line("result", result.t, len(result.shape), *result.shape)
            self.out.write(to_bytes(result))
