/*
 * test_process.c - programs started and waited for
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "rntest_coro.h"

#define MS RN_MILLISECOND

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SH(script) ARGV("sh", "-c", script)

static int status_of(const char *const *argv, const rn_spawn_options *options)
{
    rn_process *p;
    int status = -1;

    CHECK_OK(rn_spawn(argv, options, &p));
    CHECK_OK(rn_process_wait(p, rn_after(10 * RN_SECOND), &status));
    rn_process_free(p);
    return status;
}

/* What a program says, until the end. */
static void read_all(rn_conn *conn, char *text, size_t room)
{
    ssize_t n, len = 0;

    while ((n = rn_read(conn, text + len, room - 1 - (size_t)len)) > 0)
        len += n;
    CHECK_EQ(n, 0);
    text[len] = '\0';
    rn_close(conn);
}

static void says(const char *const *argv, rn_spawn_options options, const char *want)
{
    char text[4096];
    rn_process *p;
    rn_conn *out;

    options.out_pipe = &out;
    CHECK_OK(rn_spawn(argv, &options, &p));
    read_all(out, text, sizeof text);
    CHECK_OK(rn_process_wait(p, 0, NULL));
    rn_process_free(p);
    CHECK_STR(text, want);
}

RN_CORO_TEST(how_it_ended_is_told)
{
    int status = status_of(SH("exit 7"), NULL);

    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 7);
    CHECK_EQ(status_of(ARGV("true"), NULL), 0);
    status = status_of(SH("kill -TERM $$"), NULL);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGTERM);
}

RN_CORO_TEST(pipes_are_connections)
{
    char text[64];
    rn_process *p;
    rn_conn *in, *out;
    int status, fds = rntest_count_fds();

    CHECK_OK(rn_spawn(ARGV("cat"), &(rn_spawn_options){.in_pipe = &in, .out_pipe = &out}, &p));
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rn_write(in, "there and back", 14), 14);
        rntest_read_full(out, text, 14);
        CHECK_MEM(text, "there and back", 14);
    }
    CHECK_EQ(rn_process_wait(p, rn_after(10 * MS), NULL), -ETIME);
    rn_close(in);
    CHECK_EQ(rn_read(out, text, sizeof text), 0);
    rn_close(out);
    CHECK_OK(rn_process_wait(p, 0, &status));
    CHECK_OK(rn_process_wait(p, 0, &status)); /* again */
    CHECK_EQ(status, 0);
    CHECK_EQ(rn_process_kill(p, SIGTERM), -ESRCH);
    rn_process_free(p);
    CHECK_EQ(rntest_count_fds(), fds);
}

RN_CORO_TEST(standard_error_may_go_the_same_way)
{
    says(SH("echo one; echo two >&2"), (rn_spawn_options){.err_fd = RN_SPAWN_AS_OUT}, "one\ntwo\n");
    says(SH("echo one; echo two >&2"), (rn_spawn_options){0}, "one\n");
}

RN_CORO_TEST(a_descriptor_can_be_given)
{
    char path[] = "/tmp/rntest-process-XXXXXX", text[64] = "";
    int fd = mkstemp(path);

    CHECK_OK(fd);
    CHECK_EQ(
        status_of(SH("echo out; echo err >&2"), &(rn_spawn_options){.out_fd = fd, .err_fd = fd}),
        0);
    CHECK_EQ(pread(fd, text, sizeof text, 0), 8);
    CHECK_STR(text, "out\nerr\n");
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    says(ARGV("cat"), (rn_spawn_options){.in_fd = fd}, "out\nerr\n");
    close(fd);
    CHECK_OK(unlink(path));
}

/* Its output where our standard error is, and the other way round. */
RN_CORO_TEST(our_own_may_be_given_crosswise)
{
    int out[2], err[2], old_out = dup(STDOUT_FILENO), old_err = dup(STDERR_FILENO), status;
    char a[8] = "", b[8] = "";

    CHECK_OK(pipe2(out, O_CLOEXEC));
    CHECK_OK(pipe2(err, O_CLOEXEC));
    CHECK_OK(dup2(out[1], STDOUT_FILENO));
    CHECK_OK(dup2(err[1], STDERR_FILENO));
    status = status_of(SH("printf o; printf e >&2"),
                       &(rn_spawn_options){.out_fd = STDERR_FILENO, .err_fd = STDOUT_FILENO});
    CHECK_OK(dup2(old_out, STDOUT_FILENO));
    CHECK_OK(dup2(old_err, STDERR_FILENO));
    CHECK_EQ(status, 0);
    CHECK_EQ(read(out[0], a, 7), 1);
    CHECK_EQ(read(err[0], b, 7), 1);
    CHECK_STR(a, "e");
    CHECK_STR(b, "o");
}

/* Pipes are then made where the child's own are going to stand. */
RN_CORO_TEST(without_standard_descriptors_it_works_too)
{
    int old[3];

    for (int i = 0; i < 3; i++) {
        old[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    says(SH("cat; echo said"), (rn_spawn_options){0}, "said\n");
    for (int i = 0; i < 3; i++)
        CHECK_OK(dup2(old[i], i));
}

RN_CORO_TEST(directory_and_environment_can_be_set)
{
    says(ARGV("pwd"), (rn_spawn_options){.dir = "/"}, "/\n");
    says(SH("echo $A$B$HOME"), (rn_spawn_options){.env = ARGV("A=1", "B=2")}, "12\n");
    CHECK_OK(setenv("RNTEST_OURS", "ours", 1));
    says(SH("echo $RNTEST_OURS"), (rn_spawn_options){0}, "ours\n");
}

RN_CORO_TEST(it_gets_no_other_descriptor_and_no_blocked_signal)
{
    int open_for_all = open("/dev/null", O_RDONLY), status;
    sigset_t set;

    CHECK_OK(open_for_all);
    sigfillset(&set);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    /* 3 is the one that ls itself opens. */
    says(ARGV("ls", "/proc/self/fd"), (rn_spawn_options){0}, "0\n1\n2\n3\n");
    says(SH("grep SigBlk /proc/self/status"), (rn_spawn_options){0}, "SigBlk:\t0000000000000000\n");
    status = status_of(SH("kill -PIPE $$"), NULL); /* which we ignore */
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    close(open_for_all);
}

RN_CORO_TEST(it_can_be_killed)
{
    rn_process *p;
    int status;

    CHECK_OK(rn_spawn(ARGV("sleep", "60"), &(rn_spawn_options){.new_group = true}, &p));
    for (int i = 0; i < 2000 && getpgid(rn_process_id(p)) != rn_process_id(p); i++)
        CHECK_OK(rn_sleep(MS)); /* qemu's vfork does not wait for the child */
    CHECK_EQ(getpgid(rn_process_id(p)), rn_process_id(p));
    CHECK_OK(rn_process_kill(p, 0));
    CHECK_EQ(rn_process_kill(p, 1000), -EINVAL);
    CHECK_OK(rn_process_kill(p, SIGKILL));
    CHECK_OK(rn_process_wait(p, 0, &status));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    rn_process_free(p);
}

static int wait_cancelled(void *p)
{
    CHECK_EQ(rn_process_wait(p, 0, NULL), -ECANCELED);
    return 0;
}

RN_CORO_TEST(a_wait_is_cancelled_and_one_waits_at_a_time)
{
    rn_group g = RN_GROUP_INIT;
    rn_process *p;

    CHECK_OK(rn_spawn(ARGV("sleep", "60"), NULL, &p));
    CHECK_OK(rn_group_go(&g, wait_cancelled, p));
    rntest_until_all_wait();
    CHECK_EQ(rn_process_wait(p, rn_after(MS), NULL), -EBUSY);
    rn_group_cancel(&g);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_OK(rn_process_kill(p, SIGKILL));
    CHECK_OK(rn_process_wait(p, 0, NULL));
    rn_process_free(p);
}

static bool exists(pid_t pid)
{
    return kill(pid, 0) == 0; /* a zombie does */
}

RN_CORO_TEST(one_that_is_freed_goes_on_and_is_reaped)
{
    int fds = rntest_count_fds();
    rn_process *p;
    rn_conn *in;
    pid_t pid;

    CHECK_OK(rn_spawn(ARGV("cat"), &(rn_spawn_options){.in_pipe = &in}, &p));
    pid = rn_process_id(p);
    rn_process_free(p);
    CHECK_OK(rn_sleep(10 * MS));
    CHECK(exists(pid));
    rn_close(in);
    for (int i = 0; i < 2000 && exists(pid); i++)
        CHECK_OK(rn_sleep(5 * MS));
    CHECK(!exists(pid));
    for (int i = 0; i < 200 && rntest_count_fds() != fds; i++)
        CHECK_OK(rn_sleep(5 * MS));
    CHECK_EQ(rntest_count_fds(), fds);
    rn_process_free(NULL);
}

static int spawn_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5; i++)
        CHECK_EQ(status_of(ARGV("true"), NULL), 0);
    return 0;
}

RN_CORO_TEST(many_at_once_leave_nothing_behind)
{
    int fds = rntest_count_fds();
    rn_group g = RN_GROUP_INIT;

    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_group_go(&g, spawn_some, NULL));
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(rntest_count_fds(), fds);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1); /* no zombie */
}

RN_CORO_TEST(ignored_children_end_without_a_status)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    rn_process *p;

    CHECK_OK(sigaction(SIGCHLD, &ignore, &old));
    CHECK_OK(rn_spawn(ARGV("sleep", "0.05"), NULL, &p));
    CHECK_EQ(rn_process_wait(p, rn_after(10 * RN_SECOND), NULL), -ECHILD);
    rn_process_free(p);
    CHECK_OK(sigaction(SIGCHLD, &old, NULL));
}

/* Before it is looked at; its number may then be another's, whom no signal hits. */
RN_CORO_TEST(an_ignored_child_that_has_ended_at_once_was_started_all_the_same)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
    rn_conn *out;
    rn_spawn_options o = {.out_pipe = &out};
    int fds = rntest_count_fds();
    char text[16];
    rn_process *p;

    CHECK_OK(sigaction(SIGCHLD, &ignore, &old));
    CHECK_OK(rn__sys_fail("pidfd_open", ESRCH, 2, 1));
    CHECK_OK(rn__sys_fail("kill", EPERM, 1, 1));
    CHECK_OK(rn_spawn(ARGV("echo", "said"), &o, &p));
    CHECK_EQ(rn__sys_hits(), 1); /* nobody was killed */
    rn__sys_clear();
    read_all(out, text, sizeof text);
    CHECK_STR(text, "said\n");
    CHECK_EQ(rn_process_kill(p, SIGKILL), -ESRCH);
    CHECK_EQ(rn_process_wait(p, rn_after(10 * RN_SECOND), NULL), -ECHILD);
    rn_process_free(p);
    CHECK_EQ(rntest_count_fds(), fds);
    CHECK_OK(sigaction(SIGCHLD, &old, NULL));
}

RN_CORO_TEST(what_cannot_be_started_is_an_error)
{
    rn_conn *conn = (rn_conn *)8;
    rn_spawn_options bad = {.reserved = {1}};
    int fds = rntest_count_fds();
    rn_process *p;

#ifdef RNTEST_EMULATED
    RN_TEST_SKIP("qemu's vfork does not tell what failed in the child");
#endif
    CHECK_EQ(rn_spawn(ARGV("/no/such/program"), NULL, &p), -ENOENT);
    CHECK_EQ(rn_spawn(ARGV("/etc/passwd"), NULL, &p), -EACCES);
    CHECK_EQ(rn_spawn(ARGV("true"), &(rn_spawn_options){.dir = "/no/such", .in_pipe = &conn}, &p),
             -ENOENT);
    CHECK_EQ(rn_spawn(ARGV("true"), &(rn_spawn_options){.in_fd = 12345, .err_pipe = &conn}, &p),
             -EBADF);
    CHECK_EQ(rn_spawn(ARGV("true"), &bad, &p), -EINVAL);
    CHECK_EQ(rn_spawn(ARGV("true"), &(rn_spawn_options){.out_fd = -2}, &p), -EINVAL);
    CHECK_EQ(rn_spawn(ARGV("true"), &(rn_spawn_options){.err_fd = -3}, &p), -EINVAL);
    CHECK_EQ(rn_spawn((const char *const[]){NULL}, NULL, &p), -EINVAL);
    CHECK(conn == (rn_conn *)8);
    CHECK_EQ(rntest_count_fds(), fds);
}

/* Whatever fails, nothing runs and nothing is left open. */
RN_CORO_TEST_ON(each_call_may_fail, 1)
{
    static const struct {
        const char *row;
        unsigned nth;
    } fails[] = {{"pidfd_open", 1}, {"pipe2", 1},       {"pipe2", 2},     {"fcntl", 1},
                 {"clone", 1},      {"posix_spawn", 1}, {"pidfd_open", 2}};
    rn_conn *in = NULL, *out = NULL;
    rn_spawn_options o = {.in_pipe = &in, .out_pipe = &out};
    int fds = rntest_count_fds();
    rn_process *p;

    for (size_t i = 0; i < sizeof fails / sizeof fails[0]; i++) {
        CHECK_OK(rn__sys_fail(fails[i].row, EMFILE, fails[i].nth, 1));
        CHECK_EQ(rn_spawn(ARGV("sleep", "60"), &o, &p), -EMFILE);
        rn__sys_clear();
        CHECK(in == NULL && out == NULL);
        CHECK_EQ(rntest_count_fds(), fds);
        CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    }
}

RN_TEST(a_plain_thread_cannot_spawn)
{
    rn_process *p;

    CHECK_EQ(rn_spawn(ARGV("true"), NULL, &p), -EDEADLK);
}
