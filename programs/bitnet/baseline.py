#!/usr/bin/env python3
"""What counting alone achieves on the held-out text: an interpolated 5-gram model of bytes, and one of the model's tokens.

    python3 baseline.py

Modified Kneser-Ney smoothing, interpolated down to the uniform distribution; discounts from the counts of counts, nothing
tuned. Trained on the text without its held-out tenth, scored on that tenth in bits per byte.
"""

import collections
import math
import sys

import data

ORDER = 5


class KneserNey:
    def __init__(self, ids, symbols):
        self.symbols = symbols
        self.levels = []
        for n in range(1, ORDER + 1):
            if n == ORDER:
                counts = collections.Counter(zip(*(ids[i:] for i in range(n))))
            else:
                # Lower orders count in how many contexts an n-gram occurs, not how often.
                counts = collections.Counter(gram[1:] for gram in set(zip(*(ids[i:] for i in range(n + 1)))))
            ones, twos, threes, fours = (sum(c == i for c in counts.values()) for i in (1, 2, 3, 4))
            y = ones / (ones + 2 * twos)
            d = [0.0, 1 - 2 * y * twos / ones, 2 - 3 * y * threes / max(twos, 1), 3 - 4 * y * fours / max(threes, 1)]
            total, kinds = collections.Counter(), collections.defaultdict(lambda: [0, 0, 0])
            for gram, c in counts.items():
                total[gram[:-1]] += c
                kinds[gram[:-1]][min(c, 3) - 1] += 1
            self.levels.append((counts, total, kinds, [min(max(x, 0.0), 3.0) for x in d]))

    def probability(self, context, symbol):
        p = 1 / self.symbols
        for n, (counts, total, kinds, d) in enumerate(self.levels):
            if n > len(context):
                break
            seen = context[len(context) - n :]
            all_ = total.get(seen, 0)
            if not all_:
                break
            c = counts.get(seen + (symbol,), 0)
            left = sum(d[i + 1] * k for i, k in enumerate(kinds[seen])) / all_
            p = max(c - d[min(c, 3)], 0.0) / all_ + left * p
        return p

    def bits(self, ids):
        return -sum(math.log2(self.probability(tuple(ids[max(0, i - ORDER + 1) : i]), ids[i])) for i in range(len(ids)))


def main(vocab):
    train, dev, held = data.texts()
    train += dev
    print(f"5-gram of bytes: {KneserNey(list(train), 256).bits(list(held)) / len(held):.4f} bits per byte")
    tokeniser = data.make_tokeniser(vocab)
    ids = [data.encode(tokeniser, raw).tolist() for raw in (train, held)]
    bits = KneserNey(ids[0], vocab).bits(ids[1]) / len(held)
    print(f"5-gram of {vocab} tokens: {bits:.4f} bits per byte")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
