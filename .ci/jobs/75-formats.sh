#!/usr/bin/env bash
# The committed matrices are what the PyPI package `gguf` writes and reads, the committed tokens what `tokenizers` gives. --full:
# many more, larger matrices.
source "$(dirname "$0")/../lib.sh"
packages=target/python-formats
python=$packages/bin/python
[[ -x $python ]] || run python3 -m venv "$packages"
run "$python" -m pip install --quiet --disable-pip-version-check gguf==0.19.0 numpy tokenizers==0.23.3
run "$python" -B crates/formats/tests/vectors.py --check
run "$python" -B crates/tokens/tests/vectors.py --check
if ((full)); then
    run "$python" -B crates/formats/tests/vectors.py --large "$packages/vectors.txt"
    PHALANX_VECTORS=$PWD/$packages/vectors.txt run cargo test --locked -p phalanx-formats --test vectors
    note="$(wc -l <"$packages/vectors.txt") matrices"
fi
