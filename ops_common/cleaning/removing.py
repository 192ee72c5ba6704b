"""Removes one file or folder below a root: renamed first, so that a half of it is never taken for the whole."""

from __future__ import annotations

import os
import shutil
import stat
import uuid
from pathlib import Path

from ops_common.cleaning.inventory import TRASH_PREFIX
from ops_common.errors import ArtifactError


def remove_below(root: Path, path: Path) -> None:
    """Remove a path; symbolic links in it are removed as links.

    Args:
        root: The folder that the path must stand in, itself without links.
        path: What to remove, by its absolute path.

    Raises:
        ArtifactError: The path leads out of the root, over a link, or somebody else's rights keep it.
    """
    parts = _parts_below(root, path)
    folder = _open_folder(root)
    try:
        for part in parts[:-1]:
            inner = _open_folder(part, folder)
            os.close(folder)
            folder = inner
        _remove(parts[-1], folder, path)
    finally:
        os.close(folder)


def _parts_below(root: Path, path: Path) -> tuple[str, ...]:
    if ".." in path.parts or not path.is_relative_to(root) or path == root:
        raise ArtifactError(f"{path} does not stand in {root}: it is not removed", "report this: it is a bug")
    return path.relative_to(root).parts


def _open_folder(name: Path | str, within: int | None = None) -> int:
    """A folder by its descriptor: whoever puts a link in its place meanwhile leads nobody astray."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=within)
    except OSError as error:
        raise ArtifactError(f"{name} is no folder that a clean-up may enter: {error.strerror}") from None


def _remove(name: str, folder: int, path: Path) -> None:
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=folder)
            return
        doomed = name if name.startswith(TRASH_PREFIX) else f"{TRASH_PREFIX}{uuid.uuid4().hex[:12]}"
        os.rename(name, doomed, src_dir_fd=folder, dst_dir_fd=folder)
        shutil.rmtree(doomed, dir_fd=folder)
    except FileNotFoundError:
        return  # somebody else has removed it
    except OSError as error:
        raise ArtifactError(f"{path} cannot be removed: {error.strerror}", "check who owns it") from None
