"""Everything that is known of a corpus: its files, the symbols, the index, the statistics of calls."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastnode_ops.corpus.store import HINT, Corpus
from fastnode_ops.statistics.calls import CallStatistics
from fastnode_ops.statistics.index import SymbolIndex
from fastnode_ops.symbols.store import SymbolStore
from ops_common.artifacts import MANIFEST_NAME, read_manifest
from ops_common.errors import ArtifactError

SYMBOLS_NAME = "symbols.sqlite"


@dataclass(frozen=True, slots=True)
class Resources:
    """The open files of a corpus folder; read only, for every thread and process.

    Args:
        corpus: The files.
        symbols: What packages offer.
        index: Which file holds which symbol.
        calls: How functions are called.
    """

    corpus: Corpus
    symbols: SymbolStore
    index: SymbolIndex
    calls: CallStatistics

    @property
    def digest(self) -> str:
        """SHA-256 over all four."""
        return digest_of(self.corpus.digest, self.symbols.digest, self.index.digest)


def digest_of(corpus: str, symbols: str, index: str) -> str:
    """Return the digest of resources from those of their parts."""
    return hashlib.sha256(f"{corpus} {symbols} {index}".encode()).hexdigest()


def open_resources(corpus_dir: Path) -> Resources:
    """Open a corpus folder.

    Raises:
        ArtifactError: It is not complete, a file is torn, or its files do not belong together.
    """
    folder = Path(corpus_dir)
    if not (folder / MANIFEST_NAME).is_file():
        raise ArtifactError(f"{folder} holds no finished corpus: there is no {MANIFEST_NAME}", HINT)
    manifest = read_manifest(folder / MANIFEST_NAME)
    for name, entry in manifest["files"].items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != entry["size_bytes"]:
            what = "is missing" if size < 0 else f"has {size} bytes, not {entry['size_bytes']}"
            raise ArtifactError(f"{path} {what}", HINT)
    symbols = SymbolStore.open(folder / SYMBOLS_NAME)
    index = SymbolIndex.open(folder)
    resources = Resources(Corpus.open(folder), symbols, index, CallStatistics.open(folder, symbols))
    digests = (resources.corpus.digest, symbols.digest)
    if (index.corpus_digest, index.symbols_digest) != digests or resources.digest != manifest.get("digest"):
        raise ArtifactError(f"the files of {folder} do not belong together", HINT)
    return resources
