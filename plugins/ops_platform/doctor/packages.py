"""Python and the installed packages, held against the lock."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ops_platform.doctor.finding import Finding

WANTED_PYTHON = (3, 11)
_PIN = re.compile(r"^([A-Za-z0-9][^\s\\]*==[^\\]*?)\s*\\?$")
_NUM_NAMED = 5


def check_python(version: tuple[int, int] | None = None, *, writes_bytecode: bool = True) -> list[Finding]:
    """Whether this is the Python that the lock was made for, with its caches on.

    Args:
        version: The version instead of this interpreter's.
        writes_bytecode: Whether the environment lets Python keep what it has compiled.
    """
    found = sys.version_info[:2] if version is None else version
    text = f"{found[0]}.{found[1]} at {sys.prefix}"
    wanted = ".".join(map(str, WANTED_PYTHON))
    if found != WANTED_PYTHON:
        return [Finding("python", "fail", text, f"make the environment with Python {wanted}: make PYTHON=/path/to/it")]
    if not writes_bytecode:
        hint = "unset it: without bytecode every process compiles its libraries anew, and starts much later"
        return [Finding("python", "warn", f"{text}; PYTHONDONTWRITEBYTECODE is set", hint)]
    return [Finding("python", "ok", text)]


def check_packages(lock: Path) -> list[Finding]:
    """Whether every package of the lock is installed in its version."""
    installed: dict[str, str] = {
        canonicalize_name(item.metadata["Name"]): item.version for item in metadata.distributions()
    }
    wrong, num_pins = [], 0
    for name, version in pins_of(lock):
        num_pins += 1
        if name not in installed:
            wrong.append(f"{name} is missing")
        elif installed[name] != version:
            wrong.append(f"{name} {installed[name]} instead of {version}")
    if wrong:
        more = f" and {len(wrong) - _NUM_NAMED} more" if len(wrong) > _NUM_NAMED else ""
        hint = f"touch {lock.name} && make status  installs what the lock says"
        return [Finding("packages", "fail", ", ".join(wrong[:_NUM_NAMED]) + more, hint)]
    return [Finding("packages", "ok", f"all {num_pins} as {lock.name} says")]


def pins_of(lock: Path) -> Iterator[tuple[str, str]]:
    """The packages that a lock pins for this machine, with their versions."""
    for line in lock.read_text(encoding="utf-8").splitlines():
        match = _PIN.match(line)
        if match is None:
            continue
        requirement = Requirement(match[1])
        if requirement.marker is None or requirement.marker.evaluate():
            (specifier,) = requirement.specifier
            yield canonicalize_name(requirement.name), specifier.version
