/*
 * stack.h - stacks and control blocks, in slabs
 *
 *    slab:   | guard | usable ....... top | guard | usable ....... top | ...
 *            <------- stack_bytes ------->
 *
 * Address space only, until touched: MAP_NORESERVE, and MADV_NOHUGEPAGE, since one huge page under
 * a stack of which 4 KiB are used costs 500 times that. The guard is the lowest part of each stack:
 * by MADV_GUARD_INSTALL (Linux 6.13), which costs no mapping, else by mprotect, which costs two,
 * within a budget below vm.max_map_count. Past the budget there are no more stacks: never one
 * without its guard.
 *
 * A P takes from and gives to its own cache; slabs are cut, and surplus is kept, under one lock.
 */
#ifndef RN_TASK_STACK_H
#define RN_TASK_STACK_H

#include "task/coro.h"

#define RN__STACK_MIN_BITS 14U /* 16 KiB */
#define RN__STACK_MAX_BITS 26U /* 64 MiB */
#define RN__STACK_CLASSES (RN__STACK_MAX_BITS - RN__STACK_MIN_BITS + 1)
#define RN__STACK_DEFAULT (256U << 10)

struct rn__stack_cache {
    struct rn__fifo free[RN__STACK_CLASSES]; /* LIFO: the last one used is warm */
    uint32_t n[RN__STACK_CLASSES];
};

/* The class that holds stack_bytes, or -EINVAL above 64 MiB. */
int rn__stack_class(size_t stack_bytes);
size_t rn__stack_bytes(unsigned size_class);
size_t rn__stack_guard(unsigned size_class); /* bytes at the low end that fault */

/* A free coroutine with a stack. cache NULL: a plain thread. -ENOMEM. */
int rn__stack_get(struct rn__stack_cache *cache, unsigned size_class, struct rn__coro **ret);

/* Back to the cache; the caller may still be standing on the stack, if nothing takes from this
 * cache before it has switched away. */
static inline void rn__stack_put(struct rn__stack_cache *cache, struct rn__coro *co)
{
    struct rn__fifo *q = &cache->free[co->size_class];

    rn__fifo_push_front(q, &co->link);
    cache->n[co->size_class]++;
}

/* Gives stacks above a cache's limits to the others, with their pages or, of many, without; on the
 * scheduler's stack. */
void rn__stack_trim(struct rn__stack_cache *cache);

/* All but a few, and what others have passed on, without their pages: after a burst. */
void rn__stack_give_back(struct rn__stack_cache *cache);

/* Calls fn for each control block ever made (FREE ones too) while no slab can come or go. */
void rn__stack_each(void (*fn)(struct rn__coro *co, void *arg), void *arg);

/* The same without the lock, for signal handlers: what is cut meanwhile may be left out. */
void rn__stack_walk(void (*fn)(struct rn__coro *co, void *arg), void *arg);

/* The coroutine whose slot holds the address; *in_guard tells where in it. NULL: none. Safe in a
 * signal handler. */
struct rn__coro *rn__stack_find(const void *at, bool *in_guard);

/* Unmaps everything; no coroutine of any kind may be left. `keep`: a call that cannot be called
 * back writes to one of them; they are given up as they are. */
void rn__stack_free_all(bool keep);

/* Tests: pretend that the kernel knows no guard markers; back to probing with false. */
void rn__stack_no_markers(bool pretend);

/* Does this kernel have guard markers? */
bool rn__stack_has_markers(void);

#endif
