"""What several test files need: the symbols of the standard library, built once."""

from pathlib import Path

import pytest

from fastnode_ops.symbols.building import build_symbols
from fastnode_ops.symbols.store import SymbolStore


@pytest.fixture(scope="session")
def symbols_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("symbols") / "symbols.sqlite"
    build_symbols(path)
    return path


@pytest.fixture(scope="session")
def symbols(symbols_path: Path) -> SymbolStore:
    return SymbolStore.open(symbols_path)
