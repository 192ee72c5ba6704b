"""Blocks, instructions and operands: factories, properties, equality, immutability."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from gematria_ops.blocks.basic_block import (
    AddressTuple,
    Annotation,
    BasicBlock,
    Instruction,
    InstructionOperand,
    OperandType,
)
from ops_common.errors import DataError

ADDRESS = AddressTuple("RAX", -8, "RSI", 2, "FS")

# operand, the property that belongs to it, its value, its type
OPERANDS = [
    (InstructionOperand.from_register("RAX"), "register_name", "RAX", OperandType.REGISTER),
    (InstructionOperand.from_immediate_value(0), "immediate_value", 0, OperandType.IMMEDIATE_VALUE),
    (InstructionOperand.from_fp_immediate_value(1), "fp_immediate_value", 1.0, OperandType.FP_IMMEDIATE_VALUE),
    (InstructionOperand.from_address(ADDRESS), "address", ADDRESS, OperandType.ADDRESS),
    (InstructionOperand.from_memory(1), "alias_group_id", 1, OperandType.MEMORY),
    (InstructionOperand(), None, None, OperandType.UNKNOWN),
]
PROPERTIES = ("register_name", "immediate_value", "fp_immediate_value", "address", "alias_group_id")


def test_operand_types_are_numbered_from_zero() -> None:
    names = ["UNKNOWN", "REGISTER", "IMMEDIATE_VALUE", "FP_IMMEDIATE_VALUE", "ADDRESS", "MEMORY"]
    assert [kind.name for kind in OperandType] == names
    assert [kind.value for kind in OperandType] == list(range(6))


@pytest.mark.parametrize(("operand", "own", "value", "kind"), OPERANDS, ids=lambda item: str(item)[:20])
def test_only_the_property_of_the_type_is_set(operand: InstructionOperand, own: str, value: Any, kind: Any) -> None:
    assert operand.type is kind
    assert {name: getattr(operand, name) for name in PROPERTIES} == {
        name: value if name == own else None for name in PROPERTIES
    }


def test_operands_are_equal_to_their_like_only() -> None:
    for index, (first, *_) in enumerate(OPERANDS):
        for other_index, (second, *_) in enumerate(OPERANDS):
            assert (first == copy.deepcopy(second)) == (index == other_index)
    assert InstructionOperand.from_memory(1) != InstructionOperand.from_immediate_value(1)
    assert InstructionOperand.from_memory(1) != InstructionOperand.from_memory(2)


def test_an_address_is_made_of_parts_or_of_a_tuple() -> None:
    parts = InstructionOperand.from_address(
        base_register="RAX", displacement=-8, index_register="RSI", scaling=2, segment_register="FS"
    )
    assert parts == InstructionOperand.from_address(ADDRESS)
    assert InstructionOperand.from_address().address == AddressTuple("", 0, "", 0, "")


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_an_immediate_has_64_bits_without_sign(value: int) -> None:
    with pytest.raises(DataError, match="does not fit into unsigned 64 bits"):
        InstructionOperand.from_immediate_value(value)
    assert InstructionOperand.from_immediate_value((1 << 64) - 1).immediate_value == (1 << 64) - 1


@pytest.mark.parametrize("change", [{"base_register": "RBX"}, {"displacement": 0}, {"index_register": ""},
                                    {"scaling": 4}, {"segment_register": ""}])  # fmt: skip
def test_addresses_differ_by_each_field(change: dict[str, Any]) -> None:
    assert dataclasses.replace(ADDRESS, **change) != ADDRESS


def test_annotation_defaults() -> None:
    assert Annotation() == Annotation("", -1)
    assert Annotation("misses", 0.5) != Annotation("misses", 0.25)


INSTRUCTION = Instruction(
    "ADC", "ADC32rr", ("REP",), (OPERANDS[0][0],), (OPERANDS[1][0],), (OPERANDS[2][0],), (OPERANDS[3][0],),
    (Annotation("misses", 0.5),),
)  # fmt: skip


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Instruction)])
def test_instructions_differ_by_each_field(name: str) -> None:
    value = getattr(INSTRUCTION, name)
    other: dict[str, Any] = {name: "" if isinstance(value, str) else ()}
    assert dataclasses.replace(INSTRUCTION, **other) != INSTRUCTION


def test_any_iterable_becomes_a_tuple() -> None:
    lists: Any = [[INSTRUCTION]]
    block = BasicBlock(lists[0])
    assert block.instructions == (INSTRUCTION,)
    prefixes: Any = ["REP"]
    made = Instruction("MOV", prefixes=prefixes)
    assert made.prefixes == ("REP",)
    assert hash(made) == hash(Instruction("MOV", prefixes=("REP",)))


@pytest.mark.parametrize("value", [ADDRESS, OPERANDS[0][0], Annotation(), INSTRUCTION, BasicBlock((INSTRUCTION,))])
def test_values_do_not_change_and_can_be_copied(value: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(value, dataclasses.fields(value)[0].name, "other")
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value
