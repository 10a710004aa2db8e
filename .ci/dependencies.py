"""Checks on the dependency graph, from `cargo metadata`.

    dependencies.py licences      every licence is allowed by deny.toml, every package is ours or from crates.io
    dependencies.py rust-version  no dependency needs a newer Rust than the workspace declares; every member declares it

Exits with 1 and one line per finding. Both checks first refuse a planted violation, and refuse an empty graph.
"""

import json
import re
import subprocess
import sys
import tomllib

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, permitted):
    """Whether an SPDX expression can be met with the permitted licences alone. `WITH` exceptions must be listed in full."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))  # "MIT/Apache-2.0" is the old way to write OR

    def either():
        ok = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            ok |= both()  # not `or`: the right side has to be read in any case
        return ok

    def both():
        ok = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            ok &= one()
        return ok

    def one():
        token = tokens.pop(0)
        if token == "(":
            ok = either()
            if tokens.pop(0) != ")":
                raise ValueError(expression)
            return ok
        if tokens[:1] == ["WITH"]:
            tokens.pop(0)
            token += " WITH " + tokens.pop(0)
        return token in permitted

    try:
        ok = either()
    except (IndexError, ValueError):
        return False  # an expression that cannot be read permits nothing
    return ok and not tokens


def licences(packages):
    with open("deny.toml", "rb") as file:
        permitted = set(tomllib.load(file)["licenses"]["allow"])
    assert allowed("(MIT OR GPL-3.0-only) AND MIT", permitted)
    for planted in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR", "MIT MIT", ""]:
        assert not allowed(planted, permitted), planted
    for package in packages:
        name, licence = f"{package['name']} {package['version']}", package["license"]
        if not licence:
            yield f"{name}: no licence declared"
        elif not allowed(licence, permitted):
            yield f"{name}: licence {licence} is not allowed by deny.toml"
        if package["source"] not in (None, CRATES_IO):
            yield f"{name}: comes from {package['source']}, not from crates.io"


def version(text):
    """"1.89" as (1, 89, 0)."""
    return tuple((list(map(int, text.split("."))) + [0, 0])[:3])


def rust_version(packages):
    with open("Cargo.toml", "rb") as file:
        declared = tomllib.load(file)["workspace"]["package"]["rust-version"]
    assert version("1.100") > version("1.89.1") > version("1.89") == version("1.89.0")
    for package in packages:
        name, needs = f"{package['name']} {package['version']}", package["rust_version"]
        if package["source"] is None and needs != declared:
            yield f"{name}: declares rust-version {needs}, the workspace {declared}"
        elif needs and version(needs) > version(declared):
            yield f"{name}: needs Rust {needs}, the workspace declares {declared}"


def main():
    checks = {"licences": licences, "rust-version": rust_version}
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        sys.exit(__doc__)
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], check=True, stdout=subprocess.PIPE
    )
    packages = json.loads(metadata.stdout)["packages"]
    if not any(p["source"] is None for p in packages) or not any(p["source"] for p in packages):
        sys.exit("cargo metadata lists no packages of ours, or none of others: nothing was checked")
    findings = list(checks[sys.argv[1]](packages))
    for finding in findings:
        print(finding)
    print(f"{sys.argv[1]}: {len(packages)} packages, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
