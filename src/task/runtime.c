/*
 * runtime.c - the one runtime of a process: options, threads, beginning and end
 *
 * Built in order and undone in reverse: memory hooks, process-wide settings (SIGPIPE, SIGSEGV,
 * RLIMIT_NOFILE), Ps, threads. rn__runtime is set while Ps exist; plain threads use it only under
 * rn__foreign_lock, which the end takes too.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "task/dump.h"
#include "task/follow.h"
#include "task/held.h"
#include "task/offload.h"
#include "task/proc.h"
#include "task/sites.h"
#include "task/watchdog.h"

#define THREAD_STACK ((size_t)256 << 10)
#define DEFAULT_GRACE (5 * RN_SECOND)
#define LOG_PER_SECOND 10

/* Debug builds watch by themselves; sanitizers slow them down by a lot. */
#ifdef RN_DEBUG
#define DEFAULT_WATCHDOG RN_SECOND
#else
#define DEFAULT_WATCHDOG 0
#endif

struct life {
    struct rn__runtime rt;
    int (*fn)(void *arg);
    void *arg;
    int result;
    rn_time watchdog_ns;
    bool sigpipe_set, fault_set;
};

static struct life *started; /* rn_start's, [L] start_lock */
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool exists; /* a runtime is being built, runs, or is being undone */
_Atomic uint64_t rn__ended_runs;

/* rn_poller's answer. Not in the runtime: a plain thread may still read it when that has ended. */
static char poller_why[128];

/* ---- log ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static void (*log_fn)(void *arg, const char *line); /* [L] log_lock */
static void *log_arg;                               /* [L] */
static rn_time log_window;                          /* [L] */
static unsigned log_lines, log_dropped;             /* [L] */

static void emit(const char *line)
{
    char text[600];
    int n;

    if (log_fn != NULL) {
        log_fn(log_arg, line);
        return;
    }
    n = snprintf(text, sizeof text, "runnel: %s\n", line);
    (void)rn__panic_write(STDERR_FILENO, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void rn__log(const char *format, ...)
{
    char line[512];
    rn_time now = rn_now();
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    pthread_mutex_lock(&log_lock);
    if (now - log_window >= RN_SECOND) {
        log_window = now;
        log_lines = 0;
    }
    if (log_lines++ < LOG_PER_SECOND) {
        emit(line);
    } else if (log_dropped++ == 0 || log_lines == LOG_PER_SECOND * 100) {
        emit("more than 10 lines a second: some are left out");
    }
    pthread_mutex_unlock(&log_lock);
}

void rn__log_line(const char *line)
{
    pthread_mutex_lock(&log_lock);
    emit(line);
    pthread_mutex_unlock(&log_lock);
}

static void set_log(const rn_run_options *o)
{
    pthread_mutex_lock(&log_lock);
    log_fn = o->log;
    log_arg = o->log_arg;
    log_lines = log_dropped = 0;
    log_window = 0;
    pthread_mutex_unlock(&log_lock);
}

/* ---- options ---- */

/* A number from the environment; fallback where it is unset, -EINVAL where it is no number. */
static long long env_number(const char *name, long long fallback)
{
    const char *text = getenv(name);
    char *end;
    long long n;

    if (text == NULL || *text == '\0')
        return fallback;
    n = strtoll(text, &end, 10);
    if (*end != '\0' || n < 0) {
        rn__log("%s=%s is not a number", name, text);
        return -EINVAL;
    }
    return n;
}

/* The one asked for, if it runs here; else epoll. A container's seccomp filter refuses io_uring
 * with EPERM, an old kernel with ENOSYS or EINVAL: only a try tells. */
static int choose_poller(struct rn__runtime *rt, const char *name)
{
    const struct rn__poller_ops *asked = rn__poller_by_name(name);
    const char *why = name == NULL ? "the default" : "asked for";
    int r;

    if (asked == NULL) {
        rn__log("there is no poller \"%s\": there are %s", name, rn__poller_names());
        return -EINVAL;
    }
    rt->poller = asked;
    r = asked->may_be_refused ? rn__poller_try(asked) : 0;
    if (r == 0) {
        (void)snprintf(poller_why, sizeof poller_why, "%s: %s", asked->name, why);
        return 0;
    }
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE)
        return r; /* another would fare no better */
    rt->poller = rn__poller_by_name(NULL);
    (void)snprintf(poller_why, sizeof poller_why, "%s: %s: %s, %s", rt->poller->name, asked->name,
                   rn_error_name(r), rn_strerror(r));
    rn__log("poller %s", poller_why);
    return 0;
}

const char *rn_poller(void)
{
    return atomic_load(&rn__runtime) == NULL ? "" : poller_why;
}

static int read_options(struct rn__runtime *rt, const rn_run_options *o)
{
    const char *poller = o->poller != NULL ? o->poller : getenv("RN_POLLER");
    long long procs = o->procs != 0 ? o->procs : env_number("RN_PROCS", 0);
    long long seed = env_number("RN_SCHED_SEED", 0);

    if (poller != NULL && *poller == '\0')
        poller = NULL;
    if (procs == 0)
        procs = rn__usable_cpus();
    if (procs < 1 || procs > RN__MAX_PROCS || seed < 0)
        return -EINVAL;
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    rt->n_procs = (int)procs;
    rt->seed = (uint64_t)seed;
    rt->stack_bytes = o->stack_bytes != 0 ? o->stack_bytes : RN__STACK_DEFAULT;
    rt->size_class = rn__stack_class(rt->stack_bytes);
    rt->grace_ns = o->grace_ns != 0 ? o->grace_ns : DEFAULT_GRACE;
    if (rt->size_class < 0 || rt->grace_ns < 0 || o->offload_threads < 0)
        return -EINVAL;
    return choose_poller(rt, poller);
}

static int read_watchdog(const rn_run_options *o, rn_time *ret)
{
    long long ms = env_number("RN_WATCHDOG", -1);

    if (o->watchdog_ns != 0)
        *ret = o->watchdog_ns > 0 ? o->watchdog_ns : 0;
    else
        *ret = ms >= 0 ? ms * RN_MILLISECOND : DEFAULT_WATCHDOG;
    if (ms == -EINVAL || ms > INT32_MAX || (*ret > 0 && *ret < RN_MILLISECOND))
        return -EINVAL;
    return 0;
}

/* ---- what is set for the whole process ---- */

static _Atomic uint64_t nofile_before;

uint64_t rn__nofile_before(void)
{
    return atomic_load(&nofile_before);
}

static void raise_nofile(void)
{
    struct rlimit lim;
    uint64_t before;

    /* As Go does. Failing leaves what was, which is what the user asked for elsewhere. */
    if (rn__sys_prlimit(RLIMIT_NOFILE, NULL, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
        before = lim.rlim_cur;
        lim.rlim_cur = lim.rlim_max;
        if (rn__sys_prlimit(RLIMIT_NOFILE, &lim, NULL) == 0)
            atomic_store(&nofile_before, before);
    }
}

static void set_process(struct life *l, const rn_run_options *o)
{
    struct sigaction sa;

    if (!o->keep_nofile)
        raise_nofile();
    if (!o->keep_sigpipe && sigaction(SIGPIPE, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO) &&
        sa.sa_handler == SIG_DFL) {
        sa.sa_handler = SIG_IGN;
        l->sigpipe_set = sigaction(SIGPIPE, &sa, NULL) == 0;
    }
    if (!o->no_fault_handler)
        l->fault_set = rn__fault_install() == 0;
    if (o->dump_on_sigquit)
        rn__dump_install();
}

static void unset_process(struct life *l)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};

    if (l->fault_set)
        rn__fault_uninstall();
    if (l->sigpipe_set)
        (void)sigaction(SIGPIPE, &sa, NULL);
}

/* ---- fork ---- */

static void after_fork(void)
{
    if (atomic_load(&exists))
        rn__proc_forked();
    else
        rn__offload_forked();
}

static void watch_forks(void)
{
    /* Without memory for it a child that goes on is as undefined as in any threaded program. */
    (void)pthread_atfork(NULL, NULL, after_fork);
}

/* ---- threads ---- */

static void run_here(struct rn__proc *p)
{
    clockid_t clock;
    int slack;

    if (pthread_getcpuclockid(pthread_self(), &clock) == 0)
        atomic_store(&p->cpu_clock, clock);
    atomic_store(&p->tid, gettid());
    p->held = rn__held();
    rn__watchdog_adopt_thread();
    rn__set_proc(p);
    rn__sys_use_block(&p->counters);
    rn__san_adopt_thread(&p->sched.san);
    slack = rn__sys_prctl(PR_GET_TIMERSLACK, 0);
    (void)rn__sys_prctl(PR_SET_TIMERSLACK, 1); /* or sleeps are 50 us longer */
    rn__sched_loop(p);
    if (slack > 0)
        (void)rn__sys_prctl(PR_SET_TIMERSLACK, (unsigned long)slack);
    atomic_store(&p->turn, RN__TIME_NEVER); /* nobody holds it any more */
    rn__sys_use_block(NULL);
    rn__set_proc(NULL);
}

static void *thread_main(void *arg)
{
    struct rn__proc *p = arg;
    struct rn__signal_stack stack = {0};

    /* Without the alternate stack an overflow is an ordinary fault: no reason not to run. */
    (void)rn__fault_thread_begin(&stack);
    run_here(p);
    rn__fault_thread_end(&stack);
    return NULL;
}

static void tell_to_stop(struct rn__runtime *rt)
{
    atomic_store(&rt->stop, true);
    for (int i = 0; i < rt->n_procs; i++)
        rt->procs[i]->poller->ops->wake(rt->procs[i]->poller);
}

static void join_threads(struct rn__runtime *rt, int from, int to)
{
    for (int i = from; i < to; i++)
        (void)pthread_join((pthread_t)rt->procs[i]->thread, NULL);
}

static int start_threads(struct rn__runtime *rt, int from)
{
    for (int i = from; i < rt->n_procs; i++) {
        int r = rn__sys_thread(thread_main, rt->procs[i], THREAD_STACK, &rt->procs[i]->thread);

        if (r < 0) {
            tell_to_stop(rt);
            join_threads(rt, from, i);
            return r;
        }
    }
    return 0;
}

/* Plain threads that look at the runtime, or for one, allocate and free under the lock. */
static void set_hooks(const rn_alloc *a)
{
    struct rn__mem_hooks hooks;

    if (a != NULL)
        hooks = (struct rn__mem_hooks){
            .alloc = a->alloc, .realloc = a->realloc, .free = a->free, .arg = a->arg};
    pthread_mutex_lock(&rn__foreign_lock);
    rn__mem_set_hooks(a == NULL ? NULL : &hooks);
    pthread_mutex_unlock(&rn__foreign_lock);
}

static void destroy(struct life *l)
{
    struct rn__runtime *rt = &l->rt;
    bool borrowed;

    pthread_mutex_lock(&rn__foreign_lock);
    atomic_store(&rn__runtime, NULL);
    atomic_fetch_add(&rn__ended_runs, 1);
    borrowed = rn__offload_end();
    pthread_mutex_unlock(&rn__foreign_lock);
    rn__follow_reset();
    rn__slot_reset(); /* closes what abandoned coroutines left open; puts signals back */
    rn__watchdog_end();
    rn__dump_uninstall();
    for (int i = rt->n_opened - 1; i >= 0; i--)
        rn__proc_close(rt->procs[i]);
    rn__stack_free_all(borrowed);
    rn__free(rt->procs);
    unset_process(l);
    rn__free(l);
    set_hooks(NULL);
    atomic_store(&exists, false);
}

static int create(const rn_run_options *options, struct life **ret)
{
    static const rn_run_options defaults;
    const rn_run_options *o = options == NULL ? &defaults : options;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct life *l;
    int r;

    (void)rn__proc(); /* the child of a fork ends here */
    (void)pthread_once(&once, watch_forks);
    if (atomic_exchange(&exists, true))
        return -EBUSY;
    set_log(o);
    set_hooks(o->alloc);
    l = rn__calloc(1, sizeof *l);
    if (l == NULL) {
        set_hooks(NULL);
        atomic_store(&exists, false);
        return -ENOMEM;
    }
    r = read_options(&l->rt, o);
    if (r == 0)
        r = read_watchdog(o, &l->watchdog_ns);
    if (r < 0)
        goto fail;
    l->rt.began = rn_now();
    rn__offload_begin(o->offload_threads);
    rn__sites_reset();
    set_process(l, o);
    r = -ENOMEM;
    l->rt.procs = rn__calloc((size_t)l->rt.n_procs, sizeof(struct rn__proc *));
    if (l->rt.procs == NULL)
        goto fail;
    for (; l->rt.n_opened < l->rt.n_procs; l->rt.n_opened++) {
        r = rn__proc_open(&l->rt, l->rt.n_opened, &l->rt.procs[l->rt.n_opened]);
        if (r < 0)
            goto fail;
    }
    /* The program can do without, and is told. */
    if (l->watchdog_ns > 0 && (r = rn__watchdog_begin(&l->rt, l->watchdog_ns)) < 0)
        rn__log("no watchdog: %s", rn_strerror(r));
    *ret = l;
    return 0;
fail:
    destroy(l);
    return r;
}

uint64_t rn__runs(void)
{
    return atomic_load(&rn__ended_runs);
}

/* ---- the end of a run ---- */

/* As a coroutine: cancels all others until none is left, or their time is up. */
static void end_others(struct rn__runtime *rt, uint64_t self)
{
    rn_time until = rn_after(rt->grace_ns), pause = 50 * RN_MICROSECOND;

    atomic_store(&rt->ending, true);
    /* Plain threads within rn_go have left it, or will see `ending`. */
    pthread_mutex_lock(&rn__foreign_lock);
    pthread_mutex_unlock(&rn__foreign_lock);
    rn_yield();
    while (rn__alive(rt) > self || atomic_load(&rt->lingering) > 0) {
        if (rn_now() >= until) {
            rn__log("%llu coroutines still alive after %lld ms: abandoned",
                    (unsigned long long)(rn__alive(rt) - self),
                    (long long)(rt->grace_ns / RN_MILLISECOND));
            return;
        }
        rn__cancel_all(rt);
        if (rn_sleep(pause) < 0)
            rn_yield();
        pause = pause < 5 * RN_MILLISECOND ? pause * 2 : pause;
    }
}

static void main_coroutine(void *arg)
{
    struct life *l = arg;

    l->rt.main = rn__self();
    if (l->fn != NULL)
        l->result = l->fn(l->arg);
    end_others(&l->rt, 1);
    tell_to_stop(&l->rt);
}

static int go_main(struct life *l, struct rn__proc *p)
{
    struct rn__spawn how = {.proc = p, .pinned = true, .name = "main", .site = (const void *)l->fn};

    return rn__go(&how, main_coroutine, l);
}

int rn_run(const rn_run_options *options, int (*fn)(void *arg), void *arg)
{
    struct rn__signal_stack stack = {0};
    struct life *l;
    int r;

    if (fn == NULL)
        return -EINVAL;
    r = create(options, &l);
    if (r < 0)
        return r;
    l->fn = fn;
    l->arg = arg;
    atomic_store(&rn__runtime, &l->rt);
    r = start_threads(&l->rt, 1);
    if (r < 0)
        goto out;
    r = go_main(l, l->rt.procs[0]);
    if (r == 0) {
        (void)rn__fault_thread_begin(&stack);
        run_here(l->rt.procs[0]);
        rn__fault_thread_end(&stack);
        r = l->result;
    } else {
        tell_to_stop(&l->rt);
    }
    join_threads(&l->rt, 1, l->rt.n_procs);
out:
    destroy(l);
    return r;
}

int rn_start(const rn_run_options *options)
{
    struct life *l;
    int r;

    pthread_mutex_lock(&start_lock);
    r = create(options, &l);
    if (r < 0)
        goto out;
    atomic_store(&rn__runtime, &l->rt);
    r = start_threads(&l->rt, 0);
    if (r < 0)
        destroy(l);
    else
        started = l;
out:
    pthread_mutex_unlock(&start_lock);
    return r;
}

int rn_stop(void)
{
    struct life *l;
    int r;

    if (rn__proc() != NULL)
        return -EDEADLK;
    pthread_mutex_lock(&start_lock);
    l = started;
    r = -EINVAL;
    if (l != NULL) {
        /* The end is a coroutine's work; where even that cannot start, the others are abandoned. */
        r = go_main(l, l->rt.procs[0]);
        if (r < 0) {
            rn__log("rn_stop: %s: the coroutines are abandoned", rn_strerror(r));
            tell_to_stop(&l->rt);
        }
        join_threads(&l->rt, 0, l->rt.n_procs);
        started = NULL;
        destroy(l);
        r = 0;
    }
    pthread_mutex_unlock(&start_lock);
    return r;
}
