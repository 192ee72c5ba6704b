"""Decoding machine code: the reference rows, block boundaries, errors, the cache, random bytes."""

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gematria_ops.blocks.decoding import (
    CANONICALIZER_VERSION,
    DecodedInstruction,
    UndecodableError,
    decode_block,
    form_origin,
)
from gematria_ops.blocks.reference_rows import ReferenceRow, instruction_columns, read_reference_rows

DATA = Path(__file__).parents[2] / "data" / "x86"
REFERENCE_VARIABLE = "LLVM_REFERENCE_ROWS"
FILES = ["specification_appendix_a.csv", "llvm19_canonical_sample.csv"]


def decode(code: str) -> list[DecodedInstruction]:
    return decode_block(bytes.fromhex(code))


def mnemonics(code: str) -> list[str]:
    return [" ".join((*one.instruction.prefixes, one.instruction.mnemonic)) for one in decode(code)]


def disagreements(rows: list[ReferenceRow]) -> list[object]:
    found: list[object] = []
    for row in rows:
        decoded = decode_block(row.machine_code)
        made = instruction_columns(decoded[0].instruction)
        if len(decoded) != 1 or made != row.columns:
            found.append((row.machine_code.hex(), made, row.columns))
    return found


def test_the_version_names_the_dialect() -> None:
    assert CANONICALIZER_VERSION.startswith("LLVM 19.1.7")


@pytest.mark.parametrize("name", FILES)
def test_every_reference_row_agrees_in_every_column(name: str) -> None:
    rows = list(read_reference_rows(DATA / name))
    assert len(rows) > 100
    assert disagreements(rows) == []


def test_the_comparison_catches_a_wrong_row() -> None:
    (row, *_) = read_reference_rows(DATA / FILES[0])
    wrong = ReferenceRow(row.machine_code, {**row.columns, "input_operands": "RCX"}, 1)
    assert len(disagreements([wrong])) == 1


@pytest.mark.skipif(REFERENCE_VARIABLE not in os.environ, reason=f"{REFERENCE_VARIABLE} does not name the full file")
def test_all_reference_rows_agree() -> None:
    assert disagreements(list(read_reference_rows(Path(os.environ[REFERENCE_VARIABLE])))) == []


def test_an_empty_block_has_no_instructions() -> None:
    assert decode_block(b"") == []


def test_a_block_is_divided_into_its_instructions() -> None:
    decoded = decode("4829d38b44246c8b54246848c1fb034829d04839c3")
    assert [one.machine_code.hex() for one in decoded] == [
        "4829d3", "8b44246c", "8b542468", "48c1fb03", "4829d0", "4839c3",
    ]  # fmt: skip
    assert [one.assembly for one in decoded] == [
        "\tsubq\t%rdx, %rbx",
        "\tmovl\t108(%rsp), %eax",
        "\tmovl\t104(%rsp), %edx",
        "\tsarq\t$3, %rbx",
        "\tsubq\t%rdx, %rax",
        "\tcmpq\t%rax, %rbx",
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        # LOCK is an instruction of its own where it comes first, and a prefix behind others
        ("f00103", ["lock", "ADD"]),
        ("f0480fb137", ["lock", "CMPXCHG"]),
        ("64f00103", ["LOCK ADD"]),
        ("f0", ["lock"]),
        # REP and REPNE are prefixes, except before an exchange, a store or LOCK
        ("f348ab", ["REP STOSQ"]),
        ("f3c3", ["REP RET"]),
        ("f2e800000000", ["REPNE CALL"]),
        ("f287d8", ["xacquire", "XCHG"]),
        ("f3f00103", ["xrelease", "lock", "ADD"]),
        ("f38903", ["xrelease", "MOV"]),
        ("f2", ["repne"]),
        ("f390", ["pause"]),
        # a prefix that selects the instruction is not printed, nor is one that LLVM takes no notice of
        ("f30fb8c1", ["POPCNT"]),
        ("f30fb6c0", ["MOVZX"]),
        ("666690", ["nop"]),
        ("66666690c3", ["nop", "ret"]),
        ("2e2e2ec3", ["ret"]),
        # prefixes without an instruction behind them
        ("66", ["data16"]),
        ("c366", ["ret", "data16"]),
        ("4866", ["data16"]),
        ("4864", ["fs"]),
        ("f366", ["REP DATA16"]),
        # the address size is printed where no register of the address shows it
        ("67c3", ["ADDR32"]),
        ("678b00", ["MOV"]),
        ("67a4", ["MOVSB"]),
        ("67e302", ["JECXZ"]),
        # a 16-bit displacement, as with processors of AMD
        ("660f84000090", ["JE", "nop"]),
        ("66480f84000090", ["JE", "nop"]),
        ("66e9000090", ["JMP", "nop"]),
        ("6648e900000000", ["JMP"]),
        ("66e800000000c3", ["CALL", "ret"]),
        # more prefixes than a processor takes
        ("66" * 20 + "90", ["nop"]),
        # a comparison has its predicate in the mnemonic, if LLVM has a name for it
        ("0fc2c100", ["CMPEQPS"]),
        ("0fc2c109", ["CMPPS"]),
        ("c5f0c2c21f", ["VCMPTRUE_USPS"]),
        ("62f37d081ec103", ["VPCMPUD"]),
        ("62f37d081ec104", ["VPCMPNEQUD"]),
    ],
)
def test_prefixes_and_boundaries(code: str, expected: list[str]) -> None:
    assert mnemonics(code) == expected
    assert b"".join(one.machine_code for one in decode(code)).hex() == code


@pytest.mark.parametrize(
    ("code", "column", "expected"),
    [
        ("488d742600", "input_operands", "addr(RSI,0,RIZ,1,)"),
        ("8b046500000000", "input_operands", "mem addr(,0,RIZ,2,)"),
        ("67488d0420", "input_operands", "addr(EAX,0,EIZ,1,)"),
        ("8b0424", "input_operands", "mem addr(RSP,0,,1,)"),
        ("678b05f0ffffff", "input_operands", "mem addr(EIP,-16,,1,)"),
        ("678b40f0", "input_operands", "mem addr(EAX,-16,,1,)"),
        ("2e0f1f840000000000", "input_operands", "addr(RAX,0,RAX,1,CS)"),
        ("65a4", "input_operands", "RDI RSI GS"),
        ("66a5", "input_operands", "RDI RSI"),
        ("6466a5", "input_operands", "RDI RSI FS"),
        ("67a4", "input_operands", "EDI ESI"),
        ("66c3", "llvm_mnemonic", "RET16"),
        ("6648c3", "llvm_mnemonic", "RET64"),
        ("67a05ad52bde", "input_operands", "mem imm:3727414618"),
        ("0f02c1", "input_operands", "CX"),
        ("62f2772868c1", "output_operands", "K0_K1"),
        ("664c0f7ec1", "llvm_mnemonic", "MOVPQIto64rr"),
        ("62f174185800", "llvm_mnemonic", "VADDPSZ128rmb"),
        ("62f1743858c2", "input_operands", "ZMM1 ZMM2 imm:1"),
        ("62f17c1dc2cfa3", "llvm_mnemonic", "VCMPPSZrribk"),
    ],
)
def test_operands_that_need_care(code: str, column: str, expected: str) -> None:
    (decoded,) = decode(code)
    assert instruction_columns(decoded.instruction)[column] == expected


@pytest.mark.parametrize(
    ("code", "offset", "reason"),
    [
        ("48", 0, "truncated"),
        ("4889", 0, "truncated"),
        ("9090e90102", 2, "truncated"),
        ("f348", 0, "truncated"),
        ("8b8424112233", 0, "truncated"),
        ("c5f8", 0, "truncated"),
        ("62f174", 0, "truncated"),
        ("0f38", 0, "truncated"),
        ("06", 0, "undecodable"),
        ("c306c3", 1, "undecodable"),
        ("f00106ff", 3, "truncated"),
        ("48c5f877", 0, "undecodable"),
        ("4840", 0, "undecodable"),
        ("0fff", 0, "truncated"),
        ("0f04", 0, "undecodable"),
        ("0f2000", 0, "undecodable"),
        ("c0f000", 0, "undecodable"),
        ("f1", 0, "undecodable"),
        ("62f1744800c2", 0, "undecodable"),
    ],
)
def test_bad_machine_code(code: str, offset: int, reason: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(code)
    assert (caught.value.offset, caught.value.reason) == (offset, reason)
    assert f"{reason} machine code at byte {offset} of {len(code) // 2}" in caught.value.message
    assert caught.value.hint
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (copied.offset, copied.reason, copied.message) == (offset, reason, caught.value.message)


def test_identical_bytes_give_the_identical_object() -> None:
    first, second = decode("4801d84801d8")
    assert first is second
    assert decode("904801d8")[1] is first
    # also where the disassembler sees one instruction and LLVM two
    lock, add = decode("f00103")
    assert decode("0103")[0] is add
    assert decode("f00104249090")[0] is lock
    assert decode("f0")[0] is lock


def test_the_same_byte_before_an_exchange_is_another_instruction() -> None:
    assert decode("f2")[0] is not decode("f287d8")[0]
    assert decode("f2")[0].instruction.mnemonic == "repne"
    assert decode("f287d8")[0].instruction.mnemonic == "xacquire"


def test_the_origin_of_a_form() -> None:
    assert form_origin(bytes.fromhex("4801d8")) == "table"
    assert form_origin(bytes.fromhex("62f1744958c2")) == "rule"


# Bytes that begin an instruction with prefixes, or the longer encodings, more often than chance would have it.
pieces = st.one_of(
    st.binary(max_size=6),
    st.sampled_from([bytes([byte]) for byte in b"\xf0\xf2\xf3\x66\x67\x2e\x64\x40\x48\x0f\xc4\xc5\x62\x8f\x90\x86"]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(pieces, max_size=8).map(b"".join))
def test_any_bytes_decode_completely_or_fail_with_the_offset(code: bytes) -> None:
    try:
        decoded = decode_block(code)
    except UndecodableError as error:
        assert error.reason in {"truncated", "undecodable"}
        before = decode_block(code[: error.offset])
        assert sum(len(one.machine_code) for one in before) == error.offset
        return
    assert b"".join(one.machine_code for one in decoded) == code
    assert all(one.assembly.startswith("\t") for one in decoded)
