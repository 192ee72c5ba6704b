"""AT&T text of an instruction as LLVM prints it, made from the text of the disassembler's GNU formatter.

The text is for people and for assemblers; nothing here reads it back. Where LLVM's habits are not followed the two
differ in spelling only.
"""

from __future__ import annotations

import re

from gematria_ops.blocks.basic_block import Instruction, OperandType

_SIGN = 1 << 63
_IMMEDIATE = re.compile(r"\$-?[0-9]+")
_MEMORY = re.compile(r"(?:-?[0-9]+)?\(%")
# Where an immediate of the form has no sign although the canonical operand has one: counts of shifts and rotations.
_UNSIGNED_BYTE = re.compile(r"(?:RC|RO|SH|SA)[LR]D?[0-9]+[mr]i|SH[LR]D[0-9]+[mr]ri8")
_ONCE = re.compile(r"(?:RC|RO|SH|SA)[LR][0-9]+[mr]1")
_SIZED_CONVERSION = re.compile(r"(v?cvtu?si2s[sdh])[lq]$")
_SIZED_SET = re.compile(r"(set[a-z]+)b$")
_STRING = re.compile(r"(?:MOVS|STOS|SCAS|CMPS|INS|LODS|OUTS)[BWLQ]")
_SEGMENTS = frozenset({"CS", "DS", "ES", "FS", "GS", "SS"})
_MNEMONICS = {
    "leaveq": "leave",
    "fwait": "wait",
    "fnstcww": "fnstcw",
    "fldcww": "fldcw",
    "fnstsww": "fnstsw",
    "fucomip": "fucompi",
    "fcomip": "fcompi",
    "vcvtpd2psx": "vcvtpd2ps",
}


def att_text(gas_text: str, instruction: Instruction, printed_prefixes: tuple[str, ...]) -> str:
    """Writes one instruction as LLVM does.

    Args:
        gas_text: What the GNU formatter makes of the instruction without its printed prefixes.
        instruction: Its canonical form.
        printed_prefixes: What LLVM prints before the mnemonic, in upper case.

    Returns:
        The text with a tab before and after the mnemonic, for example `\\tsubq\\t%rdx, %r10`.
    """
    mnemonic, _, operands = gas_text.partition(" ")
    opcode = instruction.llvm_mnemonic
    if opcode == "NOOP":
        mnemonic, operands = "nop", ""
    mnemonic = _MNEMONICS.get(mnemonic, mnemonic)
    if opcode.startswith("SETCC"):
        mnemonic = _SIZED_SET.sub(r"\1", mnemonic)
    if "(" not in operands:
        mnemonic = _SIZED_CONVERSION.sub(r"\1", mnemonic)
    if opcode.endswith("1") and _ONCE.fullmatch(opcode):
        operands = operands.removeprefix("$1, ")
    operands = operands.strip()
    if operands.isdecimal() and int(operands) & _SIGN:
        # The displacement of a branch backwards, which the formatter shows as an address.
        operands = str(int(operands) - 2 * _SIGN)
    if "$" in operands:
        operands = _with_llvm_immediates(operands, instruction)
    if "CMP" in opcode or opcode.startswith("VPCOM"):
        mnemonic, operands = _with_predicate(mnemonic, operands, instruction)
    operands = _with_segment(operands, instruction)
    before = "".join(f"\t{prefix.lower()}\t" for prefix in printed_prefixes)
    return f"{before}\t{mnemonic}" + (f"\t{operands}" if operands else "")


def _with_llvm_immediates(operands: str, instruction: Instruction) -> str:
    """Replaces each immediate by the canonical one; AT&T syntax turns the order of the operands round."""
    texts = _IMMEDIATE.findall(operands)
    values = [operand.immediate_value for operand in instruction.input_operands if operand.immediate_value is not None]
    if not texts or len(values) != len(texts):
        return operands
    if _UNSIGNED_BYTE.fullmatch(instruction.llvm_mnemonic):
        values = [value & 0xFF for value in values]
    signed = [value - 2 * _SIGN if value & _SIGN else value for value in values]
    replacements = iter(reversed(signed))
    return _IMMEDIATE.sub(lambda _: f"${next(replacements)}", operands)


def _with_predicate(mnemonic: str, operands: str, instruction: Instruction) -> tuple[str, str]:
    """Moves the predicate of a comparison from the operands into the mnemonic where LLVM has a name for it."""
    canonical = instruction.mnemonic.lower()
    if len(canonical) <= len(mnemonic) or not _IMMEDIATE.match(operands) or canonical[:3] != mnemonic[:3]:
        return mnemonic, operands
    return canonical, operands.partition(", ")[2]


def _with_segment(operands: str, instruction: Instruction) -> str:
    """Writes a segment override, which the formatter is not told of, before the address."""
    if _STRING.fullmatch(instruction.llvm_mnemonic):
        return _string_operands(operands, instruction)
    for operand in instruction.input_operands:
        if operand.type is OperandType.ADDRESS and operand.address and operand.address.segment_register:
            segment = f"%{operand.address.segment_register.lower()}:"
            if _MEMORY.search(operands):
                return _MEMORY.sub(rf"{segment}\g<0>", operands, count=1)
            # Without a base the displacement stands alone, as the first or the last operand.
            return re.sub(r"(?<![$%\w(-])(-?[0-9]+)(?![\w)])", rf"{segment}\1", operands, count=1)
    return operands


def _string_operands(operands: str, instruction: Instruction) -> str:
    """Writes the segments of the implied addresses: always ES for the destination."""
    operands = re.sub(r"\(%[re]di\)", r"%es:\g<0>", operands)
    names = [operand.register_name for operand in instruction.input_operands]
    segment = next((name.lower() for name in names if name in _SEGMENTS and name), None)
    return re.sub(r"\(%[re]si\)", rf"%{segment}:\g<0>", operands) if segment else operands
