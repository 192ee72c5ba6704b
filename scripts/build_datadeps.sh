#!/bin/sh
# Pack every file that the product needs: build_datadeps.sh [OUTPUT_DIR]
# CHECKOUT: the product's checkout, with its list of models; this one by default. PYTHON: the interpreter.
# Prints `unchanged`, also with status 0, when the same files are packed already.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-$root/.venv/bin/python}" -m fastnode_ops rebuild-datadeps \
    --no-use-script --checkout-dir="${CHECKOUT:-$root}" --output-dir="${1:-}"
