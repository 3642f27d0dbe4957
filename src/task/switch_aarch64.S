/*
 * switch_aarch64.S - context switch for the AAPCS64
 *
 * Saved, from low to high: x19-x28, x29 and x30, d8-d15, fpcr; 176 bytes. Only the low halves of
 * v8-v15 belong to the callee. fpcr is written only where it differs: the write is slow.
 */
        .text
        .globl  rn__switch
        .hidden rn__switch
        .type   rn__switch, %function
        .p2align 5
rn__switch:
        .cfi_startproc
        hint    #34                     /* bti c */
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     x29, x30, [sp, #0]
        .cfi_offset x29, -176
        .cfi_offset x30, -168
        stp     x19, x20, [sp, #16]
        .cfi_offset x19, -160
        .cfi_offset x20, -152
        stp     x21, x22, [sp, #32]
        .cfi_offset x21, -144
        .cfi_offset x22, -136
        stp     x23, x24, [sp, #48]
        .cfi_offset x23, -128
        .cfi_offset x24, -120
        stp     x25, x26, [sp, #64]
        .cfi_offset x25, -112
        .cfi_offset x26, -104
        stp     x27, x28, [sp, #80]
        .cfi_offset x27, -96
        .cfi_offset x28, -88
        stp     d8, d9, [sp, #96]
        stp     d10, d11, [sp, #112]
        stp     d12, d13, [sp, #128]
        stp     d14, d15, [sp, #144]
        mrs     x9, fpcr
        str     x9, [sp, #160]
        mov     x10, sp
        str     x10, [x0]
        /* The frame on the other stack has the same shape, so the CFI stays true. */
        mov     sp, x1
        ldr     x10, [sp, #160]
        cmp     x9, x10
        b.eq    1f
        msr     fpcr, x10
1:      ldp     x29, x30, [sp, #0]
        ldp     x19, x20, [sp, #16]
        ldp     x21, x22, [sp, #32]
        ldp     x23, x24, [sp, #48]
        ldp     x25, x26, [sp, #64]
        ldp     x27, x28, [sp, #80]
        ldp     d8, d9, [sp, #96]
        ldp     d10, d11, [sp, #112]
        ldp     d12, d13, [sp, #128]
        ldp     d14, d15, [sp, #144]
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        ret
        .cfi_endproc
        .size   rn__switch, . - rn__switch

/*
 * First frame of a coroutine: its control block came in x19. x30 is undefined here, and x29 0, so
 * that unwinders stop.
 */
        .globl  rn__trampoline
        .hidden rn__trampoline
        .type   rn__trampoline, %function
        .p2align 4
rn__trampoline:
        .cfi_startproc
        .cfi_undefined x30
        hint    #36                     /* bti j: entered by ret, but a debugger may jump */
        mov     x29, xzr
        mov     x30, xzr
        mov     x0, x19
        bl      rn__coro_main
        brk     #1
        .cfi_endproc
        .size   rn__trampoline, . - rn__trampoline

/* void *rn__switch_prepare(char *top, void *arg): see switch_x86_64.S; arg travels in x19. */
        .globl  rn__switch_prepare
        .hidden rn__switch_prepare
        .type   rn__switch_prepare, %function
        .p2align 4
rn__switch_prepare:
        .cfi_startproc
        hint    #34
        sub     x0, x0, #176
        adrp    x9, rn__trampoline
        add     x9, x9, :lo12:rn__trampoline
        stp     xzr, x9, [x0, #0]
        stp     x1, xzr, [x0, #16]
        stp     xzr, xzr, [x0, #32]
        stp     xzr, xzr, [x0, #48]
        stp     xzr, xzr, [x0, #64]
        stp     xzr, xzr, [x0, #80]
        stp     xzr, xzr, [x0, #96]
        stp     xzr, xzr, [x0, #112]
        stp     xzr, xzr, [x0, #128]
        stp     xzr, xzr, [x0, #144]
        mrs     x9, fpcr
        stp     x9, xzr, [x0, #160]
        ret
        .cfi_endproc
        .size   rn__switch_prepare, . - rn__switch_prepare

        .section .note.GNU-stack, "", %progbits
