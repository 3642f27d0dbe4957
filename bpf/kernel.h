/*
 * kernel.h - the few fields of the kernel's structures that trace.bpf.c reads
 *
 * Only names count: where a field lies in the kernel at hand is filled in when the programs are
 * loaded (CO-RE), from /sys/kernel/btf/vmlinux. So no vmlinux.h is needed to build.
 */
#ifndef RN_BPF_KERNEL_H
#define RN_BPF_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
    int counter;
} atomic_t;

/* The arguments of a system call. */
#ifdef __TARGET_ARCH_x86
struct pt_regs {
    unsigned long di, si, dx;
};
#define FIRST_ARG(regs) BPF_CORE_READ(regs, di)
#define SECOND_ARG(regs) BPF_CORE_READ(regs, si)
#define THIRD_ARG(regs) BPF_CORE_READ(regs, dx)
#else
struct pt_regs {
    __u64 regs[31];
};
#define FIRST_ARG(r) BPF_CORE_READ(r, regs[0])
#define SECOND_ARG(r) BPF_CORE_READ(r, regs[1])
#define THIRD_ARG(r) BPF_CORE_READ(r, regs[2])
#endif

struct signal_struct {
    atomic_t live; /* threads that have not ended */
};

struct task_struct {
    int pid, tgid;
    struct signal_struct *signal;
};

#pragma clang attribute pop

#endif
