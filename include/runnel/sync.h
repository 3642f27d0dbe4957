/*
 * sync.h - coroutines waiting for each other
 */
#ifndef RUNNEL_SYNC_H
#define RUNNEL_SYNC_H

#include <runnel/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zero is an unlocked mutex; it may live anywhere, and needs no end. */
typedef struct rn_mutex {
    uint64_t space[3];
} rn_mutex;

/* All zero is an empty wait group. */
typedef struct rn_waitgroup {
    uint64_t space[4];
} rn_waitgroup;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_MUTEX_INIT RN_INIT
#define RN_WAITGROUP_INIT RN_INIT

/*
 * rn_mutex_lock - lock, parking the coroutine while another holds it
 *   m  mutex; usable from any P, also across parks
 * Returns 0, or -EDEADLK on a plain thread. Waiters are served first come, first served; the wait
 * is not cancelled.
 * Effects: may switch coroutines. Source: src/sync/mutex.c
 */
RN_API int rn_mutex_lock(rn_mutex *m);

/*
 * rn_mutex_trylock - lock if nobody holds it
 *   m  mutex
 * Returns true when the caller holds it now.
 * Effects: never switches; works on a plain thread. Source: src/sync/mutex.c
 */
RN_API bool rn_mutex_trylock(rn_mutex *m);

/*
 * rn_mutex_unlock - hand the mutex to the one that waits longest, or unlock it
 *   m  mutex that the caller holds; unlocking an unlocked one aborts
 * Effects: never switches. Source: src/sync/mutex.c
 */
RN_API void rn_mutex_unlock(rn_mutex *m);

/*
 * rn_waitgroup_add - more, or fewer, to wait for
 *   wg  wait group
 *   n   added to its count; a count below 0 aborts
 * Effects: wakes the waiters when the count comes to 0; any thread. Source: src/sync/waitgroup.c
 */
RN_API void rn_waitgroup_add(rn_waitgroup *wg, int n);

/*
 * rn_waitgroup_done - one fewer to wait for
 *   wg  wait group
 * Effects: as rn_waitgroup_add(wg, -1). Source: src/sync/waitgroup.c
 */
RN_API void rn_waitgroup_done(rn_waitgroup *wg);

/*
 * rn_waitgroup_wait - park until the count is 0
 *   wg  wait group; may be waited for by several
 * Returns 0; -ECANCELED when the coroutine was cancelled (the count may be anything);
 * -EDEADLK on a plain thread.
 * Effects: may switch coroutines. Source: src/sync/waitgroup.c
 */
RN_API int rn_waitgroup_wait(rn_waitgroup *wg);

#ifdef __cplusplus
}
#endif

#endif
