"""LLVM triples; there is one architecture."""

from __future__ import annotations

from ops_common.errors import ConfigError

# Its spellings, in the first part of a triple.
_ARCHITECTURES = frozenset({"x86_64", "x86-64", "x86_64h", "amd64"})


def check_triple(triple: str) -> None:
    """Raises ConfigError unless an LLVM triple names x86-64."""
    # The architecture is the first part; "x86-64" has a dash of its own.
    if not any(triple == name or triple.startswith(f"{name}-") for name in _ARCHITECTURES):
        raise ConfigError(f"the LLVM triple {triple!r} does not name x86-64", "use x86_64, or x86_64-linux-gnu")
