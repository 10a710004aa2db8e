#!/usr/bin/env python3
"""Writes data/*.npy: inputs and expected results of the tests inside the programs, made offline.

Reference results are computed in float64 from the float32 inputs and rounded once, by numpy, or by torch where numpy has
no such function. Needs numpy and torch; `python3 goldens.py` rewrites every file, always with the same bytes.
Made with numpy 2.4.6 and torch 2.15.0, on the CPU.
"""

import math
import pathlib

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent / "data"
rng = np.random.default_rng(20240)


def save(name, array):
    np.save(HERE / f"{name}.npy", np.ascontiguousarray(array))


def f32(array):
    return np.asarray(array, dtype=np.float64).astype(np.float32)


def normal(*shape, scale=1.0):
    return f32(rng.standard_normal(shape) * scale)


def wide(array):
    return torch.from_numpy(array.astype(np.float64))


def activations():
    x = np.concatenate([np.linspace(-9, 9, 201, dtype=np.float32), normal(56, scale=3)])
    save("activation_x", x)
    save("sigmoid_y", f32(torch.sigmoid(wide(x))))
    save("tanh_y", f32(np.tanh(x.astype(np.float64))))
    save("gelu_y", f32(torch.nn.functional.gelu(wide(x), approximate="none")))


def rows():
    x = normal(5, 33, scale=4)
    label = rng.integers(0, 33, 5).astype(np.uint32)
    weight, bias = normal(33), normal(33)
    save("rows_x", x)
    save("rows_label", label)
    save("norm_weight", weight)
    save("norm_bias", bias)
    target = torch.from_numpy(label.astype(np.int64))
    save("cross_entropy_loss", f32(torch.nn.functional.cross_entropy(wide(x), target, reduction="none")))
    save("softmax_y", f32(torch.softmax(wide(x), dim=1)))
    save("layer_norm_y", f32(torch.nn.functional.layer_norm(wide(x), (33,), wide(weight), wide(bias), 1e-5)))
    d = x.astype(np.float64)
    save("rms_norm_y", f32(d / np.sqrt((d * d).mean(axis=1, keepdims=True) + 1e-5) * weight))


def losses():
    p = f32(rng.uniform(0.01, 0.99, 300))
    t = f32(rng.integers(0, 2, 300))
    save("bce_p", p)
    save("bce_t", t)
    loss = torch.nn.functional.binary_cross_entropy(wide(p), wide(t), reduction="sum")
    save("bce_part", f32([loss.item()]))


def rotary():
    tokens, heads, dim, first, base = 3, 2, 16, 1000, 10000.0
    x = normal(tokens, heads, dim)
    d, half = x.astype(np.float64), dim // 2
    angle = (first + np.arange(tokens))[:, None] * base ** (-np.arange(half) / half)[None, :]
    c, s = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    u, v = d[..., :half], d[..., half:]
    save("rotary_x", x)
    save("rotary_y", f32(np.concatenate([u * c - v * s, v * c + u * s], axis=-1)))


def attention():
    def write(prefix, q, k, v, causal):
        out = torch.nn.functional.scaled_dot_product_attention(wide(q), wide(k), wide(v), is_causal=causal)
        for name, array in [("q", q), ("k", k), ("v", v), ("o", f32(out))]:
            save(f"{prefix}_{name}", array)

    write("decode", normal(2, 1, 16), normal(2, 150, 16), normal(2, 150, 16), False)
    write("prefill", normal(2, 70, 8), normal(2, 70, 8), normal(2, 70, 8), True)


def integers():
    x = rng.integers(0, 2**32, 1000, dtype=np.uint32)
    save("scan_x", x)
    save("scan_y", np.cumsum(x, dtype=np.uint32))
    x = np.minimum(rng.geometric(0.02, 5000), 255).astype(np.uint8)
    save("histogram_x", x)
    save("histogram_bins", np.bincount(x, minlength=256).astype(np.uint32))
    x = rng.integers(0, 2**32, 700, dtype=np.uint32)
    save("sort_x", x)
    save("sort_y", np.concatenate([np.sort(x[:512]), np.sort(x[512:])]))


def atlas():
    """The walk of atlas_walk.phx, from the definitions of the classes."""

    def class_of(byte):
        e1, e2, e3, e6, e7 = (byte >> i & 1 for i in range(5))
        return 3 * (16 * e1 + 8 * e2 + 4 * e3 + 2 * e6 + e7) + (byte >> 5 & 3) % 3

    def neighbours(c):
        q, t = divmod(c, 3)
        return sorted([3 * (q ^ b) + t for b in (16, 8, 4, 2)] + {0: [c + 1], 1: [c - 1, c + 1], 2: [c - 1]}[t])

    def mirror(c):
        return 3 * (c // 3 ^ 1) + c % 3

    assert neighbours(1) == [0, 2, 7, 13, 25, 49] and mirror(95) == 92
    x = rng.integers(0, 256, 100).astype(np.uint8)
    place, visits, unity = [], np.zeros(96, np.uint32), 0
    for i, byte in enumerate(x.tolist()):
        c, state, phase = class_of(byte), i, i // 64
        for _ in range(20):
            state = (state * 1664525 + 1013904223) % 2**32
            ways = neighbours(c)
            c = ways[(state >> 16) % len(ways)]
            phase = (phase + 97) % 768
            if phase < 384:
                c = mirror(c)
            visits[c] += 1
            unity += c in (1, 4)
        place.append(12288 * c + 256 * (i % 48) + byte)
    save("atlas_x", x)
    save("atlas_place", np.array(place, np.uint32))
    save("atlas_visits", visits)
    save("atlas_unity", np.array([unity], np.uint32))


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for make in (activations, rows, losses, rotary, attention, integers, atlas):
        make()
    # A value that a program states as text.
    print("area under exp(-t^2) from 2 to 3:", repr(math.sqrt(math.pi) / 2 * (math.erf(3) - math.erf(2))))
