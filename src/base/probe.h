/*
 * probe.h - USDT probes: places that bpftrace, perf and gdb find in a running program
 *
 * A probe is a nop, and a note in the program that says where it is and where its arguments are.
 * Each has a semaphore, which the kernel counts up while somebody traces it: what must be computed
 * for a probe alone, the clock first of all, is computed only then.
 *
 * The arguments are an interface to users: docs/observability.md has the table. Without <sys/sdt.h>
 * (meson's option `usdt`) all of this compiles to nothing.
 */
#ifndef RN_BASE_PROBE_H
#define RN_BASE_PROBE_H

#include "base/base.h"

#define RN__PROBES(X)                                                                              \
    X(accept_paused)                                                                               \
    X(conn_accepted)                                                                               \
    X(conn_adopted)                                                                                \
    X(conn_closed)                                                                                 \
    X(conn_dialled)                                                                                \
    X(coroutine_ended)                                                                             \
    X(coroutine_started)                                                                           \
    X(dial_failed)                                                                                 \
    X(http_request_done)                                                                           \
    X(name_resolved)                                                                               \
    X(offload_begun)                                                                               \
    X(offload_ended)                                                                               \
    X(proc_held)

#ifdef RN_USDT

#define _SDT_HAS_SEMAPHORES 1
#define SDT_USE_VARIADIC 1
#include <sys/sdt.h>

/* Also where it is only declared: the notes have its address, not that of a pointer to it. */
#define RN__PROBE_HIDDEN __attribute__((visibility("hidden")))
#define RN__PROBE_DECLARE(name)                                                                    \
    extern RN__PROBE_HIDDEN volatile unsigned short runnel_##name##_semaphore;
RN__PROBES(RN__PROBE_DECLARE)
#undef RN__PROBE_DECLARE

/* At most 6 arguments, integers or pointers: bpftrace reads no more. */
#define RN_PROBE(name, ...) STAP_PROBEV(runnel, name, __VA_ARGS__)
#define RN_PROBE_ON(name) RN_UNLIKELY(runnel_##name##_semaphore != 0)

#else

static inline void rn__probe_ignore(int any, ...)
{
    (void)any;
}

#define RN_PROBE(name, ...)                                                                        \
    do {                                                                                           \
        if (0)                                                                                     \
            rn__probe_ignore(0, __VA_ARGS__);                                                      \
    } while (0)
#define RN_PROBE_ON(name) false

#endif

/* For what a probe says how long it took: when it began, 0 while nobody traces that probe. */
#define RN_PROBE_CLOCK(name) (RN_PROBE_ON(name) ? rn_now() : 0)

/* Nanoseconds since then; 0 where the tracing began in between. */
static inline rn_time rn__probe_since(rn_time began)
{
    return began == 0 ? 0 : rn_now() - began;
}

#endif
