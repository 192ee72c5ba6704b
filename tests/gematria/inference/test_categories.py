"""The category of real instructions, and what it makes of a block."""

from pathlib import Path

import numpy as np
import pytest

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.reference_rows import read_reference_rows
from gematria_ops.inference.categories import (
    ACCESS_NAMES,
    CATEGORY_NAMES,
    DOMINANT_NAMES,
    KIND_NAMES,
    NUM_CATEGORIES,
    Access,
    Kind,
    block_categories,
    categorize,
)

REFERENCE = Path(__file__).parents[2] / "data" / "x86" / "llvm19_canonical_sample.csv"
BOTH = Access.LOAD | Access.STORE
# Machine code, what it is, its kind, its access.
INSTRUCTIONS = [
    ("4801d8", "addq %rbx, %rax", Kind.SCALAR_INTEGER, Access.NONE),
    ("488b07", "movq (%rdi), %rax", Kind.SCALAR_INTEGER, Access.LOAD),
    ("488907", "movq %rax, (%rdi)", Kind.SCALAR_INTEGER, Access.STORE),
    ("480107", "addq %rax, (%rdi)", Kind.SCALAR_INTEGER, BOTH),
    ("488d0407", "leaq (%rdi,%rax), %rax computes, but does not load", Kind.SCALAR_INTEGER, Access.NONE),
    ("58", "popq %rax", Kind.SCALAR_INTEGER, Access.LOAD),
    ("50", "pushq %rax", Kind.SCALAR_INTEGER, Access.STORE),
    ("4898", "cltq, in lower case in canonical form", Kind.SCALAR_INTEGER, Access.NONE),
    ("480fafc1", "imulq %rcx, %rax", Kind.MULTIPLY_OR_DIVIDE, Access.NONE),
    ("f737", "divl (%rdi)", Kind.MULTIPLY_OR_DIVIDE, Access.LOAD),
    ("f20f58c1", "addsd %xmm1, %xmm0", Kind.SSE, Access.NONE),
    ("0f2907", "movaps %xmm0, (%rdi)", Kind.SSE, Access.STORE),
    ("f20f1007", "movsd (%rdi), %xmm0, not the string instruction", Kind.SSE, Access.LOAD),
    ("660f6ec0", "movd %eax, %xmm0", Kind.SSE, Access.NONE),
    ("c5f958c1", "vaddpd %xmm1, %xmm0, %xmm0", Kind.AVX, Access.NONE),
    ("c5fc1007", "vmovups (%rdi), %ymm0", Kind.AVX, Access.LOAD),
    ("62f1fe486f07", "vmovdqu64 (%rdi), %zmm0", Kind.AVX, Access.LOAD),
    ("c5fb92c0", "kmovd %eax, %k0", Kind.AVX, Access.NONE),
    ("c5f877", "vzeroupper", Kind.AVX, Access.NONE),
    ("d9e0", "fchs", Kind.X87_OR_MMX, Access.NONE),
    ("dec1", "faddp %st, %st(1)", Kind.X87_OR_MMX, Access.NONE),
    ("db6b10", "fldt 16(%rbx)", Kind.X87_OR_MMX, Access.LOAD),
    ("0f6fc1", "movq %mm1, %mm0", Kind.X87_OR_MMX, Access.NONE),
    ("f348ab", "rep stosq", Kind.STRING, Access.NONE),
    ("a5", "movsl, whose canonical mnemonic is MOVSD as well", Kind.STRING, Access.NONE),
    ("7400", "je", Kind.BRANCH, Access.NONE),
    ("ffd0", "callq *%rax", Kind.BRANCH, Access.NONE),
    ("ff20", "jmpq *(%rax)", Kind.BRANCH, Access.LOAD),
    ("c3", "retq", Kind.BRANCH, Access.NONE),
    ("90", "nop", Kind.OTHER, Access.NONE),
    ("0f1f00", "nopl (%rax)", Kind.OTHER, Access.NONE),
    ("0faef0", "mfence", Kind.OTHER, Access.NONE),
    ("0f1807", "prefetchnta (%rdi)", Kind.OTHER, Access.NONE),
    ("0fa2", "cpuid", Kind.OTHER, Access.NONE),
    ("0fae1f", "stmxcsr (%rdi)", Kind.OTHER, Access.NONE),
]


@pytest.mark.parametrize(("code", "text", "kind", "access"), INSTRUCTIONS, ids=[row[1] for row in INSTRUCTIONS])
def test_category_of_real_instructions(code: str, text: str, kind: Kind, access: Access) -> None:
    (decoded,) = decode_block(bytes.fromhex(code))
    found = categorize(decoded.instruction)
    assert (found.kind, found.access) == (kind, access)


def test_numbers_are_distinct_and_below_the_limit() -> None:
    numbers = {categorize(decode_block(bytes.fromhex(row[0]))[0].instruction).number for row in INSTRUCTIONS}
    assert len(numbers) == len({(row[2], row[3]) for row in INSTRUCTIONS})
    assert max(numbers) < NUM_CATEGORIES


def test_every_reference_instruction_is_of_the_kind_that_its_name_suggests() -> None:
    """Names that LLVM's own opcodes carry, as a check from another side."""
    kinds: dict[Kind, set[str]] = {kind: set() for kind in Kind}
    for row in read_reference_rows(REFERENCE):
        (decoded,) = decode_block(row.machine_code)
        kinds[categorize(decoded.instruction).kind].add(decoded.instruction.llvm_mnemonic)
    assert all(name.startswith("V") for name in kinds[Kind.AVX])
    assert not any(name.startswith("V") for name in kinds[Kind.SSE] | kinds[Kind.SCALAR_INTEGER])
    assert all(name.startswith("MMX_") or "_F" in name or "F" in name[:6] for name in kinds[Kind.X87_OR_MMX])
    assert all("MUL" in name or "DIV" in name for name in kinds[Kind.MULTIPLY_OR_DIVIDE])
    assert not any("MUL" in name or "DIV" in name for name in kinds[Kind.SCALAR_INTEGER])
    assert kinds[Kind.OTHER] == {
        "CPUID",
        "LDMXCSR",
        "LOCK_PREFIX",
        "MFENCE",
        "NOOP",
        "NOOPL",
        "NOOPW",
        "PREFETCHNTA",
        "PREFETCHT0",
        "STMXCSR",
        "VSTMXCSR",
    }


def summed_up(*blocks: str) -> list[tuple[set[str], str]]:
    numbers, offsets = [], [0]
    for code in blocks:
        numbers += [categorize(decoded.instruction).number for decoded in decode_block(bytes.fromhex(code))]
        offsets.append(len(numbers))
    members, dominant = block_categories(np.array(numbers, dtype=np.int64), np.array(offsets))
    assert members.shape == (len(blocks), len(CATEGORY_NAMES)) == (len(blocks), len(ACCESS_NAMES) + len(KIND_NAMES))
    return [
        ({name for name, is_member in zip(CATEGORY_NAMES, row, strict=True) if is_member}, DOMINANT_NAMES[place])
        for row, place in zip(members, dominant, strict=True)
    ]


def test_a_block_belongs_to_all_its_categories_and_to_one_dominant() -> None:
    assert summed_up("4801d84801d8488b070f2907", "f20f58c1", "480107") == [
        ({"scalar integer", "load", "SSE", "store"}, "scalar integer"),
        ({"SSE"}, "SSE"),
        ({"scalar integer", "load and store"}, "load and store"),
    ]


def test_ties_go_to_what_is_rarer_and_a_block_without_instruction_has_its_own_name() -> None:
    assert summed_up("4801d8f7f1", "", "488b07488907") == [
        ({"scalar integer", "multiply or divide"}, "multiply or divide"),
        (set(), "no instruction"),
        ({"scalar integer", "load", "store"}, "store"),
    ]
