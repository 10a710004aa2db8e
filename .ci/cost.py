"""Instruction counts of the matrix products against the committed ones in .ci/cost.tsv.

    cost.py BINARY OUT [--bless]

BINARY is benches/cost.rs, linked with v0 symbol names; OUT a folder for callgrind's output. Two kinds of rows:

    callgrind LEVEL LAYOUT ROWS     instructions of one product, counted by valgrind (which has no AVX-512)
    loop KERNEL                     from the disassembly, the hot loop of an AVX-512 kernel: instructions, of them multiplications,
                                    and accesses to the stack

A count more than 3 % above the committed one, any stack access more, or a row that is missing on either side is a finding.
"""

import re
import subprocess
import sys
from pathlib import Path

TABLE = Path(__file__).with_name("cost.tsv")
SLACK = 1.03
# The kernels that products on these levels run, by what their symbols contain. With VNNI the kernels of unpacked codes are the
# same code as those of whole bytes (`Wide`), and the compiler keeps one.
LEVELS = {"call_vnni": "avx512-vnni", "call_tables": "avx512-vnni with vbmi", "call_avx512": "avx512"}
KERNELS = {
    "avx512-vnni": [
        "Vector<Planes>", "Vector<Fives>", "BlockVector",
        "Ints<T2, true>, 2", "Ints<T2, true>, 4", "Ints<T3, true>, 2", "Ints<Wide, false>, 6", "Ints<Bytes, true>, 1", "Ints<Bytes, true>, 6",
        "Blocks<Bytes, true>, 1", "Blocks<Bytes, true>, 6", "Blocks<Q4, true>, 1", "Blocks<Wide, false>, 6",
        "Chains<F32, true>, 1", "Chains<F32, true>, 6", "Chains<F16, true>, 1", "Chains<Bf16, true>, 1", "Chains<F32, false>, 6",
    ],
    "avx512-vnni with vbmi": ["Vector<Fives>"],
    "avx512": ["CodeVector", "BlockCodes", "Ints<T2, true>, 4", "Ints<Trits, false>, 6", "Ints<Wide, false>, 6", "Blocks<Wide, false>, 6"],
}
DOT = re.compile(r"vpdpbusd|vfmadd|vpmaddubsw|vpmaddwd")


def loops(binary):
    """The innermost loop with the most multiplications of each kernel."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", binary], check=True, capture_output=True, text=True).stdout
    names = subprocess.run(["c++filt", "--format=rust"], input=text, check=True, capture_output=True, text=True).stdout
    found = {}
    for name, code in re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n)+)", names, re.M):
        level = next((l for call, l in LEVELS.items() if f"::{call}::<" in name), None)
        short = re.sub(r"[a-z_0-9]+(\[[0-9a-f]+\])?::|: bool|: usize", "", name)
        kernel = next((k for k in KERNELS.get(level, []) if k in short), None)
        if kernel is None:
            continue
        lines = [m.groups() for m in re.finditer(r"^\s*([0-9a-f]+):\s+(.*)$", code, re.M)]
        at = {address: i for i, (address, _) in enumerate(lines)}
        back = []
        for i, (_, line) in enumerate(lines):
            jump = re.match(r"j\w+\s+([0-9a-f]+)\b", line)
            if jump and at.get(jump[1], i + 1) <= i:
                back.append((at[jump[1]], i))
        inner = [a for a in back if not any(b != a and b[0] >= a[0] and b[1] <= a[1] for b in back)]
        bodies = [[line for _, line in lines[a : b + 1]] for a, b in inner]
        best = max(bodies, key=lambda body: sum(bool(DOT.match(line)) for line in body), default=[])
        dots = sum(bool(DOT.match(line)) for line in best)
        stack = sum("(%rsp" in line or "(%rbp" in line for line in best)
        if dots:
            found[f"loop {level} {kernel}"] = (len(best), dots, stack)
    return found


def products(binary, out):
    """Instructions of each product: callgrind's profiles between marks."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("profile*"):
        old.unlink()
    command = ["valgrind", "--tool=callgrind", "--dump-before=cost::mark", f"--callgrind-out-file={out}/profile", binary]
    cases = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    total = lambda part: int(re.search(r"^(?:totals|summary): (\d+)", (out / f"profile.{part}").read_text(), re.M)[1])
    # Parts 1, 3, ... end at the mark before a product, parts 2, 4, ... at the one after it.
    return {f"callgrind {case}": (total(2 * i + 2), 0, 0) for i, case in enumerate(cases)}


def main():
    binary, out = sys.argv[1], Path(sys.argv[2])
    now = products(binary, out) | loops(binary)
    missing = [f"{level} {k}" for level, kernels in KERNELS.items() for k in kernels if f"loop {level} {k}" not in now]
    if missing:
        sys.exit(f"no loop in {binary} (are the names still those in KERNELS?) for {', '.join(missing)}")
    if "--bless" in sys.argv:
        rows = [f"{name}\t{a}\t{b}\t{c}\n" for name, (a, b, c) in sorted(now.items())]
        TABLE.write_text("what\tinstructions\tmultiplications\tstack\n" + "".join(rows))
        print(f"{len(now)} rows written to {TABLE}")
        return
    lines = [line.split("\t") for line in TABLE.read_text().splitlines()[1:]]
    then = {name: tuple(map(int, counts)) for name, *counts in lines}
    findings = []
    for name in sorted(now.keys() | then.keys()):
        if name not in now or name not in then:
            findings.append(f"{name}: {'no longer there' if name in then else 'not in the table'}")
            continue
        (a, dots, stack), (b, old_dots, old_stack) = now[name], then[name]
        per, old = a / max(dots, 1), b / max(old_dots, 1)
        if per > old * SLACK or stack > old_stack:
            findings.append(f"{name}: {a} instructions, {dots} multiplications, {stack} on the stack; was {b}, {old_dots}, {old_stack}")
    print("\n".join(findings) or f"{len(now)} counts, none above the committed ones")
    if findings:
        sys.exit("costs have risen (if that is meant: .ci/cost.py ... --bless)")


main()
