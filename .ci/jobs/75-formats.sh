#!/usr/bin/env bash
# The committed matrices are what the PyPI package `gguf` writes and reads. --full: many more, larger ones.
source "$(dirname "$0")/../lib.sh"
packages=target/python-formats
python=$packages/bin/python
[[ -x $python ]] || run python3 -m venv "$packages"
run "$python" -m pip install --quiet --disable-pip-version-check gguf==0.19.0 numpy
run "$python" -B crates/formats/tests/vectors.py --check
if ((full)); then
    run "$python" -B crates/formats/tests/vectors.py --large "$packages/vectors.txt"
    PHALANX_VECTORS=$PWD/$packages/vectors.txt run cargo test --locked -p phalanx-formats --test vectors
    note="$(wc -l <"$packages/vectors.txt") matrices"
fi
