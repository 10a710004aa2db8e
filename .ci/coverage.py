"""What tests reach: python3 .ci/coverage.py LCOV "PART PERCENT PATH..." ...

Reads lines and counts as llvm-cov exports them. `unreached.txt` beside the tests of a package names lines that no test can reach, each as
`path | the line's text | reason`; they count as reached.
"""

import os
import sys
from pathlib import Path


def counts(path):
    """For each source file, from line number to how often it ran."""
    files, lines = {}, None
    for row in Path(path).read_text().splitlines():
        key, _, value = row.partition(":")
        if key == "SF":
            lines = files.setdefault(os.path.relpath(value), {})
        elif key == "DA":
            number, count = value.split(",")[:2]
            lines[int(number)] = max(int(count), lines.get(int(number), 0))
    return files


def excused():
    """Lines that no test can reach, as (path, text)."""
    found = set()
    for listing in sorted(Path("crates").glob("*/tests/**/unreached.txt")):
        for row in listing.read_text().splitlines():
            if not row.strip() or row.startswith("#"):
                continue
            path, text, reason = (word.strip() for word in row.split(" | "))
            if not reason or text not in {line.strip() for line in Path(path).read_text().splitlines()}:
                sys.exit(f"{listing}: no such line, or no reason: {row}")
            found.add((path, text))
    return found


def main():
    files, known = counts(sys.argv[1]), excused()
    failed = []
    for part in sys.argv[2:]:
        name, least, *paths = part.split()
        mine = {f: l for f, l in files.items() if any(f == p or f.startswith(p + "/") for p in paths)}
        total, missed = 0, []
        for path in sorted(mine):
            source = Path(path).read_text().splitlines()
            total += len(mine[path])
            for number, count in sorted(mine[path].items()):
                text = source[number - 1].strip()
                if count == 0 and (path, text) not in known:
                    missed.append(f"{path}:{number}: {text}")
        if total == 0:
            sys.exit(f"{name}: no lines of {' '.join(paths)} were measured")
        share = 100 * (total - len(missed)) / total
        print(f"{name} {share:.2f} % of {total} lines (at least {least} %)")
        if share < float(least):
            failed.append(name)
            print("\n".join(missed))
    if failed:
        print(f"too little is reached: {', '.join(failed)}")
    sys.exit(bool(failed))


main()
