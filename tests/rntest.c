/*
 * rntest.c - the harness' main
 *
 * A test's child leads a process group of its own, so that what it starts ends with it; its output
 * goes to a file, shown only when the test fails. It ends by exit, so that leak checkers run.
 */
#include "rntest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SKIP 77

/* gcc names its sanitizers by macros (UBSan has none), clang by features. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLOWER 6
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(undefined_behavior_sanitizer)
#define SLOWER 6
#endif
#endif
#ifndef SLOWER
#define SLOWER 1
#endif

static struct rntest *first, **last = &first;

void rntest_register(struct rntest *t)
{
    *last = t;
    last = &t->next;
}

void rntest_fail_at(const char *file, int line, const char *format, ...)
{
    va_list ap;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    fflush(NULL);
    /* Not exit: other threads are running, and their state is no concern of a failed test. */
    _exit(1);
}

void rntest_skip(const char *reason)
{
    printf("%s\n", reason);
    fflush(NULL);
    _exit(EXIT_SKIP);
}

static double seconds_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int scale(void)
{
    const char *text = getenv("RNTEST_TIMEOUT_SCALE");
    int by = text == NULL ? 1 : atoi(text);

    return SLOWER * (by < 1 ? 1 : by);
}

static _Noreturn void run_child(const struct rntest *t, int out)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* Meson's own time limit kills only the harness */
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close(out);
    t->fn();
    fflush(NULL);
    exit(0);
}

/*
 * Waits for the child's end at most so long; false when its time was up. The child stays a zombie,
 * so that its number, which is its group's too, is nobody else's until it is reaped.
 */
static bool wait_child(pid_t pid, double seconds)
{
    double until = seconds_now() + seconds;
    useconds_t pause = 200;

    for (;;) {
        siginfo_t end = {0};

        if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid == pid)
            return true;
        if (seconds_now() > until)
            return false;
        usleep(pause);
        if (pause < 20000)
            pause *= 2;
    }
}

static void show(int out)
{
    char buf[4096];
    ssize_t n;

    lseek(out, 0, SEEK_SET);
    while ((n = read(out, buf, sizeof buf)) > 0)
        fwrite(buf, 1, (size_t)n, stdout);
}

static void show_reason(int out, const char *name)
{
    char buf[200];
    ssize_t n = pread(out, buf, sizeof buf - 1, 0);

    buf[n < 0 ? 0 : n] = '\0';
    buf[strcspn(buf, "\n")] = '\0';
    printf("skip %s: %s\n", name, buf);
}

/* A nameless file for a test's output; the harness cannot go on without. */
static int open_output(void)
{
    char name[] = "/tmp/rntest-out-XXXXXX";
    int out = mkostemp(name, O_CLOEXEC);

    if (out < 0) {
        perror("rntest: /tmp");
        exit(1);
    }
    unlink(name);
    return out;
}

/* The child that runs the test, leader of its group. */
static pid_t start_child(const struct rntest *t, int out)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0)
        run_child(t, out);
    if (pid < 0) {
        perror("rntest: fork");
        exit(1);
    }
    setpgid(pid, pid); /* as the child does: whoever comes first */
    return pid;
}

/* 0 passed, 1 failed, EXIT_SKIP skipped. */
static int run(const struct rntest *t)
{
    int out = open_output(), status = 0;
    double start = seconds_now();
    pid_t pid = start_child(t, out);
    bool timed_out = !wait_child(pid, (double)t->seconds * scale());

    if (timed_out) {
        kill(-pid, SIGABRT); /* a core, or a debugger's stop, tells where it hung */
        wait_child(pid, 2);
    }
    kill(-pid, SIGKILL); /* itself where it still runs, and what it left behind */
    waitpid(pid, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIP && !timed_out) {
        show_reason(out, t->name);
        close(out);
        return EXIT_SKIP;
    }
    if (!timed_out && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        printf("ok %s (%.0f ms)\n", t->name, (seconds_now() - start) * 1e3);
        close(out);
        return 0;
    }
    printf("not ok %s: ", t->name);
    if (timed_out)
        printf("timed out after %d s\n", t->seconds * scale());
    else if (WIFSIGNALED(status))
        printf("signal %d\n", WTERMSIG(status));
    else
        printf("exit %d\n", WEXITSTATUS(status));
    show(out);
    close(out);
    return 1;
}

static bool selected(const struct rntest *t, char **names, int n)
{
    for (int i = 0; i < n; i++)
        if (strstr(t->name, names[i]) != NULL)
            return true;
    return n == 0;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0, skipped = 0;
    bool list = false, no_fork = false;

    setvbuf(stdout, NULL, _IOLBF, 0);
    /* A shell's background job ignores them, and what is ignored is inherited. */
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    for (; argc > 1 && argv[1][0] == '-'; argc--, argv++) {
        if (strcmp(argv[1], "-l") == 0)
            list = true;
        else if (strcmp(argv[1], "--no-fork") == 0)
            no_fork = true;
        else
            return fprintf(stderr, "usage: [-l] [--no-fork] [NAME...]\n"), 2;
    }
    for (const struct rntest *t = first; t != NULL; t = t->next) {
        int r;

        if (!selected(t, argv + 1, argc - 1))
            continue;
        if (list) {
            printf("%s\n", t->name);
            continue;
        }
        if (no_fork) {
            t->fn();
            continue;
        }
        r = run(t);
        passed += r == 0;
        failed += r == 1;
        skipped += r == EXIT_SKIP;
    }
    if (!list && !no_fork)
        printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed > 0;
}
