"""Which registers a block needs, and which it leaves alone."""

import pytest

from gematria_ops.blocks.decoding import decode_block
from gematria_ops.blocks.register_use import LOOP_REGISTERS, registers_read_first, untouched_register


def instructions(code):
    return [decoded.instruction for decoded in decode_block(bytes.fromhex(code))]


READ_FIRST = {
    "nop": ("90", ""),
    "LLVM's order: cmp esi, [rcx]": ("3b31", "RCX RSI"),
    "numbered registers come last: mov r8, [r10+rbx]": ("4d8b041a", "RBX R10"),
    "sub-registers are widened: add al, bh": ("00f8", "RAX RBX"),
    "32 bits define: mov eax, ebx; mov ecx, eax": ("89d889c1", "RBX"),
    "16 bits do not: mov ax, 1; mov rcx, rax": ("66b801004889c1", "RAX"),
    "8 bits do not: mov ah, 1; mov ecx, eax": ("b40189c1", "RAX"),
    "written before it is read: mov eax, 1; add ecx, eax": ("b80100000001c1", "RCX"),
    "flags: adc eax, ebx": ("11d8", "EFLAGS RAX RBX"),
    "defined flags: cmp eax, ebx; sete cl": ("39d80f94c1", "RAX RBX"),
    "stores read their address: mov [rbx+rcx], eax": ("89040b", "RAX RBX RCX"),
    "segments: mov rax, fs:[rbx]": ("64488b03", "FS RBX"),
    "implicit: cpuid": ("0fa2", "RAX RCX"),
    "implicit: pushfq": ("9c", "DF EFLAGS RSP"),
    "string: movsq": ("48a5", "DF RDI RSI"),
    "xlatb reads al and rbx": ("d7", "RAX RBX"),
    "x87: fld st(1)": ("d9c1", "FPCW ST1"),
    "vectors: vpaddd ymm0, ymm1, ymm2": ("c5f5fec2", "YMM1 YMM2"),
    "the widest part counts: addsd xmm0, xmm1; vaddps ymm2, ymm1, ymm0": (
        "f20f58c1c5f458d0",
        "MXCSR YMM0 YMM1",
    ),
    "masks: vaddps zmm0 {k1}, zmm1, zmm2": ("62f1744958c2", "MXCSR K1 ZMM0 ZMM1 ZMM2"),
}


@pytest.mark.parametrize("code, expected", READ_FIRST.values(), ids=READ_FIRST.keys())
def test_registers_read_first(code, expected):
    assert " ".join(registers_read_first(instructions(code))) == expected


@pytest.mark.parametrize(
    ("code", "register"),
    [
        ("", "RAX"),
        ("90", "RAX"),
        ("b001", "RCX"),  # mov al, 1
        ("0fa2", "RSI"),  # cpuid
        ("48f7f1", "RSI"),  # div rcx
        ("8b00", "RCX"),  # mov eax, [rax]
        ("f348a5", "RAX"),  # rep movsq
        ("89c0f348a5", "RDX"),  # mov eax, eax; rep movsq counts in RCX
        ("89c089d2a4", "RCX"),  # mov eax, eax; mov edx, edx; movsb
    ],
)
def test_untouched_register(code, register):
    assert untouched_register(instructions(code)) == register


def test_no_register_is_left():
    every = "89c089c989d289f689ff4589c04589c94589d24589db89db4589f64589ff4589e44589ed89ed"
    assert untouched_register(instructions(every)) is None
    assert untouched_register(instructions(every[:-4])) == LOOP_REGISTERS[-1] == "RBP"
