#!/usr/bin/env python3
"""Writes test vectors for the f64 functions, computed with mpmath to 60 digits or more.

    python3 crates/simd/tools/derive_vectors.py > crates/simd/tests/data/f64_vectors.csv

A line is `function,x,y,value,rest`: arguments and the nearest double as hexadecimal bits (`y` empty for one argument), and `rest` =
(true value - nearest double) in units in the last place, so that an error can be measured to a fraction of one.
"""
import random
import struct

from mpmath import inf, mp, mpf

mp.prec = 300


def bits(d):
    return struct.unpack("<Q", struct.pack("<d", d))[0]


def from_bits(u):
    return struct.unpack("<d", struct.pack("<Q", u))[0]


def nearest(v):
    """(double nearest to v with gradual underflow and overflow, rest in units in its last place)."""
    if v == 0:
        return 0.0, 0.0
    exponent = max(int(mp.floor(mp.log(abs(v), 2))), -1022)
    ulp = mpf(2) ** (exponent - 52)
    n = mp.nint(v / ulp)  # ties to even
    if abs(n) * ulp >= mpf(2) ** 1024:
        return (float("inf") if v > 0 else float("-inf")), 0.0
    d = float(n * ulp)
    if d == 0.0 and v < 0:
        d = -0.0
    return d, float((v - mpf(d)) / ulp)


def with_precision(bits_, f, *args):
    with mp.workprec(bits_):
        return f(*args)


def trig(f):
    # 2^1024 needs 1024 bits of pi before the first useful one.
    return lambda x: with_precision(1500, f, x)


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


FUNCTIONS = {
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "log": mp.log,
    "log2": lambda x: with_precision(400, lambda v: mp.log(v) / mp.log(2), x),
    "log10": lambda x: with_precision(400, lambda v: mp.log(v) / mp.log(10), x),
    "rsqrt": lambda x: 1 / mp.sqrt(x),
    "rcp": lambda x: 1 / x,
    "sqrt": mp.sqrt,
    "sin": trig(mp.sin),
    "cos": trig(mp.cos),
    "tan": trig(mp.tan),
    "tanh": lambda x: with_precision(2400, mp.tanh, x),
    "sigmoid": sigmoid,
    "erf": lambda x: with_precision(2400, mp.erf, x) if abs(x) < 30 else mp.sign(x),
}

RANGES = {  # (low, high) of uniform arguments, as many ranges as useful
    "exp": [(-746, 710), (-1, 1), (-745.2, -708), (-0.35, 0.35)],
    "exp2": [(-1076, 1024), (-1, 1), (-1075, -1022), (-0.5, 0.5)],
    "tanh": [(-1, 1), (-22, 22), (-0.2, 0.2), (0.3, 0.4)],
    "sigmoid": [(-746, 40), (-5, 5), (-745, -708), (-40, 0)],
    "erf": [(-1, 1), (-6, 6), (0.9, 1.1), (1, 2)],
    "sin": [(-4, 4), (-1000, 1000), (-2**30, 2**30), (2**30, 2**40)],
}
RANGES["cos"] = RANGES["tan"] = RANGES["sin"]
POSITIVE = ("log", "log2", "log10", "rsqrt", "sqrt")

# Doubles that come closest to a multiple of pi/2 (found by continued fractions in `closest`), and usual suspects.
SPECIAL = [5e-324, 2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308, 1e-300, 1e300, 1.0,
           1.0000000000000002, 0.9999999999999999, 0.5, 2.0, 0.7071067811865475, 0.7071067811865476, 1.4142135623730951]


def closest():
    """Per binary exponent, the 53-bit significands nearest to a multiple of pi/2 by continued fractions; the best 60."""
    found = []
    with mp.workprec(1500):
        half_pi = mp.pi / 2
        for e in range(-52, 972, 1):
            ratio = mpf(2) ** e / half_pi
            # Convergents p/q of the ratio: q * 2^e is close to p * pi/2.
            a, x = [], ratio
            h0, h1, k0, k1 = 0, 1, 1, 0
            while True:
                t = int(mp.floor(x))
                h0, h1 = h1, t * h1 + h0
                k0, k1 = k1, t * k1 + k0
                if k1 >= 2**53:
                    break
                best = k1
                if x == t:
                    break
                x = 1 / (x - t)
            # The fraction must carry a full significand to be this exponent's own.
            d = float(best) * 2.0**e if e < 971 or best < 2**53 else 0.0
            if d and d != float("inf"):
                r = mpf(d) / half_pi
                found.append((abs(r - mp.nint(r)), d))
    found.sort()
    return [d for _, d in found[:60]]


def emit(name, x, y, value):
    d, rest = nearest(value)
    ys = "" if y is None else "%016x" % bits(y)
    print("%s,%016x,%s,%016x,%.4f" % (name, bits(x), ys, bits(d), rest))


def main():
    rng = random.Random(20240229)
    hard = closest()
    for name, f in FUNCTIONS.items():
        xs = list(SPECIAL)
        if name not in POSITIVE:
            xs += [-x for x in SPECIAL]
        for low, high in RANGES.get(name, []):
            xs += [rng.uniform(low, high) for _ in range(40)]
        # Uniform over the bits, which is uniform over exponents.
        for _ in range(70 if name in RANGES else 200):
            xs.append(abs(from_bits(rng.randrange(1, 0x7FEFFFFFFFFFFFFF))))
            if name not in POSITIVE:
                xs[-1] *= rng.choice((1, -1))
        # Near 1 and small arguments.
        xs += [1 + rng.uniform(-1, 1) * 2.0 ** -rng.randrange(1, 53) for _ in range(40)]
        small = [2.0 ** -rng.uniform(0, 60) for _ in range(20)]
        xs += small
        if name in ("sin", "cos", "tan"):
            xs += hard
        for x in xs:
            if name in ("exp", "exp2") and abs(x) > 2000 or name == "sigmoid" and abs(x) > 2000:
                continue
            emit(name, x, None, f(mpf(x)))
    for _ in range(150):  # any base, results over the whole range
        x = from_bits(rng.randrange(1, 0x7FEFFFFFFFFFFFFF))
        y = rng.uniform(-1090, 1030) / float(mp.log(mpf(x), 2))
        emit("pow", x, y, mp.power(mpf(x), mpf(y)))
    for _ in range(100):  # bases near 1, large exponents
        x = 1 + rng.uniform(-1, 1) * 2.0 ** -rng.randrange(1, 50)
        y = rng.uniform(-1080, 1024) / float(mp.log(mpf(x), 2))
        emit("pow", x, y, mp.power(mpf(x), mpf(y)))
    for _ in range(100):
        x, y = rng.uniform(0, 20), rng.uniform(-20, 20)
        emit("pow", x, y, mp.power(mpf(x), mpf(y)))
    for _ in range(30):  # negative bases, integer exponents
        x, y = -rng.uniform(0.1, 20), float(rng.randrange(-60, 60))
        emit("pow", x, y, mp.power(mpf(x), int(y)))


main()
