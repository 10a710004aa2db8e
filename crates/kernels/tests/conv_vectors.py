#!/usr/bin/env python3
"""Write data/conv_vectors.bin: convolutions computed by PyTorch in f64, where all sums of the integers are exact.

    python3 conv_vectors.py        needs torch (CPU)

A case is a line of text, `SHAPE`, as phalanx_kernels::conv::ConvShape reads it, then arrays, little-endian, in NCHW and OIHW order
whatever the shape says of its own: x int8 (one image), w int8, y int32 of x and w; then xf float32, yf float32 of xf and w.
"""

import pathlib
import random

import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).resolve().parent / "data" / "conv_vectors.bin"

# Columns x rows, channels, kernel columns x rows, stride, padding above, below, left, right, dilation, groups.
FIXED = [
    "14x14 3->8 7x7 s2 p3",
    "7x7 16->70 3x3 p1",
    "8x8 12->66 1x1",
    "9x9 24->24 3x3 p1 g24",
    "11x9 20->20 5x3 s2x1 p1,0,2,2 g20 nchw",
    "8x8 8->12 3x3 p2 d2 g4",
    "12x10 6->10 11x9 p4,4,5,5 nchw",
    "5x5 4->6 3x3 p4 s3",
    "16x3 5->7 2x3 p1,2,0,4 d3x1 nchw",
    "1x1 130->5 1x1",
]


def drawn(rng):
    """A random shape whose filter fits."""
    while True:
        cols, rows = rng.randint(1, 13), rng.randint(1, 13)
        kw, kh = rng.randint(1, 11), rng.randint(1, 11)
        pad = [rng.randint(0, 4) for _ in range(4)]
        dw, dh = rng.randint(1, 3), rng.randint(1, 3)
        if (kh - 1) * dh + 1 > rows + pad[0] + pad[1] or (kw - 1) * dw + 1 > cols + pad[2] + pad[3]:
            continue
        groups = rng.choice([1, 1, 1, 2, 3])
        inner, outer = groups * rng.randint(1, 9), groups * rng.randint(1, 20)
        order = rng.choice(["", " nchw"])
        sw, sh = rng.randint(1, 3), rng.randint(1, 3)
        padding = ",".join(map(str, pad))
        return f"{cols}x{rows} {inner}->{outer} {kw}x{kh} s{sw}x{sh} p{padding} d{dw}x{dh} g{groups}{order}"


def parse(text):
    """Keyword arguments of conv2d, and sizes."""
    words = text.split()
    cols, rows = map(int, words[0].split("x"))
    inner, outer = map(int, words[1].split("->"))
    kw, kh = map(int, words[2].split("x"))
    both = lambda t: tuple(map(int, t.split("x")))[::-1] if "x" in t else (int(t), int(t))
    stride, pad, dilation, groups = (1, 1), [0] * 4, (1, 1), 1
    for w in words[3:]:
        if w == "nchw":
            continue
        kind, rest = w[0], w[1:]
        if kind == "s":
            stride = both(rest)
        elif kind == "d":
            dilation = both(rest)
        elif kind == "g":
            groups = int(rest)
        else:
            pad = list(map(int, rest.split(","))) if "," in rest else [int(rest)] * 4
    return (rows, cols, inner, outer, kh, kw), pad, dict(stride=stride, dilation=dilation, groups=groups)


def main():
    rng = random.Random(5)
    torch.manual_seed(5)
    torch.set_num_threads(1)
    texts = FIXED + [drawn(rng) for _ in range(30)]
    data = bytearray()
    for i, text in enumerate(texts):
        (rows, cols, inner, outer, kh, kw), (top, bottom, left, right), how = parse(text)
        shape = (outer, inner // how["groups"], kh, kw)
        # Every third case has the ends of the range alone.
        draw = (lambda s: torch.randint(0, 2, s) * 255 - 128) if i % 3 == 0 else (lambda s: torch.randint(-128, 128, s))
        x, w = draw((1, inner, rows, cols)).to(torch.int8), draw(shape).to(torch.int8)
        xf = torch.randn(1, inner, rows, cols, dtype=torch.float32)
        conv = lambda x: F.conv2d(F.pad(x.double(), (left, right, top, bottom)), w.double(), **how)
        y, yf = conv(x), conv(xf)
        data += text.encode() + b"\n"
        for array in (x, w, y.round().to(torch.int32), xf, yf.float()):
            data += array.contiguous().numpy().tobytes()
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(bytes(data))
    print(len(texts), "cases,", len(data), "bytes")


if __name__ == "__main__":
    main()
