/*
 * dump.c - every coroutine, listed: by rn_dump, or by a signal
 *
 * Takes no lock and allocates nothing, so that it works in a signal handler, and while a P is
 * stuck. Nothing stops meanwhile. What it reads stays valid memory: control blocks and stacks are
 * not unmapped while the runtime is, wait kinds are constants, slots are type-stable. What it reads
 * may change under its eyes: so a number may be stale, and a backtrace of one that has just been
 * resumed may be nonsense, but each step of it is checked to lie within its stack. Sanitizers are
 * told to look away.
 */
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "task/dump.h"
#include "task/iowait.h"
#include "task/line.h"
#include "task/peer.h"
#include "task/proc.h"
#include "task/sites.h"
#include "task/wait.h"

/* Where rn__switch has left frame pointer and return address of one that is not running, in words
 * from its stack pointer; see switch_*.S. */
#if defined(__x86_64__)
#define SAVED_FP 6
#define SAVED_PC 7
#else
#define SAVED_FP 0
#define SAVED_PC 1
#endif

struct dump {
    int fd;
    int result;
    rn_time now;
    unsigned n;
    bool count_only;
    bool to_log; /* not by a signal handler: it locks */
};

static struct sigaction before; /* [C] while installed */
static bool installed;
static atomic_int dumping; /* handlers under way */

static void put(struct dump *d, struct rn__line *l)
{
    if (d->to_log) {
        l->text[l->len] = '\0';
        rn__log_line(l->text);
    } else {
        rn__line_text(l, "\n");
        if (d->result == 0)
            d->result = rn__panic_write(d->fd, l->text, l->len);
    }
    l->len = 0;
}

/* ---- one coroutine ---- */

static void put_left(struct rn__line *l, rn_time until, rn_time now)
{
    if (until == 0)
        return;
    rn__line_text(l, ", for ");
    rn__line_duration(l, until - now);
    rn__line_text(l, " more at most");
}

/* A descriptor with its peer, and the deadline of the direction in which it waits. */
static RN__UNCHECKED void put_io(struct rn__line *l, struct rn__coro *co, struct rn__iowait *w,
                                 rn_time now)
{
    rn__line_text(l, " (fd ");
    rn__line_number(l, (uint64_t)(unsigned)w->fd, 10);
    rn__line_peer(l, w->fd);
    rn__line_text(l, ")");
    for (int dir = RN__READ; dir <= RN__WRITE; dir++)
        if (atomic_load(&w->state[dir]) == (uintptr_t)co)
            put_left(l, atomic_load(&w->deadline[dir]), now);
}

static void put_object(struct rn__line *l, const void *object)
{
    if (object == NULL)
        return;
    rn__line_text(l, " (0x");
    rn__line_number(l, (uintptr_t)object, 16);
    rn__line_text(l, ")");
}

static RN__UNCHECKED void put_wait(struct rn__line *l, struct rn__coro *co, rn_time now)
{
    const struct rn__wait_kind *wait = co->wait;
    void *object = co->wait_obj;

    rn__line_text(l, " parked for ");
    rn__line_duration(l, now - co->since);
    rn__line_text(l, " in ");
    rn__line_text(l, wait == NULL ? "?" : wait->name);
    if (wait == NULL)
        return;
    if (wait->interrupt == rn__iowait_interrupt && object != NULL) {
        put_io(l, co, object, now);
    } else if (wait->interrupt == rn__wait_interrupt && object != NULL) {
        put_object(l, ((struct rn__wait *)object)->of); /* on its stack, which stays */
        put_left(l, co->until, now);
    } else {
        put_object(l, object);
        if (object == NULL) /* a sleep */
            put_left(l, co->until, now);
    }
}

RN__UNCHECKED int rn__dump_frames(struct rn__coro *co, const void *frames[RN__FRAMES_MOST])
{
    int n = 0;
    const char *top = co->top, *sp = co->sp;
    const char *low = top - rn__stack_bytes(co->size_class) + rn__stack_guard(co->size_class);
    const void *pc, *fp;

    if (sp < low + RN_CACHE_LINE * 16 || sp >= top - 256)
        return 0;
    fp = ((const void *const *)(const void *)sp)[SAVED_FP];
    pc = ((const void *const *)(const void *)sp)[SAVED_PC];
    while (n < RN__FRAMES_MOST && pc != NULL) {
        const char *at = fp;

        frames[n++] = pc;
        /* Upwards only, aligned, and within the stack; the first frame has none. */
        if (at < sp || at >= top - 2 * sizeof(void *) || (uintptr_t)at % sizeof(void *) != 0)
            break;
        sp = at + 1;
        pc = ((const void *const *)fp)[1];
        fp = ((const void *const *)fp)[0];
    }
    return n;
}

static void put_backtrace(struct dump *d, struct rn__coro *co)
{
    const void *frames[RN__FRAMES_MOST];
    int n = rn__dump_frames(co, frames);

    for (int i = 0; i < n; i++) {
        struct rn__line l = {.len = 0};

        rn__line_frame(&l, i, frames[i]);
        put(d, &l);
    }
}

static RN__UNCHECKED void put_coroutine(struct rn__coro *co, void *arg)
{
    enum rn__coro_state state = rn__state(co);
    struct rn__line l = {.len = 0};
    struct dump *d = arg;
    const char *name = co->name;
    struct rn__proc *p = rn__coro_proc(co);

    if (state == RN__FREE || atomic_load(&co->id) == 0)
        return;
    d->n++;
    if (d->count_only)
        return;
    rn__line_text(&l, "coroutine ");
    rn__line_number(&l, atomic_load(&co->id), 10);
    if (name != NULL) {
        rn__line_text(&l, " \"");
        rn__line_text(&l, name);
        rn__line_text(&l, "\"");
    }
    rn__line_text(&l, " on P ");
    rn__line_number(&l, p == NULL ? 0 : (uint64_t)p->index + 1, 10);
    rn__line_text(&l, ":");
    if (state == RN__PARKED)
        put_wait(&l, co, d->now);
    else
        rn__line_text(&l, p != NULL && p->front.current == co ? " running" : " runnable");
    if (atomic_load(&co->cancelled))
        rn__line_text(&l, ", cancelled");
    rn__line_text(&l, ", started at ");
    rn__line_site(&l, co->site);
    put(d, &l);
    if (state == RN__PARKED)
        put_backtrace(d, co);
    if (co->measured)
        rn__site_measure(co);
}

/* ---- where they were started ---- */

static void put_site(const struct rn__site *s, void *arg)
{
    struct rn__line l = {.len = 0};

    rn__line_text(&l, "stack, at most: ");
    rn__line_number(&l, atomic_load(&s->deepest) >> 10, 10);
    rn__line_text(&l, " KiB in ");
    rn__line_number(&l, atomic_load(&s->measured), 10);
    rn__line_text(&l, " looks at coroutines started at ");
    rn__line_site(&l, atomic_load(&s->pc));
    put(arg, &l);
}

/* ---- all of them ---- */

static int dump_all(struct rn__runtime *rt, int fd, bool to_log)
{
    struct dump d = {.fd = fd, .now = rn_now(), .count_only = true, .to_log = to_log};
    struct rn__line l = {.len = 0};

    rn__stack_walk(put_coroutine, &d);
    rn__line_text(&l, to_log ? "" : "runnel: ");
    rn__line_number(&l, d.n, 10);
    rn__line_text(&l, " coroutines on ");
    rn__line_number(&l, (uint64_t)rt->n_procs, 10);
    rn__line_text(&l, " Ps");
    put(&d, &l);
    for (int i = 0; i < rt->n_procs; i++) {
        rn_time turn = atomic_load(&rt->procs[i]->turn);

        rn__line_text(&l, "P ");
        rn__line_number(&l, (uint64_t)i + 1, 10);
        if (turn == RN__TIME_NEVER) {
            rn__line_text(&l, ": asleep, ");
        } else {
            rn__line_text(&l, ": awake, last looked around ");
            rn__line_duration(&l, d.now - turn);
            rn__line_text(&l, " ago, ");
        }
        rn__line_number(&l, atomic_load(&rt->procs[i]->load), 10);
        rn__line_text(&l, " connections");
        put(&d, &l);
    }
    d.count_only = false;
    rn__stack_walk(put_coroutine, &d);
    rn__sites_each(put_site, &d);
    return d.result;
}

int rn_dump(int fd)
{
    bool foreign = rn__foreign_begin();
    struct rn__runtime *rt = atomic_load(&rn__runtime);
    int r;

    r = rt == NULL ? -EINVAL : dump_all(rt, fd, false);
    rn__foreign_end(foreign);
    return r;
}

void rn__dump_to_log(struct rn__runtime *rt)
{
    (void)dump_all(rt, -1, true);
}

/* ---- by signal ---- */

static void on_quit(int sig)
{
    struct rn__runtime *rt;

    (void)sig;
    atomic_fetch_add(&dumping, 1);
    rt = atomic_load(&rn__runtime);
    if (rt != NULL)
        (void)dump_all(rt, STDERR_FILENO, false);
    atomic_fetch_sub(&dumping, 1);
}

void rn__dump_install(void)
{
    struct sigaction sa = {.sa_handler = on_quit, .sa_flags = SA_ONSTACK | SA_RESTART};

    sigemptyset(&sa.sa_mask);
    installed = sigaction(SIGQUIT, &sa, &before) == 0;
}

void rn__dump_uninstall(void)
{
    if (installed)
        (void)sigaction(SIGQUIT, &before, NULL);
    installed = false;
    while (atomic_load(&dumping) > 0) /* on a thread of the program's */
        sched_yield();
}
