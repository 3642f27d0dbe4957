/*
 * watchdog.c - names the coroutine that does not let others run
 *
 * A thread looks at each P's count of switches a few times within the limit. One that is awake and
 * whose count has stood still for so long is held by its coroutine, in a loop or in a call that
 * blocks: the P's thread is asked, by a signal, for a backtrace, and the log told. Once for each
 * hold, and not more often than REPORT_EVERY.
 *
 *      shot:   FREE --watchdog--> ASKED --handler--> TAKING --handler--> DONE --watchdog--> FREE
 *                                   '--watchdog, after a while--> FREE
 *
 * The signal is SIGURG, whose default is to be ignored, as in Go; one that the watchdog has not
 * sent goes to the handler that was there before. A system call that the signal interrupts goes on
 * (SA_RESTART) where the kernel can restart it.
 */
#include "task/watchdog.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/probe.h"
#include "task/line.h"
#include "task/proc.h"

#define THREAD_STACK ((size_t)128 << 10)
#define LOOK_MOST (20 * RN_MILLISECOND)
#define REPORT_EVERY RN_SECOND
#define FRAMES_MOST 48
#define NAME_MOST 64
#define PATIENCE_MS 50

/* What was seen of one P. */
struct watched {
    uint64_t switches;
    rn_time since;     /* 0: asleep, or has switched */
    rn_time cpu_since; /* the thread's CPU time then */
    bool told;
};

/* Written by the handler, on the P's thread. */
struct shot {
    _Atomic int state;
    struct rn__proc *proc; /* whom, and in which hold */
    uint64_t switches;
    bool same; /* it was still that hold */
    uint64_t id;
    const void *site;
    char name[NAME_MOST];
    int n, first; /* frames[first..n) are the coroutine's */
    void *frames[FRAMES_MOST];
};

enum { FREE, ASKED, TAKING, DONE };

static struct {
    struct rn__runtime *rt;
    rn_time limit, every;
    struct watched *watched;
    unsigned long thread;
    bool running;
    atomic_bool stop;
    rn_time last_report;
    struct sigaction before;
} dog;

static struct shot shot;

/* ---- on the P's thread ---- */

static const void *interrupted_at(const void *context)
{
    const ucontext_t *c = context;

#if defined(__x86_64__)
    return (const void *)c->uc_mcontext.gregs[REG_RIP];
#else
    return (const void *)c->uc_mcontext.pc;
#endif
}

static void take(const void *context)
{
    struct rn__proc *p = rn__proc();
    const void *pc = interrupted_at(context);
    struct rn__coro *co;
    int asked = ASKED;

    if (!atomic_compare_exchange_strong(&shot.state, &asked, TAKING))
        return;
    shot.same = p == shot.proc && atomic_load(&p->stats.switches) == shot.switches;
    if (shot.same) {
        co = p->front.current;
        shot.id = co == &p->sched ? 0 : atomic_load(&co->id);
        shot.site = co == &p->sched ? NULL : co->site;
        shot.name[0] = '\0';
        if (co != &p->sched && co->name != NULL)
            strncat(shot.name, co->name, NAME_MOST - 1);
        shot.n = backtrace(shot.frames, FRAMES_MOST);
        shot.first = 0;
        for (int i = 0; i < shot.n; i++) /* above it are the handler's own */
            if (shot.frames[i] == pc)
                shot.first = i;
    }
    atomic_store(&shot.state, DONE);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    if (info->si_code == SI_QUEUE && info->si_value.sival_ptr == &shot) {
        take(context);
        return;
    }
    if (dog.before.sa_flags & SA_SIGINFO)
        dog.before.sa_sigaction(sig, info, context);
    else if (dog.before.sa_handler != SIG_DFL && dog.before.sa_handler != SIG_IGN)
        dog.before.sa_handler(sig);
}

void rn__watchdog_adopt_thread(void)
{
    sigset_t set;

    if (!dog.running)
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGURG);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- the watchdog's ---- */

static void nap(rn_time span)
{
    struct timespec ts = {.tv_sec = span / RN_SECOND, .tv_nsec = span % RN_SECOND};

    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
}

/* CPU time of the P's thread; 0 where that is not to be had. */
static rn_time cpu_time(struct rn__proc *p)
{
    struct timespec ts;

    if (clock_gettime(atomic_load(&p->cpu_clock), &ts) < 0)
        return 0;
    return ts.tv_sec * RN_SECOND + ts.tv_nsec;
}

/* Asks for a backtrace; false when none came. */
static bool ask(struct rn__proc *p, uint64_t switches)
{
    int asked = ASKED;

    shot.proc = p;
    shot.switches = switches;
    atomic_store(&shot.state, ASKED);
    if (rn__sys_rt_tgsigqueueinfo(atomic_load(&p->tid), SIGURG, &shot) == 0)
        for (int ms = 0; ms < PATIENCE_MS && atomic_load(&shot.state) != DONE; ms++)
            nap(RN_MILLISECOND);
    if (atomic_compare_exchange_strong(&shot.state, &asked, FREE))
        return false;
    while (atomic_load(&shot.state) != DONE)
        nap(RN_MILLISECOND);
    return true;
}

static void tell_frames(void)
{
    struct rn__line l = {.len = 0};

    for (int i = shot.first; i < shot.n; i++) {
        rn__line_text(&l, "    #");
        rn__line_number(&l, (uint64_t)(i - shot.first), 10);
        rn__line_text(&l, " ");
        rn__line_site(&l, shot.frames[i]);
        l.text[l.len] = '\0';
        rn__log_line(l.text);
        l.len = 0;
    }
}

static void put_number(struct rn__line *l, const char *before, uint64_t n)
{
    rn__line_text(l, before);
    rn__line_number(l, n, 10);
}

static void tell_probe(struct rn__proc *p, rn_time held, rn_time cpu, bool seen)
{
    uint64_t id = seen ? shot.id : 0;
    const void *site = seen ? shot.site : NULL;

    RN_PROBE(proc_held, p->index + 1, atomic_load(&p->tid), held, cpu, id, site);
}

static void report(struct rn__proc *p, const struct watched *w, rn_time now)
{
    rn_time held = now - w->since, cpu = cpu_time(p) - w->cpu_since;
    bool seen = ask(p, w->switches);
    struct rn__line l = {.len = 0};

    if (seen && !shot.same)
        return; /* it has let go meanwhile */
    tell_probe(p, held, cpu, seen);
    rn__symbols_load(); /* it is rare, and this thread has nothing else to do */
    if (!seen)
        rn__line_text(&l, "a coroutine that takes no signal");
    else if (shot.id == 0)
        rn__line_text(&l, "the scheduler");
    else
        put_number(&l, "coroutine ", shot.id);
    if (seen && shot.name[0] != '\0') {
        rn__line_text(&l, " \"");
        rn__line_text(&l, shot.name);
        rn__line_text(&l, "\"");
    }
    put_number(&l, " has held P ", (uint64_t)p->index + 1);
    put_number(&l, " for ", (uint64_t)(held / RN_MILLISECOND));
    put_number(&l, " ms, ", (uint64_t)(cpu / RN_MILLISECOND));
    rn__line_text(&l, " ms of them on a CPU");
    if (seen && shot.site != NULL) {
        rn__line_text(&l, ", started at ");
        rn__line_site(&l, shot.site);
    }
    l.text[l.len] = '\0';
    rn__log_line(l.text);
    if (seen)
        tell_frames();
    dog.last_report = now;
}

static void look(struct rn__proc *p, struct watched *w)
{
    uint64_t switches = atomic_load(&p->stats.switches);
    rn_time now = rn_now();

    if (atomic_load(&p->turn) == RN__TIME_NEVER) {
        w->since = 0;
    } else if (w->since == 0 || w->switches != switches) {
        *w = (struct watched){.switches = switches, .since = now, .cpu_since = cpu_time(p)};
    } else if (!w->told && now - w->since >= dog.limit &&
               (dog.last_report == 0 || now - dog.last_report >= REPORT_EVERY)) {
        w->told = true;
        report(p, w, now);
    }
}

static void *watch(void *arg)
{
    while (!atomic_load(&dog.stop)) {
        nap(dog.every);
        for (int i = 0; i < dog.rt->n_procs; i++)
            look(dog.rt->procs[i], &dog.watched[i]);
    }
    return arg;
}

int rn__watchdog_threads(void)
{
    return dog.running;
}

int rn__watchdog_begin(struct rn__runtime *rt, rn_time limit_ns)
{
    struct sigaction sa = {.sa_sigaction = on_signal,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    void *frame;
    int r;

    (void)backtrace(&frame, 1); /* loads what it needs, which no handler may */
    dog.rt = rt;
    dog.limit = limit_ns;
    dog.every = limit_ns / 4 < LOOK_MOST ? limit_ns / 4 : LOOK_MOST;
    dog.last_report = 0;
    atomic_store(&dog.stop, false);
    dog.watched = rn__calloc((size_t)rt->n_procs, sizeof(struct watched));
    if (dog.watched == NULL)
        return -ENOMEM;
    sigemptyset(&sa.sa_mask);
    r = sigaction(SIGURG, &sa, &dog.before) == 0 ? 0 : -EINVAL;
    if (r < 0)
        goto fail;
    r = rn__sys_thread(watch, NULL, THREAD_STACK, &dog.thread);
    if (r < 0)
        goto fail_signal;
    dog.running = true;
    return 0;
fail_signal:
    (void)sigaction(SIGURG, &dog.before, NULL);
fail:
    rn__free(dog.watched);
    return r;
}

void rn__watchdog_end(void)
{
    if (!dog.running)
        return;
    atomic_store(&dog.stop, true);
    (void)pthread_join((pthread_t)dog.thread, NULL);
    (void)sigaction(SIGURG, &dog.before, NULL);
    rn__free(dog.watched);
    dog.running = false;
}
