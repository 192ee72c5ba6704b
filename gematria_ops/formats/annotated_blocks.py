"""Blocks with what has to be set up to run them alone: as JSON, and as assembly with comments for llvm-exegesis.

The JSON file is an array with an object for each block (specification section 4.6):

    Hex                   the machine code in hexadecimal digits
    RegisterDefinitions   Register, Value
    MemoryDefinitions     Name, Size, Value: eight bytes that fill the memory over and over
    MemoryMappings        Value: the name of a definition; Address: where it is mapped
    LoopRegister          a general register that the block does not touch; absent when there is none
"""

from __future__ import annotations

import binascii
import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ops_common.artifacts import read_json
from ops_common.errors import DataError

# One JSON file is held in memory as a whole, here as in the program that reads it.
MAX_JSON_BYTES = 1 << 30

MEMORY_NAME = "MEM"
_UINT64_END = 1 << 64


@dataclass(frozen=True, slots=True)
class AnnotatedBlock:
    """A block and its surroundings.

    Attributes:
        block_hex: The machine code in hexadecimal digits.
        registers: Names and values of the registers to set.
        page_bytes: Size of each piece of memory.
        page_contents: Eight bytes that fill it, as a number.
        pages: The addresses at which such a piece is mapped.
        loop_register: A general register that the block does not touch, or None.
    """

    block_hex: str
    registers: tuple[tuple[str, int], ...] = ()
    page_bytes: int = 4096
    page_contents: int = 0
    pages: tuple[int, ...] = ()
    loop_register: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns the block's object of the JSON file."""
        memory = {"Name": MEMORY_NAME, "Size": self.page_bytes, "Value": self.page_contents}
        loop_register = {} if self.loop_register is None else {"LoopRegister": self.loop_register}
        return {
            "Hex": self.block_hex,
            "RegisterDefinitions": [{"Register": name, "Value": value} for name, value in self.registers],
            "MemoryDefinitions": [memory] if self.pages else [],
            "MemoryMappings": [{"Value": MEMORY_NAME, "Address": address} for address in self.pages],
            **loop_register,
        }

    def to_assembly(self, instructions: Iterable[str]) -> str:
        """Returns the text of an assembly file for llvm-exegesis.

        Args:
            instructions: The instructions in AT&T syntax, a line each.
        """
        lines = [f"# LLVM-EXEGESIS-DEFREG {name} {value:x}" for name, value in self.registers]
        if self.pages:
            lines.append(f"# LLVM-EXEGESIS-MEM-DEF {MEMORY_NAME} {self.page_bytes} {self.page_contents:016x}")
        lines += [f"# LLVM-EXEGESIS-MEM-MAP {MEMORY_NAME} {address}" for address in self.pages]
        if self.loop_register is not None:
            lines.append(f"# LLVM-EXEGESIS-LOOP-REGISTER {self.loop_register}")
        return "".join(f"{line}\n" for line in (*lines, *instructions))


def json_entry(block: AnnotatedBlock) -> str:
    """Returns the text of a block's object within a JSON file: two spaces of indentation, keys in order."""
    return textwrap.indent(json.dumps(block.to_json(), indent=2, sort_keys=True), "  ")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_uint64(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _UINT64_END


def _is_size(value: Any) -> bool:
    return _is_uint64(value) and value > 0


# What a field must hold, and how to call that.
_Kind = tuple[Callable[[Any], bool], str]
_NAME: _Kind = (_is_name, "a name")
_NUMBER: _Kind = (_is_uint64, "a number of 64 bits without a sign")
_SIZE: _Kind = (_is_size, "a positive number of 64 bits")


class Problem(NamedTuple):
    """What is wrong with a block of a JSON file.

    Attributes:
        reason: In a word or two.
        text: The same for people, with the place in the block's object.
    """

    reason: str
    text: str


def read_annotated_json(path: Path) -> list[Any]:
    """Reads a JSON file of annotated blocks; the blocks are not checked, see `block_problems`.

    Raises:
        DataError: The file is missing, too large, no JSON, or not an array.
    """
    if path.is_file() and path.stat().st_size > MAX_JSON_BYTES:
        raise DataError(
            f"{path} has more than {MAX_JSON_BYTES:,} bytes", "write smaller files with --blocks_per_json_file"
        )
    value = read_json(path)
    if not isinstance(value, list):
        raise DataError(
            f"{path} does not hold an array of blocks, but {_kind(value)}",
            "write it with convert_bhive_to_llvm_exegesis_input --json_output_dir",
        )
    return value


def block_problems(block: Any) -> Iterator[Problem]:
    """Checks one entry of a JSON file.

    Args:
        block: The entry.

    Yields:
        What is wrong with it, in the order of the fields; nothing when all is well.
    """
    if not isinstance(block, Mapping):
        yield Problem("not_an_object", f"it is {_kind(block)}, not an object")
        return
    yield from _hex_problems(block)
    yield from _array_problems(block, "RegisterDefinitions", "register", {"Register": _NAME, "Value": _NUMBER})
    fields = {"Name": _NAME, "Size": _SIZE, "Value": _NUMBER}
    yield from _array_problems(block, "MemoryDefinitions", "memory", fields)
    yield from _array_problems(block, "MemoryMappings", "mapping", {"Value": _NAME, "Address": _NUMBER})
    yield from _mapping_problems(block)
    if "LoopRegister" in block and not _is_name(block["LoopRegister"]):
        yield Problem("bad_loop_register", f"'LoopRegister' is {_kind(block['LoopRegister'])}, not a name")


def _hex_problems(block: Mapping[str, Any]) -> Iterator[Problem]:
    if "Hex" not in block:
        yield Problem("missing_hex", "it has no field 'Hex'")
        return
    text = block["Hex"]
    try:
        binascii.unhexlify(text if isinstance(text, str) else "?")
    except ValueError:
        shown = repr(text[:40]) if isinstance(text, str) else _kind(text)
        yield Problem("bad_hex", f"'Hex' is {shown}, not machine code in hexadecimal digits")


def _array_problems(block: Mapping[str, Any], name: str, what: str, fields: Mapping[str, _Kind]) -> Iterator[Problem]:
    entries = block.get(name)
    if not isinstance(entries, list):
        yield Problem(f"missing_{what}_array", f"it has no array '{name}'")
        return
    for index, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            yield Problem(f"bad_{what}", f"{name}[{index}] is {_kind(entry)}, not an object")
            continue
        for field, (is_good, wanted) in fields.items():
            if field not in entry:
                yield Problem(f"missing_{what}_field", f"{name}[{index}] has no field '{field}'")
            elif not is_good(entry[field]):
                yield Problem(f"bad_{what}_field", f"{name}[{index}]: '{field}' is {_kind(entry[field])}, not {wanted}")


def _mapping_problems(block: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds mappings of memory that is not defined."""
    definitions, mappings = block.get("MemoryDefinitions"), block.get("MemoryMappings")
    if not isinstance(definitions, list) or not isinstance(mappings, list):
        return
    names = [entry.get("Name") for entry in definitions if isinstance(entry, Mapping)]
    for index, entry in enumerate(mappings):
        name = entry.get("Value") if isinstance(entry, Mapping) else None
        if _is_name(name) and name not in names:
            yield Problem("undefined_memory", f"MemoryMappings[{index}] maps {name!r}, which 'MemoryDefinitions' lacks")


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        return repr(value[:40])
    return "an array" if isinstance(value, list) else "an object"
