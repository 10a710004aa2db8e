#!/usr/bin/env python3
"""Checks in the machine code of `tests/levels.rs` that each lane loop became packed instructions without calls.

    cargo test --release -p phalanx-simd --test levels --no-run
    python3 crates/simd/tools/check_vectorised.py target/release/deps/levels-*   # the file that has no suffix

Needs GNU objdump. Prints, per loop: instructions, packed and scalar floating-point instructions, and the widest register. Exits 1 if a loop
that should vectorise calls anything (a bounds or loop branch is fine) or does more than a few scalar operations. `sin`, `cos`
and `tan` are exempt: they hold the branch to the wide reduction, and `sin_fast` and its kin stand for them.
"""
import re
import subprocess
import sys
from collections import Counter

EXEMPT = {"sin", "cos", "tan"}
SYMBOL = re.compile(r"^[0-9a-f]+ <levels::(avx2|avx512)::(?:(single|double)_loops::)?(\w+?)(?:::h[0-9a-f]{16})?>:$")
SCALAR = re.compile(r"^v?(add|sub|mul|div|sqrt|fn?m(add|sub)\d+|round|rndscale|cmp\w*|ucomi)s[sd]$")
PACKED = re.compile(r"^v\w+p[sd]$|^vp\w+$")


def functions(path):
    out = subprocess.run(["objdump", "-d", "-C", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
    name, body = None, []
    for line in out.splitlines():
        if line.endswith(">:"):
            if name:
                yield name, body
            found = SYMBOL.match(line)
            name, body = (found.groups() if found else None), []
        elif name and ":\t" in line:
            body.append(line.split(":\t", 1)[1])
    if name:
        yield name, body


def main():
    bad = seen = 0
    for (level, kind, name), body in sorted(functions(sys.argv[1]), key=lambda f: tuple(map(str, f[0]))):
        ops = Counter(line.split()[0] for line in body)
        calls = sum(1 for line in body if re.match(r"call|jmp\s+\*", line))
        scalar = sum(n for op, n in ops.items() if SCALAR.match(op))
        packed = sum(n for op, n in ops.items() if PACKED.match(op))
        text = "\n".join(body)
        widest = next((r for r in ("zmm", "ymm", "xmm") if "%" + r in text), "none")
        fine = name in EXEMPT or (not calls and scalar <= 2 and packed > 4)
        seen += name not in EXEMPT
        bad += not fine
        print(f"{level:7} {kind or 'half':7} {name:20} {len(body):6} instructions, {packed:5} packed, {scalar:4} scalar, {calls:3} calls, "
              f"{widest}{'' if fine else '   NOT VECTORISED'}")
    # Both levels hold every function of the table, the fast forms, pow and the conversions.
    if seen < 60:
        print(f"only {seen} loops found")
        bad += 1
    sys.exit(1 if bad else 0)


main()
