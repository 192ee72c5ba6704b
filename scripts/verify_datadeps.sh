#!/bin/sh
# Read the packed files again: verify_datadeps.sh [OUTPUT_DIR]. Status 0: fine, 2: they differ, 3: they are missing.
# CHECKOUT: the product's checkout, with its list of models; this one by default. PYTHON: the interpreter.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}" exec "${PYTHON:-$root/.venv/bin/python}" -m fastnode_ops verify-datadeps \
    --checkout-dir="${CHECKOUT:-$root}" --output-dir="${1:-}"
