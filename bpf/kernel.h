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

/* From a descriptor to its socket. */
struct socket;

struct inode {
    unsigned short i_mode;
};

struct file {
    struct inode *f_inode;
    void *private_data;
};

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
};

struct files_struct {
    struct fdtable *fdt;
};

struct in6_addr {
    __u8 u6_addr8[16];
};

struct sock_common {
    unsigned short skc_family;
    unsigned char skc_state;
    __u16 skc_dport; /* in network order */
    __u16 skc_num;
    __u32 skc_daddr;
    __u32 skc_rcv_saddr;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
};

struct sock {
    struct sock_common __sk_common;
    __u16 sk_protocol;
    int sk_err;
    struct socket *sk_socket;
};

struct socket {
    struct sock *sk;
};

/* A process's number in each pid namespace that it is in, its innermost one last. */
struct upid {
    int nr;
};

struct pid {
    unsigned int level;
    struct upid numbers[1];
};

struct signal_struct {
    atomic_t live; /* threads that have not ended */
};

struct task_struct {
    int pid, tgid;
    struct signal_struct *signal;
    struct files_struct *files;
    struct pid *thread_pid;
};

#pragma clang attribute pop

#endif
