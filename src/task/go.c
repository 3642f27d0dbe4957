/*
 * go.c - starting, ending, parking and waking coroutines
 *
 * The calling thread's P is found through one thread-local pointer (rn__proc in coro.h).
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/probe.h"
#include "task/coro.h"
#include "task/proc.h"
#include "task/sites.h"

_Atomic(struct rn__runtime *) rn__runtime;
pthread_mutex_t rn__foreign_lock = PTHREAD_MUTEX_INITIALIZER;

_Thread_local struct rn__proc *rn__this_proc;
static uint64_t foreign_id; /* [L] rn__foreign_lock */

static atomic_bool forked; /* this is the child of a fork() under a runtime */

__attribute__((noinline, cold)) void rn__check_fork(void)
{
    static const char text[] = "runnel: no runtime survives fork(): the child may only exec or "
                               "_exit, not call runnel\n";

    if (!atomic_load(&forked))
        return;
    (void)rn__panic_write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

void rn__proc_forked(void)
{
    rn__this_proc = NULL;
    atomic_store(&rn__runtime, NULL);
    atomic_store(&forked, true);
}

void rn__set_proc(struct rn__proc *p)
{
    rn__this_proc = p;
}

_Noreturn void rn__coro_main(struct rn__coro *co)
{
    struct rn__proc *p;

    rn__san_enter(&co->san);
    do {
        RN_PROBE(coroutine_started, atomic_load_explicit(&co->id, memory_order_relaxed), co->fn,
                 co->name, co->site);
        co->fn(co->arg);
        RN_PROBE(coroutine_ended, atomic_load_explicit(&co->id, memory_order_relaxed), co->fn,
                 co->name, co->site);
        p = rn__proc();
        if (RN_UNLIKELY(rn__timer_armed(&co->timer)))
            rn__heap_cancel(&p->timers, &co->timer);
        if (RN_UNLIKELY(co->measured)) {
            rn__site_measure(co);
            co->measured = false;
        }
        rn__stat_add(&p->stats.finished, 1);
        rn__set_state(co, RN__FREE);
    } while (rn__start_here(p, co));
    /* Still on this stack: safe, because only this thread takes from this cache, and the next
     * thing it does is to leave. */
    rn__stack_put(&p->stacks, co);
    rn__switch_away(p, true);
    __builtin_unreachable();
}

static void start_sent(struct rn__proc *p, struct rn__msg *m)
{
    rn__run_next(p, RN_CONTAINER(m, struct rn__coro, msg));
}

static void prepare(struct rn__coro *co, const struct rn__spawn *how, void (*fn)(void *), void *arg)
{
    co->fn = fn;
    co->arg = arg;
    co->name = how->name;
    co->site = how->site;
    co->local = NULL;
    co->pinned = how->pinned;
    co->shields = 0;
    atomic_store_explicit(&co->cancelled, false, memory_order_relaxed);
    rn__set_state(co, RN__RUNNABLE);
}

static void prepare_stack(struct rn__coro *co)
{
    rn__san_recycle(&co->san);
    co->sp = rn__switch_prepare(co->top, co);
}

static void set_id(struct rn__coro *co, uint64_t id)
{
    atomic_store_explicit(&co->id, id, memory_order_relaxed);
}

static void post_start(struct rn__coro *co, struct rn__proc *to)
{
    rn__coro_set_proc(co, to);
    co->msg.fn = start_sent;
    rn__post(to, &co->msg);
}

/* P `number` of 1..n, if there is one. */
static struct rn__proc *proc_at(struct rn__runtime *rt, int number)
{
    return number < 1 || number > rt->n_procs ? NULL : rt->procs[number - 1];
}

/* From a plain thread; the lock keeps the runtime in being, hence `number`, of the P it is to start
 * on, instead of that P; 0: how->proc, or any. */
static int go_foreign(const struct rn__spawn *how, int number, void (*fn)(void *), void *arg)
{
    struct rn__runtime *rt;
    struct rn__coro *co;
    struct rn__proc *to = how->proc;
    int r = -EINVAL, size_class;

    pthread_mutex_lock(&rn__foreign_lock);
    rt = atomic_load(&rn__runtime);
    if (rt == NULL || (number != 0 && (to = proc_at(rt, number)) == NULL))
        goto out;
    r = -ECANCELED;
    if (atomic_load(&rt->ending))
        goto out;
    r = size_class = rn__stack_class(how->stack_bytes == 0 ? rt->stack_bytes : how->stack_bytes);
    if (r < 0)
        goto out;
    r = rn__stack_get(NULL, (unsigned)size_class, &co);
    if (r < 0)
        goto out;
    prepare_stack(co);
    prepare(co, how, fn, arg);
    set_id(co, ++foreign_id * RN__MAX_PROCS + RN__MAX_PROCS - 1);
    if (to == NULL)
        to = rt->procs[atomic_fetch_add(&rt->next_proc, 1) % (unsigned)rt->n_procs];
    atomic_fetch_add(&rt->foreign_spawned, 1);
    post_start(co, to);
    r = 0;
out:
    pthread_mutex_unlock(&rn__foreign_lock);
    return r;
}

int rn__go(const struct rn__spawn *how, void (*fn)(void *), void *arg)
{
    struct rn__proc *p = rn__proc();
    struct rn__runtime *rt;
    struct rn__coro *co;
    int r, size_class;
    bool here, sample;

    if (RN_UNLIKELY(p == NULL))
        return go_foreign(how, 0, fn, arg);
    rt = p->rt;
    if (RN_UNLIKELY(atomic_load_explicit(&rt->ending, memory_order_relaxed)) && !how->late)
        return -ECANCELED;
    size_class = how->stack_bytes == 0 ? rt->size_class : rn__stack_class(how->stack_bytes);
    if (RN_UNLIKELY(size_class < 0))
        return size_class;
    sample = p->next_id % RN__SITE_SAMPLE == RN__SITE_SAMPLE - 1;
    co = p->ended;
    here = co != NULL && co->size_class == size_class && !sample && how->proc == p;
    if (here) {
        p->ended = NULL;
    } else {
        r = rn__stack_get(&p->stacks, (unsigned)size_class, &co);
        if (RN_UNLIKELY(r < 0))
            return r;
        if (RN_UNLIKELY(sample))
            rn__site_prepare(co);
        prepare_stack(co);
    }
    prepare(co, how, fn, arg);
    set_id(co, ++p->next_id * RN__MAX_PROCS + (unsigned)p->index);
    rn__stat_add(&p->stats.spawned, 1);
    if (here)
        return 0;
    if (how->proc != NULL && how->proc != p) {
        post_start(co, how->proc);
        return 0;
    }
    rn__coro_set_proc(co, p);
    if (co->pinned || rt->n_procs == 1)
        rn__run_next(p, co);
    else
        rn__run_fresh(p, co);
    return 0;
}

int rn_go(void (*fn)(void *arg), void *arg)
{
    struct rn__spawn how = {.site = __builtin_return_address(0)};

    return rn__go(&how, fn, arg);
}

int rn_go_with(const rn_go_options *options, void (*fn)(void *arg), void *arg)
{
    struct rn__spawn how = {.site = __builtin_return_address(0)};
    struct rn__proc *p = rn__proc();

    if (options == NULL)
        return rn__go(&how, fn, arg);
    how.name = options->name;
    how.stack_bytes = options->stack_bytes;
    how.pinned = options->proc != 0;
    if (p == NULL)
        return go_foreign(&how, options->proc, fn, arg);
    if (options->proc != 0 && (how.proc = proc_at(p->rt, options->proc)) == NULL)
        return -EINVAL;
    return rn__go(&how, fn, arg);
}

void rn__park(const struct rn__wait_kind *why, void *obj)
{
    struct rn__proc *p = rn__proc();
    struct rn__coro *co = p->front.current;

    rn__check_stack();
    RN_ASSERT(co != &p->sched);
    co->wait = why;
    co->wait_obj = obj;
    co->since = p->front.now;
    /* A ready from another thread may already be in the inbox: it sets RUNNABLE when this thread
     * takes it out, hence after this. */
    rn__set_state(co, RN__PARKED);
    rn__tally(&p->stats.parks, 1);
    rn__switch_away(p, false);
}

static void ready_here(struct rn__proc *p, struct rn__msg *m)
{
    struct rn__coro *co = RN_CONTAINER(m, struct rn__coro, msg);

    rn__set_state(co, RN__RUNNABLE);
    rn__run_next(p, co);
}

void rn__ready(struct rn__coro *co)
{
    struct rn__proc *p = rn__proc();

    if (RN_LIKELY(rn__coro_proc(co) == p)) {
        rn__set_state(co, RN__RUNNABLE);
        rn__run_next(p, co);
        return;
    }
    co->msg.fn = ready_here;
    rn__post(rn__coro_proc(co), &co->msg);
}

void rn__ready_next(struct rn__coro *co)
{
    struct rn__proc *p = rn__proc();
    struct rn__coro *before;

    if (RN_UNLIKELY(rn__coro_proc(co) != p || p->front.current == &p->sched || p->seed != 0)) {
        rn__ready(co);
        return;
    }
    rn__set_state(co, RN__RUNNABLE);
    before = p->next;
    p->next = co;
    if (before != NULL)
        rn__fifo_push(&p->runq, &before->link);
}

void rn__lingering(int by)
{
    atomic_fetch_add(&rn__proc()->rt->lingering, (uint32_t)by);
}

void rn__foreign_enter(void)
{
    pthread_mutex_lock(&rn__foreign_lock);
}

void rn__foreign_leave(void)
{
    pthread_mutex_unlock(&rn__foreign_lock);
}

void rn__spend_all(void)
{
    /* By way of the scheduler: it looks at clock, timers and poller, also where nobody else runs.
     * */
    rn__proc()->tick = 1;
    rn_yield();
}

bool rn__alone(void)
{
    const struct rn__proc *p = rn__proc();

    return p->next == NULL && rn__fifo_empty(&p->runq) && rn__fifo_empty(&p->starts);
}

void rn_yield(void)
{
    struct rn__proc *p = rn__proc();

    if (RN_UNLIKELY(p == NULL))
        return;
    if (rn__fifo_empty(&p->runq))
        rn__run_new(p); /* or it would go on at once, before those that it has started */
    rn__run_next(p, p->front.current);
    rn__switch_away(p, false);
}

static bool interrupt_sleep(struct rn__coro *co)
{
    if (!rn__timer_armed(&co->timer))
        return false;
    rn__heap_cancel(&rn__coro_proc(co)->timers, &co->timer);
    return true;
}

static const struct rn__wait_kind wait_sleep = {.name = "sleep", .interrupt = interrupt_sleep};

int rn_sleep(rn_time span_ns)
{
    struct rn__proc *p = rn__proc();
    struct rn__coro *co;
    int r;

    if (p == NULL)
        return -EDEADLK;
    co = p->front.current;
    if (rn__is_cancelled(co))
        return -ECANCELED;
    if (span_ns <= 0) {
        rn_yield();
        return 0;
    }
    co->timer.kind = RN__TIMER_CORO;
    co->until = rn_after(span_ns);
    r = rn__heap_set(&p->timers, &co->timer, co->until);
    if (r < 0)
        return r;
    rn__park(&wait_sleep, NULL);
    return rn__is_cancelled(co) ? -ECANCELED : 0;
}

static const struct rn__wait_kind wait_pause = {.name = "pause"};

void rn__pause(rn_time span_ns)
{
    struct rn__proc *p = rn__proc();

    p->front.current->timer.kind = RN__TIMER_CORO;
    if (rn__heap_set(&p->timers, &p->front.current->timer, rn_after(span_ns)) < 0)
        rn_yield();
    else
        rn__park(&wait_pause, NULL);
}

int rn_procs(void)
{
    bool foreign = rn__foreign_begin();
    struct rn__runtime *rt = atomic_load(&rn__runtime);
    int n = rt == NULL ? 0 : rt->n_procs;

    rn__foreign_end(foreign);
    return n;
}

int rn_proc_id(void)
{
    struct rn__proc *p = rn__proc();

    return p == NULL ? 0 : p->index + 1;
}

uint64_t rn_id(void)
{
    struct rn__coro *co = rn__self();

    return co == NULL ? 0 : atomic_load_explicit(&co->id, memory_order_relaxed);
}

const char *rn_name(void)
{
    struct rn__coro *co = rn__self();

    return co == NULL || co->name == NULL ? "" : co->name;
}

void rn_local_set(void *value)
{
    struct rn__coro *co = rn__self();

    if (co != NULL)
        co->local = value;
}

void *rn_local_get(void)
{
    struct rn__coro *co = rn__self();

    return co == NULL ? NULL : co->local;
}
