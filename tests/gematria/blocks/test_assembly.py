"""AT&T text, as LLVM prints it."""

import pytest

from gematria_ops.blocks.decoding import decode_block


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("4929d2", "\tsubq\t%rdx, %r10"),
        ("488b44cb10", "\tmovq\t16(%rbx,%rcx,8), %rax"),
        ("8b0564000000", "\tmovl\t100(%rip), %eax"),
        ("e85f000000", "\tcallq\t95"),
        ("ebfe", "\tjmp\t-2"),
        ("c3", "\tretq"),
        ("6690", "\tnop"),
        ("c9", "\tleave"),
        ("f348a5", "\trep\t\tmovsq\t(%rsi), %es:(%rdi)"),
        ("65a6", "\tcmpsb\t%es:(%rdi), %gs:(%rsi)"),
        ("6e", "\toutsb\t(%rsi), %dx"),
        ("67ac", "\tlodsb\t(%esi), %al"),
        ("48d1e0", "\tshlq\t%rax"),
        ("c1e8f8", "\tshrl\t$248, %eax"),
        ("0f94c0", "\tsete\t%al"),
        ("0f94442420", "\tsete\t32(%rsp)"),
        ("c704240000ffff", "\tmovl\t$4294901760, (%rsp)"),
        ("4883c0ff", "\taddq\t$-1, %rax"),
        ("660f70d0aa", "\tpshufd\t$170, %xmm0, %xmm2"),
        ("f20f2ac0", "\tcvtsi2sd\t%eax, %xmm0"),
        ("f20f2a00", "\tcvtsi2sdl\t(%rax), %xmm0"),
        ("660fc2c800", "\tcmpeqpd\t%xmm0, %xmm1"),
        ("c44108c2f504", "\tvcmpneqps\t%xmm13, %xmm14, %xmm14"),
        ("64488b042528000000", "\tmovq\t%fs:40, %rax"),
        ("2e0f1f840000000000", "\tnopl\t%cs:(%rax,%rax)"),
        ("f0", "\tlock"),
        ("67c3", "\taddr32\t\tretq"),
        ("dfe9", "\tfucompi\t%st(1), %st"),
    ],
)
def test_text(code: str, text: str) -> None:
    (decoded,) = decode_block(bytes.fromhex(code))
    assert decoded.assembly == text


def test_the_text_does_not_depend_on_the_place() -> None:
    first, _, second = decode_block(bytes.fromhex("8b0564000000908b0564000000"))
    assert first.assembly == second.assembly
