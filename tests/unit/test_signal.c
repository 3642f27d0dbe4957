/*
 * test_signal.c - signals that arrive in channels; a channel's descriptor in a foreign loop
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "base/sys.h"
#include "rntest_coro.h"

#define MS RN_MILLISECOND

static rn_chan *new_chan(size_t bytes, size_t capacity)
{
    rn_chan *ch;

    CHECK_OK(rn_chan_new(bytes, capacity, &ch));
    return ch;
}

/* ---- signals ---- */

static int next_signal(rn_chan *ch)
{
    rn_select_case c = {.chan = ch, .op = RN_SELECT_RECV};
    int signo = 0;

    c.item = &signo;
    CHECK_EQ(rn_select(&c, 1, rn_after(10 * RN_SECOND)), 0);
    CHECK_OK(c.result);
    return signo;
}

RN_CORO_TEST(a_signal_arrives_in_a_channel)
{
    rn_chan *ch = new_chan(sizeof(int), 8);

    CHECK_OK(rn_signal_notify(ch, SIGUSR1));
    CHECK_OK(rn_signal_notify(ch, SIGTERM));
    CHECK_OK(rn_signal_notify(ch, SIGTERM)); /* twice is once */
    CHECK_OK(kill(getpid(), SIGTERM));
    CHECK_EQ(next_signal(ch), SIGTERM);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(next_signal(ch), SIGUSR1);
    CHECK_EQ(rn_chan_len(ch), 0);
    rn_signal_stop(ch);
    rn_chan_free(ch);
}

static void waiter(void *arg)
{
    CHECK_EQ(next_signal(arg), SIGUSR1);
    rn_chan_free(arg);
}

RN_CORO_TEST(each_channel_that_asked_gets_it_on_any_proc)
{
    rn_chan *a = new_chan(sizeof(int), 4), *b = new_chan(sizeof(int), 0);

    CHECK_OK(rn_signal_notify(a, SIGUSR1));
    CHECK_OK(rn_signal_notify(b, SIGUSR1)); /* no room: only for who waits */
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, waiter, rn_chan_ref(b)));
    rntest_until_all_wait();
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(next_signal(a), SIGUSR1);
    rn_signal_stop(b);
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(next_signal(a), SIGUSR1);
    rn_signal_stop(a);
    rn_chan_free(a);
    rn_chan_free(b);
}

static void *raise_many(void *arg)
{
    for (int i = 0; i < 50; i++)
        CHECK_EQ(pthread_kill(pthread_self(), SIGUSR2), 0);
    return arg;
}

/* Blocked nowhere but on the Ps' threads: the handler runs where it likes. */
RN_CORO_TEST(many_at_once_are_counted)
{
    rn_chan *ch = new_chan(sizeof(int), 200);
    pthread_t t[4];

    CHECK_OK(rn_signal_notify(ch, SIGUSR2));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, raise_many, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(next_signal(ch), SIGUSR2);
    CHECK_EQ(rn_chan_len(ch), 0);
    rn_signal_stop(ch);
    rn_chan_free(ch);
}

static atomic_int usual;

static void count_usual(int signo)
{
    (void)signo;
    usual++;
}

static int notify_and_stop(void *arg)
{
    rn_chan *ch = new_chan(sizeof(int), 1);

    CHECK_OK(rn_signal_notify(ch, SIGUSR1));
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(next_signal(ch), SIGUSR1);
    CHECK_EQ(usual, 0);
    if (arg != NULL) {
        rn_signal_stop(ch);
        CHECK_EQ(raise(SIGUSR1), 0);
        CHECK_EQ(usual, 1);
    }
    rn_chan_free(ch); /* not stopped: one reference is left, until the end of the run */
    return 0;
}

RN_TEST(stopped_or_at_the_end_the_signal_does_what_it_did)
{
    struct sigaction sa = {.sa_handler = count_usual}, now;

    CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, notify_and_stop, &usual));
    usual = 0;
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, notify_and_stop, NULL));
    CHECK_OK(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler == count_usual);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(usual, 1);
}

static void stop_by_signal(void *arg)
{
    (void)arg;
    CHECK_OK(rn_sleep(5 * MS));
    CHECK_OK(kill(getpid(), SIGQUIT));
}

static int quit_twice(void *ch)
{
    CHECK_OK(rn_signal_notify(ch, SIGQUIT));
    CHECK_OK(rn_go(stop_by_signal, NULL));
    CHECK_EQ(next_signal(ch), SIGQUIT);
    return 0;
}

/* Both take SIGQUIT, and give it back in the other order. */
RN_TEST(the_dump_and_a_channel_may_want_the_same)
{
    rn_chan *ch = new_chan(sizeof(int), 1);
    struct sigaction now;

    CHECK_OK(rn_run(&(rn_run_options){.procs = 2, .dump_on_sigquit = true}, quit_twice, ch));
    CHECK_OK(sigaction(SIGQUIT, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
    rn_chan_free(ch);
}

RN_CORO_TEST(what_cannot_be_caught_is_refused)
{
    rn_chan *ch = new_chan(sizeof(int), 1), *other = new_chan(8, 1);
    static const int bad[] = {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_EQ(rn_signal_notify(ch, bad[i]), -EINVAL);
    CHECK_EQ(rn_signal_notify(other, SIGUSR1), -EINVAL);
    rn_signal_stop(ch); /* never asked: harmless */
    rn_chan_free(ch);
    rn_chan_free(other);
}

RN_TEST(a_plain_thread_may_not_ask)
{
    rn_chan *ch = new_chan(sizeof(int), 1);

    CHECK_EQ(rn_signal_notify(ch, SIGUSR1), -EDEADLK);
    rn_chan_free(ch);
}

RN_CORO_TEST_ON(what_fails_leaves_the_signal_alone, 1)
{
    static const char *const rows[] = {"eventfd2", "epoll_ctl"};
    rn_chan *ch = new_chan(sizeof(int), 1);
    struct sigaction now;

    for (int i = 0; i < (rntest_on_epoll() ? 2 : 1); i++) {
        CHECK_OK(rn__sys_fail(rows[i], ENOMEM, 1, 1));
        CHECK_EQ(rn_signal_notify(ch, SIGUSR1), -ENOMEM);
        rn__sys_clear();
    }
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_signal_notify(ch, SIGUSR1), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK_OK(sigaction(SIGUSR1, NULL, &now));
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_OK(rn_signal_notify(ch, SIGUSR1));
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(next_signal(ch), SIGUSR1);
    rn_signal_stop(ch);
    rn_chan_free(ch);
}

/* ---- a channel's descriptor ---- */

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    CHECK_OK(poll(&p, 1, 0));
    return p.revents != 0;
}

RN_CORO_TEST(a_channel_is_readable_while_it_has_something)
{
    rn_chan *ch = new_chan(sizeof(int), 2);
    int fd, v = 7;

    CHECK_OK(rn_chan_send(ch, &v));
    fd = rn_chan_fd(ch);
    CHECK_OK(fd);
    CHECK_EQ(rn_chan_fd(ch), fd);
    CHECK(is_readable(fd)); /* it was in before */
    CHECK_OK(rn_chan_send(ch, &v));
    CHECK_OK(rn_chan_recv(ch, &v));
    CHECK(is_readable(fd));
    CHECK_EQ(rn_chan_try_recv(ch, &v), 1);
    CHECK(!is_readable(fd));
    rn_chan_close(ch);
    CHECK(is_readable(fd));
    CHECK_EQ(rn_chan_try_recv(ch, &v), -EPIPE);
    CHECK(is_readable(fd));
    rn_chan_free(ch);
    CHECK(fcntl(fd, F_GETFD) < 0);
}

static atomic_bool sender_done;

static void sender(void *ch)
{
    int v = 1;

    (void)rn_chan_send(ch, &v);
    v = 2;
    (void)rn_select(&(rn_select_case){.chan = ch, .op = RN_SELECT_SEND, .item = &v}, 1, 0);
    /* In vain: what is withdrawn is no longer there to receive. */
    CHECK_EQ(rn_select(&(rn_select_case){.chan = ch, .op = RN_SELECT_SEND, .item = &v}, 1,
                       rn_after(20 * MS)),
             -ETIME);
    CHECK(!is_readable(rn_chan_fd(ch)));
    sender_done = true;
    rn_chan_free(ch);
}

RN_CORO_TEST(a_sender_that_waits_is_something_too)
{
    rn_chan *ch = new_chan(sizeof(int), 0);
    int fd = rn_chan_fd(ch), v;

    CHECK(!is_readable(fd));
    CHECK_OK(rn_go(sender, rn_chan_ref(ch)));
    for (int want = 1; want <= 2; want++) {
        while (!is_readable(fd))
            CHECK_OK(rn_sleep(MS));
        CHECK_EQ(rn_chan_try_recv(ch, &v), 1);
        CHECK_EQ(v, want);
    }
    while (!sender_done)
        CHECK_OK(rn_sleep(MS));
    rn_chan_free(ch);
}

struct foreign {
    rn_chan *ch;
    long sum, wakes;
};

/* A loop of its own, as of a GUI: one descriptor among others. */
static void *foreign_loop(void *arg)
{
    struct foreign *f = arg;
    struct pollfd p = {.fd = rn_chan_fd(f->ch), .events = POLLIN};
    int v, r = 0;

    while (r != -EPIPE) {
        CHECK_EQ(poll(&p, 1, 10000), 1);
        f->wakes++;
        while ((r = rn_chan_try_recv(f->ch, &v)) == 1)
            f->sum += v;
    }
    return NULL;
}

static int send_range(void *ch)
{
    for (int v = 1; v <= 2000; v++)
        CHECK_OK(rn_chan_send(ch, &v));
    return 0;
}

static int join(void *t)
{
    return pthread_join(*(pthread_t *)t, NULL);
}

static void run_foreign(size_t capacity)
{
    struct foreign f = {.ch = new_chan(sizeof(int), capacity)};
    rn_group g = RN_GROUP_INIT;
    pthread_t t;

    CHECK_EQ(pthread_create(&t, NULL, foreign_loop, &f), 0);
    for (int i = 0; i < 4; i++)
        CHECK_OK(rn_group_go(&g, send_range, f.ch));
    CHECK_OK(rn_group_wait(&g, 0));
    rn_chan_close(f.ch);
    CHECK_EQ(rn_offload(join, &t, NULL), 0);
    CHECK_EQ(f.sum, 4L * 2000 * 2001 / 2);
    CHECK(f.wakes >= 1);
    rn_chan_free(f.ch);
}

RN_CORO_TEST(a_foreign_loop_gets_all_of_it)
{
    run_foreign(0);
    run_foreign(16);
}

RN_CORO_TEST_ON(without_descriptors_there_is_no_fd, 1)
{
    rn_chan *ch = new_chan(sizeof(int), 1);

    CHECK_OK(rn__sys_fail("eventfd2", EMFILE, 1, 1));
    CHECK_EQ(rn_chan_fd(ch), -EMFILE);
    CHECK_OK(rn_chan_fd(ch));
    rn_chan_free(ch);
}
