/*
 * test_copy.c - copies: which way they go, and what they must not do meanwhile
 *
 * How they end is in test_copy_ends.c. Run on each poller.
 */
#include <poll.h>
#include <pty.h>
#include <termios.h>

#include "copy_test.h"

/* ---- which way ---- */

RN_CORO_TEST(bulk_is_spliced_whole_and_in_order)
{
    static const char *const kinds[] = {"tcp", "unix", "tcp6", "pipe"};

    for (int i = 0; i < 4; i++)
        for (int o = 0; o < 4; o++) {
            struct chain c;
            struct feed f = {.len = 24 * MIB + 777, .piece = MIB};

            open_chain(&c, kinds[i], kinds[o]);
            f.conn = c.near;
            f.stays_open = i == 3;
            if (i == 3)
                c.n = f.len; /* a pipe ends by its close only */
            start_feed(&f);
            start_copy(&c);
            expect(c.far, 0, f.len);
            wait_copy(&c);
            CHECK_OK(rn_waitgroup_wait(&f.done));
            CHECK_EQ(c.result, (ssize_t)f.len);
            CHECK_EQ(c.report.bytes, (int64_t)f.len);
            CHECK_EQ(c.report.lost, 0);
            CHECK_EQ(c.report.failed, RN_COPY_NEITHER);
            close_chain(&c);
        }
}

RN_CORO_TEST(it_splices_when_the_buffer_fills_again_and_again)
{
    static const char *const kinds[] = {"tcp", "unix", "pipe"};

    for (int i = 0; i < 2; i++)
        for (int o = 0; o < 3; o++) {
            struct chain c;
            struct feed f = {.len = 16 * MIB, .piece = MIB};
            uint64_t before;

            open_chain(&c, kinds[i], kinds[o]);
            fill_source(&c, &f);
            before = calls_on_procs(RN__SYS_splice);
            start_copy(&c);
            expect(c.far, 0, f.len);
            wait_copy(&c);
            CHECK_OK(rn_waitgroup_wait(&f.done));
            CHECK(c.report.by_splice > 0);
            CHECK(c.report.by_read_write >= 2 * 65536);
            CHECK(calls_on_procs(RN__SYS_splice) > before);
            close_chain(&c);
        }
}

RN_CORO_TEST(small_pieces_are_never_spliced)
{
    struct chain c;
    char byte;

    open_chain(&c, "tcp", "tcp");
    start_copy(&c);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(rn_write(c.near, "x", 1), 1);
        CHECK_EQ(rn_read(c.far, &byte, 1), 1);
    }
    CHECK_OK(rn_close_write(c.near));
    wait_copy(&c);
    CHECK_EQ(c.result, 1000);
    CHECK_EQ(c.report.by_read_write, 1000);
    CHECK_EQ(calls_on_procs(RN__SYS_splice), 0);
    CHECK_EQ(calls_on_procs(RN__SYS_pipe2), 0);
    close_chain(&c);
}

RN_CORO_TEST(it_comes_back_from_splice_when_pieces_become_small)
{
    struct chain c;
    struct feed f = {.len = 8 * MIB, .piece = MIB, .stays_open = true};
    uint64_t after;
    char byte;

    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    start_copy(&c);
    expect(c.far, 0, f.len);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rn_write(c.near, "x", 1), 1);
        CHECK_EQ(rn_read(c.far, &byte, 1), 1);
    }
    after = calls_on_procs(RN__SYS_splice);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(rn_write(c.near, "x", 1), 1);
        CHECK_EQ(rn_read(c.far, &byte, 1), 1);
    }
    CHECK(after > 0);
    CHECK_EQ(calls_on_procs(RN__SYS_splice), after);
    rn_cancel(c.src);
    wait_copy(&c);
    CHECK_EQ(c.report.bytes, (int64_t)f.len + 200);
    close_chain(&c);
}

RN_CORO_TEST(unread_bytes_go_first)
{
    struct chain c;
    char buf[16];

    open_chain(&c, "tcp", "tcp");
    CHECK_EQ(rn_write(c.near, "second", 6), 6);
    CHECK_OK(rn_close_write(c.near));
    CHECK_OK(rn_unread(c.src, "first ", 6));
    CHECK_EQ(rn_copy(c.dst, c.src, NULL), 12);
    rntest_read_full(c.far, buf, 12);
    CHECK_MEM(buf, "first second", 12);
    close_chain(&c);
}

RN_CORO_TEST(a_connection_can_be_copied_to_itself)
{
    struct chain c = {0};
    struct feed f = {.len = 8 * MIB, .piece = MIB};

    rntest_pair(&c.near, &c.src);
    c.dst = c.src;
    f.conn = c.near;
    start_feed(&f);
    start_copy(&c);
    expect(c.near, 0, f.len);
    wait_copy(&c);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    CHECK_EQ(c.result, (ssize_t)f.len);
    rn_close(c.near);
    rn_close(c.src);
}

RN_CORO_TEST(copy_n_leaves_the_rest_to_the_next_reader)
{
    static const char *const kinds[] = {"tcp", "unix"};

    for (int i = 0; i < 2; i++) {
        struct chain c;
        struct feed f = {.len = 6 * MIB, .piece = MIB};
        const size_t n = 4 * MIB + 3;

        open_chain(&c, kinds[i], "tcp");
        fill_source(&c, &f);
        c.n = n;
        start_copy(&c);
        expect(c.far, 0, n);
        wait_copy(&c);
        CHECK_EQ(c.result, (ssize_t)n);
        CHECK(c.report.by_splice > 0);
        expect(c.src, n, f.len - n);
        expect_end(c.src);
        CHECK_EQ(rn_copy_n(c.dst, c.src, 10, &c.report), 0); /* the stream has ended */
        CHECK_EQ(rn_copy_n(c.dst, c.src, 0, NULL), 0);
        CHECK_EQ(rn_copy_n(c.dst, c.src, SIZE_MAX, NULL), -EINVAL);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        close_chain(&c);
    }
}

RN_CORO_TEST(copy_n_is_short_where_the_stream_ends)
{
    struct chain c;

    open_chain(&c, "tcp", "tcp");
    CHECK_EQ(rn_write(c.near, "abc", 3), 3);
    CHECK_OK(rn_close_write(c.near));
    CHECK_EQ(rn_copy_n(c.dst, c.src, 10, &c.report), 3);
    CHECK_EQ(c.report.failed, RN_COPY_NEITHER);
    close_chain(&c);
}

/* ---- what splice does not do ---- */

RN_CORO_TEST(splice_refused_falls_back_and_loses_nothing)
{
    static const int errors[] = {ENOSYS, EINVAL};
    static const char *const outs[] = {"tcp", "pipe"};

    /* The first splice takes from the source, the second gives to dst: then a pipe is full. */
    for (int e = 0; e < 2; e++)
        for (unsigned nth = 1; nth <= 4; nth++)
            for (int o = 0; o < 2; o++) {
                struct chain c;
                struct feed f = {.len = 8 * MIB, .piece = MIB};

                open_chain(&c, "tcp", outs[o]);
                fill_source(&c, &f);
                CHECK_OK(rn__sys_fail("splice", errors[e], nth, 1));
                start_copy(&c);
                expect(c.far, 0, f.len);
                wait_copy(&c);
                rn__sys_clear();
                CHECK_OK(rn_waitgroup_wait(&f.done));
                CHECK_EQ(c.result, (ssize_t)f.len);
                CHECK_EQ(c.report.lost, 0);
                if (nth == 1)
                    CHECK_EQ(c.report.by_splice, 0);
                close_chain(&c);
            }
}

RN_CORO_TEST(without_descriptors_for_a_pipe_it_reads_and_writes)
{
    struct chain c;
    struct feed f = {.len = 8 * MIB, .piece = MIB};

    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    CHECK_OK(rn__sys_fail("pipe2", EMFILE, 1, 1000));
    start_copy(&c);
    expect(c.far, 0, f.len);
    wait_copy(&c);
    rn__sys_clear();
    CHECK_OK(rn_waitgroup_wait(&f.done));
    CHECK_EQ(c.report.by_read_write, (int64_t)f.len);
    close_chain(&c);
}

RN_CORO_TEST(pieces_cut_by_the_kernel_are_finished)
{
    struct chain c;
    struct feed f = {.len = 4 * MIB, .piece = MIB};

    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    CHECK_OK(rn__sys_short("splice", 40000, 1, 1000000));
    start_copy(&c);
    expect(c.far, 0, f.len);
    wait_copy(&c);
    rn__sys_clear();
    CHECK_OK(rn_waitgroup_wait(&f.done));
    CHECK_EQ(c.result, (ssize_t)f.len);
    CHECK(c.report.by_splice > 0);
    close_chain(&c);
}

/* Splice stops before the urgent byte, for ever; recv steps over it. */
RN_CORO_TEST(splice_does_not_hang_at_the_urgent_mark)
{
    struct chain c;
    struct feed f = {.len = 8 * MIB, .piece = MIB, .stays_open = true};

    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    start_copy(&c);
    expect(c.far, 0, f.len);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    f.stays_open = false;
    CHECK_EQ(send(rn_conn_fd(c.near), "!", 1, MSG_OOB), 1);
    start_feed(&f);
    expect(c.far, 0, f.len);
    expect(c.far, 0, 0);
    wait_copy(&c);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    CHECK_EQ(c.result, (ssize_t)(2 * f.len));
    close_chain(&c);
}

/* Once the stream has ended behind the urgent byte, splice says 0 before it: that is no end. */
RN_CORO_TEST(an_end_behind_the_urgent_mark_cuts_nothing_off)
{
    static const char *const outs[] = {"tcp", "pipe"};

    for (int o = 0; o < 2; o++) {
        struct chain c;
        struct feed f = {.len = 300000, .piece = MIB, .stays_open = true};
        struct pollfd p = {.events = POLLRDHUP};

        open_chain(&c, "tcp", outs[o]);
        CHECK_OK(rn_set_buffers(c.src, 2 * MIB, 0));
        f.conn = c.near;
        start_feed(&f);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        CHECK_EQ(send(rn_conn_fd(c.near), "!", 1, MSG_OOB), 1);
        f.len = 100000;
        f.stays_open = false;
        start_feed(&f);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        p.fd = rn_conn_fd(c.src);
        while (poll(&p, 1, 0) == 0)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
        start_copy(&c);
        expect(c.far, 0, 300000);
        expect(c.far, 0, 100000);
        wait_copy(&c);
        CHECK_EQ(c.result, 400000);
        CHECK(c.report.by_splice > 0);
        close_chain(&c);
    }
}

/* A terminal can be read and written, and that is all. */
RN_CORO_TEST(a_terminal_is_read_and_written)
{
    struct chain c = {0};
    struct termios raw;
    int master, slave;
    char buf[100000];
    rn_conn *in;

    CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
    CHECK_EQ(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &raw), 0);
    CHECK_OK(rn_conn_from_fd(master, &c.far));
    CHECK_OK(rn_conn_from_fd(slave, &c.dst));
    rntest_pair(&c.near, &c.src);
    c.n = 400000;
    start_copy(&c);
    for (int i = 0; i < 4; i++) {
        memset(buf, 'a' + i, sizeof buf);
        CHECK_EQ(rn_write(c.near, buf, sizeof buf), (ssize_t)sizeof buf);
        memset(buf, 0, sizeof buf);
        rntest_read_full(c.far, buf, sizeof buf);
        CHECK(buf[0] == 'a' + i && buf[sizeof buf - 1] == 'a' + i);
    }
    wait_copy(&c);
    CHECK_EQ(c.report.by_read_write, 400000);
    in = c.dst; /* and the other way */
    CHECK_EQ(rn_write(c.far, "typed", 5), 5);
    CHECK_EQ(rn_copy_n(c.src, in, 5, NULL), 5);
    rntest_read_full(c.near, buf, 5);
    CHECK_MEM(buf, "typed", 5);
    close_chain(&c);
}

/* ---- waiting ---- */

RN_CORO_TEST(a_full_receiver_is_waited_for_not_asked_again_and_again)
{
    static const char *const outs[] = {"tcp", "pipe", "unix"};

    for (int o = 0; o < 3; o++) {
        struct chain c;
        struct feed f;
        uint64_t before;

        open_stuck(&c, &f, "tcp", outs[o]);
        before = calls_on_procs(RN__SYS_splice) + calls_on_procs(RN__SYS_ppoll);
        CHECK_OK(rn_sleep(100 * RN_MILLISECOND));
        if (rntest_on_epoll()) /* the poll poller calls ppoll itself */
            CHECK(calls_on_procs(RN__SYS_splice) + calls_on_procs(RN__SYS_ppoll) < before + 50);
        CHECK(calls_on_procs(RN__SYS_splice) < 3000);
        rn_cancel(c.dst);
        wait_copy(&c);
        close_stuck(&c, &f);
    }
}

RN_CORO_TEST(an_empty_source_is_waited_for_not_asked_again_and_again)
{
    static const char *const outs[] = {"tcp", "pipe"};

    for (int o = 0; o < 2; o++) {
        struct chain c;
        struct feed f = {.len = 8 * MIB, .piece = MIB, .stays_open = true};
        uint64_t before;

        open_chain(&c, "tcp", outs[o]);
        fill_source(&c, &f);
        start_copy(&c);
        expect(c.far, 0, f.len);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        rntest_until_all_wait();
        before = calls_on_procs(RN__SYS_splice);
        CHECK_OK(rn_sleep(100 * RN_MILLISECOND));
        CHECK_EQ(calls_on_procs(RN__SYS_splice), before);
        start_feed(&f); /* and it goes on */
        expect(c.far, 0, f.len);
        CHECK_OK(rn_waitgroup_wait(&f.done));
        rn_cancel(c.src);
        wait_copy(&c);
        close_chain(&c);
    }
}

/* EAGAIN from a splice that has a pipe of the user's at one end does not say whose it is. Where
 * poll says that neither is to blame, waiting for one of them could last for ever. */
RN_CORO_TEST(an_eagain_that_nobody_explains_is_not_waited_for)
{
    for (unsigned nth = 1; nth <= 4; nth++)
        for (int in = 0; in < 2; in++) {
            struct chain c;
            struct feed f = {.len = 2 * MIB, .piece = MIB, .stays_open = true};

            open_chain(&c, in ? "pipe" : "tcp", in ? "tcp" : "pipe");
            c.n = f.len;
            fill_source(&c, &f);
            CHECK_OK(rn__sys_fail("splice", EAGAIN, nth, 5));
            start_copy(&c);
            expect(c.far, 0, f.len);
            wait_copy(&c);
            rn__sys_clear();
            CHECK_OK(rn_waitgroup_wait(&f.done));
            CHECK_EQ(c.result, (ssize_t)f.len);
            CHECK_EQ(c.report.lost, 0);
            close_chain(&c);
        }
}

/* Twenty messages, each a segment that is alone, and large enough to be spliced. False where small
 * pieces before them, as a busy machine makes them, had them read and written. */
static bool messages_are_spliced(int *late)
{
    struct chain c;
    struct feed f = {.len = 8 * MIB, .piece = MIB, .stays_open = true};
    static char message[20000];
    uint64_t spliced;

    open_chain(&c, "tcp", "tcp");
    fill_source(&c, &f);
    start_copy(&c);
    expect(c.far, 0, f.len);
    CHECK_OK(rn_waitgroup_wait(&f.done));
    spliced = calls_on_procs(RN__SYS_splice);
    *late = 0;
    for (int i = 0; i < 20; i++) {
        rn_time start = rn_now();

        CHECK_EQ(rn_write(c.near, message, sizeof message), (ssize_t)sizeof message);
        rntest_read_full(c.far, message, sizeof message);
        *late += rn_now() - start >= 150 * RN_MILLISECOND;
    }
    spliced = calls_on_procs(RN__SYS_splice) - spliced;
    rn_cancel(c.src);
    wait_copy(&c);
    close_chain(&c);
    return spliced >= 40;
}

/* SPLICE_F_MORE, or asking to send more than there is, makes TCP hold the last segment back for
 * 200 ms, unless an acknowledgement of others frees it. A busy machine is as slow now and then. */
RN_CORO_TEST(the_last_bytes_of_a_piece_do_not_wait_for_more)
{
    bool as_meant = false;
    int late;

    for (int tries = 0; tries < 20 && !as_meant; tries++) {
        as_meant = messages_are_spliced(&late);
        CHECK(late < 10);
    }
    CHECK(as_meant);
}

/* What a P finds when it wakes up is served before it asks again: to and fro, one message costs two
 * looks at the poller, and not twice that. */
RN_CORO_TEST_ON(each_hop_of_a_message_costs_one_look_at_the_poller, 1)
{
    struct chain c;
    uint64_t before;
    char byte;

    open_chain(&c, "tcp", "tcp");
    start_copy(&c);
    before = calls_on_procs(RN__SYS_epoll_wait) + calls_on_procs(RN__SYS_epoll_pwait2);
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(rn_write(c.near, "x", 1), 1);
        CHECK_EQ(rn_read(c.far, &byte, 1), 1);
    }
    if (rntest_on_epoll())
        CHECK(calls_on_procs(RN__SYS_epoll_wait) + calls_on_procs(RN__SYS_epoll_pwait2) <
              before + 2800);
    CHECK_OK(rn_close_write(c.near));
    wait_copy(&c);
    close_chain(&c);
}

static void hold_reader(void *arg)
{
    struct chain *c = arg;
    char byte;

    c->result = rn_read(c->src, &byte, 1);
    rn_waitgroup_done(&c->done);
}

RN_CORO_TEST_ON(a_second_reader_is_refused_and_writers_queue, 1)
{
    struct chain c, other;
    char buf[16];

    open_chain(&c, "tcp", "tcp");
    rn_waitgroup_add(&c.done, 1);
    CHECK_OK(rn_go(hold_reader, &c));
    rn_yield();
    CHECK_EQ(rn_copy(c.dst, c.src, &other.report), -EBUSY);
    CHECK_EQ(other.report.failed, RN_COPY_SRC);
    CHECK_EQ(rn_write(c.near, "x", 1), 1);
    CHECK_OK(rn_waitgroup_wait(&c.done));
    start_copy(&c);
    rn_yield();
    CHECK_EQ(rn_read(c.src, buf, 1), -EBUSY); /* the copy reads */
    CHECK_EQ(rn_write(c.dst, "mine", 4), 4);  /* while it waits, others may write */
    rntest_read_full(c.far, buf, 4);
    CHECK_MEM(buf, "mine", 4);
    CHECK_EQ(rn_write(c.near, "its", 3), 3);
    rntest_read_full(c.far, buf, 3);
    CHECK_MEM(buf, "its", 3);
    CHECK_OK(rn_close_write(c.near));
    wait_copy(&c);
    CHECK_EQ(c.result, 3);
    close_chain(&c);
}
