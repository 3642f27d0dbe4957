/*
 * test_watch.c - what runnel tells by itself: who holds a P, or a lock, and that all are asleep
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "base/sys.h"
#include "rntest_coro.h"
#include "task/held.h"

#define MS RN_MILLISECOND

/* The log's lines, one after the other. */
static char text[1 << 18];
static size_t text_len;
static pthread_mutex_t text_lock = PTHREAD_MUTEX_INITIALIZER;

static void keep(void *arg, const char *line)
{
    size_t len = strlen(line);

    (void)arg;
    pthread_mutex_lock(&text_lock);
    if (text_len + len + 2 < sizeof text) {
        memcpy(text + text_len, line, len);
        text[text_len + len] = '\n';
        text_len += len + 1;
    }
    pthread_mutex_unlock(&text_lock);
}

static bool is_told(const char *what)
{
    bool told;

    pthread_mutex_lock(&text_lock);
    told = strstr(text, what) != NULL;
    pthread_mutex_unlock(&text_lock);
    return told;
}

static void wait_until_told(const char *what)
{
    for (int i = 0; i < 10000 && !is_told(what); i++)
        CHECK_OK(rn_sleep(5 * MS));
    if (!is_told(what))
        printf("not told: %s; but:\n%s", what, text);
    CHECK(is_told(what));
}

/* ---- the watchdog ---- */

static int run_watched(int procs, rn_time limit, int (*fn)(void *))
{
    return rn_run(&(rn_run_options){.procs = procs, .log = keep, .watchdog_ns = limit}, fn, NULL);
}

/* Not static, so that the backtrace names it. */
__attribute__((noinline, noclone, visibility("default"))) void loops_for_long(rn_time span);
void loops_for_long(rn_time span)
{
    rn_time end = rn_after(span);

    while (rn_now() < end)
        ;
    __asm__ volatile("" ::: "memory");
}

/* Until the watchdog, too, has had some time on a CPU. Each round is a hold of its own, for the
 * case that one was told of before the signal came to this thread, or P 2's scheduler was. */
static void looper(void *arg)
{
    (void)arg;
    for (;;) {
        loops_for_long(400 * MS);
        if (is_told("\"looper\" has held P 2 for"))
            break;
        rn_yield();
    }
}

static int hold_a_proc(void *arg)
{
    (void)arg;
    CHECK_OK(rn_go_with(&(rn_go_options){.name = "looper", .proc = 2}, looper, NULL));
    wait_until_told("\"looper\" has held P 2 for");
    return 0;
}

RN_TEST(who_holds_its_proc_is_named_while_it_does)
{
    CHECK_OK(run_watched(2, 100 * MS, hold_a_proc));
    CHECK(is_told(" ms of them on a CPU, started at 0x"));
    /* TSan keeps the signal until the loop's next system call; qemu's clock cannot be unwound. */
#if !defined(__SANITIZE_THREAD__) && !defined(RNTEST_EMULATED)
    CHECK(is_told("    #0 "));
    CHECK(is_told("loops_for_long"));
    CHECK(is_told("    #2 "));
#endif
}

/* One hold each, whose end is that both are told. */
static void hold_until_both(void *arg)
{
    (void)arg;
    do
        loops_for_long(50 * MS);
    while (!is_told(" has held P 2 for") || !is_told(" has held P 3 for"));
}

static int hold_two_procs(void *arg)
{
    (void)arg;
    for (int proc = 2; proc <= 3; proc++)
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, hold_until_both, NULL));
    wait_until_told(" has held P 2 for");
    wait_until_told(" has held P 3 for");
    return 0;
}

RN_TEST(two_who_hold_a_proc_at_once_are_both_named)
{
    CHECK_OK(run_watched(3, 100 * MS, hold_two_procs));
}

static atomic_int handlers_proc; /* 2; or one that took it from there, where P 2 was slow */

static void loop_when_readable(rn_conn *conn, void *arg)
{
    char what[32];

    (void)arg;
    for (;;) {
        loops_for_long(400 * MS);
        snprintf(what, sizeof what, "has held P %d for", rn_proc_id());
        if (is_told(what))
            break;
        rn_yield();
    }
    handlers_proc = rn_proc_id();
    rn_close(conn);
}

static void rest_there(void *arg)
{
    CHECK_OK(rn_go_when_readable(arg, loop_when_readable, NULL));
}

static int hold_by_a_handler(void *arg)
{
    rn_conn *a, *b;

    (void)arg;
    rntest_pair(&a, &b);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, rest_there, b));
    CHECK_OK(rn_sleep(100 * MS)); /* P 2 sleeps, and is woken by the event itself */
    CHECK_OK(rn_write(a, "x", 1));
    for (int i = 0; i < 10000 && handlers_proc == 0; i++)
        CHECK_OK(rn_sleep(5 * MS));
    CHECK(handlers_proc != 0);
    rn_close(a);
    return 0;
}

RN_TEST(the_handler_of_a_rested_connection_is_named_too)
{
    CHECK_OK(run_watched(2, 100 * MS, hold_by_a_handler));
}

static void blocker(void *arg)
{
    struct timespec ts;

    (void)arg;
    for (;;) {
        ts = (struct timespec){.tv_nsec = 300 * MS};
        while (nanosleep(&ts, &ts) < 0)
            ; /* the signal interrupts it */
        if (is_told("\"blocker\" has held P 1 for"))
            break;
        rn_yield();
    }
}

static int block_the_proc(void *arg)
{
    (void)arg;
    CHECK_OK(rn_go_with(&(rn_go_options){.name = "blocker"}, blocker, NULL));
    wait_until_told("\"blocker\" has held P 1 for");
    return 0;
}

RN_TEST(a_call_that_blocks_is_named_too)
{
    CHECK_OK(run_watched(1, 50 * MS, block_the_proc));
    CHECK(is_told(" 0 ms of them on a CPU") || is_told(" 1 ms of them on a CPU"));
}

static int let_others_run(void *arg)
{
    rn_time end = rn_after(300 * MS);

    (void)arg;
    while (rn_now() < end) {
        loops_for_long(MS);
        rn_yield();
    }
    return 0;
}

RN_TEST(who_lets_the_others_run_is_not)
{
    CHECK_OK(run_watched(1, 200 * MS, let_others_run));
    /* Where the machine had no time for us, it may have looked so. */
    CHECK(!is_told("has held") || !is_told(" 200 ms of them on a CPU"));
}

static atomic_int others;

static void count_other(int sig)
{
    (void)sig;
    others++;
}

static int raise_own(void *arg)
{
    (void)arg;
    CHECK_EQ(raise(SIGURG), 0);
    CHECK_EQ(others, 1);
    return 0;
}

RN_TEST(a_sigurg_of_the_programs_goes_where_it_went)
{
    struct sigaction sa = {.sa_handler = count_other}, now;

    CHECK_OK(sigaction(SIGURG, &sa, NULL));
    CHECK_OK(run_watched(1, 100 * MS, raise_own));
    CHECK_OK(sigaction(SIGURG, NULL, &now));
    CHECK(now.sa_handler == count_other); /* as it was */
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

RN_TEST(the_limit_comes_from_the_environment_too)
{
    CHECK_OK(setenv("RN_WATCHDOG", "20", 1));
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .log = keep}, block_the_proc, NULL));
    CHECK_OK(setenv("RN_WATCHDOG", "soon", 1));
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1, .log = keep}, nothing, NULL), -EINVAL);
    CHECK(is_told("RN_WATCHDOG=soon is not a number"));
    CHECK_OK(unsetenv("RN_WATCHDOG"));
    CHECK_EQ(run_watched(1, 999 * RN_MICROSECOND, nothing), -EINVAL);
}

RN_TEST(without_a_thread_for_it_the_program_runs)
{
    struct sigaction now;

    CHECK_OK(rn__sys_fail("clone", EAGAIN, 1, 1));
    CHECK_OK(run_watched(1, 100 * MS, nothing));
    CHECK(is_told("no watchdog: "));
    CHECK_OK(sigaction(SIGURG, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
}

/* ---- all asleep ---- */

static void *close_soon(void *ch)
{
    (void)usleep(100000);
    rn_chan_close(ch);
    return NULL;
}

/* The thread that ends the wait comes only after the report: with it there would be none. */
static void keep_and_close(void *ch, const char *line)
{
    pthread_t t;

    keep(NULL, line);
    if (strstr(line, "all coroutines are asleep") != NULL) {
        CHECK_EQ(pthread_create(&t, NULL, close_soon, ch), 0);
        CHECK_EQ(pthread_detach(t), 0);
    }
}

static void receiver(void *ch)
{
    int v;

    (void)rn_chan_recv(ch, &v);
}

static int wait_for_each_other(void *ch)
{
    int v;

    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_go_with(&(rn_go_options){.name = "receiver"}, receiver, ch));
    CHECK_EQ(rn_chan_recv(ch, &v), -EPIPE);
    return 0;
}

static void run_to_the_report(int procs)
{
    rn_run_options o = {.procs = procs, .log = keep_and_close, .watchdog_ns = -1};
    rn_chan *ch;

    text_len = 0;
    memset(text, 0, sizeof text);
    CHECK_OK(rn_chan_new(sizeof(int), 0, &ch));
    o.log_arg = ch;
    CHECK_OK(rn_run(&o, wait_for_each_other, ch));
    CHECK(is_told("all coroutines are asleep, and nothing can ever wake them\n4 coroutines on"));
    CHECK(is_told("\"receiver\" on P "));
    CHECK(is_told(" in receive"));
    rn_chan_free(ch);
}

RN_TEST(when_all_wait_for_each_other_that_is_told)
{
#if defined(__SANITIZE_THREAD__) || defined(RNTEST_EMULATED)
    RN_TEST_SKIP("TSan and qemu have threads of their own, which could wake somebody");
#endif
    run_to_the_report(1);
    run_to_the_report(3);
}

#define LONGER_THAN_QUIET_US 1300000

static int in_a_blocking_call(void *arg)
{
    (void)usleep(LONGER_THAN_QUIET_US);
    return arg == NULL ? 0 : -1;
}

static int offload_one(void *arg)
{
    return rn_offload(in_a_blocking_call, arg, NULL);
}

RN_TEST(a_blocking_call_may_still_wake_somebody)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2, .log = keep}, offload_one, NULL));
    CHECK(!is_told("asleep"));
}

static void *close_later(void *ch)
{
    (void)usleep(LONGER_THAN_QUIET_US);
    rn_chan_close(ch);
    return NULL;
}

RN_TEST(so_may_a_plain_thread)
{
    pthread_t t;
    rn_chan *ch;

    CHECK_OK(rn_chan_new(sizeof(int), 0, &ch));
    CHECK_EQ(pthread_create(&t, NULL, close_later, ch), 0);
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2, .log = keep}, wait_for_each_other, ch));
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK(!is_told("asleep"));
    rn_chan_free(ch);
}

static int read_pipe(void *fd)
{
    rn_conn *conn;
    char c;

    CHECK_OK(rn_conn_from_fd(*(int *)fd, &conn));
    CHECK_EQ(rn_read(conn, &c, 1), 1);
    rn_close(conn);
    return 0;
}

RN_TEST(so_may_another_process)
{
    int fds[2];
    pid_t child;

    CHECK_OK(pipe(fds));
    child = fork();
    CHECK_OK(child);
    if (child == 0) {
        (void)usleep(LONGER_THAN_QUIET_US);
        _exit(write(fds[1], "x", 1) != 1);
    }
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2, .log = keep}, read_pipe, &fds[0]));
    CHECK(!is_told("asleep"));
    close(fds[1]);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

/* ---- a pthread mutex held across a park ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int park_with_it(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&mutex);
    (void)rn_sleep(MS);
    pthread_mutex_unlock(&mutex);
    return 0;
}

static int unlock_before(void *arg)
{
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct timespec past = {0};

    (void)arg;
    for (int i = 0; i < 3; i++) {
        pthread_mutex_lock(&mutex);
        CHECK(pthread_mutex_trylock(&mutex) == EBUSY);
        CHECK(pthread_cond_timedwait(&cond, &mutex, &past) == ETIMEDOUT);
        pthread_mutex_unlock(&mutex);
        CHECK(pthread_mutex_timedlock(&mutex, &past) == 0);
        pthread_mutex_unlock(&mutex);
#ifndef __SANITIZE_THREAD__ /* which does not know it */
        CHECK_EQ(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past), 0);
        pthread_mutex_unlock(&mutex);
#endif
        CHECK_OK(rn_sleep(MS));
    }
    return 0;
}

RN_TEST(a_debug_build_refuses_to_park_with_a_pthread_mutex)
{
    int fds[2], status;
    char said[512];
    pid_t child;
    ssize_t n;

    if (!RN__HELD)
        RN_TEST_SKIP("no debug build, or TSan");
    CHECK_OK(pipe(fds));
    child = fork();
    CHECK_OK(child);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        CHECK_OK(dup2(fds[1], STDERR_FILENO));
        (void)rn_run(NULL, park_with_it, NULL);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    n = read(fds[0], said, sizeof said - 1);
    CHECK_OK(n);
    said[n] = '\0';
    CHECK(strstr(said, "\"main\" leaves its thread with a pthread mutex held") != NULL);
}

RN_TEST(a_pthread_mutex_between_parks_is_fine)
{
    pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER;

    pthread_mutex_lock(&outer); /* the caller's own, held all the time */
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, unlock_before, NULL));
    pthread_mutex_unlock(&outer);
}
