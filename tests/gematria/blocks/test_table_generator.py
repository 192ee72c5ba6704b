"""The generator of the opcode table, without LLVM: inference from reference rows, and the text of the table."""

import itertools
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest

from gematria_ops.blocks.canonical import OpcodeForm, slot
from gematria_ops.blocks.disassembly import read_machine_instruction
from gematria_ops.blocks.opcode_table import Forms, opcode_table, parse_table
from gematria_ops.blocks.reference_rows import read_reference_rows
from gematria_ops.blocks.table_generator.encodings import SPACES
from gematria_ops.blocks.table_generator.generate import table_text
from gematria_ops.blocks.table_generator.inference import Observation, infer_form

DATA = Path(__file__).parents[2] / "data" / "x86"


def observations() -> dict[tuple[str, str], list[Observation]]:
    groups: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for row in read_reference_rows(DATA / "llvm19_canonical_sample.csv"):
        reading = read_machine_instruction(row.machine_code)
        groups[reading.code, reading.variant].append(Observation(row.machine_code, reading, row.columns))
    return groups


def test_an_inferred_form_explains_its_observations() -> None:
    groups = observations()
    assert len(groups) > 700
    for seen in groups.values():
        form = infer_form(seen, None)
        assert form is not None
        assert all(one.agrees(form) for one in seen), seen


def test_a_form_of_another_opcode_explains_nothing() -> None:
    (seen,) = observations()["XADD_RM64_R64", "m"][:1]
    wrong = opcode_table().find("XCHG_RM64_R64", "m")
    assert wrong is not None
    assert not seen.agrees(wrong)


def test_a_table_is_written_and_read_back() -> None:
    plain = OpcodeForm("VADDPSZrr", "VADDPS", ("0",), (), ("1", "2"), ("MXCSR",))
    masked = OpcodeForm("VADDPSZrrk", "VADDPS", ("0",), (), ("0", "k", "1", "2"), ("MXCSR",))
    odd = OpcodeForm("ODDk", "{VEX}", (), ("EFLAGS",), ("#4", "seg"), ())
    forms: dict[str, Forms] = {
        "EVEX_VADDPS_ZMM_K1Z_ZMM_ZMMM512B32_ER": {"r": plain, "rk": masked, "rz": odd, "mb": None},
        "UD0": {},
        "CLD": {"r": OpcodeForm("CLD", "cld"), "ro": OpcodeForm("CLD", "cld")},
    }
    text = table_text(forms)
    table = parse_table(text.splitlines())
    # what the rules derive is not written, and found again all the same
    assert sum("VADDPSZrrk" in line for line in text.splitlines()) == 0
    assert "\tro:" not in text
    for code, by_variant in forms.items():
        for variant, form in by_variant.items():
            assert table.find(code, variant) == form
    assert table.knows("UD0")


@pytest.mark.parametrize("name", sorted(SPACES))
def test_encodings_are_reproducible_and_of_their_kind(name: str) -> None:
    first = list(itertools.islice(SPACES[name](Random(1)), 500))
    assert first == list(itertools.islice(SPACES[name](Random(1)), 500))
    assert all(first)
    if name in ("vex", "xop", "evex"):
        assert {code[0] for code in first} == {{"vex": 0xC4, "xop": 0x8F, "evex": 0x62}[name]}


@pytest.mark.parametrize("word", ["2", "2s", "disp"])
def test_an_operand_that_is_not_there_explains_nothing(word: str) -> None:
    # The condition of SETO is the constant 0, which is also what the disassembler gives for operands it does not have.
    reading = read_machine_instruction(bytes.fromhex("0f90c1"))
    with pytest.raises(LookupError):
        slot(word)(reading.operands)
    columns = {
        "prefixes": "",
        "mnemonic": "SETO",
        "llvm_mnemonic": "SETCCr",
        "output_operands": "CL",
        "implicit_output_operands": "",
        "input_operands": "imm:0",
        "implicit_input_operands": "EFLAGS",
    }
    form = infer_form([Observation(b"", reading, columns)], None)
    assert form == opcode_table().find("SETO_RM8", "r")
