"""From a canonical instruction to the token strings that a model reads. Specification section 2.4."""

from __future__ import annotations

from collections.abc import Iterable

from gematria_ops.blocks.basic_block import BasicBlock, Instruction, InstructionOperand, OperandType

DELIMITER = "_D_"
IMMEDIATE = "_IMMEDIATE_"
ADDRESS = "_ADDRESS_"
MEMORY = "_MEMORY_"
NO_REGISTER = "_NO_REGISTER_"
DISPLACEMENT = "_DISPLACEMENT_"
UNKNOWN = "_UNKNOWN_"

# Every vocabulary has these, whether or not they occur in the data.
STRUCTURAL_TOKENS = frozenset({DELIMITER, IMMEDIATE, ADDRESS, MEMORY, NO_REGISTER, DISPLACEMENT, UNKNOWN})


def operand_tokens(operand: InstructionOperand) -> tuple[str, ...]:
    """Names one operand: the register, or what kind of value it is. Values of immediates are not represented.

    Args:
        operand: Any operand.

    Returns:
        Between zero (operand of unknown kind) and five tokens.
    """
    if operand.register_name is not None:
        return (operand.register_name,)
    if operand.type in (OperandType.IMMEDIATE_VALUE, OperandType.FP_IMMEDIATE_VALUE):
        return (IMMEDIATE,)
    if operand.type is OperandType.MEMORY:
        return (MEMORY,)
    if operand.address is None:
        return ()
    address = operand.address
    tokens = [ADDRESS, address.base_register or NO_REGISTER, address.index_register or NO_REGISTER]
    if address.segment_register:
        tokens.append(address.segment_register)
    if address.displacement:
        tokens.append(DISPLACEMENT)
    return tuple(tokens)


def instruction_tokens(instruction: Instruction) -> tuple[str, ...]:
    """Names one instruction: prefixes, mnemonic, delimiter, outputs, delimiter, inputs, delimiter.

    Explicit operands stand before implicit ones. There are always exactly three delimiters.

    Args:
        instruction: Any instruction.

    Returns:
        At least four tokens.
    """
    tokens = [*instruction.prefixes, instruction.mnemonic, DELIMITER]
    for operand in (*instruction.output_operands, *instruction.implicit_output_operands):
        tokens.extend(operand_tokens(operand))
    tokens.append(DELIMITER)
    for operand in (*instruction.input_operands, *instruction.implicit_input_operands):
        tokens.extend(operand_tokens(operand))
    tokens.append(DELIMITER)
    return tuple(tokens)


def block_tokens(block: BasicBlock) -> tuple[tuple[str, ...], ...]:
    """Names a block: the tokens of each of its instructions, in order."""
    return tuple(instruction_tokens(instruction) for instruction in block.instructions)


def unique_tokens(blocks: Iterable[BasicBlock]) -> frozenset[str]:
    """Collects the tokens that occur in the blocks; structural tokens only where they do."""
    return frozenset(
        token for block in blocks for instruction in block.instructions for token in instruction_tokens(instruction)
    )
