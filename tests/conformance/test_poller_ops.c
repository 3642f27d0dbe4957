/*
 * test_poller_ops.c - poller.h on operations: receives and sends that the poller carries out
 */
#include "poller_test.h"

struct tried {
    struct rn__op op;
    int times_done;
};

static void count_done(struct rn__op *op)
{
    RN_CONTAINER(op, struct tried, op)->times_done++;
}

/* Skips the test where there are no operations. */
static struct rn__poller *open_operating(void)
{
    const struct rn__poller_ops *ops = io_uring_ops();
    struct rn__poller *p = open_poller(ops);
    struct tried t = {.op = {.done = count_done, .fd = -1}};

    if (ops->submit(p, &t.op) == -ENOTSUP)
        RN_TEST_SKIP("before Linux 6.1");
    while (t.times_done == 0)
        CHECK_EQ(wait_for(p, RN__TIME_NEVER, &(struct rn__event){0}, 1), 0);
    CHECK_EQ(t.op.result, -EBADF);
    return p;
}

static void begin(struct rn__poller *p, struct tried *t, bool send, int fd, void *buf, size_t len)
{
    *t = (struct tried){.op = {.done = count_done, .send = send, .fd = fd, .buf = buf, .len = len}};
    t->op.flags = send ? MSG_NOSIGNAL : 0;
    CHECK_OK(p->ops->submit(p, &t->op));
}

static int finish(struct rn__poller *p, struct tried *t)
{
    struct rn__event ev[4];

    while (t->times_done == 0)
        (void)wait_for(p, RN__TIME_NEVER, ev, 4);
    (void)wait_for(p, 0, ev, 4);
    CHECK_EQ(t->times_done, 1);
    return t->op.result;
}

RN_TEST(an_operation_moves_bytes_and_is_done_once)
{
    struct rn__poller *p = open_operating();
    struct tried in, out, end;
    struct rn__event ev[4];
    char buf[8] = "";
    int fds[2];

    open_tcp_pair(fds);
    begin(p, &in, false, fds[1], buf, sizeof buf);
    CHECK_EQ(wait_for(p, 0, ev, 4), 0);
    CHECK_EQ(in.times_done, 0);
    begin(p, &out, true, fds[0], "abc", 3);
    CHECK_EQ(finish(p, &out), 3);
    CHECK_EQ(finish(p, &in), 3);
    CHECK_STR(buf, "abc");
    begin(p, &end, false, fds[1], buf, sizeof buf);
    CHECK_OK(shutdown(fds[0], SHUT_WR));
    CHECK_EQ(finish(p, &end), 0);
    CHECK_OK(shutdown(fds[1], SHUT_WR));
    begin(p, &out, true, fds[1], "x", 1);
    CHECK_EQ(finish(p, &out), -EPIPE);
    p->ops->close(p);
    close_pair(fds);
}

RN_TEST(a_cancelled_operation_took_nothing)
{
    struct rn__poller *p = open_operating();
    struct rn__event ev[4];
    struct tried t;
    char buf[8] = "";
    int fds[2];

    open_tcp_pair(fds);
    begin(p, &t, false, fds[1], buf, sizeof buf);
    CHECK(p->ops->cancel(p, &t.op)); /* in the same batch */
    CHECK_EQ(finish(p, &t), -ECANCELED);
    begin(p, &t, false, fds[1], buf, sizeof buf);
    (void)wait_for(p, 0, ev, 4); /* under way */
    CHECK(p->ops->cancel(p, &t.op));
    CHECK_EQ(finish(p, &t), -ECANCELED);
    send_byte(fds[0]);
    CHECK_EQ(buf[0], 0);
    CHECK_EQ(recv(fds[1], buf, sizeof buf, 0), 1);
    p->ops->close(p);
    close_pair(fds);
}

/* Either it has the byte, or the byte is still there. */
RN_TEST(a_cancel_that_meets_data_loses_none)
{
    struct rn__poller *p = open_operating();
    struct rn__event ev[4];
    struct tried t;
    char c;
    int fds[2];

    open_tcp_pair(fds);
    for (int i = 0; i < 200; i++) {
        int r;

        begin(p, &t, false, fds[1], &c, 1);
        if (i % 4 < 2)
            (void)wait_for(p, 0, ev, 4);
        if (i % 2)
            send_byte(fds[0]);
        CHECK(p->ops->cancel(p, &t.op));
        if (i % 2 == 0)
            send_byte(fds[0]);
        r = finish(p, &t);
        CHECK(r == 1 || r == -ECANCELED);
        if (r == -ECANCELED)
            CHECK_EQ(recv(fds[1], &c, 1, 0), 1);
    }
    CHECK_EQ(drain(fds[1]), 0);
    p->ops->close(p);
    close_pair(fds);
}

#define OPS 600 /* more than the ring has entries */

RN_TEST(more_operations_than_the_ring_has_entries)
{
    static struct tried t[OPS];
    static int fds[OPS][2];
    static char bytes[OPS];
    struct rn__poller *p = open_operating();
    struct rn__event ev[4];

    for (int i = 0; i < OPS; i++) {
        open_pair(fds[i]);
        begin(p, &t[i], false, fds[i][1], &bytes[i], 1);
    }
    CHECK_EQ(wait_for(p, 0, ev, 4), 0);
    for (int i = 0; i < OPS; i++)
        send_byte(fds[i][0]);
    for (int i = 0; i < OPS; i++) {
        CHECK_EQ(finish(p, &t[i]), 1);
        close_pair(fds[i]);
    }
    p->ops->close(p);
}

/* Whoever waited is gone, and with it the buffer. */
RN_TEST(a_closed_ring_leaves_buffers_alone)
{
    struct rn__poller *p = open_operating();
    struct rn__event ev[4];
    struct tried t;
    char c = 0, got;
    int fds[2];

    open_tcp_pair(fds);
    begin(p, &t, false, fds[1], &c, 1);
    (void)wait_for(p, 0, ev, 4);
    p->ops->close(p);
    send_byte(fds[0]);
    CHECK_EQ(recv(fds[1], &got, 1, 0), 1);
    CHECK_EQ(c, 0);
    CHECK_EQ(t.times_done, 0);
    close_pair(fds);
}

RN_TEST(what_is_added_for_later_is_watched_from_the_first_arm)
{
    struct rn__poller *p = open_operating();
    int fds[2];

    open_pair(fds);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(p->ops->add(p, fds[0], 7, RN__ADD_LATER));
        send_byte(fds[1]);
        CHECK_EQ(look(p, 7), 0);
        if (i == 0) {
            p->ops->del(p, fds[0]);
            continue;
        }
        arm(p, fds[0], RN__RD);
        (void)await(p, 7, RN__RD);
    }
    p->ops->close(p);
    close_pair(fds);
}

/* A number that one has given back before the ring heard of it, and another has now. A poll too
 * many would hold the socket open: its peer would wait for an end that never comes. */
RN_TEST(a_number_given_back_unsubmitted_is_added_for_later)
{
    for (int armed = 0; armed < 2; armed++) {
        struct rn__poller *p = open_operating();
        struct rn__event ev[4];
        int fds[2];
        char c;

        open_pair(fds);
        CHECK_OK(p->ops->add(p, fds[0], 6, RN__ADD_PLAIN));
        p->ops->del(p, fds[0]);
        CHECK_OK(p->ops->add(p, fds[0], 7, RN__ADD_LATER));
        (void)wait_for(p, 0, ev, 4);
        if (armed) {
            arm(p, fds[0], RN__RD);
            (void)wait_for(p, 0, ev, 4);
        }
        p->ops->del(p, fds[0]);
        close(fds[0]);
        CHECK_EQ(recv(fds[1], &c, 1, MSG_DONTWAIT), 0);
        close(fds[1]);
        p->ops->close(p);
    }
}

/* SINGLE_ISSUER and DEFER_TASKRUN are of Linux 6.1. */
RN_TEST(an_older_kernel_has_no_operations_and_watches_at_once)
{
    const struct rn__poller_ops *ops = io_uring_ops();
    struct tried t = {.op = {.done = count_done}};
    struct rn__poller *p;
    int fd = new_eventfd(1);

    CHECK_OK(rn__sys_fail("io_uring_setup", EINVAL, 1, 1));
    p = open_poller(ops);
    CHECK_EQ(ops->submit(p, &t.op), -ENOTSUP);
    CHECK_OK(ops->add(p, fd, 7, RN__ADD_LATER));
    (void)await(p, 7, RN__RD);
    ops->close(p);
    close(fd);
}

RN_TEST(tests_can_make_an_operation_fail_or_fall_short)
{
    struct rn__poller *p = open_operating();
    struct tried t = {.op = {.done = count_done}};
    int fds[2];

    open_tcp_pair(fds);
    CHECK_OK(rn__sys_fail("recv", ENOBUFS, 1, 1));
    CHECK_EQ(p->ops->submit(p, &t.op), -ENOBUFS);
    CHECK_OK(rn__sys_short("send", 2, 1, 1));
    begin(p, &t, true, fds[0], "abc", 3);
    CHECK_EQ(finish(p, &t), 2);
    p->ops->close(p);
    close_pair(fds);
}
