"""Blocks executed on paper. The pages were worked out by hand; a processor touches the same."""

import pytest

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.data.annotators import CannotTellError, annotate_none, annotate_static
from gematria_ops.formats.annotated_blocks import AnnotatedBlock


def annotate(code, annotator=annotate_static):
    machine_code = bytes.fromhex(code)
    return annotator(machine_code, code, [decoded.instruction for decoded in decode_block(machine_code)])


def test_the_example_of_the_specification():
    assert annotate("3b31") == AnnotatedBlock(
        "3b31", (("RCX", 86016), ("RSI", 86016)), 4096, 0x800000008, (86016,), "RAX"
    )


# All registers begin with 0x15000, and every eight bytes of memory with 0x800000008.
PAGES = {
    "no access: mov rax, 1": ("48c7c001000000", []),
    "mov rax, [rbx]": ("488b03", [0x15000]),
    "across pages: mov rax, [rbx+4092]": ("488b83fc0f0000", [0x15000, 0x16000]),
    "pointer in memory: mov rax, [rbx]; mov rcx, [rax]": ("488b03488b08", [0x15000, 0x800000000]),
    "mov rax, [rbx+8]; add rax, 8; mov ecx, [rax+rax]": ("488b43084883c0088b0c00", [0x15000, 0x1000000000]),
    "mov [rbx+8], rcx; mov rax, [rbx+8]; mov rdx, [rax+4096]": ("48894b08488b4308488b9000100000", [0x15000, 0x16000]),
    "half a store: mov [rbx], ecx; mov rax, [rbx]; mov rdx, [rax]": ("890b488b03488b10", [0x15000, 0x800015000]),
    "xor eax, eax; mov rcx, [rbx+rax*8]": ("31c0488b0cc3", [0x15000]),
    "absolute: mov rcx, [0x12000]": ("488b0c2500200100", [0x12000]),
    "push rax; push rbx; pop rcx; mov rdx, [rcx]": ("505359488b11", [0x14000, 0x15000]),
    "push 0x30000; pop rax; mov rdx, [rax]": ("680000030058488b10", [0x14000, 0x30000]),
    "mov rax, rsp; and rax, -4096; sub rax, 8; mov [rax], rcx": ("4889e0482500f0ffff4883e808488908", [0x14000]),
    "lea rax, [rbx+rcx*2-16]; mov rdx, [rax]": ("488d444bf0488b10", [0x3E000]),
    "lea eax, [rbx-1]; mov rdx, [rax]": ("8d43ff488b10", [0x14000, 0x15000]),
    "shl rax, 4; mov rdx, [rax]": ("48c1e004488b10", [0x150000]),
    "lea rax, [rip+100]; mov rdx, [rcx]": ("488d0564000000488b11", [0x15000]),
    "mov rax, fs:[rbx]": ("64488b03", [0x2A000]),
    "mov rax, fs:[40]": ("64488b042528000000", [0x15000]),
    "movups xmm0, [rbx+4088]": ("0f1083f80f0000", [0x15000, 0x16000]),
    "vaddps xmm0, xmm0, [rbx+8]": ("c5f8584308", [0x15000]),
    "movsb; mov rax, [rsi+4095]": ("a4488b86ff0f0000", [0x15000, 0x16000]),
    "std; movsb; mov rax, [rsi]": ("fda4488b06", [0x14000, 0x15000]),
    "bt dword ptr [rbx], 3": ("0fba2303", [0x15000]),
    "xor edx, edx; div rcx; mov rax, [rbx+rax*8]": ("31d248f7f1488b04c3", [0x15000]),
    "cdq; idiv ecx; mov eax, [rbx+rax]": ("99f7f98b0403", [0x15000]),
    "division by memory: cdq; idiv [rbx]; mov eax, [rcx+rax-0x3000]": ("99f73b8b840100d0ffff", [0x14000, 0x15000]),
    "xchg rax, rbx; mov rcx, [rax]": ("4893488b08", [0x15000]),
    "mov rax, -1; movsxd rcx, eax; mov rdx, [rbx+rcx]": ("48c7c0ffffffff4863c8488b140b", [0x14000, 0x15000]),
    "movzx eax, byte ptr [rbx]; mov rcx, [rbx+rax*8]": ("0fb603488b0cc3", [0x15000]),
    "movzx eax, byte ptr [rbx+1]; mov rcx, [rbx+rax*8+4096]": ("0fb64301488b8cc300100000", [0x15000, 0x16000]),
    "leave; mov rax, [rsp]": ("c9488b0424", [0x15000]),
    "lock add [rbx], eax": ("f00103", [0x15000]),
    "imul rax, rbx, 3; mov rcx, [rax]": ("486bc303488b08", [0x3F000]),
    "sar rax, 63; mov rcx, [rbx+rax]": ("48c1f83f488b0c03", [0x15000]),
    "pop rsp; mov rax, [rsp]": ("5c488b0424", [0x15000, 0x800000000]),
}


@pytest.mark.parametrize("code, pages", PAGES.values(), ids=PAGES.keys())
def test_pages(code, pages):
    assert list(annotate(code).pages) == pages


REASONS = {
    "zero page: xor eax, eax; mov rcx, [rax]": ("31c0488b08", "unmappable_address"),
    "kernel: neg rax; mov rcx, [rax]": ("48f7d8488b08", "unmappable_address"),
    "may be overwritten: mov [rbx+4096], rcx; mov rax, [rbx]; mov rdx, [rax]": (
        "48898b00100000488b03488b10",
        "unknown_address",
    ),
    "mov rax, [rip+100]": ("488b0564000000", "relative_to_code"),
    "lea rax, [rip+100]; mov rdx, [rax]": ("488d0564000000488b10", "unknown_address"),
    "setne al; mov rcx, [rbx+rax]": ("0f95c0488b0c03", "unknown_address"),
    "cmovne rax, rcx; mov rdx, [rax]": ("480f45c1488b10", "unknown_address"),
    "mov cl, 1; mov rax, [rcx]": ("b101488b01", "unknown_address"),
    "vgatherdps": ("c4e26d92048b", "unknown_address"),
    "bt [rbx], rax": ("480fa303", "unknown_address"),
    "enter 16, 0": ("c8100000", "unknown_address"),
    "clzero": ("0f01fc", "unknown_address"),
    "another segment: wrfsbase rax": ("f3480faed0", "unknown_address"),
    "16 bits of the frame: leavew; mov rax, [rsp]": ("66c9488b0424", "unknown_address"),
    "the selector of FS is not its base": ("488ce0488b08", "unknown_address"),
    "xsave has no fixed size": ("0fae2424", "unknown_address"),
    "movaps xmm0, [rbx+8]": ("0f284308", "misaligned_address"),
    "addps xmm0, [rbx+8]": ("0f584308", "misaligned_address"),
    "vmovaps ymm0, [rbx+16]": ("c5fc284310", "misaligned_address"),
    "overflow: div rcx": ("48f7f1", "division"),
    "by zero: xor ecx, ecx; div ecx": ("31c9f7f1", "division"),
    "rep movsb": ("f3a4", "repeated_string"),
    "ldmxcsr [rbx]": ("0fae13", "control_register"),
    "call rax": ("ffd0", "control_flow"),
    "ud2": ("0f0b", "control_flow"),
    "hlt": ("f4", "privileged"),
    "mov ds, eax": ("8ed8", "privileged"),
    "LLVM decodes it, a processor does not: lock xor eax, eax": ("f031c0", "undecodable"),
}


@pytest.mark.parametrize("code, reason", REASONS.values(), ids=REASONS.keys())
def test_what_cannot_be_told(code, reason):
    with pytest.raises(CannotTellError) as caught:
        annotate(code)
    assert str(caught.value) == reason


def test_registers_that_are_not_for_data_get_harmless_values():
    block = annotate("11d8a4d8c1f20f58c1")  # adc; movsb; fadd; addsd
    values = dict(block.registers)
    assert {name: values[name] for name in ("EFLAGS", "DF", "FPCW", "MXCSR")} == {
        "EFLAGS": 0,
        "DF": 0,
        "FPCW": 0x37F,
        "MXCSR": 0x1F80,
    }
    assert values["RAX"] == values["XMM0"] == values["ST1"] == 0x15000
    assert "FPSW" not in values


def test_none_finds_the_loop_register_and_nothing_else():
    assert annotate("3b31", annotate_none) == AnnotatedBlock("3b31", loop_register="RAX")
    assert annotate("31c0488b08", annotate_none).loop_register == "RDX"
