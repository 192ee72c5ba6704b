"""Generates the Python code of the .proto files, see the package for the command.

The descriptors keep the file names of the original system (`gematria/proto/basic_block.proto`), so that a descriptor
pool, a text dump or a reflection client sees the same files. The Python modules stand in this package instead, since
a top-level package `gematria` is not ours to occupy: the imports among the generated modules are rewritten.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from ops_common.errors import ConfigError

PROTO_FOLDER = Path(__file__).resolve().parent
PACKAGE = "gematria_ops.formats.protos"

# Where the .proto files stand as far as the descriptors know.
_VIRTUAL_FOLDER = "gematria/proto"

# Generated stubs are read for their types, but are not held to our style, nor to type parameters for Mapping.
_STUB_HEADER = "# mypy: ignore-errors\n# ruff: noqa\n# fmt: off\n"


def compile_protos(output_folder: Path) -> list[Path]:
    """Writes `*_pb2.py` and `*_pb2.pyi` for every .proto file of this folder.

    Args:
        output_folder: Where to write; it must exist.

    Returns:
        The files written, sorted.

    Raises:
        ConfigError: A .proto file is wrong (the compiler has said why on standard error).
    """
    names = sorted(path.name for path in PROTO_FOLDER.glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            *(sys.executable, "-m", "grpc_tools.protoc"),
            f"--proto_path={_VIRTUAL_FOLDER}={PROTO_FOLDER}",
            f"--python_out={scratch}",
            f"--pyi_out={scratch}",
            *(f"{_VIRTUAL_FOLDER}/{name}" for name in names),
        ]
        # A process of its own: the compiler and TensorFlow bring two copies of one C++ library, which cannot share one.
        if subprocess.run(arguments, check=False).returncode != 0:
            raise ConfigError(f"a .proto file in {PROTO_FOLDER} does not compile", "see the compiler's message above")
        written = []
        for source in sorted((Path(scratch) / _VIRTUAL_FOLDER).glob("*_pb2.py*")):
            target = output_folder / source.name
            target.write_text(_in_our_package(source), encoding="utf-8")
            written.append(target)
    return written


def _in_our_package(generated: Path) -> str:
    """Returns generated code with the imports of its neighbours moved to our package."""
    text = generated.read_text(encoding="utf-8")
    text = text.replace(f"from {_VIRTUAL_FOLDER.replace('/', '.')} import ", f"from {PACKAGE} import ")
    return _STUB_HEADER + text if generated.suffix == ".pyi" else text
