"""The text of this folder: what is trained on, what is held out, and the tokeniser made from the former.

The last tenth of the text is cut off before anything else happens and is never seen in training. Of the rest, the last
fiftieth is kept for choosing settings ("dev").
"""

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
