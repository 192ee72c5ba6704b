# A loop whose block is that of the specification (section 4.2): four instructions at 1739, 1741, 1744 and 1746, and a
# jump that closes it. Built twice, see README.md.
        .globl _start
        .text
_start:
        movl    $0x5000000, %ecx
        xorl    %eax, %eax
        nopl    (%rax,%rax)
        nop
loop:                                   # 0x6cb = 1739
        movl    %ecx, %edx
        imull   %edx, %edx
        addl    %edx, %eax
        decl    %ecx
        jne     loop
        movl    $60, %eax               # exit(0)
        xorl    %edi, %edi
        syscall
