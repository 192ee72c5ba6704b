"""Assembly text to machine code, with whatever assembler the machine has."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from ops_common.errors import ConfigError, DataError

AUTO, ATT, INTEL = "auto", "att", "intel"
SYNTAXES = (AUTO, ATT, INTEL)

# A basic block of a few thousand lines is already absurd; macros may make much of little text.
MAX_TEXT_BYTES = 1 << 20
_MAX_OBJECT_BYTES = 16 << 20
_MAX_MEMORY_BYTES = 4 << 30
_MAX_SECONDS = 30.0
_MAX_MESSAGE_LINES = 5

_INPUT, _OUTPUT = "block.s", "block.o"
_TARGET = "x86_64-linux-gnu"

# Programs in the order of preference, with their arguments.
_ASSEMBLERS = {
    "as": ("--64", "-o", _OUTPUT, _INPUT),
    "clang": ("-c", "-x", "assembler", f"--target={_TARGET}", "-o", _OUTPUT, _INPUT),
    "llvm-mc": ("-filetype=obj", f"-triple={_TARGET}", "-o", _OUTPUT, _INPUT),
}


def assemble_file(path: Path, syntax: str = AUTO) -> bytes:
    """Assembles a file that holds one basic block; symbols that it does not define are addresses of zeros.

    Args:
        path: Assembly text in UTF-8.
        syntax: `att`, `intel`, or `auto`: AT&T where a register has its percent sign, else Intel.

    Returns:
        The machine code.

    Raises:
        ConfigError: There is no assembler, or no such syntax.
        DataError: The file is missing or too large, or the assembler refuses it; the message says what it says.
    """
    if syntax not in SYNTAXES:
        raise ConfigError(f"there is no assembly syntax {syntax!r}", f"one of {', '.join(SYNTAXES)}")
    # A block cut out of a compiler's output jumps to local labels that it does not define. LLVM refuses such a label,
    # but not an ordinary symbol.
    text = re.sub(r"\.L(?=\w)", "_L", _read_text(path)) + "\n"
    if syntax == INTEL or (syntax == AUTO and not re.search(r"%[a-z]", text)):
        # On the first line, so that the line numbers of messages stay right.
        text = f".intel_syntax noprefix; {text}"
    machine_code = _text_section(_assemble(text, path), path)
    if not machine_code:
        raise DataError(f"{path} holds no instruction", "write the instructions of one basic block, one a line")
    return machine_code


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", "check the name of the assembly file") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", "give the name of an assembly file") from error
    if len(content) > MAX_TEXT_BYTES:
        raise DataError(f"{path} is larger than {MAX_TEXT_BYTES} bytes", "give the text of one basic block")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start})", "give assembly text") from None


def find_assembler() -> tuple[str, ...]:
    """Returns the command of the first assembler on the search path.

    Raises:
        ConfigError: There is none; says what to install.
    """
    for name, arguments in _ASSEMBLERS.items():
        program = shutil.which(name)
        if program:
            return program, *arguments
    raise ConfigError(
        f"there is no assembler on this machine: none of {', '.join(_ASSEMBLERS)} was found",
        "install binutils or LLVM (on Debian: apt-get install binutils), or give machine code in hex",
    )


def _assemble(text: str, path: Path) -> bytes:
    """Runs the assembler in an empty folder, with bounds on its time, its memory and what it may write."""
    command = find_assembler()
    with tempfile.TemporaryDirectory(prefix="gematria-assemble-") as folder:
        (Path(folder) / _INPUT).write_text(text, encoding="utf-8")
        with subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            for limit, size in ((resource.RLIMIT_FSIZE, _MAX_OBJECT_BYTES), (resource.RLIMIT_AS, _MAX_MEMORY_BYTES)):
                _set_limit(process.pid, limit, size)
            try:
                _, messages = process.communicate(timeout=_MAX_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise DataError(f"{path}: the assembler did not end within {_MAX_SECONDS:g} s") from None
        if process.returncode != 0:
            lines = messages.decode("utf-8", "replace").replace(_INPUT, path.name).splitlines()
            told = "\n".join(lines[:_MAX_MESSAGE_LINES]) or f"it ended with status {process.returncode}"
            raise DataError(f"{path} cannot be assembled:\n{told}", "see --asm-syntax for the choice of the syntax")
        return (Path(folder) / _OUTPUT).read_bytes()


def _set_limit(process_id: int, limit: int, size: int) -> None:
    try:
        resource.prlimit(process_id, limit, (size, size))
    except ProcessLookupError:
        return  # it has ended already


def _text_section(content: bytes, path: Path) -> bytes:
    from gematria_ops.formats.elf import ElfFile

    elf = ElfFile(content, f"the object made of {path}")
    return b"".join(elf.section_content(section) for section in elf.sections if section.is_text)
