"""What several test files need, built once: the symbols of the standard library, a small corpus, its metainfo."""

from pathlib import Path

import pytest

from fastnode_ops.samples.metainfo import MetaInfo
from fastnode_ops.statistics.resources import open_resources
from fastnode_ops.symbols.building import build_symbols
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.traindata.building import build_metainfo
from tests.fastnode.small_corpus import build_small_corpus


@pytest.fixture(scope="session")
def symbols_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("symbols") / "symbols.sqlite"
    build_symbols(path)
    return path


@pytest.fixture(scope="session")
def symbols(symbols_path: Path) -> SymbolStore:
    return SymbolStore.open(symbols_path)


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole corpus of some sixty real files."""
    return build_small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def metainfo(corpus_dir: Path) -> MetaInfo:
    return build_metainfo(open_resources(corpus_dir), created_at="")
