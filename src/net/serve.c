/*
 * serve.c - accept loops on all Ps, placement, resting connections, draining
 *
 * One acceptor for each P, all on the same listener, each with EPOLLEXCLUSIVE in its own poller:
 * the kernel wakes one that is waiting, so a P that is stuck in somebody's loop delays nobody. The
 * acceptor then places the connection on the P with the fewest. What was compared, and measured, is
 * in docs/design/net.md.
 *
 * A struct serve is on the stack of the coroutine in rn_serve, which waits, whatever happens, until
 * its acceptors and its connections are gone.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "net/net.h"
#include "task/log.h"
#include <runnel/task.h>
#include <sys/resource.h>

#define SPARE_FDS 64

struct serve {
    rn_listener **listeners; /* [C] one, or one for each P */
    int n_listeners;         /* [C] */
    rn_serve_options options;
    rn_handler fn;
    void *arg;
    int max_conns;
    _Atomic int conns;      /* open now */
    atomic_bool draining;   /* no more accepts; resting connections are cancelled */
    _Atomic int result;     /* why the acceptors ended */
    rn_waitgroup accepting; /* acceptors */
    rn_waitgroup alive;     /* connections, and handlers that hold this */
};

struct acceptor {
    struct serve *serve;
    rn_listener *ln;
};

/* ---- handlers ---- */

static void run_handler(void *arg)
{
    rn_conn *c = arg;

    if (c->resting) { /* it counted as the reader; from here on fn is */
        rn__count(RN__COUNT_WOKEN);
        c->resting = false;
        if (!c->stays_inside)
            rn__conn_leave(c, RN__GATE_READER);
    }
    c->handler(c, c->handler_arg);
}

/* A server that ends with the run waits for its connections: each gets its handler even then. */
static int start_handler(rn_conn *c, struct rn__proc *on)
{
    struct rn__spawn how = {.proc = on,
                            .pinned = true,
                            .late = atomic_load_explicit(&c->serve, memory_order_relaxed) != NULL,
                            .stack_bytes = c->stack_bytes,
                            .site = (const void *)c->handler};

    return rn__go(&how, run_handler, c);
}

/* In the scheduler of the home P: its turn has come. */
static void start_rested(struct rn__iowait *w)
{
    rn_conn *c = RN_CONTAINER(w, rn_conn, w);
    int r = start_handler(c, rn__iowait_rebalance(w));

    if (r == -ENOMEM)
        rn__iowait_rest_again(w);
    else if (r < 0) {
        rn__count(RN__COUNT_WOKEN);
        rn__conn_finish(c); /* the run ends: nobody is left to handle it */
    }
}

/* In the scheduler of the home P: the rest has ended. */
static void on_readable(struct rn__iowait *w)
{
    w->rest = start_rested;
    rn__start_later(w);
}

/* Of what the last read left no edge tells any more. Where a signal or want of memory kept us from
 * looking, the handler does: it may start for nothing, but not rest for ever. */
static bool may_have_input_left(rn_conn *c)
{
    static const struct timespec now = {0};
    struct pollfd p = {.fd = c->w.fd, .events = POLLIN};

    return !c->drained && atomic_load(&c->w.home) != NULL && rn__sys_ppoll(&p, 1, &now) != 0;
}

static int go_when_readable(rn_conn *conn, rn_handler fn, void *arg, bool stays_inside)
{
    uint32_t gate = atomic_load(&conn->gate);
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    do {
        if (gate & RN__GATE_CLOSING)
            return -ECANCELED;
        if (gate & RN__GATE_READER)
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&conn->gate, &gate, gate | RN__GATE_READER));
    conn->handler = fn;
    conn->handler_arg = arg;
    conn->resting = true;
    conn->stays_inside = stays_inside;
    conn->emptied = false; /* the handler starts because there is something: it need not park */
    atomic_store_explicit(&conn->stays, false, memory_order_relaxed);
    if (rn__conn_pending(conn) > 0 || conn->read_closed || may_have_input_left(conn))
        r = start_handler(conn, rn__proc());
    else
        r = rn__iowait_rest(&conn->w, on_readable);
    if (r < 0) {
        conn->resting = false;
        rn__conn_leave(conn, RN__GATE_READER);
    } else {
        rn__count(RN__COUNT_RESTED);
    }
    return r;
}

int rn_go_when_readable(rn_conn *conn, rn_handler fn, void *arg)
{
    return go_when_readable(conn, fn, arg, false);
}

int rn__conn_rest(rn_conn *c, rn_handler fn, void *arg)
{
    return go_when_readable(c, fn, arg, true);
}

static void arrive(struct rn__proc *p, struct rn__msg *m)
{
    (void)p;
    rn__iowait_rest_here(&RN_CONTAINER(m, rn_conn, arrive)->w);
}

/* A new connection, nobody else knows it: its handler, now or at the first byte. */
static void hand_over(struct serve *s, rn_conn *c)
{
    struct rn__proc *on = rn__iowait_place(&c->w, s->options.balance == RN_BALANCE_PLACE ||
                                                      s->options.balance == RN_BALANCE_ONE);
    int r = -ENOMEM;

    c->handler = s->fn;
    c->handler_arg = s->arg;
    c->stack_bytes = s->options.stack_bytes;
    atomic_fetch_add(&s->conns, 1);
    rn_waitgroup_add(&s->alive, 1);
    atomic_store(&c->serve, s);
    if (s->options.first_byte_ns > 0)
        rn__iowait_deadline_after(&c->w, RN__READ, s->options.first_byte_ns);
    if (!s->options.when_readable)
        r = start_handler(c, on);
    /* Without memory for a stack now, it rests until there is some. */
    if (r == -ENOMEM) {
        atomic_store(&c->gate, RN__GATE_READER);
        c->resting = true;
        c->arrive.fn = arrive;
        r = rn__iowait_rest_on(&c->w, on, on_readable, &c->arrive);
        if (r == 0)
            rn__count(RN__COUNT_RESTED);
    }
    if (r < 0) {
        rn__log("serve: a connection is closed unheard: %s", rn_strerror(r));
        rn__conn_finish(c);
    }
}

void rn__serve_forget(rn_conn *c)
{
    struct serve *s = atomic_exchange(&c->serve, NULL);

    if (s == NULL)
        return;
    if (atomic_fetch_sub(&s->conns, 1) >= s->max_conns)
        for (int i = 0; i < s->n_listeners; i++)
            rn__listener_nudge(s->listeners[i]);
    rn_waitgroup_done(&s->alive); /* s may be gone now */
}

struct serve *rn__serve_hold(rn_conn *c)
{
    struct serve *s = atomic_load(&c->serve);

    if (s != NULL)
        rn_waitgroup_add(&s->alive, 1); /* c counts there, so it has not come to 0 */
    return s;
}

void rn__serve_release(struct serve *s)
{
    if (s != NULL)
        rn_waitgroup_done(&s->alive);
}

bool rn__serve_draining(rn_conn *c)
{
    struct serve *s = atomic_load_explicit(&c->serve, memory_order_relaxed);

    return s != NULL && atomic_load_explicit(&s->draining, memory_order_relaxed);
}

/* ---- acceptors ---- */

static int accept_loop(struct serve *s, rn_listener *ln)
{
    int r = rn__accept_enter(ln);

    if (r < 0)
        return r;
    while (r == 0) {
        rn_conn *c;

        if (atomic_load(&s->conns) >= s->max_conns) {
            r = rn__accept_hold(ln);
            continue;
        }
        r = rn__accept_next(ln, &c);
        if (r == 0) {
            hand_over(s, c);
            rn__spend();
        }
    }
    rn__accept_leave(ln);
    return r;
}

static void cancel_listeners(struct serve *s)
{
    for (int i = 0; i < s->n_listeners; i++)
        rn_listener_cancel(s->listeners[i]);
}

static void acceptor(void *arg)
{
    struct acceptor *a = arg;
    struct serve *s = a->serve;
    int r = accept_loop(s, a->ln), none = 0;

    /* The first to end says why, and ends the others. */
    (void)atomic_compare_exchange_strong(&s->result, &none, r);
    cancel_listeners(s);
    rn_waitgroup_done(&s->accepting);
}

static int start_acceptors(struct serve *s, struct acceptor *acceptors, int n)
{
    int r = 0, i;

    for (i = 0; i < n && r == 0; i++) {
        rn_go_options how = {.name = "accept", .proc = n == 1 ? 0 : i + 1};

        acceptors[i] = (struct acceptor){.serve = s,
                                         .ln = s->listeners[s->n_listeners == 1 ? 0 : i]};
        rn_waitgroup_add(&s->accepting, 1);
        r = rn_go_with(&how, acceptor, &acceptors[i]);
        if (r < 0)
            rn_waitgroup_done(&s->accepting);
    }
    return r;
}

/* ---- draining ---- */

static bool is_mine(struct rn__iowait *w, void *arg)
{
    rn_conn *c = RN_CONTAINER(w, rn_conn, w);

    /* Not one that lingers: it is closed already, and its peer may not have the answer yet. */
    return rn__iowait_drop(w) == rn__conn_drop && atomic_load(&c->serve) == arg &&
           !(atomic_load(&c->gate) & RN__GATE_CLOSING);
}

static void cancel_resting(struct rn__iowait *w, void *arg)
{
    (void)rn__iowait_cancel_rest(w, is_mine, arg);
}

/* A slot may have another owner by the time it is cancelled: only the generation that was looked at
 * is. That of one that is being closed is harmless: its closer is not stopped. */
static void cancel_busy(struct rn__iowait *w, void *arg)
{
    uint32_t generation = rn__iowait_generation(w);

    if (is_mine(w, arg))
        (void)rn__iowait_cancel_if(w->index, generation);
}

/* Resting connections are idle by definition: each is cancelled, and its handler closes it. Those
 * that are busy end in their own time, or rest, and are found in the next round; or they run out of
 * time. */
static void drain(struct serve *s)
{
    rn_time limit = s->options.drain_ns > 0 ? rn_after(s->options.drain_ns) : RN__TIME_NEVER;
    rn_time pause = 100 * RN_MICROSECOND;

    atomic_store(&s->draining, true);
    while (atomic_load(&s->conns) > 0) {
        rn__slot_each(rn_now() < limit ? cancel_resting : cancel_busy, s);
        rn__pause(pause);
        pause = pause < 10 * RN_MILLISECOND ? pause * 2 : pause;
    }
    /* The last one counts itself out of conns before it lets go of s. */
    rn__waitgroup_wait_shielded(&s->alive);
}

static int default_max_conns(void)
{
    struct rlimit lim;

    if (rn__sys_prlimit(RLIMIT_NOFILE, NULL, &lim) < 0 || lim.rlim_cur > INT32_MAX)
        return INT32_MAX;
    return lim.rlim_cur > 2 * SPARE_FDS ? (int)lim.rlim_cur - SPARE_FDS : SPARE_FDS;
}

/* On listeners that are there. s is on the caller's stack: it outlives all that know it. */
static int serve_all(struct serve *s)
{
    int n = s->options.balance == RN_BALANCE_ONE ? 1 : rn_procs(), r;
    struct acceptor *acceptors = rn__calloc((size_t)n, sizeof *acceptors);

    if (acceptors == NULL)
        return -ENOMEM;
    s->max_conns = s->options.max_conns > 0 ? s->options.max_conns : default_max_conns();
    r = start_acceptors(s, acceptors, n);
    if (r < 0)
        cancel_listeners(s);
    else
        r = rn_waitgroup_wait(&s->accepting);
    if (r < 0) { /* not all could start, or this coroutine was cancelled */
        cancel_listeners(s);
        rn__waitgroup_wait_shielded(&s->accepting);
    }
    /* Who comes now is refused, not kept waiting in a queue until the last one has left. */
    for (int i = 0; i < s->n_listeners; i++)
        rn__listener_stop(s->listeners[i]);
    drain(s);
    rn__free(acceptors);
    return r < 0 ? r : atomic_load(&s->result);
}

static int check_options(const rn_serve_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (rn__self() == NULL)
        return -EDEADLK;
    return o->max_conns < 0 || o->drain_ns < 0 || (unsigned)o->balance > RN_BALANCE_REUSE_PORT
               ? -EINVAL
               : 0;
}

int rn_serve_listener(rn_listener *ln, const rn_serve_options *options, rn_handler fn, void *arg)
{
    static const rn_serve_options defaults;
    struct serve s = {.listeners = &ln,
                      .n_listeners = 1,
                      .options = options == NULL ? defaults : *options,
                      .fn = fn,
                      .arg = arg};
    int r = check_options(&s.options);

    if (r == 0 && s.options.balance == RN_BALANCE_REUSE_PORT)
        r = -EINVAL; /* one listener is one socket */
    return r < 0 ? r : serve_all(&s);
}

/* A socket for each P on the address that the first one got. */
static int open_group(struct serve *s, const char *network, int n)
{
    char address[128];
    int r = rn_listener_addr(s->listeners[0], address, sizeof address);

    for (int i = 1; i < n && r == 0; i++) {
        r = rn_listen(network, address, &s->options.listen, &s->listeners[i]);
        if (r == 0)
            s->n_listeners++;
    }
    return r;
}

int rn_serve(const char *network, const char *address, const rn_serve_options *options,
             rn_handler fn, void *arg)
{
    static const rn_serve_options defaults;
    struct serve s = {.options = options == NULL ? defaults : *options, .fn = fn, .arg = arg};
    bool group = s.options.balance == RN_BALANCE_REUSE_PORT;
    int n = rn_procs(), r = check_options(&s.options);

    if (r < 0)
        return r;
    s.listeners = rn__calloc((size_t)n, sizeof(rn_listener *));
    if (s.listeners == NULL)
        return -ENOMEM;
    s.options.listen.reuse_port |= group;
    r = rn_listen(network, address, &s.options.listen, &s.listeners[0]);
    if (r == 0) {
        s.n_listeners = 1;
        if (group)
            r = open_group(&s, network, n);
    }
    if (r == 0) {
        if (s.options.listener != NULL)
            *s.options.listener = s.listeners[0];
        r = serve_all(&s);
    }
    for (int i = s.n_listeners - 1; i >= 0; i--)
        rn_listener_close(s.listeners[i]);
    rn__free(s.listeners);
    return r;
}
