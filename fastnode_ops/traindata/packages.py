"""Which packages are learned (specification 4.1, Appendix A)."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from fastnode_ops.statistics.resources import Resources
from fastnode_ops.symbols.module_files import RENAMED_PACKAGES
from fastnode_ops.symbols.store import SymbolStore
from fastnode_ops.symbols.symbol import SymbolKind
from ops_common.errors import ConfigError

logger = logging.getLogger(__name__)

MAX_PACKAGES = 100
"""How many packages are taken from the corpus when there is no list: about as many as the default list has."""

_MAX_FILE_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class PackageList:
    """Packages to learn.

    Args:
        names: Top-level packages that the symbol store knows, in the order of the list, each once.
        renamed: Names of Python 2 in the list, and what stands for them today.
        dropped: Names in the list that the symbol store does not know.
    """

    names: tuple[str, ...]
    renamed: dict[str, str]
    dropped: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the names."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()


def read_packages(path: Path) -> list[str]:
    """Read a package list: one top-level name per line; blank lines are ignored.

    Raises:
        ConfigError: The file cannot be read, lists nothing, or a line is no name; the message has its number.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MAX_FILE_BYTES + 1).decode()
    except OSError as error:
        raise ConfigError(f"package list {path} cannot be read: {error.strerror}", "give another file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"package list {path} is not UTF-8 text", "one package name per line") from None
    if len(text) > _MAX_FILE_BYTES:
        raise ConfigError(f"package list {path} has more than {_MAX_FILE_BYTES} bytes", "one package name per line")
    names = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.strip()
        if name and not name.isidentifier():
            raise ConfigError(
                f"package list {path}, line {number}: {name[:60]!r} is not the name of a top-level package",
                "write the name that is imported, without dots or version",
            )
        if name:
            names.append(name)
    if not names:
        raise ConfigError(f"package list {path} lists no package", "write one package name per line")
    return names


def choose_packages(resources: Resources, path: Path | None = None) -> PackageList:
    """Return the packages of a list, or without one those that the corpus imports most.

    Raises:
        ConfigError: See `read_packages`; or none of the packages is known.
    """
    names = read_packages(path) if path is not None else _most_imported(resources)
    found = check_packages(names, resources.symbols)
    for old, new in found.renamed.items():
        logger.warning("package %s is of Python 2: %s is taken", old, new)
    if found.dropped:
        logger.warning("%d packages are not known and left out: %s", len(found.dropped), ", ".join(found.dropped))
    if not found.names:
        raise ConfigError(
            f"none of the {len(names)} packages is known",
            "install them and build the corpus again, or give another list",
        )
    return found


def check_packages(names: list[str], symbols: SymbolStore) -> PackageList:
    """Replace the names of Python 2 and drop what the symbol store does not know."""
    renamed = {name: RENAMED_PACKAGES[name] for name in names if name in RENAMED_PACKAGES}
    today = list(dict.fromkeys(renamed.get(name, name) for name in names))
    known = tuple(name for name in today if _is_package(name, symbols))
    return PackageList(known, renamed, tuple(name for name in today if name not in known))


def _is_package(name: str, symbols: SymbolStore) -> bool:
    symbol = symbols.find(name)
    return symbol is not None and symbol.path == name and symbol.kind is SymbolKind.MODULE


def _most_imported(resources: Resources) -> list[str]:
    imports = resources.index.package_imports()
    # what a file need not import is used most
    return ["builtins", *[name for name in imports if not name.startswith("_")]][:MAX_PACKAGES]
