/*
 * test_poller_events.c - poller.h, sentence by sentence: what is reported, and when; wake
 */
#include "poller_test.h"

/* ---- becoming ready, being ready ---- */

POLLER_TEST(readable_after_a_write)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_pair(fds);
    add(p, fds[0], 7);
    arm(p, fds[0], RN__RD);
    CHECK_EQ(look(p, 7) & RN__RD, 0);
    send_byte(fds[1]);
    CHECK_EQ(await(p, 7, RN__RD) & FLAGS, 0);
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(what_is_readable_when_armed_is_reported)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_pair(fds);
    send_byte(fds[1]);
    add(p, fds[0], 7);
    arm(p, fds[0], RN__RD);
    CHECK_EQ(await(p, 7, RN__RD) & FLAGS, 0);
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(what_is_writable_when_armed_is_reported)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_pair(fds);
    add(p, fds[0], 7);
    arm(p, fds[0], RN__WR);
    CHECK_EQ(await(p, 7, RN__WR), RN__WR);
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(writable_when_the_peer_makes_room)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_tcp_pair(fds);
    fill(fds[0]);
    add(p, fds[0], 7);
    arm(p, fds[0], RN__WR);
    while (look(p, 7) & RN__WR) { /* the last of it was still on its way to the peer */
        fill(fds[0]);
        arm(p, fds[0], RN__WR);
    }
    CHECK(drain(fds[1]) > 0);
    CHECK_EQ(await(p, 7, RN__WR) & FLAGS, 0);
    ops->close(p);
    close_pair(fds);
}

/* The first report is of the ready direction; it must not disarm the other. */
POLLER_TEST(each_armed_direction_is_reported)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_pair(fds);
    add(p, fds[0], 7);
    arm(p, fds[0], RN__RD);
    arm(p, fds[0], RN__WR); /* beside what is armed already */
    CHECK_EQ(await(p, 7, RN__WR), RN__WR);
    send_byte(fds[1]);
    (void)await(p, 7, RN__RD);
    send_byte(fds[1]);
    arm(p, fds[0], BOTH);
    (void)await(p, 7, ops->needs_arm ? BOTH : RN__RD); /* that it is writable was said */
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(a_new_edge_is_reported_after_arm)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_pair(fds);
    add(p, fds[0], 7);
    for (int i = 0; i < 20; i++) {
        arm(p, fds[0], RN__RD);
        CHECK_EQ(look(p, 7) & RN__RD, 0);
        send_byte(fds[1]);
        (void)await(p, 7, RN__RD);
        CHECK_EQ(drain(fds[0]), 1);
    }
    for (int i = 0; i < 20; i++) { /* without draining, as after a budget that ran out */
        send_byte(fds[1]);
        arm(p, fds[0], RN__RD);
        (void)await(p, 7, RN__RD);
    }
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(armed_again_while_ready_it_reports_again_where_arm_is_needed)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_pair(fds);
    send_byte(fds[1]);
    add(p, fds[0], 7);
    CHECK_EQ(ops->needs_arm, look(p, 7) == 0); /* add arms nothing, or the edge stands for it */
    for (int i = 0; i < 5; i++) {
        arm(p, fds[0], RN__RD);
        CHECK_EQ(look(p, 7) & RN__RD, ops->needs_arm ? RN__RD : 0);
        CHECK_EQ(look(p, 7), 0); /* one-shot; no second report of one edge */
    }
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(arm_of_what_was_not_added)
{
    struct rn__poller *p = open_poller(ops);

    CHECK_EQ(ops->arm(p, 0, RN__RD), ops->needs_arm ? -ENOENT : 0);
    CHECK_EQ(ops->arm(p, 100000, RN__RD), ops->needs_arm ? -ENOENT : 0);
    CHECK_EQ(ops->arm(p, -1, RN__RD), ops->needs_arm ? -ENOENT : 0);
    ops->close(p);
}

/* ---- hang-ups, errors, urgent data ---- */

static void peer_ends(const struct rn__poller_ops *ops, bool tcp, bool close_it)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];
    unsigned bits;

    if (tcp)
        open_tcp_pair(fds);
    else
        open_pair(fds);
    add(p, fds[1], 7);
    arm(p, fds[1], RN__RD);
    (void)look(p, 7);
    if (close_it)
        CHECK_OK(close(fds[0]));
    else
        CHECK_OK(shutdown(fds[0], SHUT_WR));
    bits = await(p, 7, RN__RD);
    if (ops->tells & RN__RDHUP)
        CHECK(bits & (close_it ? RN__RDHUP | RN__HUP : RN__RDHUP));
    if (!close_it)
        CHECK_EQ(bits & (RN__HUP | RN__ERR), 0); /* the other way is open */
    ops->close(p);
    close(fds[1]);
    if (!close_it)
        close(fds[0]);
}

POLLER_TEST(a_unix_peer_that_closes_is_readable_and_a_hang_up)
{
    peer_ends(ops, false, true);
}

POLLER_TEST(a_tcp_peer_that_closes_is_readable_and_a_hang_up)
{
    peer_ends(ops, true, true);
}

POLLER_TEST(a_unix_peer_that_half_closes_is_rdhup_alone)
{
    peer_ends(ops, false, false);
}

POLLER_TEST(a_tcp_peer_that_half_closes_is_rdhup_alone)
{
    peer_ends(ops, true, false);
}

/* The short read may not skip the read that finds the end: the flag must come with the data. */
POLLER_TEST(data_and_end_in_one_event_carry_the_flag)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_tcp_pair(fds);
    send_byte(fds[0]);
    CHECK_OK(shutdown(fds[0], SHUT_WR));
    add(p, fds[1], 7);
    arm(p, fds[1], RN__RD);
    (void)await(p, 7, RN__RD | (ops->tells & RN__RDHUP));
    CHECK_EQ(drain(fds[1]), 1);
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(closed_both_ways_is_a_hang_up_for_both)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_tcp_pair(fds);
    add(p, fds[1], 7);
    CHECK_OK(shutdown(fds[0], SHUT_WR));
    CHECK_OK(shutdown(fds[1], SHUT_WR));
    arm(p, fds[1], RN__RD);
    await_end(p, 7, RN__HUP, RN__RD);
    ops->close(p);
    close_pair(fds);
}

static void refused(const struct rn__poller_ops *ops, unsigned dirs)
{
    struct rn__poller *p = open_poller(ops);
    struct sockaddr_in at;
    int closed = bind_local(&at), error = 0; /* bound, so nobody else's, and not listening */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof error;

    (void)rn__sys_connect(fd, (struct sockaddr *)&at, sizeof at);
    add(p, fd, 7);
    arm(p, fd, dirs);
    await_end(p, 7, RN__ERR, dirs);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    CHECK_EQ(error, ECONNREFUSED); /* the report did not take the error away */
    ops->close(p);
    close(fd);
    close(closed);
}

POLLER_TEST(a_refused_connect_wakes_the_writer_and_the_reader)
{
    refused(ops, RN__WR);
    refused(ops, RN__RD);
    refused(ops, BOTH);
}

POLLER_TEST(a_connect_that_succeeds_is_writable)
{
    struct rn__poller *p = open_poller(ops);
    struct sockaddr_in at;
    int ln = bind_local(&at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    CHECK_OK(listen(ln, 1));
    (void)rn__sys_connect(fd, (struct sockaddr *)&at, sizeof at);
    add(p, fd, 7);
    arm(p, fd, RN__WR);
    CHECK_EQ(await(p, 7, RN__WR) & RN__ERR, 0);
    ops->close(p);
    close(fd);
    close(ln);
}

POLLER_TEST(a_pipe_without_reader_is_an_error_for_both)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    CHECK_OK(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    add(p, fds[1], 7);
    (void)look(p, 7);
    arm(p, fds[1], RN__RD); /* not even the direction that the error is of */
    close(fds[0]);
    await_end(p, 7, RN__ERR, RN__RD);
    ops->close(p);
    close(fds[1]);
}

POLLER_TEST(a_pipe_without_writer_is_a_hang_up_for_both)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    CHECK_OK(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    add(p, fds[0], 7);
    arm(p, fds[0], RN__RD);
    close(fds[1]);
    await_end(p, 7, RN__HUP, RN__RD);
    ops->close(p);
    close(fds[0]);
}

/* Else the thread spins for as long as the connection is left lying. */
POLLER_TEST(a_hang_up_that_nobody_waits_for_is_reported_at_most_once)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fds[2], reports = 0;

    open_pair(fds);
    add(p, fds[0], 7);
    (void)look(p, 7);
    close(fds[1]);
    for (int i = 0; i < 100; i++)
        reports += wait_for(p, 0, ev, 4);
    CHECK(reports <= (ops->needs_arm ? 0 : 1));
    ops->close(p);
    close(fds[0]);
}

POLLER_TEST(urgent_data_is_flagged)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    open_tcp_pair(fds);
    add(p, fds[1], 7);
    arm(p, fds[1], RN__RD);
    CHECK_EQ(send(fds[0], "ab!", 3, MSG_OOB), 3);
    (void)await(p, 7, RN__RD | (ops->tells & RN__PRI));
    ops->close(p);
    close_pair(fds);
}

/* ---- time ---- */

POLLER_TEST(wait_never_returns_early)
{
    struct rn__poller *p = open_poller(ops);
    int fds[2];

    check_never_early(p);
    open_pair(fds);
    add(p, fds[0], 7); /* with something to watch, too */
    (void)look(p, 7);
    arm(p, fds[0], RN__RD);
    check_never_early(p);
    ops->close(p);
    close_pair(fds);
}

POLLER_TEST(a_time_that_has_passed_does_not_wait)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(0);

    add(p, fd, 7);
    (void)look(p, 7);
    arm(p, fd, RN__RD);
    for (int i = 0; i < 10; i++) { /* none of these would return by itself */
        CHECK_EQ(wait_for(p, 0, ev, 4), 0);
        CHECK_EQ(wait_for(p, 1, ev, 4), 0);
        CHECK_EQ(wait_for(p, rn_now(), ev, 4), 0);
    }
    CHECK_OK(eventfd_write(fd, 1));
    CHECK_EQ(wait_for(p, 1, ev, 4), 1); /* but they look */
    ops->close(p);
    close(fd);
}

POLLER_TEST(an_event_ends_a_wait_however_far_its_end)
{
    static const rn_time ends[] = {INT64_MAX - 1, INT64_MAX / 2, RN__TIME_NEVER};
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(0);

    add(p, fd, 7);
    for (size_t i = 0; i < RN_COUNT_OF(ends); i++) {
        (void)look(p, 7);
        CHECK_OK(eventfd_write(fd, 1));
        arm(p, fd, RN__RD);
        CHECK_EQ(wait_for(p, ends[i], ev, 4), 1);
        CHECK_EQ(wait_for(p, rn_after(RN_MILLISECOND), ev, 4), 0);
    }
    ops->close(p);
    close(fd);
}

RN_TEST(a_timeout_is_what_is_left_and_never_negative)
{
    struct timespec room;
    const struct timespec *ts;

    CHECK(rn__poller_timeout(RN__TIME_NEVER, &room) == NULL);
    ts = rn__poller_timeout(0, &room);
    CHECK(ts == &room && ts->tv_sec == 0 && ts->tv_nsec == 0);
    ts = rn__poller_timeout(1, &room);
    CHECK(ts == &room && ts->tv_sec == 0 && ts->tv_nsec == 0);
    ts = rn__poller_timeout(rn_after(10 * RN_SECOND), &room);
    CHECK(ts->tv_sec <= 10 && ts->tv_nsec >= 0 && ts->tv_nsec < RN_SECOND);
    ts = rn__poller_timeout(RN__TIME_NEVER - 1, &room);
    CHECK(ts != NULL && ts->tv_sec > 0 && ts->tv_nsec >= 0 && ts->tv_nsec < RN_SECOND);
}

/* epoll_pwait2 is of Linux 5.11; before it there are milliseconds, which must be rounded up. */
POLLER_TEST(without_epoll_pwait2_wait_never_returns_early_either)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__sys_count *s = &rn__sys_shared_block()->counts[RN__SYS_epoll_pwait2];
    uint64_t calls = atomic_load(&s->calls);
    int fd = new_eventfd(0);

    CHECK_OK(rn__sys_fail("epoll_pwait2", ENOSYS, 1, 1));
    check_never_early(p);
    CHECK(atomic_load(&s->calls) - calls <= 1); /* asked once, believed for good */
    add(p, fd, 7);
    (void)look(p, 7);
    CHECK_OK(eventfd_write(fd, 1));
    arm(p, fd, RN__RD);
    (void)await(p, 7, RN__RD);
    ops->close(p);
    close(fd);
}

POLLER_TEST(the_event_of_the_wait_that_missed_epoll_pwait2_is_reported)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(1);

    CHECK_OK(rn__sys_fail("epoll_pwait2", ENOSYS, 1, 1));
    add(p, fd, 7);
    arm(p, fd, RN__RD);
    CHECK_EQ(wait_for(p, rn_after(3600 * RN_SECOND), ev, 4), 1);
    CHECK_EQ(ev[0].tag, 7);
    ops->close(p);
    close(fd);
}

/* ---- wake ---- */

#define WAKERS 4
#define WAKES 500

struct wakers {
    struct rn__poller *poller;
    atomic_int waking, seen;
};

/* Each wake is waited for, so that each needs a wait of its own to end. */
static void *wake_and_wait(void *arg)
{
    struct wakers *w = arg;

    for (int i = 0; i < WAKES; i++) {
        int mine = atomic_fetch_add(&w->waking, 1) + 1;

        w->poller->ops->wake(w->poller);
        while (atomic_load(&w->seen) < mine)
            sched_yield();
    }
    return NULL;
}

static void run_wakers(struct rn__poller *p, int n, rn_time end)
{
    struct wakers w = {.poller = p};
    struct rn__event ev[4];
    pthread_t t[WAKERS];

    for (int i = 0; i < n; i++)
        CHECK_EQ(pthread_create(&t[i], NULL, wake_and_wait, &w), 0);
    while (atomic_load(&w.seen) < n * WAKES) {
        CHECK_EQ(wait_for(p, end, ev, 4), 0);
        atomic_store(&w.seen, atomic_load(&w.waking));
    }
    for (int i = 0; i < n; i++)
        CHECK_EQ(pthread_join(t[i], NULL), 0);
}

POLLER_TEST(wake_from_another_thread_ends_an_endless_wait)
{
    struct rn__poller *p = open_poller(ops);

    run_wakers(p, 1, RN__TIME_NEVER);
    run_wakers(p, 1, rn_after(3600 * RN_SECOND));
    ops->close(p);
}

POLLER_TEST(no_wake_of_several_threads_is_lost)
{
    struct rn__poller *p = open_poller(ops);

    run_wakers(p, WAKERS, RN__TIME_NEVER);
    ops->close(p);
}

POLLER_TEST(wake_before_wait_ends_the_next_wait_and_only_that)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];

    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 1 + i * 500; k++)
            ops->wake(p);
        CHECK_EQ(wait_for(p, RN__TIME_NEVER, ev, 4), 0);
        check_never_early(p); /* many wakes are one */
    }
    ops->close(p);
}

POLLER_TEST(wake_takes_no_events_place)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[1];
    bool seen[3] = {false};
    int fds[3], n_seen = 0;

    for (int i = 0; i < 3; i++) {
        fds[i] = new_eventfd(1);
        add(p, fds[i], (uint64_t)i);
        arm(p, fds[i], RN__RD);
    }
    for (int turn = 0; n_seen < 3; turn++) {
        CHECK(turn < 20);
        ops->wake(p);
        if (wait_for(p, RN__TIME_NEVER, ev, 1) == 1 && !seen[ev[0].tag]) {
            seen[ev[0].tag] = true;
            n_seen++;
        }
    }
    ops->close(p);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
}

/* ---- signals and broken waits ---- */

static atomic_bool showered_enough;

static void ignore_signal(int sig)
{
    (void)sig;
}

static void *shower_signals(void *arg)
{
    const pthread_t *on = arg;

    while (!atomic_load(&showered_enough)) {
        CHECK_EQ(pthread_kill(*on, SIGUSR1), 0);
        usleep(500);
    }
    return NULL;
}

POLLER_TEST(a_signal_ends_a_wait_without_events)
{
    struct rn__poller *p = open_poller(ops);
    struct sigaction sa = {.sa_handler = ignore_signal, .sa_flags = SA_RESTART};
    struct rn__event ev[4];
    pthread_t self = pthread_self(), t;

    CHECK_OK(sigaction(SIGUSR1, &sa, NULL));
    CHECK_EQ(pthread_create(&t, NULL, shower_signals, &self), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(wait_for(p, RN__TIME_NEVER, ev, 4), 0);
        CHECK_EQ(wait_for(p, rn_after(3600 * RN_SECOND), ev, 4), 0);
    }
    atomic_store(&showered_enough, true);
    CHECK_EQ(pthread_join(t, NULL), 0);
    ops->close(p);
}

static void fail_waits(int error)
{
    CHECK_OK(rn__sys_fail("epoll_wait", error, 1, 1));
    CHECK_OK(rn__sys_fail("epoll_pwait2", error, 1, 1));
    CHECK_OK(rn__sys_fail("ppoll", error, 1, 1));
    CHECK_OK(rn__sys_fail("pselect6", error, 1, 1));
    CHECK_OK(rn__sys_fail("io_uring_enter", error, 1, 1));
}

POLLER_TEST(eintr_is_0_and_the_pollers_own_end_is_told)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(1);

    add(p, fd, 7);
    arm(p, fd, RN__RD);
    fail_waits(EINTR);
    CHECK_EQ(wait_for(p, RN__TIME_NEVER, ev, 4), 0);
    rn__sys_clear();
    fail_waits(EINTR);
    CHECK_EQ(wait_for(p, rn_after(3600 * RN_SECOND), ev, 4), 0);
    rn__sys_clear();
    fail_waits(EBADF);
    CHECK_EQ(ops->wait(p, RN__TIME_NEVER, ev, 4), -EBADF);
    rn__sys_clear();
    fail_waits(EINVAL);
    CHECK_EQ(ops->wait(p, rn_after(RN_SECOND), ev, 4), -EINVAL);
    rn__sys_clear();
    CHECK_EQ(wait_for(p, RN__TIME_NEVER, ev, 4), 1); /* none of it lost the event */
    ops->close(p);
    close(fd);
}

/* poll and select copy their sets in the kernel, which needs memory. */
POLLER_TEST(a_wait_without_memory_is_a_wait_without_events)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(1), n;

    add(p, fd, 7);
    arm(p, fd, RN__RD);
    CHECK_OK(rn__sys_fail("ppoll", ENOMEM, 1, 1));
    CHECK_OK(rn__sys_fail("pselect6", ENOMEM, 1, 1));
    n = ops->wait(p, RN__TIME_NEVER, ev, 4);
    CHECK_EQ(n, rn__sys_hits() > 0 ? 0 : 1);
    if (n == 0)
        CHECK_EQ(wait_for(p, RN__TIME_NEVER, ev, 4), 1);
    ops->close(p);
    close(fd);
}
