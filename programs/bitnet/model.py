"""The BitNet b1.58 network of this folder in PyTorch: the forward pass that `train.py` trains and that the engine repeats.

Weights are ternary with one scale a matrix, activations int8 with one scale a token; both are fake-quantised with
straight-through gradients. `ternary=False` is the same network without either: the twin in f32.
"""

import dataclasses
import math

import torch
from torch import nn
from torch.nn import functional as F

EPS = 1e-5  # of the norms, and the least absmax of activations


@dataclasses.dataclass(frozen=True)
class Shape:
    """All widths are multiples of 256."""

    vocab: int = 1024
    width: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 4
    ffn: int = 512
    context: int = 256
    theta: float = 10000.0

    @property
    def head_dim(self):
        return self.width // self.heads


def rms(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * weight


def activation_codes(x):
    """Codes as floats, and the factor that made them: q = clamp(round_half_even(x * s)), s = 127 / absmax of the row."""
    s = 127 / x.abs().amax(-1, keepdim=True).clamp(min=EPS)
    return (x * s).round().clamp(-128, 127), s


def weight_codes(w):
    """Codes -1, 0, 1 as floats, and the scale of the matrix: its mean size."""
    scale = w.abs().mean().clamp(min=EPS)
    return (w / scale).round().clamp(-1, 1), scale


class QuantiseActivations(torch.autograd.Function):
    """Rounding passes gradients as they are."""

    @staticmethod
    def forward(_, x):
        q, s = activation_codes(x)
        return q / s

    @staticmethod
    def backward(_, g):
        return g


class QuantiseWeights(torch.autograd.Function):
    @staticmethod
    def forward(_, w):
        q, scale = weight_codes(w)
        return q * scale

    @staticmethod
    def backward(_, g):
        return g


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        d, kv = shape.width, shape.kv_heads * shape.head_dim
        sizes = dict(q=(d, d), k=(kv, d), v=(kv, d), o=(d, d), gate=(shape.ffn, d), up=(shape.ffn, d), down=(d, shape.ffn))
        self.w = nn.ParameterDict({n: nn.Parameter(torch.randn(*s) / math.sqrt(s[1])) for n, s in sizes.items()})
        norms = dict(attn_norm=d, attn_sub_norm=d, ffn_norm=d, ffn_sub_norm=shape.ffn)
        self.norm = nn.ParameterDict({n: nn.Parameter(torch.ones(s)) for n, s in norms.items()})
        # The residual stream starts as the embedding and grows by as much as each block adds.
        for n in ("attn_sub_norm", "ffn_sub_norm"):
            nn.init.constant_(self.norm[n], 0.1)


class BitNet(nn.Module):
    def __init__(self, shape, ternary=True):
        super().__init__()
        self.shape, self.ternary = shape, ternary
        self.embed = nn.Parameter(torch.randn(shape.vocab, shape.width) * 0.05)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.width))
        half = shape.head_dim // 2
        angle = torch.arange(shape.context)[:, None] * shape.theta ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        future = torch.full((shape.context, shape.context), -math.inf).triu(1)
        self.register_buffer("future", future, persistent=False)

    def products(self, block, names, x):
        """Products of one input with several matrices; they share its quantisation."""
        if self.ternary:
            x = QuantiseActivations.apply(x)
        return [F.linear(x, QuantiseWeights.apply(block.w[n]) if self.ternary else block.w[n]) for n in names]

    def rotate(self, x):
        """Pairs (j, j + half) of each head turn by position times theta^(-j / half). x: [batch, head, position, dim]."""
        a, b = x.chunk(2, -1)
        cos, sin = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def forward(self, tokens, tap=None, dropout=0.0):
        """Logits [batch, position, vocab]. `tap(name, tensor)` sees every step; `dropout` is for training."""
        shape = self.shape
        tap = tap or (lambda name, x: x)
        b, t = tokens.shape
        heads = lambda x, n: x.view(b, t, n, shape.head_dim).transpose(1, 2)
        drop = lambda x: F.dropout(x, dropout) if dropout else x
        x = drop(tap("embed", F.embedding(tokens, self.embed)))
        for i, block in enumerate(self.blocks):
            at = f"blk.{i}."
            h = tap(at + "attn_norm", rms(x, block.norm["attn_norm"]))
            q, k, v = self.products(block, "qkv", h)
            tap(at + "q", q), tap(at + "k", k), tap(at + "v", v)
            q = tap(at + "q_rope", self.rotate(heads(q, shape.heads)))
            k = tap(at + "k_rope", self.rotate(heads(k, shape.kv_heads)))
            v = heads(v, shape.kv_heads)
            if shape.kv_heads != shape.heads:
                k, v = (m.repeat_interleave(shape.heads // shape.kv_heads, 1) for m in (k, v))
            scores = q @ k.transpose(2, 3) / math.sqrt(shape.head_dim) + self.future[:t, :t]
            a = scores.softmax(-1) @ v
            a = tap(at + "attention", a.transpose(1, 2).reshape(b, t, shape.width))
            a = tap(at + "attn_sub_norm", rms(a, block.norm["attn_sub_norm"]))
            o = tap(at + "o", self.products(block, "o", a)[0])
            x = tap(at + "attn_residual", x + drop(o))
            h = tap(at + "ffn_norm", rms(x, block.norm["ffn_norm"]))
            gate, up = self.products(block, ("gate", "up"), h)
            tap(at + "gate", gate), tap(at + "up", up)
            f = tap(at + "ffn_act", gate.relu().square() * up)
            f = tap(at + "ffn_sub_norm", rms(f, block.norm["ffn_sub_norm"]))
            down = tap(at + "down", self.products(block, ("down",), f)[0])
            x = tap(at + "ffn_residual", x + drop(down))
        x = tap("output_norm", rms(x, self.norm))
        return tap("logits", F.linear(x, self.embed))

    def loss(self, tokens, dropout=0.0):
        """Mean nats a token after the first of each row."""
        logits = self(tokens[:, :-1], dropout=dropout)
        return F.cross_entropy(logits.float().reshape(-1, self.shape.vocab), tokens[:, 1:].reshape(-1))
