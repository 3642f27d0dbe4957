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
    __u32 conns;   /* TCP connections, and the calls on them */
    __u64 slow_ns; /* calls that take at least so long are told; 0: none */
    __u64 ns_ino;  /* the pid namespace whose numbers are meant; 0: the first one */
    __u64 ns_dev;
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

/* What a thread is in, or was in last. */
struct trace_pending {
    __u64 enter_ns; /* 0: it has returned */
    __u64 ids;      /* process and thread, in the upper and the lower half */
    __u64 args[3];
    __u64 conn; /* 0: it is not about a connection */
    __u32 nr;
    __u32 kind;
};

/* What is told through the ring buffer begins with its kind and the process it is of. */
enum { TRACE_EVENT_SLOW, TRACE_EVENT_MAPPED, TRACE_EVENT_CONN, TRACE_EVENT_UNDER_WAY /* ours */ };

struct trace_event {
    __u32 kind;
    __u32 pid;
};

/* Where a program on runnel keeps its coroutines: from its rn__gdb_layout (src/task/stack.c). */
struct trace_layout {
    __u64 runtime; /* address of the pointer to it; the rest are offsets */
    __u64 n_procs, procs;
    __u64 proc_current, proc_tid;
    __u64 id, name, site;
};

#define TRACE_PROCS 256 /* as many are looked at */

/* What a call's first arguments are; the array "shapes" has it for each number. */
enum { TRACE_FD = 1 /* a descriptor */, TRACE_PATH = 2 /* a path */, TRACE_DIR = 4 /* both */ };

/* Where a TCP socket is connected to; family 0: it is none. */
struct trace_ends {
    __u16 family, local_port, remote_port, unused;
    __u8 local[16], remote[16];
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
    char path[128];         /* as much of it as there is room for; empty: none, or not to be read */
    struct trace_ends ends; /* of the descriptor */
    __u64 coro;             /* the coroutine that made it; 0: none, or it is not known */
    __u64 coro_site;
    char coro_name[32];
    __s32 stack_bytes; /* or a negative errno */
    __u64 stack[TRACE_FRAMES];
};

/* ---- connections ---- */

/* What a call does to a connection; the array "kinds" has it for each number. */
enum trace_kind {
    TRACE_NONE,
    TRACE_CONNECT,
    TRACE_ACCEPT,
    TRACE_READ,
    TRACE_WRITE,
    TRACE_SHUTDOWN,
    TRACE_CLOSE,
    TRACE_OTHER,
    TRACE_KINDS,
    TRACE_SPLICE, /* reads or writes, by which of its descriptors is a connection */
};

/* The kernel's, from TCP_ESTABLISHED on. */
#define TRACE_STATES 14
#define TRACE_MOVES 12

enum { TRACE_FOUND, TRACE_CONNECTED, TRACE_ACCEPTED };
enum { TRACE_NOBODY, TRACE_HERE, TRACE_PEER };

struct trace_kind_figures {
    __u64 first_ns; /* when the first one began; 0: there was none */
    __u64 last_ns;  /* when the last one ended */
    __u64 ns;       /* spent in them */
    __u64 bytes;
    __u32 count, errors, again; /* again: EAGAIN, which is no error */
    __u32 unused;
};

struct trace_move {
    __u64 at_ns;
    __u32 to;
    __u32 unused;
};

/* A connection's life. Times are of CLOCK_MONOTONIC. */
struct trace_conn {
    struct trace_event event; /* with the process that had it first */
    __s32 fd;
    __u8 how;
    __u8 first_closer; /* who closed, or reset, first */
    __u16 unused;
    struct trace_ends ends;
    char comm[16];
    __u64 seen_ns; /* when it was seen first */
    __u32 state;
    __s32 error;     /* of the socket, when it was reset: ECONNRESET and such */
    __u32 busy;      /* calls under way */
    __u32 is_closed; /* close has been called */
    __u32 n_moves;   /* may be more than there is room for: then the last ones are missing */
    __u32 is_reset;  /* it was not closed, but reset */
    struct trace_move moves[TRACE_MOVES];
    struct trace_kind_figures calls[TRACE_KINDS];
};

#endif
