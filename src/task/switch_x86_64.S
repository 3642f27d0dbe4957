/*
 * switch_x86_64.S - context switch for the System V ABI
 *
 * Saved, from high to low: return address, rbp, rbx, r12-r15, mxcsr and x87 control word. The
 * caller-saved registers are dead across a call. mxcsr and the control word are loaded only where
 * they differ: loading them costs as much as all the rest.
 *
 * SHSTK is not marked: the switch changes stacks under a shadow stack's back.
 */
        .text
        .globl  rn__switch
        .hidden rn__switch
        .type   rn__switch, @function
        .p2align 5
rn__switch:
        .cfi_startproc
        endbr64
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx
        movq    %rsp, (%rdi)
        /* The frame on the other stack has the same shape, so the CFI stays true. */
        movq    %rsi, %rsp
        cmpl    %eax, (%rsp)
        jne     1f
        cmpw    %cx, 4(%rsp)
        jne     1f
2:      addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        /* jmp, not ret: the return predictor holds the other coroutine's caller. */
        popq    %rdx
        .cfi_adjust_cfa_offset -8
        .cfi_register %rip, %rdx
        jmpq    *%rdx
        .cfi_endproc
        /* Out of line, so that the usual way is straight: the CFA is as it was at the compare. */
1:
        .cfi_startproc
        .cfi_def_cfa_offset 64
        .cfi_offset %rbp, -16
        .cfi_offset %rbx, -24
        .cfi_offset %r12, -32
        .cfi_offset %r13, -40
        .cfi_offset %r14, -48
        .cfi_offset %r15, -56
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        jmp     2b
        .cfi_endproc
        .size   rn__switch, . - rn__switch

/*
 * First frame of a coroutine: its control block came in r12. rip is undefined here, and rbp 0, so
 * that unwinders stop.
 */
        .globl  rn__trampoline
        .hidden rn__trampoline
        .type   rn__trampoline, @function
        .p2align 4
rn__trampoline:
        .cfi_startproc
        .cfi_undefined %rip
        endbr64
        xorl    %ebp, %ebp
        movq    %r12, %rdi
        call    rn__coro_main
        ud2
        .cfi_endproc
        .size   rn__trampoline, . - rn__trampoline

/*
 * void *rn__switch_prepare(char *top, void *arg): the frame that rn__switch expects, returning to
 * the trampoline with arg in r12 and the caller's floating-point modes. top is 16-byte aligned; the
 * trampoline starts with rsp = top, so its call leaves the stack as the ABI wants it.
 */
        .globl  rn__switch_prepare
        .hidden rn__switch_prepare
        .type   rn__switch_prepare, @function
        .p2align 4
rn__switch_prepare:
        .cfi_startproc
        endbr64
        leaq    rn__trampoline(%rip), %rax
        movq    %rax, -8(%rdi)
        xorl    %eax, %eax
        movq    %rax, -16(%rdi)
        movq    %rax, -24(%rdi)
        movq    %rsi, -32(%rdi)
        movq    %rax, -40(%rdi)
        movq    %rax, -48(%rdi)
        movq    %rax, -56(%rdi)
        movq    %rax, -64(%rdi)
        stmxcsr -64(%rdi)
        fnstcw  -60(%rdi)
        leaq    -64(%rdi), %rax
        ret
        .cfi_endproc
        .size   rn__switch_prepare, . - rn__switch_prepare

        .section .note.GNU-stack, "", @progbits
