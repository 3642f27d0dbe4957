/*
 * trace.h - what the two sides of `runnel trace` share: trace.bpf.c in the kernel, cmd/trace*.c
 */
#ifndef RN_BPF_TRACE_H
#define RN_BPF_TRACE_H

#define TRACE_CALLS 512   /* numbers of system calls; Linux 6.18 has 470 */
#define TRACE_BUCKETS 304 /* RN__HIST_BUCKETS: a struct rn__hist */

/* Set before the programs are loaded: what is off is cut out by the verifier, and costs nothing. */
struct trace_config {
    __u32 execve;  /* its number: with it a process that waits begins */
    __u32 follow;  /* children, too */
    __u32 count;   /* into calls */
    __u64 slow_ns; /* calls that take longer are told; 0: none */
};

/* What is known of a process in the map "targets". */
enum { TRACE_COUNTS = 1, TRACE_WAITS = 2 /* for its first successful execve */ };

/* One system call's figures; one of these for each CPU. */
struct trace_call {
    __u64 count;
    __u64 errors;
    __u64 total_ns;
    __u64 max_ns;
    __u32 buckets[TRACE_BUCKETS];
};

#endif
