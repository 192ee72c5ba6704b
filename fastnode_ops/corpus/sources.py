"""Where the code comes from: folders, archives, the standard library, installed packages (specification 20.2).

Nothing is ever unpacked to the disk. Whatever is left out comes as a `Found` with the reason.
"""

from __future__ import annotations

import os
import re
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from fastnode_ops.corpus.archives import is_archive, members
from fastnode_ops.corpus.found import MAX_BYTES, Found, package_of
from ops_common.errors import DataError

STANDARD_LIBRARY = "stdlib"
SITE_PACKAGES = "site-packages"

_SKIPPED_FOLDERS = frozenset(("__pycache__", SITE_PACKAGES, "dist-packages", "node_modules", ".git", ".hg", ".svn"))


@dataclass(frozen=True, slots=True)
class Source:
    """A place that code comes from.

    Args:
        label: Begins the origin of every file; it does not depend on the machine.
        path: A folder, an archive or a single file.
        top: Path of `path` below the place that packages are imported from, e.g. "numpy"; "" when it is that place.
    """

    label: str
    path: Path
    top: str = ""


def find_sources(name: str) -> list[Source]:
    """Return the places that a name of the user stands for.

    Args:
        name: "stdlib" (that of the running interpreter), "site-packages" (all that is installed), a folder, an archive
            (.zip, .whl, .egg, .tar and compressed forms of it), a .py file, or the name of an installed distribution or
            package. A name that could be both is the installed package; write `./name` for the folder.

    Raises:
        DataError: It is none of those.
    """
    if name == STANDARD_LIBRARY:
        return [Source(STANDARD_LIBRARY, Path(sysconfig.get_path("stdlib")))]
    folders = sorted({Path(sysconfig.get_path(kind)) for kind in ("purelib", "platlib")})
    if name == SITE_PACKAGES:
        return [Source(SITE_PACKAGES, folder) for folder in folders]
    path = Path(name)
    if os.sep not in name and not is_archive(path) and path.suffix != ".py" and (found := _installed(name, folders)):
        return found
    if path.is_dir() or (path.is_file() and (is_archive(path) or path.suffix == ".py")):
        return [Source(path.resolve().name, path)]
    what = "is not there" if not path.exists() else "is neither a folder nor an archive nor a .py file"
    raise DataError(
        f"source {name!r} {what}, and no installed package has this name",
        f"give folders, archives (.zip, .whl, .tar.gz ...), installed packages, {STANDARD_LIBRARY} or {SITE_PACKAGES}",
    )


def _installed(name: str, folders: list[Path]) -> list[Source]:
    """Return the folders and modules of an installed package or distribution."""
    wanted = re.sub(r"[-_.]+", "-", name).lower()
    tops = {
        top
        for top, distributions in metadata.packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", distribution).lower() == wanted for distribution in distributions)
    }
    found = []
    for top in sorted(tops | {name}):
        for folder in folders:
            for path in (folder / top, folder / f"{top}.py"):
                if path.exists() and not (path.is_dir() and top.startswith("_distutils")):
                    found.append(Source(SITE_PACKAGES, path, path.name))
    return found


def find_files(source: Source) -> Iterator[Found]:
    """Yield every Python file of a source, and everything that is left out with its reason, in a fixed order.

    Files are given by path, members of archives by content.
    """
    if source.path.is_dir():
        yield from _walk(source)
    elif is_archive(source.path):
        yield from members(source.path, source.label)
    else:
        yield _file(source, source.path, source.path.parent.resolve())


def _walk(source: Source) -> Iterator[Found]:
    """Walk a folder without recursion; every real folder is visited once."""
    root = source.path.resolve()
    visited: set[tuple[int, int]] = set()
    stack = [source.path]
    while stack:
        folder = stack.pop()
        try:
            status = folder.stat()
            entries = sorted(folder.iterdir(), key=lambda path: path.name)
        except OSError:
            yield _dropped(source, folder, "unreadable")
            continue
        if (status.st_dev, status.st_ino) in visited:
            yield _dropped(source, folder, "symlink_loop")
            continue
        visited.add((status.st_dev, status.st_ino))
        folders = []
        for entry in entries:
            if not _is_folder(entry):
                if entry.suffix == ".py":
                    yield _file(source, entry, root)
            elif entry.is_symlink() and not entry.resolve().is_relative_to(root):
                yield _dropped(source, entry, "symlink_outside")
            elif entry.name not in _SKIPPED_FOLDERS:
                folders.append(entry)
        stack.extend(reversed(folders))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # what may not even be looked at; as a file it is counted
        return False


def _file(source: Source, path: Path, root: Path) -> Found:
    try:
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            return _dropped(source, path, "symlink_outside")
        status = path.stat()
    except (OSError, RuntimeError):  # RuntimeError: a link to itself
        return _dropped(source, path, "unreadable")
    if not stat.S_ISREG(status.st_mode):
        return _dropped(source, path, "special_file")
    if status.st_size > MAX_BYTES:
        return _dropped(source, path, "too_large")
    origin, package = _names(source, path)
    return Found(origin, package, path=path, version=(status.st_size, status.st_mtime_ns))


def _dropped(source: Source, path: Path, reason: str) -> Found:
    origin, package = _names(source, path)
    return Found(origin, package, reason=reason)


def _names(source: Source, path: Path) -> tuple[str, str]:
    parts = path.relative_to(source.path).parts if path != source.path else ()
    if source.top:
        parts = (source.top, *parts)
    elif not parts:
        parts = (path.name,)
    elif (source.path / "__init__.py").is_file():
        parts = (source.label, *parts)
        return _printable("/".join(parts)), package_of(parts)
    return _printable("/".join((source.label, *parts))), package_of(parts)


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # a file's name may be no text
