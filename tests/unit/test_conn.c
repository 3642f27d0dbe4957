/*
 * test_conn.c - one connection: reading, writing, deadlines, cancel, close
 *
 * Run on each poller (RN_POLLER). The corners of "a short read may skip the read that would only
 * return EAGAIN" are each a test here: getting one wrong hangs.
 */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/sys.h"
#include "rntest_coro.h"

static const char *const networks[] = {"tcp", "tcp6", "unix"};

static void echo_once(void *arg)
{
    rn_conn *c = arg;
    char buf[64];
    ssize_t n = rn_read(c, buf, sizeof buf);

    CHECK(n > 0);
    CHECK_EQ(rn_write(c, buf, (size_t)n), n);
    CHECK_EQ(rn_read(c, buf, sizeof buf), 0);
    CHECK_EQ(rn_read(c, buf, sizeof buf), 0); /* again on every later call */
    rn_close(c);
}

RN_CORO_TEST(bytes_come_back_over_each_network)
{
    for (int i = 0; i < 3; i++) {
        rn_conn *a, *b;
        char buf[64];

        rntest_pair_on(networks[i], &a, &b);
        CHECK_OK(rn_go(echo_once, b));
        CHECK_EQ(rn_write(a, "hello", 5), 5);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 5);
        CHECK(memcmp(buf, "hello", 5) == 0);
        CHECK_OK(rn_close_write(a));
        CHECK_EQ(rn_read(a, buf, sizeof buf), 0);
        rn_close(a);
    }
}

RN_CORO_TEST(nothing_asked_is_nothing_done)
{
    rn_conn *a, *b;
    struct iovec none = {.iov_base = NULL, .iov_len = 0};

    rntest_pair(&a, &b);
    CHECK_EQ(rn_read(a, NULL, 0), 0);
    CHECK_EQ(rn_write(a, NULL, 0), 0);
    CHECK_EQ(rn_readv(a, &none, 1), 0);
    CHECK_EQ(rn_writev(a, &none, 1), 0);
    CHECK_EQ(rn_readv(a, &none, 0), -EINVAL);
    CHECK_EQ(rn_writev(a, &none, 1025), -EINVAL);
    rn_close(a);
    rn_close(b);
    rn_close(NULL);
}

/* ---- large writes ---- */

#define LARGE ((size_t)8 << 20)

static void write_large(void *arg)
{
    rn_conn *c = arg;
    char *buf = malloc(LARGE);
    struct iovec iov[3];

    for (size_t i = 0; i < LARGE; i++)
        buf[i] = (char)(i * 7 + i / 4096);
    iov[0] = (struct iovec){buf, 1000};
    iov[1] = (struct iovec){buf + 1000, 0};
    iov[2] = (struct iovec){buf + 1000, LARGE - 1000};
    CHECK_EQ(rn_writev(c, iov, 3), (ssize_t)LARGE);
    CHECK_EQ(iov[2].iov_len, LARGE - 1000); /* left as they were */
    CHECK_EQ(rn_write(c, buf, LARGE), (ssize_t)LARGE);
    free(buf);
    rn_close(c);
}

RN_CORO_TEST(a_write_writes_all_of_it_however_full_the_socket)
{
    for (int n = 0; n < 3; n++) {
        rn_conn *a, *b;
        char buf[30000];
        size_t at = 0;
        ssize_t got;

        rntest_pair_on(networks[n], &a, &b);
        CHECK_OK(rn_go(write_large, b));
        while ((got = rn_read(a, buf, sizeof buf)) > 0)
            for (ssize_t i = 0; i < got; i++, at++)
                CHECK(buf[i] == (char)(at % LARGE * 7 + at % LARGE / 4096));
        CHECK_EQ(got, 0);
        CHECK_EQ(at, 2 * LARGE);
        rn_close(a);
    }
}

RN_CORO_TEST(short_writes_of_the_kernel_are_finished)
{
    rn_conn *a, *b;
    char buf[64];
    struct iovec iov[2] = {{(char *)"hello ", 6}, {(char *)"world", 5}};

    rntest_pair(&a, &b);
    CHECK_OK(rn__sys_short("send", 7, 1, 1));
    CHECK_EQ(rn_write(a, "twelve bytes", 12), 12);
    CHECK_OK(rn__sys_short("sendmsg", 1, 1, 20));
    CHECK_EQ(rn_writev(a, iov, 2), 11);
    rn__sys_clear();
    rntest_read_full(b, buf, 23);
    CHECK(memcmp(buf, "twelve byteshello world", 23) == 0);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(readv_fills_buffers_in_order)
{
    rn_conn *a, *b;
    char x[3], y[8];
    struct iovec iov[2] = {{x, 3}, {y, 8}};

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(a, "abcdefg", 7), 7);
    CHECK_EQ(rn_readv(b, iov, 2), 7);
    CHECK(memcmp(x, "abc", 3) == 0 && memcmp(y, "defg", 4) == 0);
    rn_close(a);
    rn_close(b);
}

static int laps;

static void count_laps(void *arg)
{
    bool *stop = arg;

    while (!*stop) {
        laps++;
        rn_yield();
    }
}

/* Neither call below ever parks: what is written is there to be read. */
RN_CORO_TEST_ON(a_coroutine_whose_calls_all_succeed_lets_the_others_run, 1)
{
    static bool stop;
    rn_conn *a, *b;
    char c = 'x';

    rntest_pair_on("unix", &a, &b);
    CHECK_OK(rn_go(count_laps, &stop));
    for (int i = 0; i < 10000; i++) {
        CHECK_EQ(rn_write(a, &c, 1), 1);
        CHECK_EQ(rn_read(b, &c, 1), 1);
    }
    CHECK(laps >= 10000 * 2 / 64);
    stop = true;
    rn_close(a);
    rn_close(b);
}

/* ---- deadlines ---- */

RN_CORO_TEST(read_deadline_leaves_conn_usable)
{
    rn_conn *a, *b;
    char buf[8];
    rn_time until = rn_after(20 * RN_MILLISECOND);

    rntest_pair(&a, &b);
    rn_set_deadline(a, until);
    CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME);
    CHECK(rn_now() >= until);
    CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME);
    CHECK_EQ(rn_write(a, "x", 1), -ETIME);
    rn_set_deadline(a, 0);
    CHECK_EQ(rn_write(b, "late", 4), 4);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
    rn_close(a);
    rn_close(b);
}

#define STREAM 400

static void write_stream(void *arg)
{
    for (int i = 0; i < STREAM; i++) {
        unsigned char c = (unsigned char)i;

        if (i % 3 == 0)
            CHECK_OK(rn_sleep((i % 7) * 20 * RN_MICROSECOND));
        CHECK_EQ(rn_write(arg, &c, 1), 1);
    }
}

/* Where the poller reads, the bytes that come just when it gives up are still the reader's. */
RN_CORO_TEST(reads_that_time_out_now_and_then_lose_nothing)
{
    unsigned char buf[4];
    rn_conn *a, *b;
    int seen = 0;

    rntest_pair(&a, &b);
    CHECK_OK(rn_go(write_stream, b));
    for (int turn = 0; seen < STREAM; turn++) {
        ssize_t n;

        rn_set_read_deadline(a, rn_after((1 + turn % 8) * 15 * RN_MICROSECOND));
        n = rn_read(a, buf, sizeof buf);
        CHECK(n > 0 || n == -ETIME);
        for (ssize_t i = 0; i < n; i++)
            CHECK_EQ(buf[i], (unsigned char)seen++);
    }
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(a_past_deadline_fails_even_where_data_is_there)
{
    rn_conn *a, *b;
    char buf[8];

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(b, "data", 4), 4);
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    rn_set_read_deadline(a, rn_now());
    CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME);
    CHECK_EQ(rn_write(a, "x", 1), 1); /* the other direction has none */
    rn_set_read_deadline(a, rn_after(RN_SECOND));
    CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
    rn_close(a);
    rn_close(b);
}

struct reader {
    rn_conn *conn;
    ssize_t result;
    rn_time at;
    rn_waitgroup done;
};

static void read_one(void *arg)
{
    struct reader *r = arg;
    char buf[8];

    r->result = rn_read(r->conn, buf, sizeof buf);
    r->at = rn_now();
    rn_waitgroup_done(&r->done);
}

static void start_reader_on(struct reader *r, rn_conn *c, int proc)
{
    memset(r, 0, sizeof *r);
    r->conn = c;
    rn_waitgroup_add(&r->done, 1);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, read_one, r));
    rntest_until_all_wait();
}

/* A read with a deadline, for which another is set while it waits; false: it had passed by then. */
static bool move_deadline(struct reader *r, int proc, rn_time from, rn_time to)
{
    rn_set_read_deadline(r->conn, from);
    start_reader_on(r, r->conn, proc);
    rn_set_read_deadline(r->conn, to);
    return rn_now() < from;
}

RN_CORO_TEST(a_deadline_can_be_set_moved_and_taken_away_while_a_read_waits)
{
    for (int proc = 1; proc <= 2; proc++) {
        rn_conn *a, *b;
        struct reader r;
        rn_time until;
        bool in_time;

        rntest_pair(&a, &b);
        start_reader_on(&r, a, proc); /* none: sets it now */
        until = rn_after(20 * RN_MILLISECOND);
        rn_set_read_deadline(a, until);
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, -ETIME);
        CHECK(r.at >= until);

        do { /* moved later: fires later */
            until = rn_after(80 * RN_MILLISECOND);
            in_time = move_deadline(&r, proc, until - 40 * RN_MILLISECOND, until);
            CHECK_OK(rn_waitgroup_wait(&r.done));
            CHECK_EQ(r.result, -ETIME);
        } while (!in_time);
        CHECK(r.at >= until);

        rn_set_read_deadline(a, rn_after(30 * RN_SECOND)); /* moved earlier: fires earlier */
        start_reader_on(&r, a, proc);
        rn_set_read_deadline(a, rn_after(RN_MILLISECOND));
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, -ETIME);

        while (!move_deadline(&r, proc, rn_after(40 * RN_MILLISECOND), 0)) { /* taken away */
            rn_set_read_deadline(a, 1);
            CHECK_OK(rn_waitgroup_wait(&r.done));
        }
        CHECK_OK(rn_sleep(60 * RN_MILLISECOND)); /* never fires */
        CHECK_EQ(rn_write(b, "x", 1), 1);
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, 1);

        rn_set_read_deadline(a, 0); /* into the past, while waiting */
        start_reader_on(&r, a, proc);
        rn_set_read_deadline(a, rn_now() - RN_SECOND);
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, -ETIME);
        rn_close(a);
        rn_close(b);
    }
}

/* A write that fits into no buffer, so that it ends in the middle, by the deadline. */
static void write_half(rn_conn *c)
{
    static char zeros[64 << 20];

    rn_set_write_deadline(c, rn_after(50 * RN_MILLISECOND));
    CHECK_EQ(rn_write(c, zeros, sizeof zeros), -ETIME);
}

RN_CORO_TEST(a_write_that_failed_half_way_poisons_the_write_side)
{
    rn_conn *a, *b;
    ssize_t r;

    rntest_pair(&a, &b);
    do { /* again, where the deadline had passed before the first byte */
        write_half(a);
        rn_set_write_deadline(a, 0);
        r = rn_write(a, "x", 1);
    } while (r == 1);
    CHECK_EQ(r, -ETIME); /* the first error, again */
    CHECK_EQ(rn_close_write(a), -ETIME);
    rn_close(a);
    rn_close(b);
}

/* ---- readers, writers, cancel ---- */

RN_CORO_TEST(a_second_reader_is_refused)
{
    rn_conn *a, *b;
    struct reader r;
    char buf[8];

    rntest_pair(&a, &b);
    start_reader_on(&r, a, 2);
    CHECK_EQ(rn_read(a, buf, sizeof buf), -EBUSY);
    CHECK_EQ(rn_go_when_readable(a, NULL, NULL), -EBUSY);
    CHECK_EQ(rn_write(b, "x", 1), 1);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 1);
    rn_close(a);
    rn_close(b);
}

struct writer {
    rn_conn *conn;
    char letter;
    rn_waitgroup *done;
};

#define UNIT ((size_t)300000)

static void write_unit(void *arg)
{
    struct writer *w = arg;
    char *buf = malloc(UNIT);

    memset(buf, w->letter, UNIT);
    CHECK_EQ(rn_write(w->conn, buf, UNIT), (ssize_t)UNIT);
    free(buf);
    rn_waitgroup_done(w->done);
}

RN_CORO_TEST(writers_queue_and_each_write_is_one_unit)
{
    rn_conn *a, *b;
    struct writer writers[8];
    rn_waitgroup done = RN_WAITGROUP_INIT;
    char *buf = malloc(UNIT);

    rntest_pair(&a, &b);
    for (int i = 0; i < 8; i++) {
        writers[i] = (struct writer){.conn = a, .letter = (char)('a' + i), .done = &done};
        rn_waitgroup_add(&done, 1);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i % 2}, write_unit, &writers[i]));
    }
    for (int i = 0; i < 8; i++) {
        rntest_read_full(b, buf, UNIT);
        for (size_t j = 1; j < UNIT; j++)
            CHECK(buf[j] == buf[0]);
    }
    CHECK_OK(rn_waitgroup_wait(&done));
    free(buf);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(cancel_is_sticky_wakes_and_frees_nothing)
{
    for (int proc = 1; proc <= 2; proc++) {
        rn_conn *a, *b;
        struct reader r;
        char buf[8];

        rntest_pair(&a, &b);
        start_reader_on(&r, a, proc);
        rn_cancel(a);
        rn_cancel(a);
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, -ECANCELED);
        CHECK_EQ(rn_read(a, buf, sizeof buf), -ECANCELED);
        CHECK_EQ(rn_write(a, "x", 1), -ECANCELED);
        CHECK_EQ(rn_close_write(a), -ECANCELED);
        rn_close(a);
        rn_close(b);
    }
}

RN_CORO_TEST(cancel_by_reference_is_harmless_after_close)
{
    rn_conn *a, *b, *c, *d;
    rn_ref ref;
    char buf[8];

    rntest_pair(&a, &b);
    ref = rn_conn_ref(a);
    CHECK(!rn_cancel_ref((rn_ref){0, 0}));
    CHECK(!rn_cancel_ref((rn_ref){UINT32_MAX, 1}));
    rn_close(a);
    CHECK(!rn_cancel_ref(ref));
    rntest_pair(&c, &d); /* may well stand in the same slot */
    CHECK(!rn_cancel_ref(ref));
    CHECK_EQ(rn_write(c, "x", 1), 1);
    CHECK_EQ(rn_read(d, buf, sizeof buf), 1);
    CHECK(rn_cancel_ref(rn_conn_ref(c)));
    CHECK_EQ(rn_write(c, "x", 1), -ECANCELED);
    rn_close(b);
    rn_close(c);
    rn_close(d);
}

RN_CORO_TEST(close_wakes_whoever_is_inside_and_waits_for_them)
{
    for (int proc = 1; proc <= 2; proc++) {
        rn_conn *a, *b;
        struct reader r;

        rntest_pair(&a, &b);
        start_reader_on(&r, a, proc);
        rn_close(a);
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, -ECANCELED);
        rn_close(b);
    }
}

static void close_it(void *arg)
{
    rn_close(arg);
}

RN_CORO_TEST(a_conn_may_be_closed_on_another_proc_than_its_home)
{
    rn_conn *a, *b;
    char buf[8];
    int fds = rntest_count_fds();

    for (int i = 0; i < 50; i++) {
        rntest_pair(&a, &b);
        rn_set_read_deadline(a, rn_after(RN_MILLISECOND));
        CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME); /* now it has a home here */
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i % 2}, close_it, a));
        CHECK_EQ(rn_read(b, buf, sizeof buf), 0);
        rn_close(b);
    }
    for (int i = 0; i < 1000 && rntest_count_fds() > fds; i++)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK_EQ(rntest_count_fds(), fds);
}

/* ---- the skipped read ---- */

RN_CORO_TEST(data_and_fin_in_one_event_do_not_hang)
{
    for (int i = 0; i < 100; i++) {
        rn_conn *a, *b;
        char buf[64];

        rntest_pair(&a, &b);
        rn_set_read_deadline(a, rn_after(5 * RN_SECOND));
        if (i % 2 == 0) { /* registered before the event */
            CHECK_EQ(rn_write(b, "1", 1), 1);
            CHECK_EQ(rn_read(a, buf, sizeof buf), 1);
        }
        CHECK_EQ(rn_write(b, "last", 4), 4);
        rn_close(b);
        if (i % 4 < 2)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
        CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 0);
        rn_close(a);
    }
}

RN_CORO_TEST(an_event_between_two_reads_is_not_lost)
{
    rn_conn *a, *b;
    char buf[64];

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(5 * RN_SECOND));
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(rn_write(b, "one", 3), 3);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 3); /* short: the next may skip its call */
        CHECK_EQ(rn_write(b, "two", 3), 3);       /* an edge before that next one */
        if (i % 2 == 0)
            rn_yield();
        if (i % 5 == 0)
            CHECK_OK(rn_sleep(RN_MILLISECOND)); /* seen by the poller, or not yet */
        CHECK_EQ(rn_read(a, buf, sizeof buf), 3);
    }
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(a_read_stopped_at_the_urgent_mark_goes_on)
{
    for (int i = 0; i < 20; i++) {
        rn_conn *a, *b;
        char buf[64], all[16] = "";

        rntest_pair(&a, &b);
        rn_set_read_deadline(a, rn_after(5 * RN_SECOND));
        CHECK_EQ(rn_write(b, "x", 1), 1);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 1);
        CHECK_EQ(rn_write(b, "abc", 3), 3);
        CHECK_EQ(send(rn_conn_fd(b), "!", 1, MSG_OOB), 1);
        CHECK_EQ(rn_write(b, "def", 3), 3);
        if (i % 2 == 0)
            CHECK_OK(rn_sleep(2 * RN_MILLISECOND));
        while (strlen(all) < 6) { /* the urgent byte itself travels out of band */
            ssize_t n = rn_read(a, buf, sizeof buf);

            CHECK(n > 0);
            strncat(all, buf, (size_t)n);
        }
        CHECK_STR(all, "abcdef");
        rn_close(a);
        rn_close(b);
    }
}

static void send_with_fd(int socket, const char *text, int fd)
{
    struct iovec iov = {(char *)text, strlen(text)};
    char control[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))) = "";
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    CHECK_EQ(sendmsg(socket, &m, 0), (ssize_t)strlen(text));
}

RN_CORO_TEST(a_unix_read_stopped_after_descriptors_goes_on)
{
    rn_conn *a, *b;
    char buf[64], all[16] = "";

    rntest_pair_on("unix", &a, &b);
    rn_set_read_deadline(a, rn_after(5 * RN_SECOND));
    CHECK_EQ(rn_write(b, "x", 1), 1);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 1);
    send_with_fd(rn_conn_fd(b), "abc", 2);
    CHECK_EQ(rn_write(b, "def", 3), 3);
    CHECK_OK(rn_sleep(2 * RN_MILLISECOND));
    while (strlen(all) < 6) {
        ssize_t n = rn_read(a, buf, sizeof buf);

        CHECK(n > 0);
        strncat(all, buf, (size_t)n);
    }
    CHECK_STR(all, "abcdef");
    rn_close(a);
    rn_close(b);
}

/* ---- unread ---- */

RN_CORO_TEST_ON(unread_bytes_come_first, 1)
{
    rn_conn *a, *b;
    char buf[16];

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(b, "wire", 4), 4);
    CHECK_OK(rn_unread(a, "second", 6));
    CHECK_OK(rn_unread(a, "first-", 6));
    CHECK_OK(rn_unread(a, "", 0));
    CHECK_EQ(rn_read(a, buf, 8), 8);
    CHECK(memcmp(buf, "first-se", 8) == 0);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
    CHECK(memcmp(buf, "cond", 4) == 0);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
    CHECK(memcmp(buf, "wire", 4) == 0);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_unread(a, "x", 1), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK_OK(rn_unread(a, "left", 4)); /* freed by close */
    rn_close(a);
    rn_close(b);
}

/* ---- errors ---- */

RN_CORO_TEST(a_reset_arrives_as_an_error_not_as_an_end)
{
    rn_conn *a, *b;
    char buf[8];
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    rntest_pair(&a, &b);
    CHECK_EQ(setsockopt(rn_conn_fd(b), SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    rn_close(b);
    CHECK_EQ(rn_read(a, buf, sizeof buf), -ECONNRESET);
    rn_close(a);
}

RN_CORO_TEST(writing_to_a_closed_peer_is_an_error_not_a_signal)
{
    for (int i = 0; i < 3; i++) {
        rn_conn *a, *b;
        ssize_t r;

        rntest_pair_on(networks[i], &a, &b);
        rn_close(b);
        do
            r = rn_write(a, "x", 1);
        while (r > 0);
        CHECK(r == -EPIPE || r == -ECONNRESET);
        rn_close(a);
    }
}

RN_CORO_TEST(after_close_write_writing_is_epipe_and_reading_goes_on)
{
    rn_conn *a, *b;
    char buf[8];

    rntest_pair(&a, &b);
    CHECK_OK(rn_close_write(a));
    CHECK_EQ(rn_read(b, buf, sizeof buf), 0);
    CHECK_EQ(rn_write(a, "x", 1), -EPIPE);
    CHECK_EQ(rn_write(b, "still", 5), 5);
    CHECK_EQ(rn_read(a, buf, sizeof buf), 5);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(errors_of_the_kernel_arrive_and_eintr_does_not)
{
    rn_conn *a, *b;
    char buf[8];

    rntest_pair(&a, &b);
    CHECK_OK(rn__sys_fail("send", EINTR, 1, 3));
    CHECK_EQ(rn_write(a, "abc", 3), 3);
    CHECK_OK(rn__sys_fail("recv", ENOBUFS, 1, 1));
    CHECK_EQ(rn_read(b, buf, sizeof buf), -ENOBUFS);
    CHECK_OK(rn__sys_fail("recv", EINTR, 1, 3));
    CHECK_EQ(rn_read(b, buf, sizeof buf), 3);
    CHECK_OK(rn__sys_fail("send", ENOBUFS, 1, 1));
    CHECK_EQ(rn_write(a, "abc", 3), -ENOBUFS);
    rn__sys_clear();
    CHECK_EQ(rn_write(a, "abc", 3), 3); /* nothing of it had been sent: not poisoned */
    CHECK_EQ(rn_read(b, buf, sizeof buf), 3);
    rn_close(a);
    rn_close(b);
}

RN_CORO_TEST(a_poller_that_cannot_take_a_conn_says_so)
{
    rn_conn *a, *b;
    char buf[8];

    if (!rntest_on_epoll())
        RN_TEST_SKIP("epoll's call");
    rntest_pair(&a, &b);
    CHECK_OK(rn__sys_fail("epoll_ctl", ENOSPC, 1, 1));
    CHECK_EQ(rn_read(b, buf, sizeof buf), -ENOSPC); /* a has been in it since its connect */
    rn__sys_clear();
    CHECK_EQ(rn_write(a, "x", 1), 1);
    CHECK_EQ(rn_read(b, buf, sizeof buf), 1);
    rn_close(a);
    rn_close(b);
}

/* ---- close and unread input ---- */

#define ANSWER ((size_t)4 << 20)

static void answer_and_close(void *arg)
{
    rn_conn *c = arg;
    char *buf = calloc(1, ANSWER), got[4];

    CHECK_EQ(rn_read(c, got, sizeof got), 4); /* and leaves the rest unread */
    CHECK_EQ(rn_write(c, buf, ANSWER), (ssize_t)ANSWER);
    rn_close(c);
    free(buf);
}

RN_CORO_TEST(closing_with_unread_input_loses_nothing_that_was_written)
{
    rn_conn *a, *b;
    char buf[65536];
    size_t sum = 0;
    ssize_t n;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(a, "0123456789 and some more", 24), 24);
    CHECK_OK(rn_sleep(2 * RN_MILLISECOND));
    CHECK_OK(rn_go(answer_and_close, b));
    while ((n = rn_read(a, buf, sizeof buf)) > 0)
        sum += (size_t)n;
    CHECK_EQ(n, 0);
    CHECK_EQ(sum, ANSWER);
    rn_close(a);
}

RN_CORO_TEST(a_lingering_close_ends_when_the_peer_keeps_sending)
{
    rn_conn *a, *b;
    int fds = rntest_count_fds();
    char buf[1024] = "";
    ssize_t n = 1;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(a, buf, sizeof buf), (ssize_t)sizeof buf);
    CHECK_OK(rn_sleep(2 * RN_MILLISECOND));
    rn_close(b); /* returns at once */
    for (int i = 0; i < 10000 && n > 0; i++) {
        n = rn_write(a, buf, sizeof buf);
        rn_yield();
    }
    CHECK(n == -EPIPE || n == -ECONNRESET); /* after 64 KiB, long before 10 MB */
    rn_close(a);
    CHECK_EQ(rntest_count_fds(), fds);
}
