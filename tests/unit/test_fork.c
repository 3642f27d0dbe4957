/*
 * test_fork.c - what the child of a fork may do
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "rntest_coro.h"

#define MESSAGE "no runtime survives fork()"

/* Forks, lets the child do `act` with stderr into a pipe, and tells how it ended. */
static int fork_and(void (*act)(void *arg), void *arg, char *text, size_t room)
{
    int fds[2], status;
    pid_t child;
    ssize_t n, len = 0;

    CHECK_OK(pipe(fds));
    child = fork();
    CHECK_OK(child);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* not the sanitizer's */
        CHECK_OK(dup2(fds[1], STDERR_FILENO));
        act(arg);
        _exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], text + len, room - 1 - (size_t)len)) > 0)
        len += n;
    text[len] = '\0';
    close(fds[0]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

static void check_aborts(void (*act)(void *arg), void *arg)
{
    char text[4096];
    int status = fork_and(act, arg, text, sizeof text);

    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, MESSAGE) != NULL);
}

static void sleep_there(void *arg)
{
    (void)arg;
    (void)rn_sleep(1);
}

static void go_there(void *arg)
{
    (void)rn_go(sleep_there, arg);
}

static void write_there(void *conn)
{
    (void)rn_write(conn, "x", 1);
}

static void close_there(void *conn)
{
    rn_close(conn);
}

static void send_there(void *ch)
{
    (void)rn_chan_try_send(ch, "x");
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void run_there(void *arg)
{
    (void)rn_run(&(rn_run_options){.procs = 1}, nothing, arg);
}

static void exec_there(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c", "echo the child lives >&2; exit 7", (char *)NULL);
}

RN_CORO_TEST(a_runtime_call_in_the_child_aborts_with_a_message)
{
    rn_conn *a, *b;
    rn_chan *ch;

    rntest_pair(&a, &b);
    CHECK_OK(rn_chan_new(1, 1, &ch));
    check_aborts(sleep_there, NULL);
    check_aborts(go_there, NULL);
    check_aborts(write_there, a);
    check_aborts(close_there, a);
    check_aborts(send_there, ch);
    check_aborts(run_there, NULL);
    /* And the parent has lost nothing. */
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK_OK(rn_sleep(1));
    rn_close(a);
    rn_close(b);
    rn_chan_free(ch);
}

static atomic_bool forked_elsewhere;

static void fork_elsewhere(void *arg)
{
    check_aborts(sleep_there, arg);
    forked_elsewhere = true;
}

RN_CORO_TEST(so_it_does_on_every_proc)
{
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, fork_elsewhere, NULL));
    while (!forked_elsewhere)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
}

RN_CORO_TEST(the_child_may_exec)
{
    char text[4096];
    int status = fork_and(exec_there, NULL, text, sizeof text);

    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    CHECK_STR(text, "the child lives\n");
}

static void returns(void *arg)
{
    (void)arg; /* the child's coroutine ends, and would go on with the parent's others */
}

static void fork_and_return(void *arg)
{
    char text[4096];
    atomic_bool *done = arg;
    int fds[2], status;
    pid_t child;
    ssize_t n;

    CHECK_OK(pipe(fds));
    child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        CHECK_OK(dup2(fds[1], STDERR_FILENO));
        return;
    }
    close(fds[1]);
    n = read(fds[0], text, sizeof text - 1);
    text[n < 0 ? 0 : n] = '\0';
    close(fds[0]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, MESSAGE) != NULL);
    *done = true;
}

RN_CORO_TEST(a_childs_coroutine_that_returns_ends_there)
{
    atomic_bool done = false;

    CHECK_OK(rn_go(fork_and_return, &done));
    CHECK_OK(rn_go(returns, NULL));
    while (!done)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
}

static int offload_one(void *arg)
{
    (void)arg;
    return rn_offload(nothing, NULL, NULL);
}

static void run_offload(void *arg)
{
    if (rn_run(&(rn_run_options){.procs = 2}, offload_one, arg) != 0)
        _exit(1);
}

/* The pool's thread of the first run is idle in the parent, and is not in the child. */
RN_TEST(without_a_runtime_the_child_may_have_one)
{
    char text[4096];
    int status;

#if defined(__SANITIZE_THREAD__) || defined(RNTEST_EMULATED)
    RN_TEST_SKIP("TSan and qemu let no child of a threaded process have threads");
#endif
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, offload_one, NULL));
    status = fork_and(run_offload, NULL, text, sizeof text);
    CHECK_EQ(status, 0);
    run_offload(NULL);
}
