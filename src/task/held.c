/*
 * held.c - debug builds count the pthread mutexes that a thread holds
 *
 * By standing in for pthread_mutex_lock and its kin. A wait for a pthread condition goes past this,
 * and holds as many after as before.
 */
#include "task/held.h"

/* No file is empty. */
typedef int rn__held_is_for_debug_builds;

#if RN__HELD

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/sys.h"
#include "task/coro.h"
#include "task/line.h"

#define INSTEAD __attribute__((visibility("default")))

static _Thread_local int held;
static _Thread_local const void *site; /* of the last lock */

static int took(int r, const void *where)
{
    if (r == 0 || r == EOWNERDEAD) {
        held++;
        site = where;
    }
    return r;
}

/* The one that this stands in front of: libc's, or a sanitizer's. */
static void *behind(_Atomic(void *) *known, const char *name)
{
    void *fn = atomic_load(known);

    if (fn == NULL) {
        fn = dlsym(RTLD_NEXT, name);
        atomic_store(known, fn);
    }
    return fn;
}

INSTEAD int pthread_mutex_lock(pthread_mutex_t *m)
{
    static _Atomic(void *) known;
    int (*next)(pthread_mutex_t *) = behind(&known, "pthread_mutex_lock");

    return took(next(m), __builtin_return_address(0));
}

INSTEAD int pthread_mutex_trylock(pthread_mutex_t *m)
{
    static _Atomic(void *) known;
    int (*next)(pthread_mutex_t *) = behind(&known, "pthread_mutex_trylock");

    return took(next(m), __builtin_return_address(0));
}

INSTEAD int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *at)
{
    static _Atomic(void *) known;
    int (*next)(pthread_mutex_t *, const struct timespec *) = behind(&known,
                                                                     "pthread_mutex_timedlock");

    return took(next(m, at), __builtin_return_address(0));
}

INSTEAD int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *at)
{
    static _Atomic(void *) known;
    int (*next)(pthread_mutex_t *, clockid_t,
                const struct timespec *) = behind(&known, "pthread_mutex_clocklock");

    return took(next(m, clock, at), __builtin_return_address(0));
}

INSTEAD int pthread_mutex_unlock(pthread_mutex_t *m)
{
    static _Atomic(void *) known;
    int (*next)(pthread_mutex_t *) = behind(&known, "pthread_mutex_unlock");
    int r = next(m);

    if (r == 0)
        held--;
    return r;
}

int rn__held(void)
{
    return held;
}

void rn__held_check(const struct rn__coro *co, int base)
{
    struct rn__line l = {.len = 0};

    if (RN_LIKELY(held <= base))
        return;
    rn__line_text(&l, "runnel: coroutine ");
    rn__line_number(&l, atomic_load(&co->id), 10);
    rn__line_text(&l, " \"");
    rn__line_text(&l, co->name == NULL ? "" : co->name);
    rn__line_text(&l, "\" leaves its thread with a pthread mutex held, locked at ");
    rn__line_site(&l, site);
    rn__line_text(&l, "; use rn_mutex, or unlock before what may park\n");
    (void)rn__panic_write(STDERR_FILENO, l.text, l.len);
    abort();
}

#endif
