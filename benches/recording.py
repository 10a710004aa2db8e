#!/usr/bin/env python3
"""Runs a command in a terminal of its own and draws what it wrote, when it wrote it, as an SVG that plays in a browser.

    python3 benches/recording.py OUT.svg TITLE COMMAND [ARGUMENT...]

TITLE is what stands behind the prompt. Colours and cursor movements are left out; the command's exit status is passed on.
"""

import html
import os
import pty
import re
import sys
import time

WIDTH, LINE, SIZE = 100, 20, 14
# What stands at the end before it begins again, in seconds.
REST = 4.0
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


def run(command):
    """The exit status, and pieces of text with the seconds after which they came."""
    pieces, begin = [], time.monotonic()

    def read(fd):
        data = os.read(fd, 4096)
        pieces.append((time.monotonic() - begin, data))
        return data

    status = pty.spawn(command, read)
    return os.waitstatus_to_exitcode(status), pieces


def lines(title, pieces):
    """Lines of pieces with their times."""
    rows, column, rest = [[(0.0, "$ " + title)], []], 0, b""
    for seconds, data in pieces:
        data = rest + data
        # A character that is not there as a whole comes with the next piece.
        text = data.decode("utf-8", "ignore")
        rest = data[len(text.encode()):] if len(data) - len(text.encode()) < 4 else b""
        for part in re.split(r"(\n)", ESCAPE.sub("", text).replace("\r", "")):
            while part:
                if part == "\n" or column == WIDTH:
                    rows.append([])
                    column = 0
                    if part == "\n":
                        break
                rows[-1].append((seconds, part[: WIDTH - column]))
                column, part = column + len(rows[-1][-1][1]), part[WIDTH - column :]
    while rows and not rows[-1]:
        rows.pop()
    return rows


def draw(rows, total):
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * 8.5 + 24:.0f} {(len(rows) + 1) * LINE + 12}"'
        f' font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{SIZE}">',
        '<rect width="100%" height="100%" rx="6" fill="#16181d"/>',
    ]
    for number, row in enumerate(rows):
        line = f'<text x="12" y="{(number + 1) * LINE + 4}" fill="#d6dae2" xml:space="preserve">'
        for seconds, text in row:
            share = min(seconds / total, 0.999)
            show = (
                f'<animate attributeName="fill-opacity" dur="{total:.2f}s" repeatCount="indefinite" calcMode="discrete"'
                f' values="0;1" keyTimes="0;{share:.4f}"/>'
            )
            # On one line: a line break between two pieces would count as a space.
            line += f"<tspan>{html.escape(text)}{show if seconds else ''}</tspan>"
        out.append(line + "</text>")
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    status, pieces = run(sys.argv[3:])
    end = pieces[-1][0] if pieces else 0.0
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(draw(lines(sys.argv[2], pieces), end + REST))
    sys.exit(status)


if __name__ == "__main__":
    main()
