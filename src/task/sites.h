/*
 * sites.h - how deep the stacks get, by where their coroutines were started
 *
 * A look costs system calls, so few are looked at: the first coroutine on a stack, whose pages are
 * untouched when it begins, for the first 64 stacks and one in 64 of the others; and one start in
 * RN__SITE_SAMPLE, whose stack is emptied for it.
 */
#ifndef RN_TASK_SITES_H
#define RN_TASK_SITES_H

#include "task/coro.h"

#define RN__SITE_SAMPLE 1024
#define RN__SITES 256 /* further ones are not told apart: they are left out */

struct rn__site {
    _Atomic(const void *) pc;
    _Atomic uint64_t measured;
    _Atomic uint64_t deepest; /* bytes, whole pages */
};

/* Empties the stack of one that is about to start. */
void rn__site_prepare(struct rn__coro *co);

/* A coroutine that began on an empty stack ends, or is looked at while it is parked. */
void rn__site_measure(const struct rn__coro *co);

/* Each site known; safe in a signal handler. */
void rn__sites_each(void (*fn)(const struct rn__site *s, void *arg), void *arg);

/* A new run. */
void rn__sites_reset(void);

#endif
