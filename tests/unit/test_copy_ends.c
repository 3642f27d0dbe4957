/*
 * test_copy_ends.c - copies: how they end, what they report, and where they could lose bytes
 */
#include <sys/mman.h>

#include "copy_test.h"

/* Until no more than so many descriptors are open: closes may linger. */
static void wait_for_fds(int most)
{
    for (int i = 0; i < 10000 && rntest_count_fds() > most; i++)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK(rntest_count_fds() <= most);
}

/* ---- ends and errors ---- */

RN_CORO_TEST(each_direction_ends_by_itself)
{
    for (int first = 0; first < 2; first++) {
        struct chain up, down = {0};
        struct feed f = {.len = MIB, .piece = 100000};

        open_chain(&up, "tcp", "tcp");
        down = (struct chain){.src = up.dst, .dst = up.src};
        start_copy(&up);
        start_copy(&down);
        /* One end says its last word, and gets 1 MiB afterwards. */
        CHECK_EQ(rn_write(first ? up.far : up.near, "ask", 3), 3);
        CHECK_OK(rn_close_write(first ? up.far : up.near));
        wait_copy(first ? &down : &up);
        CHECK_EQ((first ? &down : &up)->result, 3);
        CHECK_OK(rn_close_write(first ? up.src : up.dst));
        f.conn = first ? up.near : up.far;
        start_feed(&f);
        expect(first ? up.far : up.near, 0, f.len);
        wait_copy(first ? &up : &down);
        CHECK_EQ((first ? &up : &down)->result, (ssize_t)f.len);
        CHECK_OK(rn_close_write(first ? up.dst : up.src));
        expect_end(first ? up.far : up.near);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        close_chain(&up);
    }
}

static void reset(rn_conn *conn)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(rn_conn_fd(conn), SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    rn_close(conn);
}

RN_CORO_TEST(a_reset_of_the_source_is_told)
{
    struct chain c;

    open_chain(&c, "tcp", "tcp");
    start_copy(&c);
    reset(c.near);
    c.near = NULL;
    wait_copy(&c);
    CHECK_EQ(c.result, -ECONNRESET);
    CHECK_EQ(c.report.failed, RN_COPY_SRC);
    CHECK_EQ(c.report.lost, 0);
    CHECK_EQ(rn_write(c.dst, "x", 1), 1); /* dst is as good as ever */
    close_chain(&c);
}

/* What a pipe held when its receiver vanished. */
static int64_t lost_by_reset(const char *out, bool by_reset)
{
    struct chain c;
    struct feed f;
    int64_t lost;

    open_stuck(&c, &f, "tcp", out);
    if (by_reset)
        reset(c.far);
    else
        rn_close(c.far);
    c.far = NULL;
    wait_copy(&c);
    CHECK(c.result == -ECONNRESET || c.result == -EPIPE);
    CHECK_EQ(c.report.failed, RN_COPY_DST);
    CHECK(c.report.by_splice > 0);
    lost = (int64_t)c.report.lost;
    CHECK(rn_write(c.dst, "x", 1) < 0);
    close_stuck(&c, &f);
    return lost;
}

/* Bytes that are moved straight to a pipe are never in between; the others are when the receiver
 * goes. Each nearly always: small pieces in a row, as a busy machine makes them, go by a buffer. */
RN_CORO_TEST(a_reset_of_the_receiver_is_told_and_what_was_lost_counted)
{
    static const char *const outs[] = {"tcp", "pipe", "unix"};

    for (int o = 0; o < 3; o++) {
        bool straight = o == 1, as_meant = false;

        for (int tries = 0; tries < 20 && !as_meant; tries++)
            as_meant = (lost_by_reset(outs[o], o == 0) == 0) == straight;
        CHECK(as_meant);
    }
}

/* What one copy left in its pipe must not come out in the next. */
RN_CORO_TEST_ON(bytes_left_in_a_pipe_never_reach_the_next_copy, 1)
{
    int fds = 0;

    for (int round = 0; round < 3; round++) {
        struct chain c;
        struct feed f;

        open_stuck(&c, &f, "tcp", "tcp");
        CHECK(c.report.bytes != 0);
        rn_cancel(c.dst);
        wait_copy(&c);
        CHECK(c.report.lost > 0);
        close_stuck(&c, &f);

        open_chain(&c, "tcp", "tcp");
        f = (struct feed){.len = 8 * MIB, .piece = MIB};
        fill_source(&c, &f);
        start_copy(&c);
        expect(c.far, 0, f.len);
        wait_copy(&c);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        CHECK(c.report.by_splice > 0);
        CHECK_EQ(rn_write(c.dst, "", 1), 1);
        close_chain(&c);
        CHECK_OK(rn_sleep(RN_MILLISECOND));
        if (round == 0)
            fds = rntest_count_fds();
        wait_for_fds(fds); /* one pipe is kept, not one more each time */
    }
}

struct drain {
    rn_conn *conn;
    size_t len;
    rn_waitgroup done;
};

static void drain_to_the_end(void *arg)
{
    struct drain *d = arg;
    char buf[16384];
    ssize_t n;

    while ((n = rn_read(d->conn, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++, d->len++)
            if (buf[i] != byte_at(d->len))
                rntest_fail_at(__FILE__, __LINE__, "byte %zu is wrong", d->len);
    CHECK_EQ(n, 0);
    rn_waitgroup_done(&d->done);
}

/* A splice, into the pipe or out of it, fails: what arrived, what the report calls lost, and what
 * is still in the source are all there was. On one P: each next copy has the pipe that the last one
 * left. */
static void fail_a_splice(int error, unsigned nth)
{
    struct chain c;
    struct feed f = {.len = 8 * MIB, .piece = MIB};
    struct drain d = {0};
    size_t gone;

    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    CHECK_OK(rn__sys_fail("splice", error, nth, 1));
    d.conn = c.far;
    rn_waitgroup_add(&d.done, 1);
    CHECK_OK(rn_go(drain_to_the_end, &d));
    start_copy(&c);
    wait_copy(&c);
    rn__sys_clear();
    CHECK_EQ(c.result, -error);
    CHECK(c.report.failed == (c.report.lost > 0 ? RN_COPY_DST : RN_COPY_SRC));
    if (nth == 1) /* into it: nothing is in between */
        CHECK_EQ(c.report.lost, 0);
    if (nth == 2)
        CHECK(c.report.lost > 0);
    if (c.report.lost > 0)
        CHECK_EQ(rn_write(c.dst, "x", 1), -error); /* nothing follows the hole */
    rn_close(c.dst);
    c.dst = NULL;
    CHECK_OK(rn_waitgroup_wait(&d.done));
    CHECK_EQ((int64_t)d.len, c.report.bytes);
    gone = (size_t)(c.report.bytes + c.report.lost);
    expect(c.src, gone, f.len - gone);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    close_chain(&c);
}

RN_CORO_TEST_ON(an_error_in_the_middle_is_counted_to_the_byte, 1)
{
    static const int errors[] = {EPIPE, ECONNRESET, EIO, ENOMEM};
    int fds = 0;

    for (int e = 0; e < 4; e++)
        for (unsigned nth = 1; nth <= 3; nth++) {
            fail_a_splice(errors[e], nth);
            CHECK_OK(rn_sleep(RN_MILLISECOND));
            if (e == 0 && nth == 1)
                fds = rntest_count_fds();
            wait_for_fds(fds); /* the pipe of that one is kept, no other is */
        }
}

RN_CORO_TEST(deadlines_of_both_ends_hold)
{
    struct chain c;
    struct feed f;

    open_chain(&c, "tcp", "tcp");
    rn_set_read_deadline(c.src, rn_after(20 * RN_MILLISECOND));
    CHECK_EQ(rn_copy(c.dst, c.src, &c.report), -ETIME);
    CHECK_EQ(c.report.failed, RN_COPY_SRC);
    rn_set_read_deadline(c.src, 0);
    CHECK_EQ(rn_write(c.near, "x", 1), 1);
    CHECK_EQ(rn_copy_n(c.dst, c.src, 1, NULL), 1); /* usable */
    rn_set_write_deadline(c.dst, rn_after(-1));
    CHECK_EQ(rn_write(c.near, "x", 1), 1);
    CHECK_EQ(rn_copy(c.dst, c.src, &c.report), -ETIME);
    CHECK_EQ(c.report.failed, RN_COPY_DST);
    CHECK_EQ(c.report.lost, 1);
    rn_set_write_deadline(c.dst, 0);
    CHECK_EQ(rn_write(c.dst, "x", 1), -ETIME); /* there is a hole: poisoned */
    close_chain(&c);

    open_stuck(&c, &f, "tcp", "tcp");
    rn_set_write_deadline(c.dst, rn_after(20 * RN_MILLISECOND));
    wait_copy(&c);
    CHECK_EQ(c.result, -ETIME);
    CHECK_EQ(c.report.failed, RN_COPY_DST);
    CHECK(c.report.lost > 0);
    rn_set_write_deadline(c.dst, 0);
    CHECK_EQ(rn_write(c.dst, "x", 1), -ETIME); /* there is a hole: poisoned */
    close_stuck(&c, &f);
}

RN_CORO_TEST(a_cancel_of_either_end_ends_it_wherever_it_waits)
{
    static const char *const outs[] = {"tcp", "pipe"};

    for (int which = 0; which < 2; which++)
        for (int o = 0; o < 2; o++) {
            struct chain c;
            struct feed f;

            open_stuck(&c, &f, "tcp", outs[o]); /* waits for dst */
            rn_cancel(which ? c.src : c.dst);
            wait_copy(&c);
            CHECK_EQ(c.result, -ECANCELED);
            CHECK_EQ(c.report.failed, which ? RN_COPY_SRC : RN_COPY_DST);
            close_stuck(&c, &f);

            open_chain(&c, "tcp", outs[o]);
            start_copy(&c);
            rntest_until_all_wait(); /* for src */
            rn_cancel(which ? c.src : c.dst);
            wait_copy(&c);
            CHECK_EQ(c.result, -ECANCELED);
            CHECK_EQ(c.report.failed, which ? RN_COPY_SRC : RN_COPY_DST);
            close_chain(&c);
        }
}

RN_CORO_TEST(a_cancel_just_as_it_begins_is_not_missed)
{
    for (int i = 0; i < 300; i++) {
        struct chain c;

        open_chain(&c, "unix", "unix");
        start_copy(&c);
        for (int spin = 0; spin < i * 20; spin++)
            __asm__ volatile("");
        rn_cancel(i % 2 ? c.src : c.dst);
        wait_copy(&c);
        CHECK_EQ(c.result, -ECANCELED);
        close_chain(&c);
    }
}

RN_CORO_TEST(closing_the_source_ends_a_copy_that_waits_for_the_receiver)
{
    struct chain c;
    struct feed f;

    open_stuck(&c, &f, "tcp", "tcp");
    rn_close(c.src); /* waits until the copy has left */
    c.src = NULL;
    wait_copy(&c);
    CHECK_EQ(c.result, -ECANCELED);
    close_stuck(&c, &f);
}

RN_CORO_TEST(a_copy_that_waits_holds_neither_buffer_nor_pipe)
{
    enum { FLOWS = 50 };
    static struct chain c[FLOWS];
    int before;

    for (int i = 0; i < FLOWS; i++) {
        open_chain(&c[i], "unix", "unix");
        start_copy(&c[i]);
    }
    before = rntest_count_fds();
    for (int i = 0; i < FLOWS; i++) {
        struct feed f = {.conn = c[i].near, .len = 4 * MIB, .piece = MIB, .stays_open = true};

        start_feed(&f);
        expect(c[i].far, 0, f.len);
        CHECK_OK(rn_waitgroup_wait(&f.done));
    }
    rntest_until_all_wait();
    CHECK(rntest_count_fds() <= before + 2 * 2 * 4); /* kept ones: at most 4 a P */
    for (int i = 0; i < FLOWS; i++) {
        rn_cancel(c[i].src);
        wait_copy(&c[i]);
        close_chain(&c[i]);
    }
}

static int copy_once(void *arg)
{
    struct chain c;
    struct feed f = {.len = 8 * MIB, .piece = MIB};

    (void)arg;
    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    start_copy(&c);
    expect(c.far, 0, f.len);
    wait_copy(&c);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    CHECK(c.report.by_splice > 0);
    close_chain(&c);
    return 0;
}

RN_TEST(nothing_is_kept_beyond_the_run)
{
    int before = rntest_count_fds();

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(rn_run(NULL, copy_once, NULL), 0);
        CHECK_EQ(rntest_count_fds(), before);
    }
}

/* ---- the end of the run ---- */

static char *stack_of_copy;

static void copy_shielded(void *arg)
{
    struct chain *c = arg;

    stack_of_copy = __builtin_frame_address(0); /* with ASan locals lie elsewhere */
    rn_shield_begin();
    (void)rn_copy(c->dst, c->src, NULL);
}

static int leave_a_copy_behind(void *arg)
{
    static struct chain c;

    (void)arg;
    open_chain(&c, "tcp", "tcp");
    CHECK_OK(rn_go(copy_shielded, &c));
    return rn_sleep(5 * RN_MILLISECOND);
}

/* In what were the slots of the one before. */
static int cancel_each(void *arg)
{
    struct chain c[2];

    (void)arg;
    for (int i = 0; i < 2; i++)
        open_chain(&c[i], "tcp", "tcp");
    for (int i = 0; i < 2; i++) {
        rn_cancel(c[i].near);
        rn_cancel(c[i].src);
        rn_cancel(c[i].dst);
        rn_cancel(c[i].far);
        close_chain(&c[i]);
    }
    return 0;
}

RN_TEST(who_copied_when_the_run_ended_follows_nobody_in_the_next)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .grace_ns = RN_MILLISECOND}, leave_a_copy_behind,
                    NULL));
    stack_of_copy -= (uintptr_t)stack_of_copy % 4096;
    CHECK(mmap(stack_of_copy, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
               -1, 0) == stack_of_copy); /* who looks there is found out */
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, cancel_each, NULL));
}
