"""Walks over the real symbols of the standard library."""

import pytest

from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.traindata.walking import walk


def _paths(symbols: SymbolStore, package: str, *, canonical: bool) -> list[str]:
    return [symbol.path for symbol, _ in walk(symbols, package, set(), canonical=canonical)]


@pytest.mark.parametrize(
    ("package", "path"),
    [
        ("os", "posixpath.join"),
        ("os", "genericpath.exists"),
        ("io", "_io.StringIO.getvalue"),
        ("sqlite3", "_sqlite3.connect"),
        ("json", "json.dumps"),
    ],
)
def test_the_modules_behind_the_standard_library_belong_to_it(symbols: SymbolStore, package: str, path: str) -> None:
    assert path in _paths(symbols, package, canonical=True)


def test_other_public_modules_do_not(symbols: SymbolStore) -> None:
    tops = {path.partition(".")[0] for path in _paths(symbols, "os", canonical=True)}
    assert {name for name in tops if not name.startswith("_")} == {"os", "posixpath", "genericpath"}


def test_as_written_nothing_leaves_the_package(symbols: SymbolStore) -> None:
    assert {path.partition(".")[0] for path in _paths(symbols, "os", canonical=False)} == {"os"}


def test_no_symbol_is_visited_twice(symbols: SymbolStore) -> None:
    found = _paths(symbols, "os", canonical=True)
    assert len(found) == len(set(found))
