/*
 * sync.h - coroutines waiting for each other: channels, select, groups, locks
 *
 * All of it works between Ps. Calls that may switch return -EDEADLK where they would have to wait
 * on a plain thread, -ECANCELED when the coroutine was cancelled before what it waited for came.
 */
#ifndef RUNNEL_SYNC_H
#define RUNNEL_SYNC_H

#include <runnel/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A lock for coroutines. All zero is unlocked; it may live anywhere, and needs no end. */
typedef struct rn_mutex {
    uint64_t space[3];
} rn_mutex;

/* A count to wait for until it is 0. All zero is a count of 0. */
typedef struct rn_waitgroup {
    uint64_t space[4];
} rn_waitgroup;

/* A condition to wait for, beside an rn_mutex. All zero is one that nobody waits for. */
typedef struct rn_cond {
    uint64_t space[3];
} rn_cond;

/* A lock that readers share, and a writer has alone. All zero is unlocked. */
typedef struct rn_rwlock {
    uint64_t space[3];
} rn_rwlock;

/* A counting semaphore. All zero is one at 0: release first. */
typedef struct rn_sem {
    uint64_t space[3];
} rn_sem;

/* What is done once. All zero is "not yet done". */
typedef struct rn_once {
    uint64_t space[3];
} rn_once;

/* Coroutines that are cancelled together and waited for. All zero is an empty group. */
typedef struct rn_group {
    uint64_t space[5];
} rn_group;

/* A channel: items of one size go from senders to receivers, first in, first out. */
typedef struct rn_chan rn_chan;

/* What is to be done with the channel of an rn_select_case. */
enum rn_select_op { RN_SELECT_RECV, RN_SELECT_SEND };

/* One of the things rn_select waits for. */
typedef struct rn_select_case {
    rn_chan *chan;        /* NULL: never ready */
    enum rn_select_op op; /* RN_SELECT_RECV or RN_SELECT_SEND */
    int result;           /* of the case that was chosen: 0, or -EPIPE the channel is closed */
    void *item;           /* to send, or room for one; not touched unless chosen */
    uint64_t space[6];    /* rn_select's */
} rn_select_case;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_MUTEX_INIT RN_INIT
#define RN_WAITGROUP_INIT RN_INIT
#define RN_COND_INIT RN_INIT
#define RN_RWLOCK_INIT RN_INIT
#define RN_SEM_INIT RN_INIT
#define RN_ONCE_INIT RN_INIT
#define RN_GROUP_INIT RN_INIT

/* ---- channels ---- */

/*
 * rn_chan_new - make a channel
 *   item_bytes  size of an item, 0..65536; with 0 only the passing counts, and items are NULL
 *   capacity    items kept without a receiver; 0: each send waits for its receive
 *   ret         the channel, with one reference
 * Returns 0; -EINVAL items too large; -ENOMEM. *ret is untouched on failure.
 * Effects: does not switch; any thread. Source: src/sync/chan.c
 */
RN_API int rn_chan_new(size_t item_bytes, size_t capacity, rn_chan **ret);

/*
 * rn_chan_ref - one more reference, for another owner
 *   ch  channel
 * Returns ch.
 * Effects: does not switch; any thread. Source: src/sync/chan.c
 */
RN_API rn_chan *rn_chan_ref(rn_chan *ch);

/*
 * rn_chan_free - drop a reference
 *   ch  channel; not valid afterwards for this owner. NULL is allowed
 * The last one frees it, with the items still in it; nobody may wait in it then.
 * Effects: does not switch; any thread. Source: src/sync/chan.c
 */
RN_API void rn_chan_free(rn_chan *ch);

/*
 * rn_chan_send - send an item, waiting for a receiver or for room
 *   ch    channel
 *   item  item_bytes bytes; copied
 * Returns 0; -EPIPE the channel is closed, also while it waited (Go panics; here a sender may find
 * out); -ECANCELED, -EDEADLK. The item has been sent if and only if the result is 0.
 * Effects: may switch coroutines. Source: src/sync/chan.c
 */
RN_API int rn_chan_send(rn_chan *ch, const void *item);

/*
 * rn_chan_recv - receive an item, or wait for one
 *   ch    channel
 *   item  room for item_bytes bytes
 * Returns 0; -EPIPE the channel is closed, and what was in it is taken; -ECANCELED, -EDEADLK.
 * Effects: may switch coroutines. Source: src/sync/chan.c
 */
RN_API int rn_chan_recv(rn_chan *ch, void *item);

/*
 * rn_chan_try_send - send an item if that needs no waiting
 *   ch, item  as for rn_chan_send
 * Returns 1 when it has been sent, 0 when it would have to wait, -EPIPE the channel is closed.
 * Effects: does not wait; works on a plain thread. Source: src/sync/chan.c
 */
RN_API int rn_chan_try_send(rn_chan *ch, const void *item);

/*
 * rn_chan_try_recv - receive an item if there is one
 *   ch, item  as for rn_chan_recv
 * Returns 1 with an item, 0 when it would have to wait, -EPIPE the channel is closed, and what was
 * in it is taken.
 * Effects: does not wait; works on a plain thread. Source: src/sync/chan.c
 */
RN_API int rn_chan_try_recv(rn_chan *ch, void *item);

/*
 * rn_chan_close - no more items
 *   ch  channel; a second close is harmless (Go panics; cleaning up in C is simpler so)
 * Whoever waits in it wakes: receivers and senders with -EPIPE. Items in it can still be received.
 * Effects: does not switch; works on a plain thread. Source: src/sync/chan.c
 */
RN_API void rn_chan_close(rn_chan *ch);

/*
 * rn_chan_len - how many items are in it now
 *   ch  channel
 * Returns 0..capacity, which may be history already.
 * Effects: does not switch; any thread. Source: src/sync/chan.c
 */
RN_API size_t rn_chan_len(rn_chan *ch);

/*
 * rn_chan_fd - a descriptor that tells when there is something to receive
 *   ch  channel
 * Returns a descriptor that poll, epoll and any other loop report as readable while the channel has
 * an item, a waiting sender, or is closed: then rn_chan_try_recv gets it. It stays the
 * channel's; only wait for it. Rarely it is readable a moment too long, and there is nothing.
 * -EMFILE, -ENFILE, -ENOMEM.
 * Effects: does not switch; any thread. From the first call on each change between something and
 * nothing costs a system call. Source: src/sync/chan.c
 */
RN_API int rn_chan_fd(rn_chan *ch);

/*
 * rn_select - do the first of several sends and receives that can be done
 *   cases     n cases; a channel may stand in several
 *   n         0..256; with 0 it only waits for the deadline, or a cancel
 *   deadline  absolute; 0: none. A past one makes it a try, as Go's `default`
 * Returns the index of the one case that was done, whose result says whether an item has passed or
 * the channel is closed; of several that can be done a random one. -ETIME, -ECANCELED, -EDEADLK,
 * -ENOMEM, -EINVAL: none was done.
 * Effects: may switch coroutines. Source: src/sync/select.c
 */
RN_API int rn_select(rn_select_case *cases, int n, rn_time deadline);

/* ---- groups ---- */

/*
 * rn_group_go - start a coroutine in a group
 *   g    group; whoever started it with members must rn_group_wait, so that nothing outlives it
 *   fn   its function; a negative result, the first in the group, cancels the others
 *   arg  handed to fn; what it points to belongs to fn from here on
 * Returns 0 and fn will run, also when the group is cancelled before it begins; or nothing runs and
 * arg still belongs to the caller: -ECANCELED the group is cancelled (rn_group_wait says why), and
 * the errors of rn_go.
 * Effects: does not switch. Source: src/sync/group.c
 */
RN_API int rn_group_go(rn_group *g, int (*fn)(void *arg), void *arg);

/*
 * rn_group_cancel - cancel a group's coroutines
 *   g  group
 * Their waits, under way and later, return -ECANCELED: reads, writes, accepts, dials, sleeps,
 * channels, semaphores, conditions, groups; not locks. Connections stay usable.
 * Effects: does not switch; any thread, any number of times. Source: src/sync/group.c
 */
RN_API void rn_group_cancel(rn_group *g);

/*
 * rn_group_wait - wait until all of a group have ended
 *   g         group; by the one coroutine that answers for it. Empty and usable again afterwards
 *   deadline  absolute; 0: none. When it passes the group is cancelled
 * Returns 0 when all returned 0 or more; else the first negative result; -ETIME deadline passed;
 * -ECANCELED the caller was cancelled, and the group with it; -ENOMEM no timer, the same. In every
 * case all of them have ended. -EDEADLK on a plain thread.
 * Effects: may switch coroutines. Source: src/sync/group.c
 */
RN_API int rn_group_wait(rn_group *g, rn_time deadline);

/* ---- mutexes, conditions, read-write locks ---- */

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
 * rn_cond_wait - let go of a mutex until a condition is signalled
 *   c         condition; one mutex for all who wait in it
 *   m         mutex that the caller holds; held again when this returns, whatever it returns
 *   deadline  absolute; 0: none
 * Returns 0 after a signal or broadcast (never without one); -ETIME, -ECANCELED, -EDEADLK, -ENOMEM.
 * Effects: may switch coroutines. Source: src/sync/cond.c
 */
RN_API int rn_cond_wait(rn_cond *c, rn_mutex *m, rn_time deadline);

/*
 * rn_cond_signal - wake the one that waits longest
 *   c  condition
 * Effects: never switches; any thread. Source: src/sync/cond.c
 */
RN_API void rn_cond_signal(rn_cond *c);

/*
 * rn_cond_broadcast - wake all that wait
 *   c  condition
 * Effects: never switches; any thread. Source: src/sync/cond.c
 */
RN_API void rn_cond_broadcast(rn_cond *c);

/*
 * rn_rwlock_rdlock - lock for reading, together with other readers
 *   l  lock; not locked by the caller already, since a writer may wait in between
 * Returns 0, or -EDEADLK on a plain thread. First come, first served; the wait is not cancelled.
 * Effects: may switch coroutines. Source: src/sync/rwlock.c
 */
RN_API int rn_rwlock_rdlock(rn_rwlock *l);

/*
 * rn_rwlock_wrlock - lock for writing, alone
 *   l  lock
 * Returns as rn_rwlock_rdlock.
 * Effects: may switch coroutines. Source: src/sync/rwlock.c
 */
RN_API int rn_rwlock_wrlock(rn_rwlock *l);

/*
 * rn_rwlock_unlock - unlock, whichever way it was locked
 *   l  lock that the caller holds; unlocking an unlocked one aborts
 * Effects: never switches. Source: src/sync/rwlock.c
 */
RN_API void rn_rwlock_unlock(rn_rwlock *l);

/* ---- semaphores, once, wait groups ---- */

/*
 * rn_sem_acquire - take from a semaphore, or wait until there is enough
 *   s         semaphore
 *   n         how many
 *   deadline  absolute; 0: none
 * Returns 0; -ETIME, -ECANCELED, -EDEADLK, -ENOMEM: nothing taken. First come, first served.
 * Effects: may switch coroutines. Source: src/sync/sem.c
 */
RN_API int rn_sem_acquire(rn_sem *s, unsigned n, rn_time deadline);

/*
 * rn_sem_try_acquire - take from a semaphore if there is enough and nobody waits
 *   s, n  as for rn_sem_acquire
 * Returns true when they are taken.
 * Effects: never switches; any thread. Source: src/sync/sem.c
 */
RN_API bool rn_sem_try_acquire(rn_sem *s, unsigned n);

/*
 * rn_sem_release - give to a semaphore
 *   s  semaphore
 *   n  how many; a sum above UINT32_MAX aborts
 * Effects: never switches; any thread. Source: src/sync/sem.c
 */
RN_API void rn_sem_release(rn_sem *s, unsigned n);

/*
 * rn_once_do - call a function, the first time
 *   o    once; not from within fn
 *   fn   called by the first caller; the others wait until it has returned
 *   arg  handed to fn
 * Returns 0 when it has been done; -EDEADLK on a plain thread, if it has not.
 * Effects: may switch coroutines; the wait is not cancelled. Source: src/sync/once.c
 */
RN_API int rn_once_do(rn_once *o, void (*fn)(void *arg), void *arg);

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
