"""Filling a form with operands: every kind of slot, prefixes, predicates."""

import pytest

from gematria_ops.blocks.basic_block import AddressTuple, InstructionOperand
from gematria_ops.blocks.canonical import NO_OPERANDS, OpcodeForm, canonicalize, register_operand, slot
from gematria_ops.blocks.reference_rows import instruction_columns, operand_text


class FakeOperands:
    """An instruction with a register, a negative 8-bit immediate, an address, a mask and a rounding mode."""

    def register(self, index: int) -> str:
        return ("RAX", "R9D", "K3")[index]

    def immediate(self, index: int) -> tuple[int, int]:
        assert index == 1
        return (1 << 64) - 2, 8

    def address(self) -> AddressTuple:
        return AddressTuple("RBX", -8, "RCX", 4, "")

    def absolute_address(self) -> int:
        return 1 << 40

    def mask(self) -> str:
        return "K5"

    def rounding(self) -> int:
        return 3

    def segment(self) -> str:
        return "GS"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("mem", "mem"),
        ("addr", "addr(RBX,-8,RCX,4,)"),
        ("disp", f"imm:{1 << 40}"),
        ("0", "RAX"),
        ("0w", "AX"),
        ("0d", "EAX"),
        ("1w", "R9W"),
        ("1d", "R9D"),
        ("2p", "K2_K3"),
        ("1s", "imm:-2"),
        ("1u", "imm:254"),
        ("k", "K5"),
        ("rc", "imm:3"),
        ("seg", "GS"),
        ("#4", "imm:4"),
        ("#-1", "imm:-1"),
        ("ST1", "ST1"),
    ],
)
def test_slots(word: str, text: str) -> None:
    operand = slot(word)(FakeOperands())
    assert operand is not None
    assert operand_text(operand) == text


def test_a_segment_slot_is_empty_without_an_override() -> None:
    assert slot("seg")(NO_OPERANDS) is None


@pytest.mark.parametrize("word", ["0", "1s", "addr", "disp", "k", "rc"])
def test_an_instruction_without_operands_fills_no_slot(word: str) -> None:
    with pytest.raises(LookupError):
        slot(word)(NO_OPERANDS)


def test_lists_keep_their_order_and_their_duplicates() -> None:
    form = OpcodeForm("ADD64rm", "ADD", ("0",), ("EFLAGS",), ("mem", "0", "addr", "0"), ("DF", "EFLAGS"))
    assert instruction_columns(canonicalize(form, FakeOperands())) == {
        "prefixes": "",
        "mnemonic": "ADD",
        "llvm_mnemonic": "ADD64rm",
        "output_operands": "RAX",
        "implicit_output_operands": "EFLAGS",
        "input_operands": "mem RAX addr(RBX,-8,RCX,4,) RAX",
        "implicit_input_operands": "DF EFLAGS",
    }


@pytest.mark.parametrize(
    ("printed", "prefixes", "mnemonic"),
    [
        ((), (), "nop"),
        (("REP",), ("REP",), "NOP"),
        (("LOCK", "REPNE"), ("LOCK", "REPNE"), "NOP"),
        (("ADDR32",), (), "ADDR32"),
        (("REP", "ADDR32"), ("REP",), "ADDR32"),
    ],
)
def test_printed_prefixes(printed: tuple[str, ...], prefixes: tuple[str, ...], mnemonic: str) -> None:
    made = canonicalize(OpcodeForm("NOOP", "nop"), NO_OPERANDS, printed)
    assert (made.prefixes, made.mnemonic) == (prefixes, mnemonic)


def test_a_prefix_as_an_instruction_behind_a_prefix_leaves_no_mnemonic() -> None:
    made = canonicalize(OpcodeForm("REP_PREFIX", "rep"), NO_OPERANDS, ("REP",))
    assert (made.prefixes, made.mnemonic) == (("REP", "REP"), "")


@pytest.mark.parametrize(
    ("mnemonic", "predicate", "expected"),
    [
        ("CMP*SD", 1, "CMPLTSD"),
        ("CMP*SD", 8, "CMPSD"),
        ("VCMP*PS", 8, "VCMPEQ_UQPS"),
        ("VCMP*PS", 32, "VCMPPS"),
        ("VPCMP*UW", 0, "VPCMPEQUW"),
        ("VPCMP*UW", 7, "VPCMPUW"),
        ("VPCOM*B", 7, "VPCOMTRUEB"),
    ],
)
def test_predicates(mnemonic: str, predicate: int, expected: str) -> None:
    form = OpcodeForm("X", mnemonic, inputs=("0", f"#{predicate}"))
    assert canonicalize(form, FakeOperands()).mnemonic == expected


def test_register_operands_are_shared() -> None:
    assert register_operand("RAX") is register_operand("RAX")
    assert register_operand("RAX") == InstructionOperand.from_register("RAX")
