"""A corpus of a few packages of the standard library."""

import os
import shutil
from pathlib import Path

from fastnode_ops.statistics.corpus_building import build_corpus

PACKAGES = ("json", "email", "http", "urllib", "concurrent", "wsgiref", "html")


def build_small_corpus(folder: Path) -> Path:
    """Build it below a folder; returns the corpus folder."""
    library, code = Path(os.__file__).parent, folder / "code"
    for package in PACKAGES:
        shutil.copytree(library / package, code / package, ignore=shutil.ignore_patterns("__pycache__", "test*"))
    build_corpus(folder / "corpus", [str(code)], num_workers=2)
    return folder / "corpus"
