"""Building the store: which packages and files, what is left out and counted, the cache, equal content."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastnode_ops.symbols import building, module_files
from fastnode_ops.symbols.building import BuildReport, build_symbols
from fastnode_ops.symbols.module_files import PackageFiles, package_files, standard_library
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import SymbolKind
from ops_common.errors import ArtifactError

FILES = {
    "alpha/__init__.py": "from .core import Thing\nfrom .typed import make\nimport os\n",
    "alpha/core.py": "import collections\nclass Thing(collections.OrderedDict):\n    def go(self): return Thing()\n",
    "alpha/typed.py": "def make(a): return undefined\n",
    "alpha/typed.pyi": "from .core import Thing\ndef make(a: int) -> Thing: ...\n",
    "alpha/broken.py": "def f(:\n",
    "alpha/latin.py": "x = '\xe9'\n",
    "alpha/tests/test_it.py": "y = 1\n",
    "alpha/no-name.py": "z = 1\n",
    "beta.py": "from alpha import Thing\nthing = Thing()\n",
    "gamma/sub/deep.py": "def f() -> int: ...\n",
    "delta/__init__.py": "def f(): pass\ndef g() -> int: ...\n",
    "delta-stubs/__init__.pyi": "def f() -> str: ...\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("installed")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1") if name == "alpha/latin.py" else text.encode())
    return root


NAMES = ["alpha", "beta", "gamma", "delta", "os", "urllib2", "cPickle", "django", "../etc"]


@pytest.fixture(scope="module", autouse=True)
def few_stubs() -> Iterator[None]:
    """Let the standard library be what these tests need of it; all of it takes seconds each time."""
    names = {
        "builtins",
        "collections",
        "os",
        "types",
        "typing",
        "typing_extensions",
        "_collections_abc",
        "pickle",
        "urllib",
    }
    whole = standard_library()
    few = PackageFiles(whole.name, [file for file in whole.files if file.name in names])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "standard_library", lambda: few)
        yield


@pytest.fixture(scope="module")
def built(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuildReport, Path]:
    folder = tmp_path_factory.mktemp("built")
    cache = folder / "cache"
    report = build_symbols(folder / "s.sqlite", NAMES, search_paths=[installed], cache_dir=cache)
    return folder / "s.sqlite", report, cache


def test_the_report_says_what_was_found_renamed_missing_and_dropped(built: tuple[Path, BuildReport, Path]) -> None:
    _, report, _ = built
    assert report.packages == ["alpha", "beta", "delta", "gamma"]
    assert report.missing == ["../etc", "django"]
    assert report.renamed == {"cPickle": "pickle", "urllib2": "urllib"}
    assert report.dropped == {"no Python 3.11": 2}  # broken.py, and latin.py, which does not say how it is encoded
    assert report.num_cached == 0


def test_installed_packages_are_found_with_what_they_get_from_the_standard_library(
    built: tuple[Path, BuildReport, Path],
) -> None:
    store = SymbolStore.open(built[0])
    thing = store.find("alpha.Thing")
    assert thing is not None and (thing.canonical, thing.kind) == ("alpha.core.Thing", SymbolKind.TYPE)
    assert store.bases("alpha.Thing") == ["collections.OrderedDict"]
    inherited = store.find("alpha.Thing.move_to_end")
    assert inherited is not None and inherited.canonical == "collections.OrderedDict.move_to_end"
    made, variable, deep = store.find("alpha.make"), store.find("beta.thing"), store.find("gamma.sub.deep.f")
    assert made is not None and made.returns == ("alpha.core.Thing",)  # the stub, not the source
    assert variable is not None and variable.type_path == "alpha.core.Thing"
    assert deep is not None and deep.returns == ("builtins.int",)
    of_stubs, only_source = store.find("delta.f"), store.find("delta.g")
    assert of_stubs is not None and of_stubs.returns == ("builtins.str",)
    assert only_source is None  # the stub speaks for the whole module
    assert store.find("alpha.os") is not None and "os" not in store.children("alpha")
    assert store.find("alpha.tests") is None


def test_content_depends_on_neither_workers_nor_cache_nor_order(
    built: tuple[Path, BuildReport, Path], installed: Path, tmp_path: Path
) -> None:
    path, report, cache = built
    other = build_symbols(tmp_path / "o.sqlite", NAMES[::-1], search_paths=[installed], num_workers=2)
    cached = build_symbols(tmp_path / "c.sqlite", NAMES, search_paths=[installed], cache_dir=cache)
    assert report.digest == other.digest == cached.digest == SymbolStore.open(path).digest
    assert path.read_bytes() == (tmp_path / "o.sqlite").read_bytes() == (tmp_path / "c.sqlite").read_bytes()
    assert (cached.num_cached, cached.dropped) == (5, report.dropped)


def test_only_what_has_changed_is_extracted_again(
    built: tuple[Path, BuildReport, Path], installed: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "installed"
    shutil.copytree(installed, copy)
    (copy / "beta.py").write_text("thing = 1\n", encoding="utf-8")
    report = build_symbols(tmp_path / "s.sqlite", NAMES, search_paths=[copy], cache_dir=built[2])
    assert report.num_cached == 4
    assert len(list(built[2].iterdir())) == 5  # the entry of the package as it was is gone
    assert report.digest != built[1].digest
    changed = SymbolStore.open(tmp_path / "s.sqlite").find("beta.thing")
    assert changed is not None and changed.type_path == "builtins.int"


def test_a_torn_cache_is_extracted_again(installed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = build_symbols(tmp_path / "s.sqlite", ["beta"], search_paths=[installed], cache_dir=cache)
    for path in cache.iterdir():
        path.write_bytes(path.read_bytes()[:-7])
    again = build_symbols(tmp_path / "s.sqlite", ["beta"], search_paths=[installed], cache_dir=cache)
    assert (again.num_cached, again.digest) == (0, first.digest)


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is a folder"):
        build_symbols(tmp_path)


def test_a_large_package_keeps_the_modules_nearest_to_the_top(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_files, "MAX_FILES", 3)
    found = package_files("alpha", [installed])
    assert found is not None
    assert [file.name for file in found.files] == ["alpha", "alpha.broken", "alpha.core"]
    assert found.dropped == {"package too large": 2}
    monkeypatch.setattr(module_files, "MAX_FILE_BYTES", 20)
    found = package_files("alpha", [installed])
    assert found is not None and found.dropped["file too large"] == 3


def test_a_package_that_is_not_there_is_none(installed: Path) -> None:
    assert package_files("no_such_package", [installed]) is None
