/*
 * task.h - coroutines on all cores: run, go, yield, sleep
 *
 * A coroutine runs on one P (processor, a thread with its own run queue, timers and poller) and,
 * once started, never changes it; before it has run, an idle P may steal it.
 */
#ifndef RUNNEL_TASK_H
#define RUNNEL_TASK_H

#include <runnel/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Memory functions for what runnel allocates on the heap, but for what may outlive the run:
 * channels, snapshots, calls that are offloaded. Stacks come from mmap. */
typedef struct rn_alloc {
    void *(*alloc)(void *arg, size_t bytes);              /* as malloc(3); any thread */
    void *(*realloc)(void *arg, void *ptr, size_t bytes); /* as realloc(3); any thread */
    void (*free)(void *arg, void *ptr);                   /* as free(3); any thread */
    void *arg;                                            /* handed to them */
} rn_alloc;

/* How a runtime is set up. All zero is the default. */
typedef struct rn_run_options {
    int procs;          /* Ps; 0: RN_PROCS, else the CPUs this process may use */
    size_t stack_bytes; /* address space of a stack, guard included; 0: 256 KiB */
    rn_time grace_ns;   /* how long the others may take to end after main has; 0: 5 s */
    /* "epoll", "poll", "select" (descriptors below 1024 only), "epoll-lt" (level-triggered, to
     * compare) or "io_uring"; NULL: RN_POLLER, else epoll, which also stands in, with a line in the
     * log, where the kernel refuses the one named. */
    const char *poller;
    /* Called with one line without newline; NULL: standard error. Any thread, one at a time. */
    void (*log)(void *arg, const char *line);
    void *log_arg;         /* handed to log */
    const rn_alloc *alloc; /* NULL: malloc, realloc, free. Copied */
    int offload_threads;   /* at most, for rn_offload; 0: 64 */
    /* The log names each coroutine that holds its P, in a loop or a call that blocks, for longer
     * than this, with its backtrace; it costs a thread, and SIGURG. At least 1 ms; below 0: never;
     * 0: RN_WATCHDOG (ms), else 1 s where runnel is a debug build, else never. */
    rn_time watchdog_ns;
    bool keep_sigpipe;     /* leave SIGPIPE as it is: by default SIG_DFL becomes SIG_IGN */
    bool no_fault_handler; /* install no SIGSEGV handler: a stack overflow is then silent */
    bool dump_on_sigquit;  /* SIGQUIT writes rn_dump to standard error, and the run goes on */
    bool keep_nofile;      /* leave the soft RLIMIT_NOFILE: by default it is raised to the hard */
    uint64_t reserved[4];  /* zero */
} rn_run_options;

/* How a coroutine is set up. All zero is the default. */
typedef struct rn_go_options {
    const char *name;   /* for dumps and messages; not copied, must outlive the coroutine */
    size_t stack_bytes; /* address space, guard included, rounded up to a power of two; 0: as run */
    int proc;           /* 1..rn_procs(): this P and no other; 0: here, or whoever steals it */
    uint64_t reserved[4]; /* zero */
} rn_go_options;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_RUN_OPTIONS_INIT RN_INIT
#define RN_GO_OPTIONS_INIT RN_INIT

/* ---- the runtime ---- */

/*
 * rn_run - run a function as the first coroutine, with the caller's thread as P 0
 *   options  NULL for the defaults; see rn_run_options
 *   fn       the program; runs as a coroutine
 *   arg      handed to fn
 * Returns what fn returned. When fn has returned, all other coroutines are cancelled, and given
 * grace_ns to end; what is still alive then is abandoned, which is logged. May be called again
 * afterwards. Errors before fn has started: -EBUSY a runtime exists already, -EINVAL a bad option,
 * -ENOMEM, -EAGAIN (threads), -EMFILE, -ENFILE.
 * Effects: blocks the calling thread; starts threads; SIGPIPE, SIGSEGV and RLIMIT_NOFILE as the
 * options say. After fork() the child may only exec or _exit: a call of runnel in it aborts with a
 * message, unless there was no runtime. Source: src/task/runtime.c
 */
RN_API int rn_run(const rn_run_options *options, int (*fn)(void *arg), void *arg);

/*
 * rn_start - run the Ps on threads of their own, for a host with a main loop of its own
 *   options  as for rn_run
 * Returns 0, and rn_go works from any thread, until rn_stop; the errors of rn_run.
 * Effects: as rn_run, but does not block. Source: src/task/runtime.c
 */
RN_API int rn_start(const rn_run_options *options);

/*
 * rn_stop - end what rn_start started
 * Returns 0; -EINVAL when rn_start is not in effect; -EDEADLK from within a coroutine.
 * Effects: cancels all coroutines, waits for them as rn_run does, joins the threads.
 * Source: src/task/runtime.c
 */
RN_API int rn_stop(void);

/* ---- coroutines ---- */

/*
 * rn_go - start a coroutine
 *   fn   its function; the coroutine ends when it returns
 *   arg  handed to fn; what it points to belongs to fn from here on
 * Returns 0 and the coroutine will run; or nothing runs and arg still belongs to the caller:
 * -ENOMEM no memory, or no guarded stack (the log names the sysctl), -ECANCELED the runtime is
 * ending, -EINVAL there is no runtime.
 * Effects: does not switch; may wake an idle P, which may steal the coroutine. From a plain thread
 * too. Source: src/task/go.c
 */
RN_API int rn_go(void (*fn)(void *arg), void *arg);

/*
 * rn_go_with - start a coroutine with a name, a stack size or a P of its own
 *   options  NULL for the defaults; see rn_go_options
 *   fn, arg  as for rn_go
 * Returns as rn_go; -EINVAL also for a proc out of 0..rn_procs() or a stack of more than 64 MiB.
 * Effects: as rn_go. Source: src/task/go.c
 */
RN_API int rn_go_with(const rn_go_options *options, void (*fn)(void *arg), void *arg);

/*
 * rn_yield - let the others run first
 * Effects: goes to the back of this P's run queue. From a plain thread it does nothing.
 * Source: src/task/go.c
 */
RN_API void rn_yield(void);

/*
 * rn_sleep - park for a while
 *   span_ns  nanoseconds; 0 or less yields
 * Returns 0 when the time has passed, never early; -ECANCELED when this coroutine was cancelled;
 * -ENOMEM no room for the timer; -EDEADLK from a plain thread.
 * Effects: switches coroutines. Source: src/task/go.c
 */
RN_API int rn_sleep(rn_time span_ns);

/*
 * rn_shield_begin - wait in peace
 * Until the rn_shield_end that belongs to it, waits of the calling coroutine do not end by its
 * being cancelled: for what must be cleaned up, and needs to wait for that. Cancels of a connection
 * or listener, and deadlines, still end them. May be nested, 255 deep.
 * Effects: none on a plain thread. Source: src/task/wait.c
 */
RN_API void rn_shield_begin(void);

/*
 * rn_shield_end - be cancellable again
 * A cancel that came meanwhile ends the next wait.
 * Effects: none on a plain thread. Source: src/task/wait.c
 */
RN_API void rn_shield_end(void);

/* ---- calls that block ---- */

/*
 * rn_offload - make a blocking call on another thread, while the P goes on
 *   fn      called with arg on a thread of the pool; blocks as it likes
 *   arg     handed to fn
 *   forget  called with arg instead of a return to the caller, when that was cancelled while it
 *           waited: after fn has returned, or where it had not begun; on any thread, and perhaps
 *           after the runtime's end. NULL: the wait is not cancelled
 * Returns what fn returned. -RN_EFORGOTTEN the caller was cancelled: arg is forget's now. When it
 * cannot be begun, fn is not called and arg stays the caller's: -ECANCELED was cancelled before,
 * -ENOMEM, -EAGAIN (no thread), -EDEADLK on a plain thread.
 * Effects: switches coroutines. fn must not wait for coroutines of this program, lest the pool run
 * out. Source: src/task/offload.c
 */
RN_API int rn_offload(int (*fn)(void *arg), void *arg, void (*forget)(void *arg));

/*
 * rn_pread - read from a regular file without stopping the P
 *   fd   file open for reading; its offset is neither used nor moved
 *   buf  room for len bytes
 *   len  bytes, 0..SSIZE_MAX
 *   at   offset in the file
 * Returns bytes read, 1..len (short where only part is in the page cache); 0 at the end of the
 * file; what pread(2) says; the errors of rn_offload.
 * Effects: reads at once what is in the page cache, else by rn_offload; not cancelled meanwhile.
 * Source: src/task/offload.c
 */
RN_API ssize_t rn_pread(int fd, void *buf, size_t len, off_t at);

/* ---- who runs ---- */

/*
 * rn_dump - list all coroutines
 *   fd  where to write; a descriptor that blocks stops the P while it does
 * For each coroutine: number, name, P, state, what it waits for (with the descriptor, where there
 * is one) and for how long, where it was started, and, when it is parked, its backtrace. Nothing is
 * stopped meanwhile: of what runs on other Ps it shows what was there a moment ago.
 * Returns 0; -EINVAL there is no runtime; what write(2) says.
 * Effects: does not switch; any thread. Source: src/task/dump.c
 */
RN_API int rn_dump(int fd);

/*
 * rn_poller - which poller the Ps wait in, and why
 * Returns "epoll: the default", "io_uring: asked for", "epoll: io_uring: EPERM, ..." or such while
 * a runtime exists, else "".
 * Effects: none. Source: src/task/runtime.c
 */
RN_API const char *rn_poller(void);

/*
 * rn_procs - how many Ps there are
 * Returns 1 or more while a runtime exists, else 0.
 * Effects: none. Source: src/task/go.c
 */
RN_API int rn_procs(void);

/*
 * rn_proc_id - which P runs the caller
 * Returns 1..rn_procs(), or 0 on a plain thread.
 * Effects: none. Source: src/task/go.c
 */
RN_API int rn_proc_id(void);

/*
 * rn_id - the number of the calling coroutine
 * Returns a number that no other coroutine of this process has had, or 0 on a plain thread.
 * Effects: none. Source: src/task/go.c
 */
RN_API uint64_t rn_id(void);

/*
 * rn_name - the name of the calling coroutine
 * Returns the name given at its start, or "" where there was none or on a plain thread.
 * Effects: none. Source: src/task/go.c
 */
RN_API const char *rn_name(void);

/*
 * rn_local_set - hang a value on the calling coroutine
 *   value  anything; NULL from the start; never freed by runnel
 * Effects: none on a plain thread. Source: src/task/go.c
 */
RN_API void rn_local_set(void *value);

/*
 * rn_local_get - the value hung on the calling coroutine
 * Returns what rn_local_set stored last, or NULL; NULL on a plain thread.
 * Effects: none. Source: src/task/go.c
 */
RN_API void *rn_local_get(void);

#ifdef __cplusplus
}
#endif

#endif
