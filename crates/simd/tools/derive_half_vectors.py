#!/usr/bin/env python3
"""Writes `f64,f16` pairs as rounded by Python's own binary16 codec: random values of the range, and values around ties.

    python3 crates/simd/tools/derive_half_vectors.py > crates/simd/tests/data/f16_vectors.csv
"""
import math
import random
import struct

rng = random.Random(16)
xs = [math.copysign(2.0 ** rng.uniform(-27, 15.99), rng.random() - 0.5) for _ in range(150)]
for _ in range(75):
    h = rng.randrange(0, 0x7BFF)
    low, high = (struct.unpack("<e", struct.pack("<H", v))[0] for v in (h, h + 1))
    middle = (low + high) / 2
    xs += [middle, math.nextafter(middle, 0.0), math.nextafter(middle, 9e9)]
for x in xs:
    try:
        h = struct.unpack("<H", struct.pack("<e", x))[0]
    except OverflowError:
        h = 0x7C00 if x > 0 else 0xFC00
    print("%016x,%04x" % (struct.unpack("<Q", struct.pack("<d", x))[0], h))
