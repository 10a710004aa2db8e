#!/usr/bin/env python3
"""What the shipped model answers in PyTorch: numbers that the engine's answers are compared with.

    python3 reference.py --run DIR

Writes, beside this file: tokens.npy (65 tokens of the held-out text), logits.npy (after each of the first 64), greedy.npy with
greedy.json (a prompt, then the likeliest token, 256 in all; of some prompts the one where the likeliest is furthest ahead of the
next, so that rounding decides nothing), steps.npy with steps.json (every step of the first 8 tokens: name, shape and first
element). All in f32, the embedding rounded to f16 as in the file.
"""

import argparse
import json
import math
import pathlib

import numpy as np
import torch

import data
from train import Run

HERE = pathlib.Path(__file__).resolve().parent
PROMPTS = (
    "ROMEO:\nBut soft, ",
    "First Citizen:\nBefore we proceed ",
    "KING RICHARD III:\nNow ",
    "JULIET:\nO ",
    "MENENIUS:\n",
    "PETRUCHIO:\nGood morrow, ",
    "DUKE VINCENTIO:\nThe ",
    "What, ",
)
TEACHER, STEPS, GREEDY = 64, 8, 256


@torch.no_grad()
def main(folder):
    run = Run(folder, False, 0)
    net = run.net.eval()
    net.embed.copy_(net.embed.half().float())
    _, _, held = data.texts()
    ids = np.concatenate(([0], data.encode(run.tokeniser, held[:2000])[:TEACHER]))
    np.save(HERE / "tokens.npy", ids.astype(np.uint32))
    rows = torch.from_numpy(ids[None, :-1])
    np.save(HERE / "logits.npy", net(rows)[0].numpy())
    index, flat = {}, []

    def tap(name, x):
        index[name] = {"at": sum(f.size for f in flat), "shape": list(x.shape[1:])}
        flat.append(x[0].contiguous().numpy().ravel())
        return x

    net(rows[:, :STEPS], tap)
    np.save(HERE / "steps.npy", np.concatenate(flat))
    (HERE / "steps.json").write_text(json.dumps(index, indent=1) + "\n")
    ahead, prompt, out = max(greedy(run, net, prompt) for prompt in PROMPTS)
    np.save(HERE / "greedy.npy", np.array(out, dtype=np.uint32))
    # How far ahead of the next, as a part of the largest logit, the likeliest token is at least.
    (HERE / "greedy.json").write_text(json.dumps({"prompt": prompt, "ahead": ahead}, indent=1) + "\n")
    print(f"ahead by {ahead:.1e} at least\n{run.tokeniser.decode(out[1:])}")


def greedy(run, net, prompt):
    out, ahead = [0, *run.tokeniser.encode(prompt, add_special_tokens=False).ids], math.inf
    while len(out) < GREEDY:
        logits = net(torch.tensor([out]))[0, -1]
        (best, next_), (token, _) = logits.topk(2)
        ahead = min(ahead, float((best - next_) / logits.abs().max()))
        out.append(int(token))
    return ahead, prompt, out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=pathlib.Path, required=True)
    torch.set_num_threads(1)
    main(parser.parse_args().run)
