"""Finds the form of an opcode from observations: what LLVM said of several instructions with the same code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gematria_ops.blocks.canonical import (
    PREDICATE_MARK,
    PREDICATES,
    MachineOperands,
    OpcodeForm,
    canonicalize,
    slot,
)
from gematria_ops.blocks.disassembly import MachineReading
from gematria_ops.blocks.opcode_table import code_mnemonic
from gematria_ops.blocks.reference_rows import instruction_columns, operand_text

# The registers of APX, which the disassembler does not know; an instruction without them has the same form.
_APX_REGISTER = re.compile(r"\bR(1[6-9]|2[0-9]|3[01])[DWB]?\b")
_DISPLACEMENT = re.compile(r"(?<=,)-?[0-9]+(?=,[^,]*,[1248],)")
# All words that can stand in a list, the more specific ones first.
_WORDS = (
    *(f"{index}{kind}" for index in range(5) for kind in ("", "s", "u", "w", "d", "p")),
    *("mem", "addr", "k", "rc", "disp"),
)


@dataclass(frozen=True, slots=True)
class Observation:
    """One instruction, as the disassembler and as LLVM see it."""

    machine_code: bytes
    reading: MachineReading
    columns: dict[str, str]

    @property
    def has_apx_register(self) -> bool:
        """Tells whether LLVM found a register that only APX has."""
        return any(_APX_REGISTER.search(text) for text in self.columns.values())

    def agrees(self, form: OpcodeForm) -> bool:
        """Tells whether the form gives exactly what LLVM says."""
        try:
            made = canonicalize(form, self.reading.operands, self.reading.prefixes)
        except LookupError:
            return False
        return instruction_columns(made) == self.columns


def infer_form(observations: Sequence[Observation], base: OpcodeForm | None) -> OpcodeForm | None:
    """Finds a form that explains as many observations as possible.

    Args:
        observations: At least one, all of the same code and variant.
        base: The form of the variant without prefixes, if the variant has some.

    Returns:
        The form, or None when no slots explain the operands.
    """
    name = Counter(seen.columns["llvm_mnemonic"] for seen in observations).most_common(1)[0][0]
    same = [seen for seen in observations if seen.columns["llvm_mnemonic"] == name]
    plain = [seen for seen in same if not seen.reading.operands.segment()] or same
    lengths = Counter(_lengths(seen) for seen in plain).most_common(1)[0][0]
    plain = [seen for seen in plain if _lengths(seen) == lengths]
    outputs = _infer_list("output_operands", plain)
    inputs = _infer_list("input_operands", plain)
    if outputs is None or inputs is None:
        return None
    form = OpcodeForm(
        name,
        _mnemonic(plain, base),
        outputs,
        tuple(plain[0].columns["implicit_output_operands"].split()),
        inputs,
        tuple(plain[0].columns["implicit_input_operands"].split()),
    )
    form = _with_segment(form, same)
    if base is not None and score(base, observations) >= score(form, observations):
        return base
    return form


def _lengths(seen: Observation) -> tuple[int, int]:
    return len(seen.columns["output_operands"].split()), len(seen.columns["input_operands"].split())


def _mnemonic(observations: Sequence[Observation], base: OpcodeForm | None) -> str:
    """Takes the mnemonic as it is printed without prefixes, with a mark where LLVM prints a predicate."""
    bare = [seen for seen in observations if not seen.reading.prefixes]
    mnemonics = Counter(seen.columns["mnemonic"] for seen in bare or observations)
    if not bare:
        if base is not None:
            return base.mnemonic
        mnemonics = Counter({mnemonic.upper(): count for mnemonic, count in mnemonics.items()})
    code = observations[0].reading.code
    if re.search("[XYZ]MM.*_IMM8", code):
        mnemonic = code_mnemonic(code)
        for stem in sorted(PREDICATES, key=len, reverse=True):
            if mnemonic.startswith(stem) and "STR" not in mnemonic:
                return stem + PREDICATE_MARK + mnemonic[len(stem) :]
    return mnemonics.most_common(1)[0][0]


def _infer_list(column: str, observations: Sequence[Observation]) -> tuple[str, ...] | None:
    columns = [seen.columns[column].split() for seen in observations]
    words = []
    for place in range(len(columns[0])):
        values = [operands[place] for operands in columns]
        word = next((word for word in _WORDS if _explains(word, values, observations)), None)
        if word is None:
            if len(set(values)) > 1:
                return None
            word = values[0].replace("imm:", "#")
        words.append(word)
    return tuple(words)


def _explains(word: str, values: Sequence[str], observations: Sequence[Observation]) -> bool:
    read = slot(word)
    texts = [_text(read, seen.reading.operands) for seen in observations]
    if word == "addr":
        # LLVM is not always right about the unit of a compressed displacement; the form is the same.
        return [_DISPLACEMENT.sub("", text) for text in texts] == [_DISPLACEMENT.sub("", value) for value in values]
    return texts == list(values)


def _text(read: object, operands: MachineOperands) -> str:
    try:
        operand = read(operands)  # type: ignore[operator]
    except LookupError:
        return ""
    return operand_text(operand) if operand else ""


def _with_segment(form: OpcodeForm, observations: Sequence[Observation]) -> OpcodeForm:
    """Adds the slot of the segment override where observations with one need it."""
    best = form
    for place in range(len(form.inputs) + 1):
        inputs = (*form.inputs[:place], "seg", *form.inputs[place:])
        candidate = OpcodeForm(
            form.llvm_mnemonic, form.mnemonic, form.outputs, form.implicit_outputs, inputs, form.implicit_inputs
        )
        if score(candidate, observations) > score(best, observations):
            best = candidate
    return best


def score(form: OpcodeForm, observations: Sequence[Observation]) -> int:
    """Counts the observations that a form explains."""
    return sum(seen.agrees(form) for seen in observations)
