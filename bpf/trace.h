/*
 * trace.h - what the two sides of `runnel trace` share: trace.bpf.c in the kernel, cmd/trace*.c
 */
#ifndef RN_BPF_TRACE_H
#define RN_BPF_TRACE_H

#define TRACE_CALLS 512   /* numbers of system calls; Linux 6.18 has 470 */
#define TRACE_BUCKETS 304 /* RN__HIST_BUCKETS: a struct rn__hist */

#define TRACE_FRAMES 64

/* Set before the programs are loaded: what is off is cut out by the verifier, and costs nothing. */
struct trace_config {
    __u32 execve;  /* its number: with it a process that waits begins */
    __u32 mmap;    /* its number */
    __u32 some;    /* only those calls that the array "only" has */
    __u32 count;   /* into calls */
    __u64 slow_ns; /* calls that take at least so long are told; 0: none */
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

/* What is told through the ring buffer begins with its kind and the process it is of. */
enum { TRACE_EVENT_SLOW, TRACE_EVENT_MAPPED };

struct trace_event {
    __u32 kind;
    __u32 pid;
};

/* A slow call that has returned. (That code was mapped needs no more than its event.) */
struct trace_slow {
    struct trace_event event;
    __u32 tid;
    __u32 nr;
    __s64 result;
    __u64 args[3];
    __u64 ns;
    char comm[16];
    __s32 stack_bytes; /* or a negative errno */
    __u64 stack[TRACE_FRAMES];
};

#endif
