"""Which TFRecord files a command is about: files as they are, and of a data set's folder its parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gematria_ops.data.splitting import SPLITS, split_file_name
from ops_common.errors import ConfigError, DataError
from ops_common.tfrecord import is_record_file


def find_record_files(paths: Sequence[str | Path]) -> list[Path]:
    """Lists the TFRecord files that some names stand for.

    Args:
        paths: TFRecord files, and folders of data sets: these stand for their parts.

    Returns:
        The files, in order.

    Raises:
        ConfigError: There is no name.
        DataError: A file does not exist or is not a TFRecord file, or a folder holds no part of a data set.
    """
    if not paths:
        raise ConfigError("no input", "name TFRecord files, or folders that import-bhive has written")
    files: list[Path] = []
    for path in map(Path, paths):
        files += _parts(path) if path.is_dir() else [check_record_file(path)]
    return files


def check_record_file(path: Path) -> Path:
    """Returns the name of a file if it is a TFRecord file by its first bytes; DataError if it is missing or is none."""
    if not path.exists():
        raise DataError(f"{path} does not exist", "check the file name")
    if not is_record_file(path):
        raise DataError(
            f"{path} is not a TFRecord file",
            "a CSV file becomes one with import_from_bhive, several become a data set with import-bhive",
        )
    return path


def _parts(folder: Path) -> list[Path]:
    parts = [folder / split_file_name(split) for split in SPLITS if (folder / split_file_name(split)).is_file()]
    if not parts:
        raise DataError(
            f"{folder} holds no part of a data set", f"give a folder with {split_file_name(SPLITS[0])}, or files"
        )
    return parts
