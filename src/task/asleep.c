/*
 * asleep.c - the report that all coroutines wait for each other
 *
 * As Go's "all goroutines are asleep - deadlock!", but the run goes on: a host may hold the process
 * for a debugger, and a report that is wrong must not end a server. It is made when every P has had
 * nothing to run for a while, none has a timer, and no coroutine waits for what comes from outside:
 * a descriptor, a blocking call, a plain thread. Which threads there are, the kernel says: one that
 * is neither a P nor of the pool might wake somebody, and there is no report.
 */
#include <stdlib.h>
#include <string.h>

#include "task/dump.h"
#include "task/iowait.h"
#include "task/offload.h"
#include "task/proc.h"
#include "task/watchdog.h"

struct look {
    bool outside; /* something can still happen */
};

/* Plain fields are read as the dump reads them: all Ps were quiet a moment ago, and what has woken
 * since makes the second look fail. */
static __attribute__((no_sanitize_address, no_sanitize_thread, noinline)) void
look_at(struct rn__coro *co, void *arg)
{
    enum rn__coro_state state = rn__state(co);
    struct look *look = arg;

    if (state == RN__FREE)
        return;
    if (state == RN__RUNNABLE || co->wait == NULL || co->wait->outside)
        look->outside = true;
}

static void look_at_slot(struct rn__iowait *w, void *arg)
{
    struct look *look = arg;

    for (int dir = RN__READ; dir <= RN__WRITE; dir++)
        if (atomic_load(&w->state[dir]) >= RN__IO_REST)
            look->outside = true;
}

/* Threads of this process; 0 where that cannot be known. */
static int count_threads(void)
{
    int fd = rn__sys_openat(AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);
    char text[1024] = "";
    const char *at;

    if (fd < 0)
        return 0;
    (void)rn__sys_read(fd, text, sizeof text - 1);
    (void)rn__sys_close(fd);
    /* After the program's name, which may hold anything, field 20 is the 18th. */
    at = strrchr(text, ')');
    for (int i = 0; at != NULL && i < 18; i++)
        at = strchr(at + 1, ' ');
    return at == NULL ? 0 : (int)strtol(at, NULL, 10);
}

static bool all_quiet(struct rn__runtime *rt)
{
    for (int i = 0; i < rt->n_procs; i++)
        if (!atomic_load(&rt->procs[i]->quiet))
            return false;
    return true;
}

void rn__asleep_check(struct rn__runtime *rt)
{
    struct look look = {.outside = false};

    if (rn__alive(rt) == 0 || atomic_load(&rt->lingering) > 0 || atomic_load(&rt->asleep_told))
        return;
    if (count_threads() != rt->n_procs + rn__offload_threads() + rn__watchdog_threads())
        return;
    rn__slot_each(look_at_slot, &look);
    if (!look.outside)
        rn__stack_each(look_at, &look);
    if (look.outside || !all_quiet(rt) || atomic_exchange(&rt->asleep_told, true))
        return;
    rn__log_line("all coroutines are asleep, and nothing can ever wake them");
    rn__dump_to_log(rt);
}
