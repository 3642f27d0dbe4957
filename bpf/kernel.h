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

struct signal_struct {
    atomic_t live; /* threads that have not ended */
};

struct task_struct {
    int pid, tgid;
    struct signal_struct *signal;
};

#pragma clang attribute pop

#endif
