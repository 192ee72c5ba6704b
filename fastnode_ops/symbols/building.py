"""Builds the symbol store: which files, extraction in parallel with a cache per package, linking, one file."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import orjson
import zstandard

from fastnode_ops.symbols.declarations import Declaration, DeclarationKind, from_json, to_json
from fastnode_ops.symbols.extraction import extract_module
from fastnode_ops.symbols.forms import STORE_FORMAT, forms_to_json
from fastnode_ops.symbols.linking import LinkedSymbol, link
from fastnode_ops.symbols.module_files import (
    RENAMED_PACKAGES,
    ModuleFile,
    PackageFiles,
    default_search_paths,
    package_files,
    standard_library,
)
from ops_common.artifacts import atomic_path, make_folder, write_bytes

_FILES_PER_JOB = 24
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE symbol (path TEXT PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
"""


@dataclass(slots=True)
class BuildReport:
    """What was built.

    Args:
        digest: SHA-256 over all symbols; equal for equal content.
        num_modules: Files that were understood.
        num_symbols: Rows.
        packages: The packages that are in it, besides the standard library, sorted.
        missing: Names of the list that nothing is known about, sorted.
        renamed: Names of Python 2 of the list and the package that stands for them.
        dropped: Files that were left out, by reason.
        num_cached: Packages that were unchanged since the build before.
    """

    digest: str = ""
    num_modules: int = 0
    num_symbols: int = 0
    packages: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    num_cached: int = 0


def build_symbols(
    target: Path,
    packages: Iterable[str] = (),
    *,
    search_paths: Sequence[Path] | None = None,
    cache_dir: Path | None = None,
    num_workers: int = 1,
) -> BuildReport:
    """Builds the symbol store of the standard library and of installed packages; nothing is imported or run.

    The result does not depend on the number of workers, on the cache, or on the order of the packages.

    Args:
        target: The SQLite file to write; it is replaced when the new one is whole.
        packages: Top-level names, as in a package list; those of the standard library are always built.
        search_paths: Folders to find installed packages in; by default those of this interpreter.
        cache_dir: Where to keep what was extracted of each package, so that a build after one package changed is quick.
        num_workers: Processes to extract with.

    Returns:
        What was built and what was left out.

    Raises:
        ArtifactError: The file cannot be written.
    """
    report = BuildReport()
    chosen = _choose(packages, default_search_paths() if search_paths is None else search_paths, report)
    modules: dict[str, Declaration] = {}
    with _Extractor(num_workers, cache_dir, report) as extractor:
        for package in chosen:
            for name, declaration in extractor.extract(package).items():
                modules.setdefault(name, declaration)
    report.num_modules = len(modules)
    _write(target, link(modules), report)
    return report


def _choose(names: Iterable[str], search_paths: Sequence[Path], report: BuildReport) -> list[PackageFiles]:
    standard = standard_library()
    known = {file.name.partition(".")[0] for file in standard.files}
    wanted = set()
    for name in sorted(set(names)):
        if name in RENAMED_PACKAGES:
            report.renamed[name] = RENAMED_PACKAGES[name]
        wanted.add(RENAMED_PACKAGES.get(name, name))
    chosen = [standard]
    for name in sorted(wanted - known):
        found = package_files(name, search_paths) if name.isidentifier() else None
        if found is None:
            report.missing.append(name)
        else:
            report.packages.append(name)
            chosen.append(found)
    return chosen


class _Extractor:
    """Extracts packages, in processes of its own when there is more than one worker."""

    def __init__(self, num_workers: int, cache_dir: Path | None, report: BuildReport) -> None:
        self._pool = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) if num_workers > 1 else None
        self._cache_dir = cache_dir
        self._report = report
        if cache_dir is not None:
            make_folder(cache_dir)

    def __enter__(self) -> _Extractor:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def extract(self, package: PackageFiles) -> dict[str, Declaration]:
        """Return the declarations of a package's modules, from the cache if no file of it has changed."""
        self._report.dropped.update(package.dropped)
        cached = None
        if self._cache_dir is not None:
            cached = self._cache_dir / f"{package.name.replace(' ', '_')}-{_package_digest(package)[:24]}.zst"
            found = _read_cache(cached)
            if found is not None:
                self._report.num_cached += 1
                self._report.dropped.update(found[1])
                return found[0]
        modules, dropped = self._run(package.files)
        self._report.dropped.update(dropped)
        if cached is not None:
            for old in cached.parent.glob(f"{cached.name.partition('-')[0]}-*.zst"):
                old.unlink(missing_ok=True)  # what the package was before
            content = orjson.dumps([dropped, to_json(modules).decode()], option=orjson.OPT_SORT_KEYS)
            write_bytes(cached, zstandard.compress(content, 3))
        return modules

    def _run(self, files: Sequence[ModuleFile]) -> tuple[dict[str, Declaration], Counter[str]]:
        jobs = [list(files[start : start + _FILES_PER_JOB]) for start in range(0, len(files), _FILES_PER_JOB)]
        modules: dict[str, Declaration] = {}
        dropped: Counter[str] = Counter()
        run = map if self._pool is None else self._pool.map
        for content, reasons in run(_extract_files, jobs):
            modules.update(from_json(content))
            dropped.update(reasons)
        return modules, dropped


def _extract_files(files: Sequence[ModuleFile]) -> tuple[bytes, dict[str, int]]:
    """Return the modules of some files as JSON, and how many files could not be used, by reason."""
    modules: dict[str, Declaration] = {}
    dropped: Counter[str] = Counter()
    for file in files:
        if file.path is None:
            modules[file.name] = Declaration(DeclarationKind.MODULE)
            continue
        try:
            text = file.path.read_bytes()
            modules[file.name] = extract_module(text, file.name, is_package=file.is_package, is_stub=file.is_stub)
        except SyntaxError:
            dropped["no Python 3.11"] += 1
        except OSError:
            dropped["cannot be read"] += 1
        except (ValueError, RecursionError, MemoryError):
            dropped["cannot be parsed"] += 1
    return to_json(modules), dict(dropped)


def _package_digest(package: PackageFiles) -> str:
    """Return SHA-256 over a package's files and over the code that extracts."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    for file in package.files:
        content = b"" if file.path is None else file.path.read_bytes()
        digest.update(f"{file.name} {file.is_package} {file.is_stub} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def _read_cache(path: Path) -> tuple[dict[str, Declaration], dict[str, int]] | None:
    try:
        dropped, modules = orjson.loads(zstandard.decompress(path.read_bytes()))
        return from_json(modules), dropped
    except (OSError, ValueError, KeyError, TypeError, zstandard.ZstdError):
        return None  # not there, or torn: extracted again


def _write(target: Path, symbols: Iterator[LinkedSymbol], report: BuildReport) -> None:
    digest = hashlib.sha256(STORE_FORMAT.encode())
    with atomic_path(target) as temporary:
        with closing(sqlite3.connect(temporary)) as connection:
            connection.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA}")
            for symbol in symbols:
                body = orjson.dumps(_body(symbol), option=orjson.OPT_SORT_KEYS)
                digest.update(b"\0".join([symbol.path.encode(), symbol.kind.encode(), body, b"\n"]))
                connection.execute("INSERT INTO symbol VALUES (?, ?, ?)", (symbol.path, str(symbol.kind), body))
                report.num_symbols += 1
            report.digest = digest.hexdigest()
            meta = [("digest", report.digest), ("format", STORE_FORMAT), ("num_symbols", str(report.num_symbols))]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
            connection.commit()


def _body(symbol: LinkedSymbol) -> dict[str, object]:
    """Return what a row says, without what is empty."""
    signatures = [
        {
            "parameters": [
                [p.name, p.kind, p.default, forms_to_json(p.forms), *([sorted(p.literals)] if p.literals else [])]
                for p in signature.parameters
            ],
            "returns": forms_to_json(signature.returns),
        }
        for signature in symbol.signatures
    ]
    body: dict[str, object] = {
        "forms": forms_to_json(symbol.forms),
        "signatures": signatures,
        "bases": forms_to_json(symbol.bases),
        "type_parameters": list(symbol.type_parameters),
        "children": {n: "" if target == f"{symbol.path}.{n}" else target for n, target in symbol.children.items()},
        "hidden": symbol.hidden,
    }
    return {name: value for name, value in body.items() if value}
