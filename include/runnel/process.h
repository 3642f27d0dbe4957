/*
 * process.h - signals that arrive in a channel, and programs started and waited for
 *
 * Calls that may switch return -EDEADLK on a plain thread, and -ECANCELED when the coroutine was
 * cancelled before what it waited for came.
 */
#ifndef RUNNEL_PROCESS_H
#define RUNNEL_PROCESS_H

#include <runnel/net.h>
#include <runnel/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A program that was started. */
typedef struct rn_process rn_process;

/* Instead of a descriptor in rn_spawn_options. */
enum rn_spawn_fd {
    RN_SPAWN_INHERIT = -1, /* this process's */
    RN_SPAWN_AS_OUT = -2   /* err_fd only: where standard output goes */
};

/* How a program is started. All zero is the default: /dev/null for all three, as in Go. */
typedef struct rn_spawn_options {
    const char *const *env; /* "NAME=value", ..., NULL; NULL: this process's */
    const char *dir;        /* where it starts; NULL: where this process is */
    int in_fd;              /* its standard input, a descriptor or RN_SPAWN_...; 0: /dev/null */
    int out_fd;             /* its standard output, the same way */
    int err_fd;             /* its standard error, the same way */
    rn_conn **in_pipe;      /* not NULL: a pipe instead; our end is stored there, yours to close */
    rn_conn **out_pipe;     /* the same for standard output */
    rn_conn **err_pipe;     /* the same for standard error */
    bool new_group;         /* leads a process group of its own: Ctrl-C does not reach it */
    uint64_t reserved[4];   /* zero */
} rn_spawn_options;

#define RN_SPAWN_OPTIONS_INIT RN_INIT

/* ---- signals ---- */

/*
 * rn_signal_notify - have a signal sent to a channel
 *   ch     channel of int, with room for as many as may come at once: what finds no room is lost,
 *          as in Go. Several channels may ask for one signal, and one for several
 *   signo  signal number; from now on its usual effect is off
 * Returns 0; -EINVAL a signal that cannot be caught, or one of the program's own faults (SIGSEGV,
 * SIGBUS, SIGFPE, SIGILL), or a channel whose items are no int; -EDEADLK on a plain thread;
 * -ENOMEM, -EMFILE, -ENFILE.
 * Effects: does not switch; installs a handler for the process, and unblocks the signal on the
 * caller's P; the channel has one reference more until rn_signal_stop, or the end of the run, when
 * what was there before is back. Source: src/sync/signal.c
 */
RN_API int rn_signal_notify(rn_chan *ch, int signo);

/*
 * rn_signal_stop - send no more signals to a channel
 *   ch  channel; those already in it stay
 * A signal that no channel asks for any more has its former effect again.
 * Effects: does not switch; drops the channel's reference. Source: src/sync/signal.c
 */
RN_API void rn_signal_stop(rn_chan *ch);

/* ---- programs ---- */

/*
 * rn_spawn - start a program
 *   argv     its name, looked for in PATH where it has no slash, and its arguments, then NULL
 *   options  NULL for the defaults; see rn_spawn_options
 *   ret      the process; the caller's to rn_process_free
 * Returns 0; -ENOENT, -EACCES and all else that execve(2) says; -EINVAL no name, or a bad option;
 * -EBADF a bad descriptor; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN; -ENOSYS no pidfd (Linux 5.4);
 * -EDEADLK, -ECANCELED. Nothing was started then, and *ret and the pipes are untouched.
 * The program gets no other descriptor, no blocked signal, and SIGPIPE's default.
 * Effects: may switch coroutines; the start itself is made by rn_offload.
 * Source: src/net/process.c
 */
RN_API int rn_spawn(const char *const *argv, const rn_spawn_options *options, rn_process **ret);

/*
 * rn_process_wait - wait until a program has ended
 *   p         process; one coroutine waits at a time
 *   deadline  absolute; 0: none. The program goes on when it passes
 *   status    how it ended, for WIFEXITED and its kin of wait(2); NULL is allowed
 * Returns 0, again on every later call; -ETIME deadline passed; -EBUSY another waits; -ECHILD it
 * has ended, but how is not known, for this process ignores SIGCHLD or somebody else has reaped it;
 * -ECANCELED, -EDEADLK, -ENOMEM.
 * Effects: may switch coroutines. Its pipes stay open. Source: src/net/process.c
 */
RN_API int rn_process_wait(rn_process *p, rn_time deadline, int *status);

/*
 * rn_process_kill - send a signal to a program
 *   p      process
 *   signo  signal number; 0 only looks whether it is there
 * Returns 0; -ESRCH it has ended; -EINVAL, -EPERM. By its pidfd: it never reaches another process
 * that was given the same number.
 * Effects: does not switch. Source: src/net/process.c
 */
RN_API int rn_process_kill(rn_process *p, int signo);

/*
 * rn_process_id - a program's number
 *   p  process
 * Returns its process id, which another may have once it has ended and been waited for.
 * Effects: none. Source: src/net/process.c
 */
RN_API pid_t rn_process_id(const rn_process *p);

/*
 * rn_process_free - be done with a process
 *   p  process that nobody waits for; not valid afterwards. NULL is allowed
 * A program that has not ended goes on, and is reaped when it does, as long as the run lasts.
 * Effects: may switch coroutines. Source: src/net/process.c
 */
RN_API void rn_process_free(rn_process *p);

#ifdef __cplusplus
}
#endif

#endif
