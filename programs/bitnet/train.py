#!/usr/bin/env python3
"""Train the language model of this folder, and its twin in f32.

    python3 train.py --run DIR [--twin] [--steps N]     train; goes on from DIR's checkpoint where there is one
    python3 train.py --run DIR --dev ...                the same without the part kept for choosing settings, scored on it
    python3 train.py --run DIR --score                  held-out bits per byte of DIR's checkpoint
    python3 train.py --run DIR --export OUT_DIR         Hugging Face's packed form; `phalanx convert OUT_DIR` makes the GGUF

The text is split in data.py, the network is in model.py, what counting alone achieves in baseline.py; README.md has the
figures. One thread and bf16 products: the arithmetic of training need not be exact, that of the model is (scored in f32).
"""

import argparse
import math
import pathlib
import time

import numpy as np
import torch

import data
import model

BATCH = ((200, 16), (math.inf, 8))  # rows of a batch, up to which step
WARMUP = 40
DECAY = 0.4  # of the steps, at the end: down to zero in a straight line
RATE_MATRICES = 0.02
RATE_OTHERS = 3e-3
WEIGHT_DECAY = 0.1
MOMENTUM = 0.95
DROPOUT = 0.1  # of what blocks add, and of the embedding
MERGES_LEFT_OUT = 0.1  # of the tokeniser's merges, until the rate goes down
RECUT = 100  # steps that see one cut of the text
EVERY_SECONDS = 120
DEV_EVERY = 100


def orthogonal(g):
    """Nearest matrix with equal singular values, roughly (Newton-Schulz, as in the optimiser Muon)."""
    x = g.bfloat16()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                m = state.setdefault("momentum", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - MOMENTUM)
                update = orthogonal(p.grad.lerp(m, MOMENTUM))
                p.mul_(1 - group["lr"] * WEIGHT_DECAY)
                p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def rate(step, steps):
    """1 but for a ramp at the start and one at the end."""
    return min(1.0, (step + 1) / WARMUP, (steps - step) / (steps * DECAY))


def windows(ids, context):
    """Rows of BOS and `context` tokens that step by half a context, and which of their tokens count (each once)."""
    step, rows = context // 2, []
    for at in range(0, max(len(ids) - context, 0) + step, step):
        part = ids[at : at + context]
        count = len(part) if at == 0 else len(part) - (context - step)
        if count > 0:
            rows.append((np.concatenate(([0], part)), count))
    return rows


@torch.no_grad()
def bits_per_byte(net, ids, size):
    net.eval()
    nats = 0.0
    for row, count in windows(ids, net.shape.context):
        logits = net(torch.from_numpy(row[None, :-1])).double().log_softmax(-1)[0]
        nats -= logits[torch.arange(len(row) - 1), torch.from_numpy(row[1:])][-count:].sum().item()
    net.train()
    return nats / math.log(2) / size


class Run:
    def __init__(self, folder, twin, steps, dev=False):
        self.folder = folder
        self.path = folder / "checkpoint.pt"
        saved = torch.load(self.path, weights_only=True) if self.path.exists() else None
        if saved:
            twin = saved["twin"]
        self.twin, self.dev = twin, dev
        self.shape = model.Shape()
        torch.manual_seed(1)
        self.net = model.BitNet(self.shape, ternary=not twin)
        matrices = [p for b in self.net.blocks for p in b.w.values()]
        known = {id(p) for p in matrices}
        others = [p for p in self.net.parameters() if id(p) not in known]
        adam = torch.optim.AdamW(others, lr=RATE_OTHERS, betas=(0.9, 0.95), weight_decay=0.0)
        self.optimisers = [Muon(matrices, RATE_MATRICES), adam]
        self.step, self.steps, self.log = 0, steps, []
        if saved:
            self.net.load_state_dict(saved["net"])
            for o, s in zip(self.optimisers, saved["optimisers"]):
                o.load_state_dict(s)
            self.step, self.log = saved["step"], saved["log"]
            self.steps = steps or saved["steps"]
        self.tokeniser = data.make_tokeniser(self.shape.vocab)

    def save(self):
        state = {
            "net": self.net.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers],
            "step": self.step,
            "steps": self.steps,
            "log": self.log,
            "twin": self.twin,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").replace(self.path)

    def train(self):
        raw, dev, _ = data.texts()
        raw = raw if self.dev else raw + dev
        whole, dev_ids = data.encode(self.tokeniser, raw), data.encode(self.tokeniser, dev)
        cuts, recut = data.Dropout(self.tokeniser, raw, MERGES_LEFT_OUT), None
        saved = time.monotonic()
        began, first = time.monotonic(), self.step
        while self.step < self.steps:
            # Each step has its own stream, so that a run that was interrupted sees what an uninterrupted one sees.
            part = self.step // RECUT
            if part != recut:
                late = self.step >= self.steps * (1 - DECAY)
                ids, recut = whole if late else cuts.sample(np.random.default_rng((8, part))), part
            rng = np.random.default_rng((7, self.step))
            torch.manual_seed(self.step)
            batch = next(rows for until, rows in BATCH if self.step < until)
            at = rng.integers(0, len(ids) - self.shape.context, batch)
            rows = np.stack([np.concatenate(([0], ids[a : a + self.shape.context])) for a in at])
            with torch.autocast("cpu", torch.bfloat16):
                loss = self.net.loss(torch.from_numpy(rows), DROPOUT)
            loss.backward()
            for o, base in zip(self.optimisers, (RATE_MATRICES, RATE_OTHERS)):
                for group in o.param_groups:
                    group["lr"] = base * rate(self.step, self.steps)
                o.step()
                o.zero_grad(set_to_none=True)
            self.step += 1
            if self.step % DEV_EVERY == 0 or self.step == self.steps:
                bits = bits_per_byte(self.net, dev_ids, len(dev)) if self.dev else math.nan
                self.log.append([self.step, loss.item(), bits])
                each = (time.monotonic() - began) / (self.step - first)
                print(f"step {self.step} of {self.steps}: train {loss.item():.3f}, dev {bits:.4f}, {each:.2f} s a step", flush=True)
            if time.monotonic() - saved > EVERY_SECONDS or self.step == self.steps:
                self.save()
                saved = time.monotonic()

    def score(self):
        _, dev, held = data.texts()
        for name, raw in (("dev", dev), ("held out", held)):
            bits = bits_per_byte(self.net, data.encode(self.tokeniser, raw), len(raw))
            print(f"{'f32 twin' if self.twin else 'ternary'}, step {self.step}, {name}: {bits:.4f} bits per byte")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    parser.add_argument("--twin", action="store_true")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--dev", action="store_true")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--export", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    run = Run(args.run, args.twin, args.steps or 0, args.dev)
    if args.score:
        run.score()
    elif args.export:
        import export

        export.write(run, args.export)
    else:
        run.steps = args.steps or run.steps or 2000
        run.train()
