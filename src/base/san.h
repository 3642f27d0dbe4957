/*
 * san.h - what ASan, TSan and valgrind must be told of stacks and switches
 *
 * All of it is empty in a build without sanitizers, but for valgrind's client requests, which are
 * a handful of instructions made at stack creation only. See hazards: start/finish on every switch,
 * a NULL fake stack on the last one, __tsan_switch_to_fiber immediately before the switch.
 */
#ifndef RN_BASE_SAN_H
#define RN_BASE_SAN_H

#include "base/base.h"

#if defined(__SANITIZE_ADDRESS__)
#define RN_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define RN_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RN_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define RN_TSAN 1
#endif
#endif

#ifdef RN_ASAN
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef RN_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* What a context carries for the sanitizers; a byte-less struct elsewhere. */
struct rn__san {
#ifdef RN_ASAN
    void *fake_stack;
    const void *bottom;
    size_t bytes;
#endif
#ifdef RN_TSAN
    void *fiber;
#endif
};

static inline void rn__san_create(struct rn__san *s)
{
#ifdef RN_TSAN
    s->fiber = __tsan_create_fiber(0);
#endif
    (void)s;
}

static inline void rn__san_destroy(struct rn__san *s)
{
#ifdef RN_TSAN
    if (s->fiber != NULL)
        __tsan_destroy_fiber(s->fiber);
    s->fiber = NULL;
#endif
    (void)s;
}

static inline void rn__san_set_stack(struct rn__san *s, const void *bottom, size_t bytes)
{
#ifdef RN_ASAN
    s->bottom = bottom;
    s->bytes = bytes;
#else
    (void)s;
    (void)bottom;
    (void)bytes;
#endif
}

/* The thread's own stack as a context to come back to. */
static inline void rn__san_adopt_thread(struct rn__san *s)
{
#ifdef RN_TSAN
    s->fiber = __tsan_get_current_fiber();
#endif
#ifdef RN_ASAN
    pthread_attr_t attr;
    void *low = NULL;
    size_t bytes = 0;

    if (pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void)pthread_attr_getstack(&attr, &low, &bytes);
        (void)pthread_attr_destroy(&attr);
    }
    rn__san_set_stack(s, low, bytes);
#endif
    (void)s;
}

/* Immediately before the switch. `last` says that from never runs again. */
static inline void rn__san_leave(struct rn__san *from, struct rn__san *to, bool last)
{
#ifdef RN_ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake_stack, to->bottom, to->bytes);
#endif
#ifdef RN_TSAN
    __tsan_switch_to_fiber(to->fiber, 0); /* one thread: what it did before happened before */
#endif
    (void)from;
    (void)to;
    (void)last;
}

/* First thing after the switch, on the new stack. */
static inline void rn__san_enter(struct rn__san *self)
{
#ifdef RN_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#endif
    (void)self;
}

/* Before a stack's next coroutine: what the last one left, a fake stack and redzones, is gone. */
static inline void rn__san_recycle(struct rn__san *s)
{
#ifdef RN_ASAN
    s->fake_stack = NULL;
    __asan_unpoison_memory_region(s->bottom, s->bytes);
#endif
    (void)s;
}

/* Before memory that was stacks goes back to the kernel. */
static inline void rn__san_clear_stack(const void *bottom, size_t bytes)
{
#ifdef RN_ASAN
    __asan_unpoison_memory_region(bottom, bytes);
#else
    (void)bottom;
    (void)bytes;
#endif
}

#endif
