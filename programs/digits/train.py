#!/usr/bin/env python3
"""Train the ternary digit classifier of this folder and write its weights, images and reference outputs.

    python3 train.py                      train, check, write every .npy file of this folder
    python3 train.py --select [NAME...]   compare the candidate settings by cross-validation (training images only)
    python3 train.py --check              numpy only: evaluate the files of this folder, compare with the stored outputs

README.md states the inference formula. `integer_forward` below is that formula in numpy and is the
reference that programs reproduce bit for bit; the PyTorch model must agree with it to the last bit too.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
SPLIT_SEED = 20240  # which images are held out; fixed before the first training run, never varied
TRAIN_SEED = 1  # initial weights, batch order, augmentation; not searched over
HELD_OUT = 360
FOLDS = 5
INPUT_MAX = 16.0  # pixels are 0..16
QMAX = 127


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that cross-validation may choose."""

    hidden: tuple = (256,)
    epochs: int = 150
    batch: int = 64
    lr: float = 1.5e-2
    weight_decay: float = 1e-4
    dropout: float = 0.0
    smoothing: float = 0.05
    augment: bool = True


CANDIDATES = {
    "256": Settings(),
    "256, no augmentation": Settings(augment=False),
    "256, lr 4e-3": Settings(lr=4e-3),
    "256, lr 3e-2": Settings(lr=3e-2),
    "128-128": Settings(hidden=(128, 128)),
    "128-128, no augmentation": Settings(hidden=(128, 128), augment=False),
    "128-128, lr 1e-2": Settings(hidden=(128, 128), lr=1e-2),
    "128-128, dropout 0.1": Settings(hidden=(128, 128), dropout=0.1),
}
CHOSEN = "128-128, lr 1e-2"


# --- data -------------------------------------------------------------------------------------------------


def load_split():
    """Training images and labels, held-out images and labels; stratified by class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = digits.data.astype(np.uint8)
    assert np.array_equal(images, digits.data), "pixels are whole numbers"
    assert images.shape == (1797, 64) and images.max() == INPUT_MAX
    labels = digits.target.astype(np.uint8)
    return train_test_split(images, labels, test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=labels)


# --- the inference formula, in numpy ----------------------------------------------------------------------


def integer_forward(layers, images):
    """Logits f32 [n, 10] of images uint8 [n, 64].

    `layers` is a list of (w int8 [N, K], scale f32 [N], bias f32 [N], inv_s f32 or None for the last).
    """
    x = images.astype(np.int32)
    for w, scale, bias, inv_s in layers:
        acc = x @ w.astype(np.int32).T
        # Any i32 of this size converts exactly, so the only roundings are the product and the sum.
        assert np.abs(acc).max() < 1 << 24
        product = acc.astype(np.float32) * scale
        y = product + bias
        assert y.dtype == np.float32
        if inv_s is None:
            return y
        # The lower clamp is the relu; rint rounds halves to even.
        x = np.clip(np.rint(y * inv_s), 0, QMAX).astype(np.int32)
    raise ValueError("the last layer must have no inv_s")


def load_layers():
    """The layers stored in this folder, in order."""
    layers = []
    while (HERE / f"w{len(layers) + 1}.npy").exists():
        i = len(layers) + 1
        inv = HERE / f"inv_s{i}.npy"
        layers.append(
            (
                np.load(HERE / f"w{i}.npy"),
                np.load(HERE / f"scale{i}.npy"),
                np.load(HERE / f"bias{i}.npy"),
                np.load(inv)[0] if inv.exists() else None,
            )
        )
    return layers


def same_bits(a, b):
    return a.dtype == b.dtype == np.float32 and np.array_equal(a.view(np.uint32), b.view(np.uint32))


def check():
    """Evaluate the stored network with numpy and compare with every stored output."""
    layers = load_layers()
    for w, scale, bias, _ in layers:
        assert w.dtype == np.int8 and set(np.unique(w)) <= {-1, 0, 1}
        assert scale.dtype == bias.dtype == np.float32 and scale.shape == bias.shape == w.shape[:1]
    images, labels = np.load(HERE / "images.npy"), np.load(HERE / "labels.npy")
    assert images.dtype == np.uint8 and images.shape == (HELD_OUT, 64) and images.max() <= INPUT_MAX
    logits = integer_forward(layers, images)
    assert same_bits(logits, np.load(HERE / "numpy_logits.npy")), "numpy_logits.npy"
    assert same_bits(logits, np.load(HERE / "torch_logits.npy")), "torch_logits.npy"
    classes = logits.argmax(axis=1)
    assert np.array_equal(classes, np.load(HERE / "torch_classes.npy")), "torch_classes.npy"
    right = int((classes == labels).sum())
    print(f"{right} of {HELD_OUT} right ({100 * right / HELD_OUT:.2f} %), logits as stored, bit for bit")


# --- the PyTorch model ------------------------------------------------------------------------------------


def jitter(x, generator):
    """Small random rotation, scale and shift of each image, rounded back to whole pixel values."""
    import torch
    import torch.nn.functional as F

    n = x.shape[0]
    u = torch.rand(n, 5, generator=generator) * 2 - 1
    angle, shear = u[:, 0] * 0.17, u[:, 1] * 0.10
    size = 1 + u[:, 2] * 0.10
    cos, sin = torch.cos(angle) * size, torch.sin(angle) * size
    theta = torch.stack(
        [torch.stack([cos, shear - sin, u[:, 3] * 0.15], 1), torch.stack([sin, cos, u[:, 4] * 0.15], 1)], 1
    )
    grid = F.affine_grid(theta, [n, 1, 8, 8], align_corners=False)
    moved = F.grid_sample(x.view(n, 1, 8, 8), grid, align_corners=False)
    return moved.view(n, 64).round().clamp(0, INPUT_MAX)


def build_torch():
    """The model class and the training function; torch is imported here so that --check does without it."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)  # one order of summation in the gradients, so a run can be repeated
    torch.use_deterministic_algorithms(True)

    class Ternary(torch.autograd.Function):
        """round(w / scale) in {-1, 0, 1}; the gradient passes straight through to w / scale."""

        @staticmethod
        def forward(ctx, ratio):
            return ratio.round().clamp(-1, 1)

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Quantise(torch.autograd.Function):
        """clamp(round(v), 0, 127); the gradient passes where v is inside the range."""

        @staticmethod
        def forward(ctx, v):
            ctx.save_for_backward(v)
            return v.round().clamp(0, QMAX)

        @staticmethod
        def backward(ctx, grad):
            (v,) = ctx.saved_tensors
            return grad * ((v > 0) & (v < QMAX))

    class TernaryMlp(torch.nn.Module):
        """A stack of ternary layers. Activations travel as whole numbers, so every dot product is exact in
        f32 and the forward pass is the integer formula itself, not an approximation of it."""

        def __init__(self, settings):
            super().__init__()
            widths = (64, *settings.hidden, 10)
            pairs = list(zip(widths[:-1], widths[1:]))
            self.weight = torch.nn.ParameterList(
                [torch.nn.Parameter(torch.randn(n, k) * k**-0.5) for k, n in pairs]
            )
            self.bias = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros(n)) for _, n in pairs])
            # Largest hidden value seen, a running average; it fixes the int8 step of each hidden layer.
            self.register_buffer("peak", torch.zeros(len(settings.hidden)))
            self.calibrating = True
            self.dropout = settings.dropout

        def inv_s(self, i):
            return QMAX / self.peak[i]

        def scale(self, i):
            """Absmean of each output channel, times the step of the incoming integers."""
            step = 1.0 / INPUT_MAX if i == 0 else 1.0 / self.inv_s(i - 1)
            return self.weight[i].abs().mean(dim=1).clamp_min(1e-8) * step

        def ternary(self, i):
            w = self.weight[i]
            return Ternary.apply(w / w.abs().mean(dim=1, keepdim=True).clamp_min(1e-8))

        def forward(self, x):
            last = len(self.weight) - 1
            for i in range(last + 1):
                acc = x @ self.ternary(i).T
                y = acc * self.scale(i) + self.bias[i]
                if i == last:
                    return y
                if self.training and self.calibrating:
                    with torch.no_grad():
                        top = y.max()
                        old = self.peak[i]
                        self.peak[i] = top if old == 0 else torch.lerp(old, top, 0.05)
                x = Quantise.apply(y * self.inv_s(i))
                if self.dropout and self.training:
                    x = F.dropout(x, self.dropout)

        @torch.no_grad()
        def export(self):
            """The layers as `integer_forward` takes them."""
            last = len(self.weight) - 1
            return [
                (
                    self.ternary(i).to(torch.int8).numpy(),
                    self.scale(i).numpy().astype(np.float32),
                    self.bias[i].numpy().astype(np.float32),
                    None if i == last else np.float32(self.inv_s(i).item()),
                )
                for i in range(last + 1)
            ]

    def fit(settings, images, labels, seed):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed + 1)
        x, t = torch.from_numpy(images).float(), torch.from_numpy(labels).long()
        model = TernaryMlp(settings)
        optimiser = torch.optim.AdamW(
            [
                {"params": list(model.weight), "weight_decay": settings.weight_decay},
                {"params": list(model.bias), "weight_decay": 0.0},
            ],
            lr=settings.lr,
        )
        steps = settings.epochs * -(-len(x) // settings.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        model.train()
        for epoch in range(settings.epochs):
            # The int8 steps settle in the first half and stay fixed while the weights adapt to them.
            model.calibrating = epoch < settings.epochs // 2
            for pick in torch.randperm(len(x), generator=generator).split(settings.batch):
                batch = jitter(x[pick], generator) if settings.augment else x[pick]
                loss = F.cross_entropy(model(batch), t[pick], label_smoothing=settings.smoothing)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
        return model.eval()

    def logits(model, images):
        with torch.no_grad():
            return model(torch.from_numpy(images).float())

    return fit, logits


def select(names):
    """Accuracy of each named candidate over the folds of the training images; the held-out ones stay unread."""
    from sklearn.model_selection import StratifiedKFold

    fit, logits = build_torch()
    images, _, labels, _ = load_split()
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SPLIT_SEED)
    for name in names or CANDIDATES:
        settings, right = CANDIDATES[name], []
        for fit_on, look_at in folds.split(images, labels):
            model = fit(settings, images[fit_on], labels[fit_on], TRAIN_SEED)
            classes = logits(model, images[look_at]).argmax(dim=1).numpy()
            right.append(int((classes == labels[look_at]).sum()))
        share = 100 * sum(right) / len(labels)
        print(f"{name:24} {sum(right)} of {len(labels)} ({share:.2f} %)  per fold {right}", flush=True)


def train():
    fit, logits = build_torch()
    images, held_images, labels, held_labels = load_split()
    model = fit(CANDIDATES[CHOSEN], images, labels, TRAIN_SEED)

    layers = model.export()
    expected = logits(model, held_images)
    torch_classes = expected.argmax(dim=1).numpy().astype(np.uint8)
    torch_logits = expected.numpy()
    numpy_logits = integer_forward(layers, held_images)
    assert np.array_equal(numpy_logits.argmax(axis=1), torch_classes), "classes of PyTorch and numpy differ"
    assert same_bits(numpy_logits, torch_logits), "logits of PyTorch and numpy differ"
    # The training images must not tell the two apart either: a wider check than the held-out set alone.
    assert same_bits(integer_forward(layers, images), logits(model, images).numpy())

    for stale in HERE.glob("*.npy"):
        stale.unlink()
    for i, (w, scale, bias, inv_s) in enumerate(layers, 1):
        np.save(HERE / f"w{i}.npy", w)
        np.save(HERE / f"scale{i}.npy", scale)
        np.save(HERE / f"bias{i}.npy", bias)
        if inv_s is not None:
            np.save(HERE / f"inv_s{i}.npy", np.array([inv_s], np.float32))
        zeros = 100 * float((w == 0).mean())
        print(f"layer {i}: {w.shape[1]} -> {w.shape[0]}, {zeros:.1f} % zero weights, inv_s {inv_s}")
    np.save(HERE / "images.npy", held_images)
    np.save(HERE / "labels.npy", held_labels)
    np.save(HERE / "torch_classes.npy", torch_classes)
    np.save(HERE / "torch_logits.npy", torch_logits)
    np.save(HERE / "numpy_logits.npy", numpy_logits)
    fitted = int((logits(model, images).argmax(dim=1).numpy() == labels).sum())
    print(f"training images: {fitted} of {len(labels)} right")
    check()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--select",
        nargs="*",
        choices=CANDIDATES,
        metavar="NAME",
        help="cross-validate these candidate settings, or all of them: " + "; ".join(CANDIDATES),
    )
    mode.add_argument("--check", action="store_true", help="evaluate the stored files, numpy only")
    args = parser.parse_args()
    if args.select is not None:
        select(args.select)
    elif args.check:
        check()
    else:
        train()


if __name__ == "__main__":
    sys.exit(main())
