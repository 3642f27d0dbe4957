/*
 * stats.h - what runnel counts about itself: system calls, scheduling, connections, memory
 *
 *     rn_stats *stats;
 *     char *text;
 *
 *     if (rn_stats_get(&stats) == 0) {
 *         if (rn_stats_prometheus(stats, &text) == 0)
 *             ...
 *         rn_stats_text_free(text);
 *         rn_stats_free(stats);
 *     }
 *
 * Counters are kept for each P by its own thread, so counting takes no lock and no locked
 * instruction; a snapshot adds them up. It is no instant: counters move while it is taken. What is
 * named a count begins with the runtime at 0 and only grows. The time of system calls is taken of
 * one in 64 for each call and P. Built with the Meson option stats=false there are no counters:
 * they are 0.
 */
#ifndef RUNNEL_STATS_H
#define RUNNEL_STATS_H

#include <runnel/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Durations fall in buckets: [i] holds those below 2^(i + 8) ns (256 ns to 34 s) that fall in none
 * before it, the last one all others. */
#define RN_STATS_BUCKETS 29

/* Polls by the events they brought: 0, 1, 2-3, 4-7 and so on; the last one: 256 or more. */
#define RN_STATS_BATCHES 10

/* How many errors a call has names for. */
#define RN_STATS_ERRORS 6

/* Why connections were closed. */
enum rn_stats_closed {
    RN_CLOSED_HERE,      /* by this program, for none of the reasons below */
    RN_CLOSED_EOF,       /* its peer had ended the stream */
    RN_CLOSED_ERROR,     /* the kernel had reported an error: a reset, or such */
    RN_CLOSED_DEADLINE,  /* its deadline had passed */
    RN_CLOSED_CANCELLED, /* it had been cancelled */
    RN_CLOSED_REASONS
};

/* Durations, sampled or all. Quantiles are known to within 12.5 %, and are never too low. */
typedef struct rn_stats_times {
    uint64_t n;                         /* how many; 0: all of this is 0 */
    uint64_t sum_ns;                    /* of all of them */
    rn_time p50_ns;                     /* half of them took no longer */
    rn_time p90_ns;                     /* nine of ten took no longer */
    rn_time p99_ns;                     /* 99 of 100 took no longer */
    rn_time max_ns;                     /* none took longer */
    uint64_t buckets[RN_STATS_BUCKETS]; /* how many of which length: see RN_STATS_BUCKETS */
} rn_stats_times;

/* Errors of a kind. */
typedef struct rn_stats_error {
    int error;  /* errno; 0: no more of them */
    uint64_t n; /* how many */
} rn_stats_error;

/* One system call. */
typedef struct rn_stats_call {
    const char *name;                         /* as strace spells it */
    uint64_t calls;                           /* made, failed ones included */
    uint64_t errors;                          /* EAGAIN and EINPROGRESS are none */
    uint64_t again;                           /* EAGAIN */
    uint64_t bytes;                           /* moved, where the call's result counts bytes */
    rn_stats_error by_error[RN_STATS_ERRORS]; /* the first kinds met: may be less than errors */
    rn_stats_times times;                     /* of the sampled ones, waiting included */
} rn_stats_call;

/* One P, or all of them together. */
typedef struct rn_stats_proc {
    uint64_t coroutines_started;        /* by it */
    uint64_t coroutines_ended;          /* on it */
    uint64_t switches;                  /* between coroutines */
    uint64_t parks;                     /* waits that were begun */
    uint64_t steals;                    /* new coroutines taken from other Ps */
    uint64_t wakes;                     /* of other Ps that slept */
    uint64_t polls;                     /* of the poller */
    uint64_t events;                    /* that they brought */
    uint64_t stale_events;              /* for what was closed meanwhile */
    uint64_t batches[RN_STATS_BATCHES]; /* polls by their events: see RN_STATS_BATCHES */
    uint64_t asleep_ns;                 /* without anything to run */
    rn_time longest_turn_ns; /* between two looks at clock and poller when awake: what a coroutine
                              * that holds its P shows up in */
    rn_time turn_ns;         /* since the last look; 0: asleep */
    unsigned connections;    /* at home here */
    unsigned runnable;       /* coroutines, the one that runs included */
    unsigned parked;         /* coroutines */
    uint64_t accepted;       /* connections */
    uint64_t dialled;        /* connections */
    uint64_t adopted;        /* connections: by rn_conn_from_fd, or packet sockets */
    uint64_t closed[RN_CLOSED_REASONS]; /* connections, by enum rn_stats_closed */
    const rn_stats_call *calls;         /* rn_stats.n_calls, the same ones in the same places */
} rn_stats_proc;

/* Coroutines that wait for the same kind of thing. */
typedef struct rn_stats_wait {
    const char *name; /* "read", "sleep", as in rn_dump */
    unsigned n;       /* how many */
} rn_stats_wait;

/* A listener. */
typedef struct rn_stats_listener {
    char address[128]; /* as rn_listener_addr has it */
    int queued;        /* connections that wait for rn_accept; -1: not told (unix) */
    int queue_limit;   /* a connection more than this many is not let in; -1: not told */
} rn_stats_listener;

/* A request that took long; see rn_http_stats_new. */
typedef struct rn_stats_slow {
    rn_time ago_ns;  /* since it ended */
    rn_time took_ns; /* from its first byte to the end of its answer */
    int status;      /* of the answer; 0: none was sent */
    char what[100];  /* "GET /path", as much of it as there is room for */
} rn_stats_slow;

/* How many of these are kept. */
#define RN_STATS_SLOW 8

/* Where coroutines are started, by rn_go and its like, and how deep their stacks got. */
typedef struct rn_stats_site {
    const void *at;  /* the address that the call returned to */
    char where[128]; /* "FILE+0xOFFSET", as addr2line wants it; with "(NAME+0x..)" if known */
    uint64_t looks;  /* at stacks of coroutines that have ended; at most of them nobody looks */
    uint64_t deepest_bytes; /* the most that one of these had used, in whole pages */
} rn_stats_site;

/* How many of these a snapshot has. */
#define RN_STATS_SITES 32

/* What one rn_http_stats has counted. */
typedef struct rn_stats_http {
    char name[64];                     /* as given */
    uint64_t requests;                 /* answered, or refused */
    uint64_t failed;                   /* the answer could not be sent whole */
    uint64_t bytes;                    /* bodies of answers */
    uint64_t status[600];              /* requests; [0]: no answer, or another number */
    rn_stats_times times;              /* of all of them, as rn_stats_slow.took_ns */
    int n_slow;                        /* of the last minute */
    rn_stats_slow slow[RN_STATS_SLOW]; /* slowest first */
} rn_stats_http;

/* A system call that took long. */
typedef struct rn_stats_slow_call {
    const char *name; /* as rn_stats_call.name */
    int proc;         /* whose: P 1, 2...; 0: of a thread that is no P */
    rn_time ago_ns;   /* since it ended */
    rn_time took_ns;  /* from its begin to its end */
} rn_stats_slow_call;

/* A snapshot: made by the library only, so that it can grow. */
typedef struct rn_stats {
    rn_time at;                 /* rn_now when it was taken */
    rn_time uptime_ns;          /* of the runtime; 0: there is none */
    bool counting;              /* false: built without counters */
    const char *poller;         /* "epoll" or such */
    int n_procs;                /* 0: there is no runtime */
    const rn_stats_proc *procs; /* of P 1, P 2... */
    rn_stats_proc total;        /* calls and rn_go of threads that are no P included */
    int n_calls;                /* system calls that runnel knows */
    int64_t connections;        /* open: accepted, dialled or adopted, and not closed yet */
    int64_t at_rest;            /* of these, in rn_go_when_readable and its like */
    int64_t lingering;          /* of these, closed by the program, while the peer still sends */
    int n_waits;                /* kinds of wait */
    const rn_stats_wait *waits; /* parked coroutines, most frequent first */
    uint64_t stacks_in_use;     /* by a coroutine */
    uint64_t stacks_free;       /* kept for the next one */
    uint64_t stack_bytes;       /* address space of all stacks */
    int n_sites;                /* at most RN_STATS_SITES */
    const rn_stats_site *sites; /* deepest first */
    uint64_t connection_bytes;  /* memory for connections and listeners, free ones included */
    uint64_t resident_bytes;    /* of the process */
    uint64_t cpu_ns;            /* user and system, of the process */
    int64_t started_ms;         /* when the process was started, since 1970; 0: not told */
    int64_t open_files;         /* descriptors open; -1: not told, before Linux 6.2 */
    uint64_t open_files_most;   /* RLIMIT_NOFILE as it is: the soft one */
    uint64_t open_files_before; /* what it was before rn_run raised it; 0: it did not */
    int64_t listen_overflows;   /* see rn_listener_stats.system_overflows; -1: not told */
    int64_t listen_drops;       /* see rn_listener_stats.system_drops; -1: not told */
    int n_listeners;            /* open now */
    const rn_stats_listener *listeners;   /* these */
    int n_slow_calls;                     /* of the last minute, at most RN_STATS_SLOW */
    const rn_stats_slow_call *slow_calls; /* slowest first, of the sampled ones; not those in which
                                           * a P waits for events */
    int n_http;                           /* rn_http_stats there are */
    const rn_stats_http *http;            /* what each has counted */
} rn_stats;

/*
 * rn_stats_get - take a snapshot of everything
 *   ret  the snapshot; the caller's to free
 * Returns 0; -ENOMEM. *ret is untouched on failure.
 * Effects: none, any thread, also without a runtime. Looks at each coroutine there is (some 10 ns
 * each) and reads files of /proc: where there are very many, call it by rn_offload.
 * Source: src/observe/snapshot.c
 */
RN_API int rn_stats_get(rn_stats **ret);

/*
 * rn_stats_free - free a snapshot
 *   stats  snapshot; NULL is allowed
 * Effects: none, any thread. Source: src/observe/snapshot.c
 */
RN_API void rn_stats_free(rn_stats *stats);

/*
 * rn_stats_json - a snapshot as one JSON object
 *   stats  snapshot
 *   ret    text; the caller's to free with rn_stats_text_free
 * Returns 0; -ENOMEM. *ret is untouched on failure.
 * Effects: none, any thread. Source: src/observe/json.c
 */
RN_API int rn_stats_json(const rn_stats *stats, char **ret);

/*
 * rn_stats_prometheus - a snapshot in Prometheus' text format
 *   stats  snapshot
 *   ret    text; the caller's to free with rn_stats_text_free
 * Returns 0; -ENOMEM. *ret is untouched on failure.
 * Effects: none, any thread. The metrics are described in docs/observability.md.
 * Source: src/observe/prometheus.c
 */
RN_API int rn_stats_prometheus(const rn_stats *stats, char **ret);

/*
 * rn_stats_text_free - free the text of a snapshot
 *   text  of rn_stats_json or rn_stats_prometheus; NULL is allowed
 * Effects: none, any thread. Source: src/observe/text.c
 */
RN_API void rn_stats_text_free(char *text);

#ifdef __cplusplus
}
#endif

#endif
