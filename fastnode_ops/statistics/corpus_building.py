"""From folders of code to a corpus folder: files, symbols, index, and the manifest last."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fastnode_ops.corpus.building import CorpusReport, build_files
from fastnode_ops.corpus.sources import STANDARD_LIBRARY, find_files, find_sources
from fastnode_ops.corpus.store import CORPUS_NAME, Corpus
from fastnode_ops.statistics.building import build_index
from fastnode_ops.statistics.index import INDEX_NAME
from fastnode_ops.statistics.resources import SYMBOLS_NAME, digest_of, open_resources
from fastnode_ops.statistics.signatures import Limits
from fastnode_ops.symbols.building import build_symbols
from ops_common.artifacts import MANIFEST_NAME, make_folder, read_json, write_json, write_manifest
from ops_common.errors import ArtifactError

CORPUS_REPORT_NAME = "report.json"
_CACHE_NAME = "symbols.building"
_PROGRESS_NAME = "files.building.json"
_SMALL_CORPUS = 2_000
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w., \t]+))", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """What a corpus folder holds.

    Args:
        digest: Of all its parts.
        num_files: Files of code.
        num_symbols: Symbols of the store.
        num_functions: Functions with statistics of their calls.
        num_dropped: Files that were left out.
        is_kept: Whether it stood there already, made of the same.
        details: The reports of the parts, as plain values.
    """

    digest: str
    num_files: int
    num_symbols: int
    num_functions: int
    num_dropped: int
    is_kept: bool
    details: dict[str, Any]


def build_corpus(
    corpus_dir: Path,
    sources: Sequence[str],
    max_files: int = 0,
    num_workers: int = 1,
    *,
    held_out: Collection[str] = (),
    limits: Limits | None = None,
) -> CorpusSummary:
    """Build a corpus folder, or keep the one that stands there if it was made of the same files in the same way.

    Args:
        corpus_dir: The folder.
        sources: See `find_sources`.
        max_files: Keep the first so many files in the order of their ids; 0: all.
        num_workers: Processes; the result does not depend on it.
        held_out: Packages of which every file is a test file.
        limits: What is too rare for call statistics; by default 5 calls per function, 2 per shape, for corpora below
            2,000 files 2 and 1.

    Raises:
        DataError: A source is not there, or no file is left.
        ArtifactError: The folder cannot be written.
    """
    folder = Path(corpus_dir)
    make_folder(folder)
    made_of = _made_of(sources, max_files, held_out, limits)
    if (kept := _kept(folder, made_of)) is not None:
        return kept
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    files = _files_of_interrupted_build(folder, made_of)
    if files is None:
        files = build_files(folder, sources, max_files=max_files, held_out=held_out, num_workers=num_workers)
        write_json(folder / _PROGRESS_NAME, {"made_of": made_of, "files": _plain(files)})
    symbols = build_symbols(
        folder / SYMBOLS_NAME,
        [] if set(sources) == {STANDARD_LIBRARY} else _imported(Corpus.open(folder)),
        cache_dir=folder / _CACHE_NAME,
        num_workers=num_workers,
    )
    chosen = limits or (Limits(2, 1) if files.num_files < _SMALL_CORPUS else Limits())
    index = build_index(folder, folder / SYMBOLS_NAME, limits=chosen, num_workers=num_workers)
    summary = CorpusSummary(
        digest_of(files.digest, symbols.digest, index.digest),
        files.num_files,
        symbols.num_symbols,
        index.num_functions,
        files.dropped.total(),
        False,
        {"files": _plain(files), "symbols": _plain(symbols), "index": _plain(index), "limits": _plain(chosen)},
    )
    write_json(folder / CORPUS_REPORT_NAME, _plain(summary))
    names = (CORPUS_NAME, SYMBOLS_NAME, INDEX_NAME, CORPUS_REPORT_NAME)
    write_manifest(folder, names, digest=summary.digest, made_of=made_of)
    shutil.rmtree(folder / _CACHE_NAME, ignore_errors=True)
    (folder / _PROGRESS_NAME).unlink(missing_ok=True)
    return summary


def _files_of_interrupted_build(folder: Path, made_of: str) -> CorpusReport | None:
    """Return the report of a corpus whose files were collected, but whose index was not finished."""
    with suppress(ArtifactError):
        progress = read_json(folder / _PROGRESS_NAME)
        values: dict[str, Any] = {
            name: Counter(v) if isinstance(v, dict) else v for name, v in progress["files"].items()
        }
        if progress["made_of"] == made_of and Corpus.open(folder).digest == values["digest"]:
            return CorpusReport(**values)
    return None


def _plain(report: Any) -> dict[str, Any]:
    """Return the fields of a report as JSON has them, counts sorted by name."""
    values = {entry.name: getattr(report, entry.name) for entry in fields(report)}
    return {name: dict(sorted(v.items())) if isinstance(v, Counter) else v for name, v in values.items()}


def _kept(folder: Path, made_of: str) -> CorpusSummary | None:
    """Return the summary of the corpus that stands in a folder if it is whole and made of the same."""
    with suppress(ArtifactError):
        if read_json(folder / MANIFEST_NAME).get("made_of") == made_of:
            open_resources(folder)
            return CorpusSummary(**{**read_json(folder / CORPUS_REPORT_NAME), "is_kept": True})
    return None


def _made_of(sources: Sequence[str], max_files: int, held_out: Collection[str], limits: Limits | None) -> str:
    """Return SHA-256 over what decides about the content: the options, and size and time of every file."""
    digest = hashlib.sha256(f"{list(sources)} {max_files} {sorted(held_out)} {limits}\n".encode())
    for name in sources:
        for place in find_sources(name):
            if place.path.is_dir():
                for found in find_files(place):
                    digest.update(f"{found.origin!r} {found.version} {found.reason}\n".encode())
            else:
                status = place.path.stat()
                digest.update(f"{place.label!r} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _imported(corpus: Corpus) -> list[str]:
    """Return all top-level names that the corpus holds or imports, sorted; the symbol store takes what is installed."""
    names: set[str] = set()
    for file_id in corpus.files():
        names.add(corpus.package_of(file_id))
        for origin, modules in _IMPORT.findall(corpus.source(file_id)):
            names.update(re.split(r"[.\s]", module.strip())[0] for module in (origin or modules).decode().split(","))
    return sorted(names)
