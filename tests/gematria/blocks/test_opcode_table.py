"""The opcode table: its text form, lookups, and the rules that extend it."""

from typing import Any

import pytest

from gematria_ops.blocks.canonical import OpcodeForm
from gematria_ops.blocks.opcode_table import (
    code_mnemonic,
    derived_form,
    masked_form,
    opcode_table,
    opcode_table_version,
    parse_table,
    without_prefixes,
)

LINES = [
    "# version: LLVM 1.2.3, table 4",
    "# a comment",
    "@0\t0\tEFLAGS\t0 1\t",
    "@1\t\t\t\tDF",
    "ADD_RM64_R64\t=\tr:ADD64rr:0\tm:-",
    "CLD\tcld\tr:CLD:1\tro:CLD16:1:CLD",
    "UD0\t-",
]


def test_a_table_is_read() -> None:
    table = parse_table(LINES)
    assert table.version == "LLVM 1.2.3, table 4"
    assert table.find("ADD_RM64_R64", "r") == OpcodeForm("ADD64rr", "ADD", ("0",), ("EFLAGS",), ("0", "1"), ())
    assert table.find("CLD", "ra") == OpcodeForm("CLD", "cld", implicit_inputs=("DF",))
    assert table.find("CLD", "ro") == OpcodeForm("CLD16", "CLD", implicit_inputs=("DF",))
    assert table.find("CLD", "roa") == table.find("CLD", "ro")
    assert (table.lists("CLD", "ra"), table.lists("CLD", "rk")) == (True, False)


@pytest.mark.parametrize(("code", "variant", "known"), [("ADD_RM64_R64", "m", True), ("UD0", "r", True),
                                                        ("ADC", "r", False)])  # fmt: skip
def test_what_llvm_does_not_decode_has_no_form(code: str, variant: str, known: bool) -> None:
    table = parse_table(LINES)
    assert table.find(code, variant) is None
    assert table.knows(code) is known


def test_the_committed_table() -> None:
    table = opcode_table()
    assert table.version == opcode_table_version()
    assert len(table.forms) > 4000
    assert table.find("INT1", "r") is None
    assert table.knows("INT1")


@pytest.mark.parametrize(
    ("code", "mnemonic"),
    [
        ("ADD_RM64_R64", "ADD"),
        ("VEX_VADDPS_XMM_XMM_XMMM128", "VADDPS"),
        ("D3NOW_PFADD_MM_MMM64", "PFADD"),
        ("CLD", "CLD"),
    ],
)
def test_the_mnemonic_of_a_code(code: str, mnemonic: str) -> None:
    assert code_mnemonic(code) == mnemonic


def test_prefix_letters_are_taken_off() -> None:
    assert [without_prefixes(name) for name in ("roa", "mwa", "mbk")] == ["r", "m", "mbk"]


def form(outputs: str, inputs: str) -> OpcodeForm:
    return OpcodeForm("Xrr", "X", tuple(outputs.split()), (), tuple(inputs.split()), ("MXCSR",))


@pytest.mark.parametrize(
    ("code", "plain", "merging", "zeroing"),
    [
        ("EVEX_VADDPS_ZMM_K1Z_ZMM_ZMMM512", form("0", "mem 1 addr"), "mem 0 k 1 addr", "mem k 1 addr"),
        ("EVEX_VFMADD213PS_ZMM_K1Z_ZMM_ZMMM512", form("0", "0 1 2"), "0 k 1 2", "0 k 1 2"),
        ("EVEX_VMOVUPS_ZMMM512_K1Z_ZMM", form("mem", "addr 1"), "addr k 1", "addr k 1"),
        ("EVEX_VPCMPEQD_KR_K1_ZMM_ZMMM512", form("0", "1 2"), "k 1 2", "k 1 2"),
    ],
)
def test_masked_forms(code: str, plain: OpcodeForm, merging: str, zeroing: str) -> None:
    assert masked_form(code, plain, False).inputs == tuple(merging.split())
    assert masked_form(code, plain, True).inputs == tuple(zeroing.split())
    assert masked_form(code, plain, False).llvm_mnemonic == "Xrrk"
    assert masked_form(code, plain, True).llvm_mnemonic == "Xrrkz"


@pytest.mark.parametrize(
    ("variant", "opcode", "inputs"),
    [
        ("r", "Xrr", "1 2"),
        ("ra", "Xrr", "1 2"),
        ("rk", "Xrrk", "0 k 1 2"),
        ("rs", "Xrrb", "1 2"),
        ("rR", "Xrrb", "1 2 rc"),
        ("rzR", "Xrrbkz", "k 1 2 rc"),
        ("mb", "Xrmb", "mem 1 addr"),
        ("mbk", "Xrmbk", "mem 0 k 1 addr"),
        ("mR", None, ""),
        ("x", None, ""),
    ],
)
def test_derived_forms(variant: str, opcode: str | None, inputs: str) -> None:
    forms: dict[str, Any] = {
        "r": form("0", "1 2"),
        "m": OpcodeForm("Xrm", "X", ("0",), (), ("mem", "1", "addr"), ()),
        "mR": None,
    }
    made = derived_form("EVEX_X_ZMM_K1Z_ZMM_ZMMM512", variant, forms)
    assert (made and made.llvm_mnemonic) == opcode
    if made:
        assert made.inputs == tuple(inputs.split())
