#!/usr/bin/env python3
"""Train the ternary convolutional digit classifier of `conv/` and write its weights and reference outputs there.

    python3 train_conv.py           train, check, write every .npy file of `conv/`
    python3 train_conv.py --check   numpy only: evaluate the stored files, compare with the stored outputs

The images, the split and the augmentation are those of `train.py`. README.md states the inference formula; `integer_forward`
below is that formula in numpy, and the PyTorch model must agree with it to the last bit.
"""

import argparse
import pathlib
import sys

import numpy as np

import train

HERE = pathlib.Path(__file__).resolve().parent / "conv"
# Filters, their width, stride, padding on each side: of the hidden layers, then of the last, which sees the whole map.
LAYERS = [(32, 3, 1, 1), (32, 3, 2, 1), (64, 3, 1, 1), (10, 4, 1, 0)]
EPOCHS = 80
BATCH = 64
LEARNING_RATE = 1e-2
SMOOTHING = 0.05
WEIGHT_DECAY = 1e-4
TRAIN_SEED = 1
SIDE = 8


def integer_forward(layers, images):
    """Logits f32 [n, 10] of images uint8 [n, 64].

    `layers` is a list of (w int8 [O, I, H, W], scale f32 [O], bias [O]): the bias is int32, of the last layer f32.
    """
    x = images.astype(np.int64).reshape(-1, 1, SIDE, SIDE)
    for (w, scale, bias), (_, width, stride, pad) in zip(layers, LAYERS):
        padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (width, width), axis=(2, 3))[:, :, ::stride, ::stride]
        acc = np.einsum("ncyxhw,ochw->noyx", windows, w.astype(np.int64))
        assert np.abs(acc).max() < 1 << 23
        s = scale.reshape(1, -1, 1, 1)
        b = bias.reshape(1, -1, 1, 1)
        if bias.dtype == np.float32:
            y = acc.astype(np.float32) * s + b
            assert y.dtype == np.float32 and y.shape[2:] == (1, 1)
            return y[:, :, 0, 0]
        v = (acc + b).astype(np.float32) * s
        assert v.dtype == np.float32
        # The lower clamp is the relu; rint rounds halves to even.
        x = np.rint(np.clip(v, 0, train.QMAX)).astype(np.int64)
    raise ValueError("the last layer must have an f32 bias")


def load_layers():
    """The layers stored in `conv/`, in order."""
    numbers = range(1, len(LAYERS) + 1)
    return [tuple(np.load(HERE / f"{name}{i}.npy") for name in ("w", "scale", "bias")) for i in numbers]


def check():
    """Evaluate the stored network with numpy and compare with every stored output."""
    layers = load_layers()
    for w, scale, bias in layers:
        assert w.dtype == np.int8 and set(np.unique(w)) <= {-1, 0, 1}
        assert scale.dtype == np.float32 and scale.shape == bias.shape == w.shape[:1]
    images, labels = np.load(train.HERE / "images.npy"), np.load(train.HERE / "labels.npy")
    logits = integer_forward(layers, images)
    assert train.same_bits(logits, np.load(HERE / "numpy_logits.npy")), "numpy_logits.npy"
    classes = logits.argmax(axis=1)
    assert np.array_equal(classes, np.load(HERE / "torch_classes.npy")), "torch_classes.npy"
    right = int((classes == labels).sum())
    wrong = [f"{i}: {labels[i]}, {classes[i]}" for i in np.flatnonzero(classes != labels)]
    print(f"{right} of {len(labels)} right ({100 * right / len(labels):.2f} %); {'; '.join(wrong)}")


def build_torch():
    """The training function; torch is imported here so that --check does without it."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)  # one order of summation in the gradients, so a run can be repeated
    torch.use_deterministic_algorithms(True)

    class Round(torch.autograd.Function):
        """The nearest integer; the gradient passes straight through."""

        @staticmethod
        def forward(ctx, v):
            return v.round()

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Quantise(torch.autograd.Function):
        """clamp(round(v), 0, 127); the gradient passes where v is inside the range."""

        @staticmethod
        def forward(ctx, v):
            ctx.save_for_backward(v)
            return v.clamp(0, train.QMAX).round()

        @staticmethod
        def backward(ctx, grad):
            (v,) = ctx.saved_tensors
            return grad * ((v > 0) & (v < train.QMAX))

    class TernaryConv(torch.nn.Module):
        """A stack of ternary convolutions. Activations travel as whole numbers, so every sum is exact in f32 and the forward
        pass is the integer formula itself."""

        def __init__(self):
            super().__init__()
            inputs = [1] + [filters for filters, *_ in LAYERS]
            shapes = [(o, i, k, k) for (o, k, *_), i in zip(LAYERS, inputs)]
            self.weight = torch.nn.ParameterList(
                [torch.nn.Parameter(torch.randn(s) * (s[1] * s[2] * s[3]) ** -0.5) for s in shapes]
            )
            self.bias = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(s[0])) for s in shapes])
            # Largest hidden value seen, a running average; it fixes the int8 step of each hidden layer.
            self.register_buffer("peak", torch.zeros(len(LAYERS) - 1))
            self.calibrating = True

        def inv_s(self, i):
            return train.QMAX / self.peak[i]

        def mean(self, i):
            return self.weight[i].abs().mean(dim=(1, 2, 3)).clamp_min(1e-8)

        def scale(self, i):
            """Absmean of each filter, times the step of the incoming integers."""
            return self.mean(i) * (1.0 / train.INPUT_MAX if i == 0 else 1.0 / self.inv_s(i - 1))

        def ternary(self, i):
            ratio = self.weight[i] / self.mean(i).view(-1, 1, 1, 1)
            return Round.apply(ratio.clamp(-1.49, 1.49))

        def numbers(self, i):
            """Bias and scale as the formula takes them."""
            scale = self.scale(i)
            if i == len(LAYERS) - 1:
                return self.bias[i], scale
            return Round.apply(self.bias[i] / scale), scale * self.inv_s(i)

        def forward(self, x):
            x = x.view(-1, 1, SIDE, SIDE)
            for i, (_, _, stride, pad) in enumerate(LAYERS):
                acc = F.conv2d(x, self.ternary(i), stride=stride, padding=pad)
                column = lambda v: v.view(1, -1, 1, 1)
                if i == len(LAYERS) - 1:
                    bias, scale = self.numbers(i)
                    return (acc * column(scale) + column(bias)).flatten(1)
                if self.training and self.calibrating:
                    with torch.no_grad():
                        top = (acc * column(self.scale(i)) + column(self.bias[i])).max()
                        self.peak[i] = top if self.peak[i] == 0 else torch.lerp(self.peak[i], top, 0.05)
                bias, scale = self.numbers(i)
                x = Quantise.apply((acc + column(bias)) * column(scale))

        @torch.no_grad()
        def export(self):
            layers = []
            for i in range(len(LAYERS)):
                bias, scale = self.numbers(i)
                kind = np.float32 if i == len(LAYERS) - 1 else np.int32
                layers.append((self.ternary(i).to(torch.int8).numpy(), scale.numpy(), bias.numpy().astype(kind)))
            return layers

    def fit(images, labels):
        torch.manual_seed(TRAIN_SEED)
        generator = torch.Generator().manual_seed(TRAIN_SEED + 1)
        x, t = torch.from_numpy(images).float(), torch.from_numpy(labels).long()
        model = TernaryConv()
        groups = [(model.weight, WEIGHT_DECAY), (model.bias, 0.0)]
        optimiser = torch.optim.AdamW(
            [{"params": list(p), "weight_decay": d} for p, d in groups], lr=LEARNING_RATE
        )
        steps = EPOCHS * -(-len(x) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        model.train()
        for epoch in range(EPOCHS):
            model.calibrating = epoch < EPOCHS // 2
            for pick in torch.randperm(len(x), generator=generator).split(BATCH):
                loss = F.cross_entropy(model(jitter(x[pick], generator)), t[pick], label_smoothing=SMOOTHING)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        return model.eval()

    def jitter(x, generator):
        return train.jitter(x, generator)

    def logits(model, images):
        with torch.no_grad():
            return model(torch.from_numpy(images).float())

    return fit, logits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="evaluate the stored files, numpy only")
    if parser.parse_args().check:
        return check()
    fit, logits = build_torch()
    images, held_images, labels, _ = train.load_split()
    model = fit(images, labels)
    layers = model.export()
    expected = logits(model, held_images).numpy()
    numpy_logits = integer_forward(layers, held_images)
    assert train.same_bits(numpy_logits, expected), "logits of PyTorch and numpy differ"
    # The training images must not tell the two apart either: a wider check than the held-out set alone.
    fitted = logits(model, images).numpy()
    assert train.same_bits(integer_forward(layers, images), fitted)
    print(f"training images: {int((fitted.argmax(1) == labels).sum())} of {len(labels)} right")
    HERE.mkdir(exist_ok=True)
    for i, arrays in enumerate(layers, 1):
        for name, array in zip(("w", "scale", "bias"), arrays):
            np.save(HERE / f"{name}{i}.npy", array)
        print(f"layer {i}: {arrays[0].shape}, {100 * float((arrays[0] == 0).mean()):.1f} % zero weights")
    np.save(HERE / "torch_classes.npy", expected.argmax(axis=1).astype(np.uint8))
    np.save(HERE / "numpy_logits.npy", numpy_logits)
    check()


if __name__ == "__main__":
    sys.exit(main())
