"""The packages that a model is for: as a file lists them, or as the model has learnt them."""

from __future__ import annotations

from pathlib import Path

from fastnode_ops.pipeline_dir import PipelineDir
from fastnode_ops.samples.metainfo import read_metainfo
from ops_common.errors import DataError


def packages_of(work_dir: Path, packages_file: str) -> list[str]:
    """The packages of a pipeline's folder: those of a list where there is one, or else those that were learnt."""
    return read_packages(Path(packages_file)) if packages_file else learnt_packages(work_dir)


def read_packages(path: Path) -> list[str]:
    """Read a list of packages: one a line, `#` begins a comment.

    Raises:
        DataError: It cannot be read, or names none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of packages {path} cannot be read: {error}") from None
    packages = {line.partition("#")[0].strip() for line in lines} - {""}
    if not packages:
        raise DataError(f"{path} names no package", "one a line, such as numpy")
    return sorted(packages)


def learnt_packages(work_dir: Path) -> list[str]:
    """The top-level packages of all symbols that samples were drawn for, sorted.

    Raises:
        DataError: There is no metainfo, or it is damaged.
    """
    metainfo = read_metainfo(PipelineDir(work_dir).metainfo)
    parts = (metainfo.attr.dist, metainfo.call.dist, metainfo.attr_base.dist)
    return sorted({entry.symbol.partition(".")[0] for part in parts for entry in part.values()})
