/*
 * test_zerocopy.c - sending out of the caller's buffer
 */
#include <sys/resource.h>

#include "message_test.h"

#define BIG ((size_t)4 << 20)

static rn_waitgroup readers;
static size_t got; /* bytes that were right */

static char byte_at(size_t i)
{
    return (char)(i * 7 % 251);
}

static void fill(char *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = byte_at(i);
}

/* Reads to the end, or to a reset: each byte is the one that was sent. */
static void read_and_check(void *arg)
{
    char buf[4096];
    ssize_t n;

    got = 0;
    while ((n = rn_read(arg, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++, got++)
            CHECK_EQ(buf[i], byte_at(got % BIG));
    CHECK(n == 0 || n == -ECONNRESET);
    rn_close(arg);
    rn_waitgroup_done(&readers);
}

static void start_reader(rn_conn *c)
{
    rn_waitgroup_add(&readers, 1);
    CHECK_OK(rn_go(read_and_check, c));
}

/* As soon as the call returns the buffer is ours again. */
static void send_and_overwrite(const char *network)
{
    static char buf[BIG];
    rn_zerocopy_report report;
    rn_conn *a, *b;

    rntest_pair_on(network, &a, &b);
    start_reader(b);
    for (int i = 0; i < 2; i++) {
        fill(buf, sizeof buf);
        CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, &report), sizeof buf);
        memset(buf, 'X', sizeof buf);
        CHECK_EQ(report.by_reference + report.by_copy, (int64_t)sizeof buf);
        if (i == 0 && strcmp(network, "unix") != 0)
            CHECK(report.by_reference > 0 && report.calls > 0);
        /* The loopback copies, and has said so: the second goes without. */
        if (i == 1)
            CHECK_EQ(report.by_reference, 0);
        else
            CHECK_EQ(report.calls_copied, report.calls);
    }
    rn_close(a);
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK_EQ(got, 2 * BIG);
}

RN_CORO_TEST(the_buffer_may_be_overwritten_as_soon_as_the_call_returns)
{
    send_and_overwrite("tcp");
    send_and_overwrite("tcp6");
    send_and_overwrite("unix");
}

RN_CORO_TEST(what_is_small_is_copied)
{
    static char buf[16 << 10];
    rn_zerocopy_report report;
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf - 1, &report), sizeof buf - 1);
    CHECK_EQ(report.by_copy, sizeof buf - 1);
    CHECK_EQ(rn_send_zerocopy(a, buf, 0, NULL), 0);
    CHECK_EQ(rn_send_zerocopy(a, buf, SIZE_MAX, NULL), -EINVAL);
    rn_close(a);
    rn_close(b);
}

static void on_readable(rn_conn *conn, void *arg)
{
    (void)arg;
    read_and_check(conn);
}

/* A reader waits on the same connection while notices come: it must hear nothing of them. */
static void read_nothing(void *arg)
{
    char byte;

    CHECK_EQ(rn_read(arg, &byte, 1), 0); /* the end, when the other side has closed */
    rn_waitgroup_done(&readers);
}

RN_CORO_TEST(a_notice_is_no_error_of_the_connection)
{
    static char buf[BIG];
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    fill(buf, sizeof buf);
    rn_waitgroup_add(&readers, 1);
    CHECK_OK(rn_go(read_nothing, a));
    rn_yield();
    rn_waitgroup_add(&readers, 1);
    CHECK_OK(rn_go_when_readable(b, on_readable, NULL));
    CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, NULL), sizeof buf);
    CHECK_OK(rn_close_write(a));
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK_EQ(got, BIG);
    rn_close(a);
}

/* ---- a peer that does not read, and calls that must end all the same ---- */

static void cancel_later(void *arg)
{
    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    rn_cancel(arg);
    rn_waitgroup_done(&readers);
}

/* False: on a busy machine it may be too late before it has begun. */
static bool give_up(bool by_cancel)
{
    static char buf[4 * BIG];
    rn_zerocopy_report report;
    rn_conn *a, *b;
    ssize_t n;

    for (size_t i = 0; i < 4; i++)
        fill(buf + i * BIG, BIG);
    rntest_pair(&a, &b);
    CHECK_OK(rn_set_buffers(b, 16 << 10, 0));
    if (by_cancel) {
        rn_waitgroup_add(&readers, 1);
        CHECK_OK(rn_go(cancel_later, a));
    } else {
        rn_set_write_deadline(a, rn_after(20 * RN_MILLISECOND));
    }
    n = rn_send_zerocopy(a, buf, sizeof buf, &report);
    CHECK_EQ(n, by_cancel ? -ECANCELED : -ETIME);
    memset(buf, 'X', sizeof buf);
    CHECK_OK(rn_waitgroup_wait(&readers));
    if (report.by_reference == 0 && report.by_copy > 0)
        RN_TEST_SKIP("so much memory may not be locked here");
    if (report.by_reference == 0) {
        rn_close(a);
        rn_close(b);
        return false;
    }
    rn_set_write_deadline(a, 0);
    CHECK_EQ(rn_write(a, "x", 1), n); /* poisoned */
    start_reader(b);                  /* it finds only what was sent before the reset */
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK((int64_t)got < report.by_reference + report.by_copy);
    rn_close(a);
    return true;
}

RN_CORO_TEST(a_deadline_gives_the_buffer_back_by_a_reset)
{
    for (int i = 0; !give_up(false); i++)
        CHECK(i < 20);
}

RN_CORO_TEST(a_cancel_gives_the_buffer_back_by_a_reset)
{
    for (int i = 0; !give_up(true); i++)
        CHECK(i < 20);
}

/* The whole buffer is in the kernel, and only the peer's acknowledgement is missing. */
RN_CORO_TEST(a_deadline_while_only_the_notice_is_missing)
{
    static char buf[64 << 10];
    rn_zerocopy_report report;
    rn_conn *a, *b;

    fill(buf, sizeof buf);
    rntest_pair(&a, &b);
    CHECK_OK(rn_set_buffers(b, 4 << 10, 0));
    CHECK_OK(rn_set_buffers(a, 0, 1 << 20));
    for (rn_time span = 50 * RN_MILLISECOND;; span *= 2) { /* until it begins in time */
        rn_set_write_deadline(a, rn_after(span));
        CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, &report), -ETIME);
        if (report.by_reference + report.by_copy > 0)
            break;
    }
    memset(buf, 'X', sizeof buf);
    CHECK_EQ(report.by_reference + report.by_copy, sizeof buf);
    start_reader(b);
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK(got < sizeof buf);
    rn_close(a);
}

static int close_peer_later(void *arg)
{
    rn_conn *b = arg;

    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    CHECK_OK(rn_set_linger(b, 0));
    rn_close(b);
    return 0;
}

RN_CORO_TEST(a_peer_that_resets_ends_the_call)
{
    static char buf[4 * BIG];
    rn_group g = RN_GROUP_INIT;
    rn_conn *a, *b;
    ssize_t n;

    rntest_pair(&a, &b);
    CHECK_OK(rn_group_go(&g, close_peer_later, b));
    n = rn_send_zerocopy(a, buf, sizeof buf, NULL);
    CHECK(n == -ECONNRESET || n == -EPIPE);
    CHECK_OK(rn_group_wait(&g, 0));
    rn_close(a);
}

/* ---- where the kernel will not ---- */

RN_CORO_TEST(without_room_for_the_bookkeeping_it_copies)
{
    static const int errors[] = {ENOBUFS, ENOMEM};
    static char buf[BIG];
    rn_zerocopy_report report;

    for (size_t i = 0; i < 3; i++) {
        rn_conn *a, *b;

        fill(buf, sizeof buf);
        rntest_pair(&a, &b);
        start_reader(b);
        if (i < 2)
            CHECK_OK(rn__sys_fail("send", errors[i], 1, 1));
        else
            CHECK_OK(rn__sys_fail("setsockopt", ENOPROTOOPT, 1, 1));
        CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, &report), sizeof buf);
        rn__sys_clear();
        memset(buf, 'X', sizeof buf);
        CHECK_EQ(report.by_copy, (int64_t)sizeof buf);
        rn_close(a);
        CHECK_OK(rn_waitgroup_wait(&readers));
        CHECK_EQ(got, BIG);
    }
}

RN_CORO_TEST(without_locked_memory_it_copies)
{
    static const struct rlimit none;
    static char buf[BIG];
    rn_zerocopy_report report;
    rn_conn *a, *b;

    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0); /* not before: io_uring needs some */
    if (getuid() == 0)                             /* whom the limit does not bind */
        CHECK_EQ(setuid(65534), 0);
    fill(buf, sizeof buf);
    rntest_pair(&a, &b);
    start_reader(b);
    CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, &report), sizeof buf);
    memset(buf, 'X', sizeof buf);
    CHECK_EQ(report.by_copy, (int64_t)sizeof buf);
    rn_close(a);
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK_EQ(got, BIG);
}

/* Errors of the send, and of the look at the queue: nothing hangs, nothing is lost. */
RN_CORO_TEST(errors_on_the_way)
{
    static char buf[BIG];
    rn_conn *a, *b;

    fill(buf, sizeof buf);
    rntest_pair(&a, &b);
    start_reader(b);
    CHECK_OK(rn__sys_short("send", 100000, 1, 1));
    CHECK_OK(rn__sys_fail("recvmsg", ENOMEM, 1, 2));
    CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, NULL), sizeof buf);
    memset(buf, 'X', sizeof buf);
    rn__sys_clear();
    rn_close(a);
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK_EQ(got, BIG);

    rntest_pair(&a, &b);
    fill(buf, sizeof buf);
    CHECK_OK(rn__sys_short("send", 100000, 1, 1));
    CHECK_OK(rn__sys_fail("send", EIO, 2, 1));
    CHECK_EQ(rn_send_zerocopy(a, buf, sizeof buf, NULL), -EIO);
    memset(buf, 'X', sizeof buf);
    CHECK_EQ(rn_write(a, "x", 1), -EIO);
    start_reader(b);
    rn_close(a);
    CHECK_OK(rn_waitgroup_wait(&readers));
    CHECK(got <= 100000);
}
