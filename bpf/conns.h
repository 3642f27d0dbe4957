/*
 * conns.h - TCP connections of traced processes, a part of trace.bpf.c
 *
 * A connection is known by its socket's address, from the first call of a target on it, in `conns`:
 *
 *     accept returns --> ACCEPTED \
 *     connect called --> CONNECTED  >--> calls and changes of state are noted --> told, forgotten
 *     other call     --> FOUND    /                       when TCP is through with it, close has
 *                                                         been called, and no call is under way
 *
 * What happened to an accepted one before that stands in `early`, for all connections that the
 * machine takes, of which the oldest are forgotten. Changes of state come in any context; two
 * at once, or with a call, may spoil a figure but nothing else.
 */
#ifndef RN_BPF_CONNS_H
#define RN_BPF_CONNS_H

#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define EAGAIN 11
#define EINPROGRESS 115
#define S_IFMT 0170000
#define S_IFSOCK 0140000

enum {
    ESTABLISHED = 1,
    SYN_RECV = 3,
    FIN_WAIT1 = 4,
    CLOSED = 7,
    CLOSE_WAIT = 8,
    LISTEN = 10,
};

const volatile __u8 kinds[TRACE_CALLS] = {};
const struct trace_conn no_conn = {};

struct early {
    __u64 syn_ns;
    __u64 established_ns;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64); /* address of its struct sock */
    __type(value, struct trace_conn);
} conns SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, struct early);
} early SEC(".maps");

/* TCP has done with it, and only its close has still to return: the socket may be freed, and what
 * happens at its address happens to another one. */
static __always_inline int is_through(const struct trace_conn *c)
{
    return c->state == CLOSED && c->is_closed;
}

/* The TCP socket behind a descriptor of the current process; NULL: it is none. */
static __always_inline struct sock *find_sock(__u64 fd)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct fdtable *table = BPF_CORE_READ(task, files, fdt);
    struct file **files = BPF_CORE_READ(table, fd), *file = NULL;
    struct socket *socket;
    struct sock *sk;

    if (fd >= BPF_CORE_READ(table, max_fds))
        return NULL;
    bpf_probe_read_kernel(&file, sizeof file, &files[fd]);
    if (file == NULL || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
        return NULL;
    socket = (struct socket *)BPF_CORE_READ(file, private_data);
    sk = BPF_CORE_READ(socket, sk);
    if (sk == NULL || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
        return NULL;
    return sk;
}

static __always_inline void read_ends(struct trace_ends *c, struct sock *sk)
{
    __u16 port = BPF_CORE_READ(sk, __sk_common.skc_dport);

    c->family = BPF_CORE_READ(sk, __sk_common.skc_family);
    c->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
    c->remote_port = bpf_ntohs(port);
    if (c->family == AF_INET) {
        bpf_core_read(c->local, 4, &sk->__sk_common.skc_rcv_saddr);
        bpf_core_read(c->remote, 4, &sk->__sk_common.skc_daddr);
    } else if (c->family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
        bpf_core_read(c->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
        bpf_core_read(c->remote, 16, &sk->__sk_common.skc_v6_daddr);
    }
}

static __always_inline void add_move(struct trace_conn *c, __u64 at_ns, __u32 to)
{
    __u32 n = c->n_moves++;

    c->state = to;
    if (n >= TRACE_MOVES)
        return;
    c->moves[n].at_ns = at_ns;
    c->moves[n].to = to;
}

static __always_inline void tell_conn(struct trace_conn *c)
{
    if (bpf_ringbuf_output(&events, c, sizeof *c, 0) != 0)
        __sync_fetch_and_add(&lost, 1);
}

static __always_inline struct trace_conn *add_conn(struct sock *sk, int fd, __u8 how)
{
    __u64 key = (__u64)sk, now = bpf_ktime_get_ns();
    struct trace_conn *c;
    struct early *before;
    __u32 state;

    c = bpf_map_lookup_elem(&conns, &key);
    if (c != NULL && is_through(c))
        tell_conn(c);
    if (bpf_map_update_elem(&conns, &key, &no_conn, BPF_ANY) != 0)
        __sync_fetch_and_add(&lost, 1);
    c = bpf_map_lookup_elem(&conns, &key);
    if (c == NULL)
        return NULL;
    c->event.kind = TRACE_EVENT_CONN;
    c->event.pid = current_ids() >> 32;
    c->fd = fd;
    c->how = how;
    c->seen_ns = now;
    bpf_get_current_comm(c->comm, sizeof c->comm);
    read_ends(&c->ends, sk);
    before = bpf_map_lookup_elem(&early, &key);
    if (before != NULL && how == TRACE_ACCEPTED) {
        if (before->syn_ns)
            add_move(c, before->syn_ns, SYN_RECV);
        add_move(c, before->established_ns, ESTABLISHED);
    }
    state = BPF_CORE_READ(sk, __sk_common.skc_state);
    if (how == TRACE_CONNECTED) /* or it fails, without having left this state */
        c->state = state;
    else if (c->state != state) /* it may have moved on before the accept */
        add_move(c, now, state);
    if (how == TRACE_ACCEPTED && (state == CLOSE_WAIT || state == CLOSED)) {
        c->first_closer = TRACE_PEER;
        c->is_reset = state == CLOSED;
        c->error = BPF_CORE_READ(sk, sk_err);
    }
    bpf_map_delete_elem(&early, &key);
    return c;
}

static __always_inline void end_conn(struct trace_conn *c, __u64 key)
{
    if (c->state != CLOSED || !c->is_closed || c->busy > 0)
        return;
    tell_conn(c);
    bpf_map_delete_elem(&conns, &key);
}

/* A call of a target begins, on a connection or not. */
static __always_inline void begin_on_conn(struct trace_pending *p)
{
    struct trace_conn *c;
    struct sock *sk;
    __u8 state;

    p->kind = p->nr < TRACE_CALLS ? kinds[p->nr] : TRACE_NONE;
    if (p->kind == TRACE_NONE || p->kind == TRACE_ACCEPT)
        return;
    sk = find_sock(p->args[0]);
    if (p->kind == TRACE_SPLICE) {
        p->kind = sk == NULL ? TRACE_WRITE : TRACE_READ;
        sk = sk == NULL ? find_sock(p->args[2]) : sk;
    }
    if (sk == NULL)
        return;
    p->conn = (__u64)sk;
    c = bpf_map_lookup_elem(&conns, &p->conn);
    state = BPF_CORE_READ(sk, __sk_common.skc_state);
    /* A socket without a connection, or one that only waits for some. */
    if ((c == NULL || is_through(c)) &&
        (p->kind == TRACE_CONNECT || (state != CLOSED && state != LISTEN)))
        c = add_conn(sk, (int)p->args[0], p->kind == TRACE_CONNECT ? TRACE_CONNECTED : TRACE_FOUND);
    if (c == NULL) {
        p->conn = 0;
        return;
    }
    __sync_fetch_and_add(&c->busy, 1);
    if (p->kind == TRACE_CLOSE)
        c->is_closed = 1;
}

static __always_inline void end_on_conn(struct trace_pending *p, long result)
{
    __u64 now = bpf_ktime_get_ns();
    struct trace_kind_figures *f;
    struct trace_conn *c = NULL;
    struct sock *sk;

    if (p->kind == TRACE_ACCEPT && result >= 0 && (sk = find_sock((__u64)result)) != NULL) {
        p->conn = (__u64)sk;
        c = add_conn(sk, (int)result, TRACE_ACCEPTED);
    } else if (p->conn != 0) {
        c = bpf_map_lookup_elem(&conns, &p->conn);
        if (c != NULL && p->kind == TRACE_CLOSE && !c->is_closed)
            c = NULL; /* another one's by now */
        if (c != NULL)
            __sync_fetch_and_add(&c->busy, -1);
    }
    if (c == NULL || p->kind >= TRACE_KINDS)
        return;
    f = &c->calls[p->kind];
    f->count++;
    f->ns += now - p->enter_ns;
    f->last_ns = now;
    if (f->first_ns == 0)
        f->first_ns = p->enter_ns;
    if (result == -EAGAIN)
        f->again++;
    else if (result < 0)
        f->errors++;
    else if (p->kind == TRACE_READ || p->kind == TRACE_WRITE)
        f->bytes += (__u64)result;
    if (p->kind == TRACE_CONNECT && result < 0 && result != -EINPROGRESS && c->error == 0)
        c->error = (__s32)-result;
    if (p->kind == TRACE_CONNECT && c->ends.remote_port == 0)
        read_ends(&c->ends, (struct sock *)p->conn);
    end_conn(c, p->conn);
}

/* The thread has ended within a call. */
static __always_inline void drop_on_conn(struct trace_pending *p)
{
    struct trace_conn *c = bpf_map_lookup_elem(&conns, &p->conn);

    if (p->conn != 0 && c != NULL)
        __sync_fetch_and_add(&c->busy, -1);
}

static __always_inline void note_early(__u64 key, __u32 to)
{
    struct early e = {}, *before;

    if (to == SYN_RECV) {
        e.syn_ns = bpf_ktime_get_ns();
        bpf_map_update_elem(&early, &key, &e, BPF_ANY);
    } else if (to == ESTABLISHED) {
        before = bpf_map_lookup_elem(&early, &key);
        if (before != NULL)
            e.syn_ns = before->syn_ns;
        e.established_ns = bpf_ktime_get_ns();
        bpf_map_update_elem(&early, &key, &e, BPF_ANY);
    }
}

static __always_inline void move_conn(struct sock *sk, __u32 from, __u32 to)
{
    __u64 key = (__u64)sk;
    struct trace_conn *c;

    if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP)
        return;
    c = bpf_map_lookup_elem(&conns, &key);
    if (c == NULL || is_through(c)) {
        note_early(key, to);
        return;
    }
    add_move(c, bpf_ktime_get_ns(), to);
    if (to == CLOSED && c->error == 0)
        c->error = BPF_CORE_READ(sk, sk_err);
    else if (to != CLOSED) /* then it has no port any more */
        read_ends(&c->ends, sk);
    if (from == ESTABLISHED && c->first_closer == TRACE_NOBODY) {
        /* A reset from here leaves no error here. */
        c->is_reset = to == CLOSED;
        c->first_closer = to == FIN_WAIT1 || (to == CLOSED && c->error == 0) ? TRACE_HERE
                                                                             : TRACE_PEER;
    }
    if (to == CLOSED) {
        /* The process ended without a close. */
        if (BPF_CORE_READ(sk, sk_socket) == NULL)
            c->is_closed = 1;
        end_conn(c, key);
    }
}

#endif
