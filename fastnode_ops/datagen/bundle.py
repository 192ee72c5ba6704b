"""The bundle that data generation hosts get: `bundle/`, and the same files as `bundle.tar.gz`.

    fastnode_ops/, ops_common/   the libraries
    metainfo.json                what is drawn from
    config.toml                  all settings
    work.json                    what is to be made
    requirements-datagen.txt     what the libraries need, every version pinned and hashed
    MANIFEST                     SHA-256 of every file, as `sha256sum -c` reads it

The same content gives the same bytes, so a host that has an archive of this digest needs nothing. The corpus is not
in it, being large and rarely new; it goes to a place of its own (`deploy.py`).
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastnode_ops.config import ExpressionConfig
from ops_common.artifacts import atomic_folder, atomic_path, sha256_file
from ops_common.config import to_toml
from ops_common.errors import DataError

MANIFEST = "MANIFEST"
REQUIREMENTS = "requirements-datagen.txt"
PACKAGES = ("fastnode_ops", "ops_common")

_PROJECT_ROOT = Path(__file__).parents[2]
_COMPRESSION = 6


@dataclass(frozen=True)
class Bundle:
    """A bundle on this machine.

    Args:
        archive: The archive.
        digest: SHA-256 of the archive.
        requirements_digest: SHA-256 of the locked requirements.
        num_bytes: Size of the files in it, unpacked.
    """

    archive: Path
    digest: str
    requirements_digest: str
    num_bytes: int


def make_bundle(
    work_dir: Path,
    *,
    metainfo_path: Path,
    config: ExpressionConfig,
    parameters: Mapping[str, Any],
    project_root: Path = _PROJECT_ROOT,
) -> Bundle:
    """Write `bundle/` and `bundle.tar.gz`, in the place of older ones.

    Args:
        work_dir: Where they go.
        metainfo_path: The metainfo.
        config: All settings.
        parameters: What is to be made.
        project_root: The checkout that the libraries are taken from.

    Raises:
        DataError: The metainfo or the requirements are missing.
    """
    for path, hint in (
        (metainfo_path, "make traindata"),
        (project_root / REQUIREMENTS, "make lock"),
    ):
        if not path.is_file():
            raise DataError(f"{path} does not exist", hint)
    folder, archive = work_dir / "bundle", work_dir / "bundle.tar.gz"
    with atomic_folder(folder, replace=True) as part:
        for package in PACKAGES:
            for source in sorted((project_root / package).rglob("*.py")):
                target = part / source.relative_to(project_root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        shutil.copyfile(metainfo_path, part / "metainfo.json")
        shutil.copyfile(project_root / REQUIREMENTS, part / REQUIREMENTS)
        (part / "config.toml").write_text(to_toml(config), encoding="utf-8")
        (part / "work.json").write_text(json.dumps(parameters, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        lines = [f"{sha256_file(part / name)}  {name}\n" for name in _files(part)]
        (part / MANIFEST).write_text("".join(lines), encoding="utf-8")
    with atomic_path(archive) as temporary:
        _write_archive(folder, temporary)
    num_bytes = sum((folder / name).stat().st_size for name in _files(folder))
    return Bundle(archive, sha256_file(archive), sha256_file(folder / REQUIREMENTS), num_bytes)


def identity(*parts: object) -> str:
    """One digest of all that decides what samples are like."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def _write_archive(folder: Path, archive: Path) -> None:
    """Pack a folder, with nothing in the bytes of when, where or by whom."""
    with archive.open("wb") as raw, gzip.GzipFile("", "wb", _COMPRESSION, raw, mtime=0) as packed:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name in _files(folder):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = (folder / name).stat().st_size, 0o644
                with (folder / name).open("rb") as file:
                    tar.addfile(entry, file)


def _files(folder: Path) -> Iterator[str]:
    yield from sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
