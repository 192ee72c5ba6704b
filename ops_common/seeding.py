"""One seed, many independent random streams, each found by its name.

A stream depends on the seed and its own names only: asking for one more stream somewhere, or asking in another
order, changes nothing for the others. That is what lets a trainer resume at step k without any saved generator:
the stream of step k is `stream(seed, "batches", k)`.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Returns the random generator of a name.

    The SHA-256 of the seed and the names seeds PCG64 through SeedSequence. NumPy keeps both stable, so the same
    arguments give the same numbers on every machine and in every version.

    Args:
        seed: The run's seed. A negative seed means: from the operating system, different every time.
        *names: What the numbers are for, from wide to narrow: `stream(7, "batches", step)`.

    Returns:
        A generator in its initial state.
    """
    if seed < 0:
        return np.random.Generator(np.random.PCG64())
    digest = _digest(seed, names)
    words = np.frombuffer(digest, dtype="<u4")  # [8], uint32
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words.tolist())))


def derived_seed(seed: int, *names: str | int) -> int:
    """Returns a seed of a name for a library that wants an integer: 0 to 2**31 - 1.

    A negative seed gives a different number every time.
    """
    if seed < 0:
        return int(np.random.Generator(np.random.PCG64()).integers(2**31))
    return int.from_bytes(_digest(seed, names)[:4], "little") >> 1


def _digest(seed: int, names: tuple[str | int, ...]) -> bytes:
    # JSON keeps 1 and "1", and ("a", "b") and ("a,b",), apart. NumPy integers become plain ones.
    parts = [name if isinstance(name, str) else int(name) for name in names]
    return hashlib.sha256(json.dumps([int(seed), *parts]).encode("ascii")).digest()
