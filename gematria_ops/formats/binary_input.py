"""Binary files from outside: every read is checked against the end of the file before it happens."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops_common.errors import DataError

Content = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class BinaryInput:
    """The content of a file with what messages need.

    Attributes:
        content: All bytes.
        name: What messages call the file.
        hint: What to do when it is damaged.
    """

    content: Content
    name: str
    hint: str

    @property
    def num_bytes(self) -> int:
        """Length of the file."""
        return len(self.content)

    def bytes_at(self, offset: int, num_bytes: int, what: str) -> bytes:
        """Copies a part of the file.

        Args:
            offset: Where it begins; may be any number.
            num_bytes: Its length; may be any number.
            what: What it is, for the message.

        Raises:
            DataError: It is not within the file.
        """
        self._check(offset, num_bytes, what)
        return self.content[offset : offset + num_bytes]

    def unpack(self, layout: struct.Struct, offset: int, what: str) -> tuple[Any, ...]:
        """Reads the fields of a structure; arguments and errors as those of `bytes_at`."""
        self._check(offset, layout.size, what)
        return layout.unpack_from(self.content, offset)

    def unpack_table(self, layout: struct.Struct, offset: int, count: int, what: str) -> Iterator[tuple[Any, ...]]:
        """Reads structures that follow one another; arguments and errors as those of `bytes_at`."""
        return layout.iter_unpack(self.bytes_at(offset, layout.size * count, what))

    def error(self, message: str) -> DataError:
        """Makes an error that names the file."""
        return DataError(f"{self.name}: {message}", self.hint)

    def _check(self, offset: int, num_bytes: int, what: str) -> None:
        if offset < 0 or num_bytes < 0 or offset + num_bytes > len(self.content):
            raise self.error(
                f"{what} (offset {offset}, {num_bytes} bytes) is not within the file of {len(self.content)} bytes"
            )


@contextmanager
def open_content(path: Path) -> Iterator[Content]:
    """Gives the content of a file, which may be larger than the memory: pages are read when they are looked at.

    Raises:
        DataError: The file is missing or cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the file name") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "give the name of a file") from error
    with file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # what is empty or is no regular file cannot be mapped
            yield file.read()
            return
        with mapped:
            yield mapped
