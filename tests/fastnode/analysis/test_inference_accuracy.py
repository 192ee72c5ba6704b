"""The inference against jedi on sampled expressions of the standard library and of installed packages."""

from pathlib import Path

import pytest

from benchmarks.inference_accuracy import PACKAGES, compare_with_jedi
from fastnode_ops.symbols.building import build_symbols
from fastnode_ops.symbols.store import SymbolStore


@pytest.mark.slow
def test_precision_and_recall_against_jedi(tmp_path: Path) -> None:
    build_symbols(tmp_path / "symbols.sqlite", PACKAGES)
    accuracy = compare_with_jedi(SymbolStore.open(tmp_path / "symbols.sqlite"))
    assert accuracy.num_expressions >= 200, (
        f"{accuracy.num_changed} expressions are in files of other versions: run tests/fastnode/analysis/jedi/remake.py"
    )
    assert accuracy.precision >= 0.95, "\n".join(accuracy.differences)
    assert accuracy.recall >= 0.72
