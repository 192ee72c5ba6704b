"""Runs the reference program `llvm_reference.cpp`, which asks LLVM about machine code."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE_PATH = Path(__file__).parent / "llvm_reference.cpp"


@dataclass(frozen=True, slots=True)
class LlvmInstruction:
    """What LLVM says of one instruction.

    Attributes:
        num_bytes: Its length.
        att_text: Its text in AT&T syntax.
        columns: The columns of a reference row, by name.
    """

    num_bytes: int
    att_text: str
    columns: dict[str, str]


def build(program: Path, llvm_folder: Path) -> None:
    """Compiles the reference program against an LLVM installation with headers (Debian: llvm-19-dev)."""
    library = llvm_folder / "lib"
    compiler = ["g++", "-O2", "-std=c++17", f"-I{llvm_folder / 'include'}"]
    linker = [f"-L{library}", f"-Wl,-rpath,{library}", "-lLLVM-19"]
    subprocess.run(
        [*compiler, str(SOURCE_PATH), *linker, "-o", str(program)],
        check=True,
    )


def decode_all(program: Path, codes: Iterable[bytes], only_first: bool) -> Iterator[tuple[list[LlvmInstruction], int]]:
    """Lets LLVM decode some machine code.

    Args:
        program: The compiled reference program.
        codes: The code, one block each.
        only_first: Decode only the first instruction of each block.

    Yields:
        For each block its instructions, and the number of bytes behind them that were not decoded.
    """
    finished = subprocess.run(
        [str(program), *(["--first"] if only_first else [])],
        input="".join(f"{code.hex()}\n" for code in codes),
        capture_output=True,
        text=True,
        check=True,
    )
    instructions: list[LlvmInstruction] = []
    for line in finished.stdout.splitlines():
        kind, *fields = line.split("\t")
        if kind == "E":
            yield instructions, int(fields[0])
            instructions = []
            continue
        num_bytes, opcode, _, att_text, prefixes, mnemonic, outputs, implicit_outputs, inputs, implicit_inputs = fields
        columns = {
            "prefixes": prefixes,
            "mnemonic": mnemonic,
            "llvm_mnemonic": opcode,
            "output_operands": outputs,
            "implicit_output_operands": implicit_outputs,
            "input_operands": inputs,
            "implicit_input_operands": implicit_inputs,
        }
        instructions.append(LlvmInstruction(int(num_bytes), att_text.replace("|", "\t"), columns))
