"""Which files describe a package: bundled stubs for the standard library, stubs and sources for installed packages."""

from __future__ import annotations

import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typeshed_client

from fastnode_ops.symbols.conditions import PLATFORM, VERSION

RENAMED_PACKAGES = {
    "urllib2": "urllib",
    "urlparse": "urllib",
    "StringIO": "io",
    "cStringIO": "io",
    "cPickle": "pickle",
    "ConfigParser": "configparser",
    "__builtin__": "builtins",
}
"""Names of Python 2 in the default package list (specification, Appendix A) and what stands for them today."""

MAX_FILES = 2_500
MAX_PACKAGE_BYTES = 40_000_000
MAX_FILE_BYTES = 2_000_000

_SKIPPED_FOLDERS = frozenset({"test", "tests", "__pycache__", "node_modules"})


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A file that describes a module.

    Args:
        name: Dotted name of the module.
        path: The file; None for a folder without one (a namespace package).
        is_package: Whether it is a folder's `__init__`.
    """

    name: str
    path: Path | None
    is_package: bool

    @property
    def is_stub(self) -> bool:
        """Whether the file only declares."""
        return self.path is not None and self.path.suffix == ".pyi"


@dataclass(slots=True)
class PackageFiles:
    """The files of one package, sorted by module, and how many were left out, by reason."""

    name: str
    files: list[ModuleFile] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def standard_library() -> PackageFiles:
    """Return the stubs of the standard library of Python 3.11 on Linux, `builtins` and `typing` among them."""
    context = typeshed_client.get_search_context(version=VERSION, platform=PLATFORM, search_path=[])
    found = [
        ModuleFile(name, Path(path), Path(path).name == "__init__.pyi")
        for name, path in typeshed_client.get_all_stub_files(context)
    ]
    return PackageFiles("standard library", sorted(found, key=lambda file: file.name))


def default_search_paths() -> list[Path]:
    """Return the folders that this interpreter installs packages into."""
    return sorted({Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


def package_files(name: str, search_paths: Sequence[Path]) -> PackageFiles | None:
    """Return the files of an installed package; None when it is not there.

    A module's stub in `<name>-stubs` comes first, then the `.pyi` beside the source, then the source. Folders of tests
    are left out. Of a package that is larger than the limits the modules nearest to the top are kept.
    """
    candidates: dict[str, ModuleFile] = {}
    for search_path in search_paths:
        for folder in (search_path / f"{name}-stubs", search_path / name):
            if folder.is_dir():
                _collect(folder, name, candidates)
        for path in (search_path / f"{name}.pyi", search_path / f"{name}.py"):
            if path.is_file():
                candidates.setdefault(name, ModuleFile(name, path, False))
    if not any(file.path for file in candidates.values()):
        return None
    return _within_limits(name, candidates)


def _collect(folder: Path, module: str, found: dict[str, ModuleFile]) -> None:
    entries = sorted(folder.iterdir(), key=lambda path: path.name)
    own = [path for path in entries if path.name in ("__init__.pyi", "__init__.py")]
    if own:
        path = max(own, key=lambda path: path.suffix == ".pyi")
        if module not in found or found[module].path is None:
            found[module] = ModuleFile(module, path, True)
    else:
        found.setdefault(module, ModuleFile(module, None, True))
    for suffix in (".pyi", ".py"):
        for path in entries:
            if path.suffix == suffix and path.stem.isidentifier() and path.stem not in ("__init__", "__main__"):
                found.setdefault(f"{module}.{path.stem}", ModuleFile(f"{module}.{path.stem}", path, False))
    for path in entries:
        if path.is_dir() and path.name.isidentifier() and path.name not in _SKIPPED_FOLDERS and not path.is_symlink():
            _collect(path, f"{module}.{path.name}", found)


def _within_limits(name: str, candidates: dict[str, ModuleFile]) -> PackageFiles:
    package = PackageFiles(name)
    size = 0
    for file in sorted(candidates.values(), key=lambda file: (file.name.count("."), file.name)):
        if file.path is None:
            if any(other.startswith(file.name + ".") for other in candidates):
                package.files.append(file)
            continue
        file_size = file.path.stat().st_size
        if file_size > MAX_FILE_BYTES:
            package.dropped["file too large"] += 1
        elif len(package.files) >= MAX_FILES or size + file_size > MAX_PACKAGE_BYTES:
            package.dropped["package too large"] += 1
        else:
            size += file_size
            package.files.append(file)
    package.files.sort(key=lambda file: file.name)
    return package
