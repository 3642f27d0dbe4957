/*
 * trace.bpf.c - the kernel side of `runnel trace`
 *
 * Every system call on the machine passes on_enter and on_exit; those of other processes leave
 * after one look into `targets`. Between the two a call is in `pending`, by its task's address: a
 * thread that calls execve may get another number by it, but remains the same task. Processes are
 * known by their numbers in the tracer's pid namespace; those that have none there by none.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "kernel.h"
#include "trace.h"

#define MAX_ERRNO 4095

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define PROT_EXEC 4

const volatile struct trace_config config = {};
const volatile __u8 only[TRACE_CALLS] = {};
const volatile __u8 shapes[TRACE_CALLS] = {};

__u64 lost; /* what found no room in a map or in the ring buffer */

/* Process and thread, in the upper and the lower half; 0: it is in another pid namespace. */
static __always_inline __u64 current_ids(void)
{
    struct bpf_pidns_info info = {};

    if (config.ns_ino == 0)
        return bpf_get_current_pid_tgid();
    if (bpf_get_ns_current_pid_tgid(config.ns_dev, config.ns_ino, &info, sizeof info) != 0)
        return 0;
    return (__u64)info.tgid << 32 | info.pid;
}

static __always_inline __u32 innermost_number(struct pid *pid)
{
    __u32 nr = 0;

    bpf_probe_read_kernel(&nr, sizeof nr,
                          (void *)pid + bpf_core_field_offset(pid->numbers) +
                              BPF_CORE_READ(pid, level) * bpf_core_type_size(struct upid));
    return nr;
}

/* The process that a child of the current one is; 0: it is in a new namespace, and not followed. */
static __always_inline __u32 number_of(struct task_struct *child)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct pid *pid = BPF_CORE_READ(child, thread_pid), *ours = BPF_CORE_READ(task, thread_pid);

    if (config.ns_ino == 0)
        return (__u32)child->tgid;
    return BPF_CORE_READ(pid, level) == BPF_CORE_READ(ours, level) ? innermost_number(pid) : 0;
}

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 8192);
    __type(key, __u32); /* process */
    __type(value, __u32);
} targets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 32768);
    __type(key, __u64); /* address of its task_struct */
    __type(value, struct trace_pending);
} pending SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, TRACE_CALLS);
    __type(key, __u32);
    __type(value, struct trace_call);
} calls SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} events SEC(".maps");

#include "conns.h"

/* The position of the highest bit, without a loop. */
static __always_inline __u32 top_bit(__u64 v)
{
    __u32 top = 0;

    if (v >> 32) {
        v >>= 32;
        top += 32;
    }
    if (v >> 16) {
        v >>= 16;
        top += 16;
    }
    if (v >> 8) {
        v >>= 8;
        top += 8;
    }
    if (v >> 4) {
        v >>= 4;
        top += 4;
    }
    if (v >> 2) {
        v >>= 2;
        top += 2;
    }
    return top + (__u32)(v >> 1);
}

/* rn__hist_bucket. */
static __always_inline __u32 bucket_of(__u64 v)
{
    __u32 top, bucket;

    if (v < 8)
        return (__u32)v;
    top = top_bit(v);
    bucket = (top - 2) * 8 + ((__u32)(v >> (top - 3)) & 7);
    return bucket < TRACE_BUCKETS ? bucket : TRACE_BUCKETS - 1;
}

static __always_inline void count(__u32 nr, __u64 ns, long result)
{
    struct trace_call *call = bpf_map_lookup_elem(&calls, &nr);
    __u32 bucket = bucket_of(ns);

    if (call == NULL || bucket >= TRACE_BUCKETS)
        return;
    call->count++;
    call->total_ns += ns;
    if (ns > call->max_ns)
        call->max_ns = ns;
    if (result < 0 && result >= -MAX_ERRNO)
        call->errors++;
    call->buckets[bucket]++;
}

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32); /* process */
    __type(value, struct trace_layout);
} layouts SEC(".maps");

/* The thread's number as it knows it itself. */
static __always_inline __u32 own_tid(void)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();

    return innermost_number(BPF_CORE_READ(task, thread_pid));
}

static __always_inline __u64 read_user(__u64 at)
{
    __u64 value = 0;

    bpf_probe_read_user(&value, sizeof value, (void *)at);
    return value;
}

/* The current coroutine of the P whose thread makes the call: it cannot change meanwhile. */
static __always_inline void find_coro(struct trace_slow *e)
{
    struct trace_layout *l = bpf_map_lookup_elem(&layouts, &e->event.pid);
    __u64 runtime, procs, proc, coro;
    __u32 tid = own_tid(), n;

    e->coro = 0;
    if (l == NULL || (runtime = read_user(l->runtime)) == 0)
        return;
    n = (__u32)read_user(runtime + l->n_procs);
    procs = read_user(runtime + l->procs);
    for (__u32 i = 0; i < TRACE_PROCS && i < n; i++) {
        proc = read_user(procs + 8 * i);
        if ((__u32)read_user(proc + l->proc_tid) != tid)
            continue;
        coro = read_user(proc + l->proc_current);
        if (coro == 0)
            return;
        e->coro = read_user(coro + l->id);
        e->coro_site = read_user(coro + l->site);
        if (bpf_probe_read_user_str(e->coro_name, sizeof e->coro_name,
                                    (void *)read_user(coro + l->name)) < 0)
            e->coro_name[0] = 0;
        return;
    }
}

static __always_inline void tell_mapped(__u32 process)
{
    struct trace_event *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);

    if (e == NULL) {
        __sync_fetch_and_add(&lost, 1);
        return;
    }
    e->kind = TRACE_EVENT_MAPPED;
    e->pid = process;
    bpf_ringbuf_submit(e, 0);
}

/* What its arguments are of: after the call, when what it had to read in is there. */
static __always_inline void find_names(struct trace_slow *e, const struct trace_pending *p)
{
    __u8 shape = p->nr < TRACE_CALLS ? shapes[p->nr] : 0;
    struct sock *sk = shape & TRACE_FD ? find_sock(p->args[0]) : NULL;
    const void *path = (const void *)(shape & TRACE_DIR ? p->args[1] : p->args[0]);

    e->ends.family = 0;
    if (sk != NULL)
        read_ends(&e->ends, sk);
    if (!(shape & (TRACE_PATH | TRACE_DIR)) ||
        bpf_probe_read_user_str(e->path, sizeof e->path, path) < 0)
        e->path[0] = 0;
}

static __always_inline void tell_slow(void *ctx, const struct trace_pending *p, __u64 ns,
                                      long result)
{
    struct trace_slow *e = bpf_ringbuf_reserve(&events, sizeof *e, 0);
    __u64 ids = current_ids();

    if (e == NULL) {
        __sync_fetch_and_add(&lost, 1);
        return;
    }
    e->event.kind = TRACE_EVENT_SLOW;
    e->event.pid = ids >> 32;
    e->tid = (__u32)ids;
    e->nr = p->nr;
    e->result = result;
    e->args[0] = p->args[0];
    e->args[1] = p->args[1];
    e->args[2] = p->args[2];
    e->ns = ns;
    bpf_get_current_comm(e->comm, sizeof e->comm);
    find_names(e, p);
    find_coro(e);
    e->stack_bytes = (__s32)bpf_get_stack(ctx, e->stack, sizeof e->stack, BPF_F_USER_STACK);
    bpf_ringbuf_submit(e, 0);
}

/* A call has returned. Names for its stack must be known before the process may be gone: so new
 * code is told of when it is mapped. */
static __always_inline void show(void *ctx, __u32 process, struct trace_pending *p, long result)
{
    __u64 ns = bpf_ktime_get_ns() - p->enter_ns;

    if (config.slow_ns && result >= 0 &&
        (p->nr == config.execve || (p->nr == config.mmap && p->args[2] & PROT_EXEC)))
        tell_mapped(process);
    if (config.conns)
        end_on_conn(p, result);
    if (config.some && (p->nr >= TRACE_CALLS || !only[p->nr]))
        return;
    if (config.count)
        count(p->nr, ns, result);
    if (config.slow_ns && ns >= config.slow_ns)
        tell_slow(ctx, p, ns, result);
}

/* The current thread's, which it keeps until it ends: to add and delete one for each call would
 * cost more than all the rest. */
static __always_inline struct trace_pending *own_pending(void)
{
    __u64 task = bpf_get_current_task();
    struct trace_pending *p = bpf_map_lookup_elem(&pending, &task), none = {};

    if (p != NULL)
        return p;
    if (bpf_map_update_elem(&pending, &task, &none, BPF_ANY) != 0)
        __sync_fetch_and_add(&lost, 1);
    return bpf_map_lookup_elem(&pending, &task);
}

SEC("raw_tp/sys_enter")
int on_enter(struct bpf_raw_tracepoint_args *ctx)
{
    __u64 ids = current_ids();
    __u32 process = ids >> 32;
    __u32 *state = bpf_map_lookup_elem(&targets, &process);
    struct trace_pending *p;

    if (state == NULL || (p = own_pending()) == NULL)
        return 0;
    p->nr = (__u32)ctx->args[1];
    p->ids = ids;
    if (config.slow_ns || config.conns) {
        struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

        p->args[0] = FIRST_ARG(regs);
        p->args[1] = SECOND_ARG(regs);
        p->args[2] = THIRD_ARG(regs);
    }
    p->enter_ns = bpf_ktime_get_ns();
    if (config.conns && *state == TRACE_COUNTS)
        begin_on_conn(p);
    return 0;
}

SEC("raw_tp/sys_exit")
int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
    __u32 process = current_ids() >> 32;
    __u32 *state = bpf_map_lookup_elem(&targets, &process);
    __u64 task = bpf_get_current_task();
    long result = (long)ctx->args[1];
    struct trace_pending *p;

    if (state == NULL)
        return 0;
    p = bpf_map_lookup_elem(&pending, &task);
    if (p == NULL || p->enter_ns == 0) /* it began before we did */
        return 0;
    if (*state == TRACE_WAITS && p->nr == config.execve && result == 0)
        *state = TRACE_COUNTS;
    if (*state == TRACE_COUNTS)
        show(ctx, process, p, result);
    p->enter_ns = 0;
    p->conn = 0;
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    __u32 from = current_ids() >> 32, to = number_of(child);
    __u32 *state = bpf_map_lookup_elem(&targets, &from);

    (void)parent; /* the current one */
    if (state != NULL && *state == TRACE_COUNTS && child->tgid == child->pid && to != 0 &&
        bpf_map_update_elem(&targets, &to, state, BPF_ANY) != 0)
        __sync_fetch_and_add(&lost, 1);
    return 0;
}

/* A number that is free again must not make a target of whoever gets it. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_end, struct task_struct *ended)
{
    __u32 process = current_ids() >> 32;
    __u64 task = (__u64)ended;
    struct trace_pending *p;

    if (bpf_map_lookup_elem(&targets, &process) == NULL)
        return 0;
    p = bpf_map_lookup_elem(&pending, &task);
    if (config.conns && p != NULL)
        drop_on_conn(p);
    bpf_map_delete_elem(&pending, &task);
    if (ended->signal->live.counter == 0)
        bpf_map_delete_elem(&targets, &process);
    return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_tcp, struct sock *sk, int from, int to)
{
    move_conn(sk, (__u32)from, (__u32)to);
    return 0;
}
