"""One file: is it text that can be learned from, and what identifies it."""

from __future__ import annotations

import hashlib
import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

import zstandard

from fastnode_ops.corpus.broken import is_broken
from fastnode_ops.corpus.duplicates import signature
from fastnode_ops.corpus.found import MAX_BYTES, Found

# What Python accepts as a declaration but what is no encoding of text, or takes time out of proportion.
_REFUSED_ENCODINGS = frozenset(("idna", "punycode", "undefined", "raw_unicode_escape", "unicode_escape", "mbcs", "oem"))


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of one file.

    Args:
        origin: Where it came from.
        package: Its top-level package.
        version: See `Found`.
        reason: Why it is left out; "" when it is not. The rest is empty then.
        file_id: SHA-256 of its UTF-8 text in hexadecimal.
        num_bytes: Length of the text.
        content: The text, compressed with zstd.
        signature: See `duplicates.signature`.
    """

    origin: str
    package: str
    version: tuple[int, int]
    reason: str
    file_id: str = ""
    num_bytes: int = 0
    content: bytes = b""
    signature: bytes = b""


def examine(files: Sequence[Found]) -> list[Examined]:
    """Read and examine some files."""
    return [_examine(file) for file in files]


def _examine(file: Found) -> Examined:
    text, reason = _read(file)
    if not reason:
        text, reason = to_utf8(text)
    if not reason and is_broken(text):
        reason = "does_not_parse"
    if reason:
        return Examined(file.origin, file.package, file.version, reason)
    return Examined(
        file.origin,
        file.package,
        file.version,
        "",
        hashlib.sha256(text).hexdigest(),
        len(text),
        zstandard.compress(text, 9),
        signature(text),
    )


def _read(file: Found) -> tuple[bytes, str]:
    if file.reason or file.path is None:
        return file.content or b"", file.reason
    try:
        with file.path.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError:
        return b"", "unreadable"
    return content, "too_large" if len(content) > MAX_BYTES else ""


def to_utf8(content: bytes) -> tuple[bytes, str]:
    """Return a Python file in UTF-8 without byte order mark, and why it is left out ("": it is not).

    The encoding is the declared one (PEP 263); without a declaration it has to be UTF-8.
    """
    if b"\0" in content:
        return b"", "null_byte"
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if encoding.replace("-", "_").lower() in _REFUSED_ENCODINGS:
            return b"", "unknown_encoding"
        text = content.decode(encoding).encode()
    except SyntaxError as error:
        return b"", "unknown_encoding" if "unknown encoding" in str(error) else "not_utf8"
    except (LookupError, AssertionError):
        return b"", "unknown_encoding"
    except ValueError:
        return b"", "not_utf8"
    if not text.strip():
        return b"", "empty"
    return (text, "") if len(text) <= MAX_BYTES else (b"", "too_large")
