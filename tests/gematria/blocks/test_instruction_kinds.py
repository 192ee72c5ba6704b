"""Control transfers and memory accesses, by hand and against what the disassembler knows of each opcode."""

import iced_x86
import pytest

from gematria_ops.blocks.basic_block import Instruction
from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.instruction_kinds import (
    SYSTEM_TRANSFERS,
    is_branch,
    is_call,
    is_lone_prefix,
    is_return,
    leaves_block,
    may_access_memory,
)
from gematria_ops.blocks.opcode_table import opcode_table


def instruction(code):
    return decode_block(bytes.fromhex(code))[0].instruction


KINDS = {
    "return": (is_return, "c3 c20800 cb ca0800 48cb cf 48cf f3c3"),
    "call": (is_call, "e800000000 ffd0 ff10 ff18 48ff18"),
    "branch": (is_branch, "ebfe e900000000 ffe0 ff20 ff28 74fe 0f8400000000 e3fe 67e3fe e2fe e1fe e0fe c7f800000000"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_control_transfers(kind):
    for name, (is_kind, _codes) in KINDS.items():
        for code in KINDS[kind][1].split():
            assert is_kind(instruction(code)) is (name == kind), code
            assert leaves_block(instruction(code))


def test_system_transfers_leave_the_block_but_are_no_calls():
    for code in ["cd80", "0f05", "0f34", "0f07", "480f07", "0f35", "480f35"]:
        found = instruction(code)
        assert leaves_block(found), code
        assert not (is_return(found) or is_call(found) or is_branch(found))


@pytest.mark.parametrize("code", ["90", "01d8", "488b03", "cc", "0f0b", "f4", "0fa2", "0f31", "e410", "50"])
def test_what_stays(code):
    assert not leaves_block(instruction(code))


# What the disassembler takes for a transfer of control and LLVM does not.
OTHER_TRANSFERS = set(
    [
        "INT3",
        "TRAP",
        "UD1Lm",
        "UD1Lr",
        "UD1Qm",
        "UD1Qr",
        "UD1Wm",
        "UD1Wr",
        "RSM",
        "SKINIT",
        "SEAMCALL",
        "SEAMRET",
        "TDCALL",
        "VMCALL",
        "VMLAUNCH",
        "VMMCALL",
        "VMRESUME",
        "VMRUN64",
    ]
)


def test_all_opcodes_of_the_table_against_the_disassembler():
    transfers, others = set(), set()
    for code, forms in opcode_table().forms.items():
        if not hasattr(iced_x86.Code, code):
            continue  # a prefix
        machine = iced_x86.Instruction()
        machine.code = getattr(iced_x86.Code, code)
        names = {form.llvm_mnemonic for form in forms.values() if form is not None}
        (others if machine.flow_control == iced_x86.FlowControl.NEXT else transfers).update(names)
    found = {name for name in transfers | others if leaves_block(Instruction("", name))}
    assert found == transfers - OTHER_TRANSFERS
    assert found >= SYSTEM_TRANSFERS


ACCESSES = "8b03 8903 0103 ff30 50 58 a10000000000000000 0f0d00 d803 c9 c8100000 0fa0 0fa1 0f0100 0faef0"
STRING_ACCESSES = "a4 f348a5 aa ac ae a6 6c 6e"
NO_ACCESSES = "01d8 488d03 0f1f00 90 d8c1 0fa2 66480f6ec0"


def test_memory():
    assert all(may_access_memory(instruction(code)) for code in (ACCESSES + " " + STRING_ACCESSES).split())
    assert not any(may_access_memory(instruction(code)) for code in NO_ACCESSES.split())


def test_prefixes_that_stand_alone():
    assert [is_lone_prefix(item.instruction) for item in decode_block(bytes.fromhex("f0010390f2"))] == [
        True,
        False,
        False,
        True,
    ]
