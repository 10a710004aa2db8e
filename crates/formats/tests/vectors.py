#!/usr/bin/env python3
"""Matrices in ggml's block formats as the PyPI package `gguf` writes and reads them.

    python3 vectors.py             write vectors.txt, which tests/vectors.rs compares with
    python3 vectors.py --check     compare vectors.txt with what the package gives now
    python3 vectors.py --large F   write many more to the file F (PHALANX_VECTORS=F makes tests/vectors.rs read it)

A line is: format, rows, columns, then in hexadecimal the f32 values before (or "-": read only), the bytes, the f32 values after.
"""

import pathlib
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

HERE = pathlib.Path(__file__).resolve().parent
FORMATS = [T.F32, T.F16, T.BF16, T.Q4_0, T.Q8_0, T.TQ1_0, T.TQ2_0, T.Q6_K]


def inputs(rng, n, k):
    """A matrix whose blocks are of many kinds."""
    x = rng.standard_normal((n, k)).astype(np.float32)
    kinds = rng.integers(0, 6, (n, k // 32))
    for r in range(n):
        for b, kind in enumerate(kinds[r]):
            part = x[r, 32 * b : 32 * b + 32]
            if kind == 1:
                part[:] = 0
            elif kind == 2:
                part[:] = np.float32(0.37) * np.sign(part).round() * (rng.random(32) < 0.6)
            elif kind == 3:
                part *= np.float32(1e-6)  # the scale is a denormal of f16
            elif kind == 4:
                part[:] = (part * 8).round() / 2  # many halves: rounding shows
            elif kind == 5:
                part *= np.float32(900)
    return x


def line(rng, t, n, k):
    if t == T.Q6_K:
        cols, size = GGML_QUANT_SIZES[t]
        blocks = rng.integers(0, 256, (n, k // cols, size), dtype=np.uint8)
        blocks[:, :, -2:] = rng.standard_normal((n, k // cols, 1)).astype(np.float16).view(np.uint8)
        raw, before = blocks.reshape(n, -1), "-"
    else:
        x = inputs(rng, n, k)
        with np.errstate(all="ignore"):
            raw = x if t == T.F32 else quantize(x, t)
        before = x.tobytes().hex()
    after = np.ascontiguousarray(dequantize(raw, t), dtype=np.float32)
    return f"{t.name} {n} {k} {before} {raw.tobytes().hex()} {after.tobytes().hex()}\n"


def text(seed, shapes):
    rng = np.random.default_rng(seed)
    return "".join(line(rng, t, n, k) for t in FORMATS for n, k in shapes)


if __name__ == "__main__":
    small = text(1, [(2, 256)])
    match sys.argv[1:]:
        case []:
            (HERE / "vectors.txt").write_text(small)
        case ["--check"]:
            if (HERE / "vectors.txt").read_text() != small:
                sys.exit("vectors.txt is not what the package gives")
            print("vectors.txt is what the package gives")
        case ["--large", path]:
            pathlib.Path(path).write_text(text(2, [(16, 2560), (31, 768)] * 4))
        case _:
            sys.exit(__doc__)
