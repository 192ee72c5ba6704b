"""What runs on a host before the generation: takes in what was copied there (`remote_run.py` says where it stands).

Sent over ssh together with `remote_run.py`, so the standard library is all there is.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastnode_ops.datagen.remote_run import LOG_BYTES, HostError, check_name, open_root, read_json

_ENVIRONMENT_SECONDS = 1_800


def prepare(*, root: str, archive: str, corpus: str, environment: str) -> dict[str, Any]:
    """Make the folders; tells what is there already, and how much room there is."""
    if not hasattr(hashlib, "file_digest"):
        version = sys.version.split()[0]
        raise HostError(f"Python {version} is too old", "install Python 3.11, or name one: REMOTE_PYTHON")
    folder = open_root(root, make=True)
    incoming = folder / "incoming"
    incoming.mkdir(exist_ok=True)
    environment_python = folder / "environments" / check_name(environment) / "bin" / "python"
    return {
        "root": str(folder),
        "incoming": str(incoming),
        "free_bytes": shutil.disk_usage(folder).free,
        "has_code": (folder / "code" / check_name(archive)).is_dir(),
        "has_corpus": (folder / "corpora" / check_name(corpus)).is_dir(),
        "has_environment": environment_python.with_name("ready").exists(),
        "environment_python": str(environment_python),
    }


def take_archive(*, root: str, archive: str) -> dict[str, Any]:
    """Unpack `incoming/<digest>.tar.gz` to `code/<digest>`, when it and every file in it are what they should be."""
    folder = open_root(root)
    incoming, final = folder / "incoming" / f"{check_name(archive)}.tar.gz", folder / "code" / archive
    if not final.is_dir():
        _check_digest(incoming, archive)
        with _part(final) as part:
            with tarfile.open(incoming) as tar:
                tar.extraction_filter = getattr(tarfile, "data_filter", None)  # older ones have none; it is our archive
                tar.extractall(part)
            _check_sums(part, part / "MANIFEST")
    incoming.unlink(missing_ok=True)
    return {"code": str(final)}


def take_corpus(*, root: str, corpus: str) -> dict[str, Any]:
    """Move `incoming/<digest>` to `corpora/<digest>`, when every file in it is what its manifest says."""
    folder = open_root(root)
    incoming, final = folder / "incoming" / check_name(corpus), folder / "corpora" / corpus
    if not final.is_dir():
        _check_digest(incoming / "manifest.json", corpus)
        for name, entry in read_json(incoming / "manifest.json")["files"].items():
            _check_digest(incoming / name, entry["sha256"])
        final.parent.mkdir(exist_ok=True)
        incoming.rename(final)
    return {"corpus": str(final)}


def make_environment(*, root: str, environment: str, code: str) -> dict[str, Any]:
    """Make a virtual environment with the bundle's locked requirements, once."""
    folder = open_root(root) / "environments" / check_name(environment)
    ready = folder / "bin" / "ready"
    if not ready.exists():
        requirements = str(Path(code) / "requirements-datagen.txt")
        _call([sys.executable, "-m", "venv", "--clear", str(folder)], "apt-get install python3-venv")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        _call([*pip, "--require-hashes", "--only-binary", ":all:", "-r", requirements], "see whether it reaches PyPI")
        ready.touch()
    return {"python": str(folder / "bin" / "python")}


VERBS = {verb.__name__: verb for verb in (prepare, take_archive, take_corpus, make_environment)}


@contextlib.contextmanager
def _part(final: Path) -> Iterator[Path]:
    part = final.with_name(f".{final.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(final)


def _check_digest(path: Path, digest: str) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        path.unlink()  # else the next copy would find it in its place, as large and as old as it should be
        raise HostError(f"{path} arrived damaged", "deploy again; if it happens again, check the host's disk")


def _check_sums(folder: Path, manifest: Path) -> None:
    listed = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = digest
        _check_digest(folder / name, digest)
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if present != {*listed, manifest.name}:
        raise HostError(f"{folder}: the files are not those of its MANIFEST", "deploy again")


def _call(argv: list[str], hint: str) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ENVIRONMENT_SECONDS, check=False
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-LOG_BYTES:]
        raise HostError(f"{' '.join(argv[:5])} failed: {said}", f"{hint}, or name a Python with all: REMOTE_PYTHON")
