"""The text of this folder: what is trained on, what is held out, and the tokeniser made from the former.

The last tenth of the text is cut off before anything else happens and is never seen in training. Of the rest, the last
fiftieth is kept for choosing settings ("dev").
"""

import json
import pathlib

import numpy as np
import tokenizers

HERE = pathlib.Path(__file__).resolve().parent
BOS = "<|begin_of_text|>"
# The pre-tokeniser that files of the Llama 3 family name "llama-bpe".
LLAMA_BPE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def texts():
    """(train, dev, held out), as bytes."""
    raw = (HERE / "tinyshakespeare.txt").read_bytes()
    cut = len(raw) * 9 // 10
    kept, held = raw[:cut], raw[cut:]
    dev = len(kept) * 49 // 50
    return kept[:dev], kept[dev:], held


def make_tokeniser(vocab):
    """Byte-level BPE over the training text: BOS is 0, then the 256 bytes, then what was merged."""
    t = tokenizers.Tokenizer(tokenizers.models.BPE())
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(LLAMA_BPE), behavior="isolated")
    byte_level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    t.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, byte_level])
    t.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[BOS],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    train, dev, _ = texts()
    t.train_from_iterator([(train + dev).decode("ascii")], trainer)
    return t


def encode(tokeniser, raw):
    return np.array(tokeniser.encode(raw.decode("ascii"), add_special_tokens=False).ids, dtype=np.int64)


class Dropout:
    """The text cut into tokens by chance: each merge is left out with probability `p` (BPE-dropout, Provilkov et al. 2020), so
    that a small text does not always look the same. Few ways to cut each different word are made once and picked from."""

    WAYS = 8

    def __init__(self, tokeniser, raw, p):
        model = json.loads(tokeniser.to_str())["model"]
        self.ids = model["vocab"]
        pairs = (m if isinstance(m, list) else m.split(" ") for m in model["merges"])
        self.rank = {tuple(m): i for i, m in enumerate(pairs)}
        words = [w for w, _ in tokeniser.pre_tokenizer.pre_tokenize_str(raw.decode("ascii"))]
        kinds = {w: i for i, w in enumerate(dict.fromkeys(words))}
        self.words = np.array([kinds[w] for w in words])
        rng = np.random.default_rng(11)
        ways = [self.cut(w, p, rng) for w in kinds for _ in range(self.WAYS)]
        self.length = np.array([len(w) for w in ways])
        self.start = np.concatenate(([0], np.cumsum(self.length)[:-1]))
        self.flat = np.concatenate(ways)

    def cut(self, word, p, rng):
        parts = list(word)
        while True:
            at = [(self.rank[pair], i) for i, pair in enumerate(zip(parts, parts[1:])) if pair in self.rank]
            at = [x for x in at if rng.random() >= p]
            if not at:
                return np.array([self.ids[x] for x in parts], dtype=np.int64)
            i = min(at)[1]
            parts[i : i + 2] = [parts[i] + parts[i + 1]]

    def sample(self, rng):
        """The text's tokens, cut anew."""
        way = self.words * self.WAYS + rng.integers(self.WAYS, size=len(self.words))
        length = self.length[way]
        begin = np.concatenate(([0], np.cumsum(length)[:-1]))
        return self.flat[np.arange(length.sum()) + np.repeat(self.start[way] - begin, length)]
