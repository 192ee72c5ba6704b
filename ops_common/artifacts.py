"""Files that are either whole or not there: atomic writes, SHA-256, manifests.

Everything a task leaves behind is first written under a temporary name in the same folder, flushed to the disk and
then renamed. A folder of files is complete when its `manifest.json`, which is written last, stands in it:

    {"files": {"weights.index": {"sha256": "...", "size_bytes": 123}, ...}, ...anything else the writer says}
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ops_common.errors import ArtifactError, NoRoomError

MANIFEST_NAME = "manifest.json"

# Distinguishes two threads of one process that write the same file.
_counter = itertools.count()

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # of Linux

# What the system says when the medium is full, the quota is used up, or the file may not grow further.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """Gives a temporary file name beside `final`; renames it to `final` when the body ends without an error.

    Before the rename the content is flushed to the disk, after it the folder is: whoever sees the name sees the
    whole content, also after a power cut. On any error the temporary file is removed and `final` stays as it was.

    Args:
        final: The name under which the file shall stand. Missing parent folders are made.

    Yields:
        The name to write to: `.<name>.<pid>.<n>.part` in the same folder. The body has to create the file.

    Raises:
        NoRoomError: The disk is full.
        ArtifactError: The folder cannot be written, or `final` is a folder itself.
    """
    final = Path(final)
    if final.is_dir():
        raise ArtifactError(f"{final} is a folder", "give the name of the file to write")
    make_folder(final.parent)
    temporary = _part_name(final)
    try:
        with _no_room_named(final):
            yield temporary
            sync_to_disk(temporary)
            temporary.replace(final)
            sync_to_disk(final.parent)
    finally:
        # After success the name is gone already; after a failure this is what gives the space back.
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(final: Path, *, replace: bool = False) -> Iterator[Path]:
    """Gives an empty temporary folder beside `final`; renames it to `final` when the body ends without an error.

    Args:
        final: The name under which the folder shall stand.
        replace: Whether a folder that already stands there may be replaced. Both change names in one step where the
            file system can do that; elsewhere the old one is moved aside first, so for an instant there is none.
            There is never a mixture of both.

    Yields:
        The folder to fill.

    Raises:
        ArtifactError: `final` exists and is not to be replaced, the disk is full, or the folder cannot be written.
    """
    final = Path(final)
    if final.exists() and not replace:
        raise ArtifactError(f"{final} already exists", "choose another folder, or remove this one first")
    make_folder(final.parent)
    temporary = _part_name(final)
    try:
        with _no_room_named(final):
            temporary.mkdir()
            yield temporary
            for path in sorted(temporary.rglob("*")):
                sync_to_disk(path)
            sync_to_disk(temporary)
            _move_folder(temporary, final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file atomically, line ends as given."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically.

    NumPy scalars are written as numbers, paths as strings. NaN and infinity are refused, because JSON has none and
    browsers reject the whole file.

    Raises:
        ArtifactError: The value holds something that JSON cannot say.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=json_default)
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path}: the value cannot be written as JSON: {error}", "report NaN or infinity as null or as a text"
        ) from error
    write_text(path, text + "\n")


def json_default(value: Any) -> Any:
    """Turns what json does not know (NumPy scalars and arrays, paths) into what it does; for `json.dumps(default=)`."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        ArtifactError: The file is missing or is not JSON; the message names the file, line and column.
    """
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist", "run the step that writes it first") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8 text (byte {error.start})", "write the file again") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ArtifactError(f"{path} is not JSON: {error.msg} ({where})", "write the file again") from error
    except (RecursionError, ValueError) as error:
        # What the parser itself refuses: brackets within brackets within brackets, numbers of thousands of digits.
        what = "is nested too deeply" if isinstance(error, RecursionError) else "holds a number that is too long"
        raise ArtifactError(f"{path} {what}", "no file of ours is like that; write it again") from error


def sha256_file(path: Path) -> str:
    """Returns the SHA-256 of a file's content as 64 lower-case hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, files: Sequence[str], **extra: Any) -> Path:
    """Writes `manifest.json` over files that already stand in a folder; that makes the folder complete.

    Args:
        folder: The folder.
        files: Paths relative to the folder, with `/`. Their order does not matter.
        **extra: Further entries of the manifest.

    Returns:
        The manifest's path.

    Raises:
        ArtifactError: A file is missing, or a path is absolute or leads out of the folder.
    """
    entries: dict[str, dict[str, Any]] = {}
    for name in sorted(set(files)):
        path = Path(folder) / check_relative_path(name, f"manifest of {folder}")
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist, so it cannot go into the manifest")
        entries[name] = {"sha256": sha256_file(path), "size_bytes": path.stat().st_size}
    manifest_path = Path(folder) / MANIFEST_NAME
    write_json(manifest_path, {"files": entries, **extra})
    return manifest_path


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads a manifest file and checks its form, not the files it lists.

    Raises:
        ArtifactError: It is missing, torn, of another form, or lists a path that leads out of its folder.
    """
    return check_manifest(read_json(path), str(path))


def check_manifest(manifest: Any, where: str) -> dict[str, Any]:
    """Returns a parsed manifest if it has the form of one; ArtifactError, naming `where`, if not."""
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict):
        raise ArtifactError(f"{where} is not a manifest: it has no 'files' table")
    for name, entry in files.items():
        check_relative_path(name, where)
        if not isinstance(entry, Mapping) or not _is_entry(entry):
            raise ArtifactError(f"{where}: the entry of {name!r} has no valid 'sha256' and 'size_bytes'")
    return dict(manifest)


def verify_manifest(folder: Path) -> dict[str, Any]:
    """Compares every file of a folder's manifest with what stands on the disk.

    Returns:
        The manifest.

    Raises:
        ArtifactError: The manifest is missing or bad, or a file is missing, has another size or another content.
            The message names the first such file.
    """
    manifest_path = Path(folder) / MANIFEST_NAME
    manifest = read_manifest(manifest_path)
    for name, entry in manifest["files"].items():
        check_file(Path(folder) / name, entry["sha256"], entry["size_bytes"], f"listed in {manifest_path}")
    return manifest


def check_file(path: Path, sha256: str, size_bytes: int, where: str) -> None:
    """Raises ArtifactError unless a file is there with exactly this size and digest; `where` says who wants it so."""
    hint = "copy or build it again; do not use what is there"
    if not Path(path).is_file():
        raise ArtifactError(f"{path} is missing ({where})", hint)
    actual_size = Path(path).stat().st_size
    if actual_size != size_bytes:
        raise ArtifactError(f"{path} has {actual_size} bytes, not {size_bytes} ({where})", hint)
    actual = sha256_file(path)
    if actual != sha256:
        raise ArtifactError(f"{path} has SHA-256 {actual[:16]}…, not {sha256[:16]}… ({where})", hint)


def check_relative_path(name: Any, where: str) -> str:
    """Returns a path if it stays within its folder: relative, with `/`, no `..`, no empty part.

    Raises:
        ArtifactError: It does not; such a path in a manifest could make a reader write anywhere.
    """
    text = name if isinstance(name, str) else ""
    path = PurePosixPath(text)
    unsafe = path.is_absolute() or ".." in path.parts or "\\" in text or "\0" in text
    if not text or text == "." or unsafe or str(path) != text:
        raise ArtifactError(f"{where}: {name!r} is not a plain relative path", "use names like 'reports/import.json'")
    if text == MANIFEST_NAME:
        raise ArtifactError(f"{where}: a manifest cannot list itself")
    return text


def remove_part_files(folder: Path) -> int:
    """Removes what killed writers left under temporary names directly in a folder; for the folder's only writer.

    Returns:
        How many files and folders were removed.
    """
    num_removed = 0
    for path in sorted(Path(folder).glob(".*.part")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        num_removed += 1
    return num_removed


def sync_to_disk(path: Path) -> None:
    """Makes the system write a file's content, or a folder's list of names, to the disk now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _part_name(final: Path) -> Path:
    return final.with_name(f".{final.name}.{os.getpid()}.{next(_counter)}.part")


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents unless they are there; ArtifactError, naming it, if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(
            f"folder {folder} cannot be made: {error.strerror}", "check the path and who may write there"
        ) from error


def _move_folder(temporary: Path, final: Path) -> None:
    old = temporary
    if not (final.exists() and _exchange(temporary, final)):
        old = _part_name(final)
        if final.exists():
            final.rename(old)
        temporary.rename(final)
    sync_to_disk(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; says whether the system could do it."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    return bool(libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0)


@contextmanager
def _no_room_named(final: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise NoRoomError(
                f"{final} cannot be written: {error.strerror}", "free disk space or quota, then run the step again"
            ) from error
        if isinstance(error, PermissionError) and str(final.parent) in str(error.filename):
            raise ArtifactError(f"{final} cannot be written: {error.strerror}", "check who may write there") from error
        raise


def _is_entry(entry: Mapping[str, Any]) -> bool:
    digest, size = entry.get("sha256"), entry.get("size_bytes")
    good_digest = isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")
    return good_digest and isinstance(size, int) and not isinstance(size, bool) and size >= 0
