#!/usr/bin/env python3
"""Texts as the PyPI package `tokenizers` encodes them, with small vocabularies of each kind.

    python3 vectors.py             write vectors.json, which tests/vectors.rs compares with
    python3 vectors.py --check     compare vectors.json with what the package gives now
"""

import json
import pathlib
import sys

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = """The quick brown fox can't jump over 1234567 lazy dogs; I'll say it's fine, WE'VE seen 42.5 % of it.
    Indented lines\tand tabs, \r\n and returns.   Three spaces, trailing   \n\n\nGrüße aus Köln, naïve café.
Привет, мир! Ничего не случилось. 你好，世界。日本語のテキスト ひらがな カタカナ. 안녕하세요 세계
Emoji: 🙂🙃 👩‍👩‍👧 and symbols ±≠∞ «quoted» — dashes – and … dots. مرحبا بالعالم हिन्दी
fn main() { let x = a[i] + b[i]; } /* comment */ https://example.org/path?x=1&y=2
""" * 3
CASES = [
    "", " ", "  ", "a", " a", "a ", "Hello, world", "can't WON'T I'll she'd they're", "1 12 123 1234 12345", "  two  spaces  ",
    "\n", "\n\n \n", " \n x", "tab\t\ttab \t x", "line one\nline two\r\nline three\r\rend", "naïve café Grüße", "Привет, мир!",
    "你好，世界", "🙂 👩‍👩‍👧🙂", "\u00a0nbsp\u3000ideographic", "x\u0301 combining", "½ ² ٣ Ⅻ 七", "_snake_case camelCase x1y2",
    "!!! ??? ...", "a!b?c.d", "'s 'S 'ſ", "\u0000\u0001\u007f", "don''t ''", "quick brown fox quick brown fox", "jump" * 40,
    " " * 37 + "x", "\u200b\u200d", "e\u0301\n\u2028x\u2029y\u0085z", "مرحبا بالعالم", "हिन्दी",
]


def byte_level(pre):
    t = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    if pre == "llama-bpe":
        split = pre_tokenizers.Split(Regex(LLAMA_3), behavior="isolated")
        rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        t.pre_tokenizer = pre_tokenizers.Sequence([split, rest])
    else:
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=480, initial_alphabet=alphabet, special_tokens=["<|bos|>"], show_progress=False)
    t.train_from_iterator([TEXT], trainer)
    return t


def sentence_piece():
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    norm = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t = Tokenizer(models.BPE())
    t.normalizer = norm
    latin = TEXT.encode("ascii", "ignore").decode()
    t.train_from_iterator([latin], trainers.BpeTrainer(vocab_size=500, special_tokens=names, show_progress=False))
    model = json.loads(t.to_str())["model"]
    merges = [tuple(m) for m in model["merges"]]
    t = Tokenizer(models.BPE(model["vocab"], merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    t.normalizer = norm
    return t


def table(t, pre):
    model = json.loads(t.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    merges = [" ".join(m) for m in model["merges"]]
    cases = [[text, t.encode(text, add_special_tokens=False).ids] for text in CASES]
    return {"pre": pre, "tokens": tokens, "merges": merges, "cases": cases}


if __name__ == "__main__":
    tables = [table(byte_level("llama-bpe"), "llama-bpe"), table(byte_level("gpt-2"), "gpt-2"), table(sentence_piece(), "")]
    text = "".join(json.dumps(t) + "\n" for t in tables)
    match sys.argv[1:]:
        case []:
            (HERE / "vectors.json").write_text(text)
        case ["--check"]:
            if (HERE / "vectors.json").read_text() != text:
                sys.exit("vectors.json is not what the package gives")
            print("vectors.json is what the package gives")
        case _:
            sys.exit(__doc__)
