"""The comparison with reference rows, the reading of their files, and the form of last resort."""

import gzip
from pathlib import Path

import pytest

from gematria_ops.blocks.check_canonical import compare_file, main
from gematria_ops.blocks.disassembly import disassembler_form, read_machine_instruction
from gematria_ops.blocks.fallback import OperandAccess, OperandKind, fallback_form
from gematria_ops.blocks.reference_rows import read_reference_rows
from ops_common.errors import DataError

HEADER = (
    "machine_code_hex,prefixes,mnemonic,llvm_mnemonic,output_operands,implicit_output_operands,input_operands,"
    "implicit_input_operands,count\n"
)
GOOD = "4801d8,,ADD,ADD64rr,RAX,EFLAGS,RAX RBX,,7\n"


def test_agreement_and_causes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        HEADER
        + GOOD
        + "4801d8,,SUB,SUB64rr,RAX,EFLAGS,RAX RBX,,1\n"
        + "48,,MOV,MOV64rr,,,,,1\n"
        + "f00103,,ADD,ADD32mr,,,,,1\n"
    )
    agreement = compare_file(path)
    assert (agreement.num_rows, agreement.num_agreeing, agreement.num_same_opcode) == (4, 1, 1)
    assert (agreement.row_share, agreement.occurrence_share) == (0.25, 0.7)
    assert dict(agreement.causes) == {
        "SUB64rr: mnemonic": 1,
        "MOV64rr: truncated": 1,
        "ADD32mr: divided into 2 instructions": 1,
    }
    assert main([str(path)]) == 1
    shown = capsys.readouterr().out
    assert "rows:        1 of 4 agree (25.0000%)" in shown
    assert "SUB64rr: mnemonic; for example 4801d8: mnemonic 'ADD' instead of 'SUB'" in shown


def test_full_agreement_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress((HEADER + GOOD).encode()))
    assert main([str(path)]) == 0
    assert "causes of the rest: none" in capsys.readouterr().out
    assert next(read_reference_rows(path)).count == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the reference rows"),
        ("", "line 1: no column 'machine_code_hex'"),
        (HEADER.replace("count", "number"), "line 1: no column 'count'"),
        (HEADER + GOOD + GOOD.replace("4801d8", "48x"), "line 3: non-hexadecimal number"),
        (HEADER + GOOD.replace(",7", ",many"), "line 2: invalid literal"),
        (HEADER + "4801d8,,ADD\n", "line 2: "),
    ],
)
def test_bad_reference_files(
    tmp_path: Path, content: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(read_reference_rows(path))
    assert main([str(path)]) == DataError.exit_code
    assert str(path) in capsys.readouterr().err


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress((HEADER + GOOD).encode())[:-12])
    with pytest.raises(DataError, match="cannot read the reference rows"):
        list(read_reference_rows(path))


def test_the_form_of_last_resort_follows_the_rules() -> None:
    operands = [
        OperandAccess(OperandKind.MEMORY, True, True),
        OperandAccess(OperandKind.REGISTER, True, False),
        OperandAccess(OperandKind.IMMEDIATE, True, False),
    ]
    form = fallback_form("EVEX_NEW_RM64_R64_IMM8", operands, ["RCX"], ["EFLAGS"])
    assert (form.mnemonic, form.outputs, form.inputs) == ("NEW", ("mem",), ("mem", "addr", "1", "2s"))
    assert (form.implicit_outputs, form.implicit_inputs) == (("EFLAGS",), ("RCX",))
    assert fallback_form("NEW", [], [], []).mnemonic == "new"


@pytest.mark.parametrize(
    ("code", "outputs", "inputs"),
    [("4801d8", ("0",), ("0", "1")), ("488918", ("mem",), ("addr", "1")), ("a4", (), ("0", "1"))],
)
def test_the_disassembler_knows_the_access(code: str, outputs: tuple[str, ...], inputs: tuple[str, ...]) -> None:
    form = disassembler_form(read_machine_instruction(bytes.fromhex(code)))
    assert form is not None
    assert (form.outputs, form.inputs) == (outputs, inputs)
    assert disassembler_form(read_machine_instruction(b"\xf0")) is None
