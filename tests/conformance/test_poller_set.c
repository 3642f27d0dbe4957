/*
 * test_poller_set.c - poller.h, sentence by sentence: the set of descriptors, many, failures
 */
#include "poller_test.h"

/* ---- add, del, descriptors that come again ---- */

POLLER_TEST(add_refuses_what_cannot_be_waited_for)
{
    struct rn__poller *p = open_poller(ops);
    int file = open("/proc/self/exe", O_RDONLY), directory = open("/", O_RDONLY);
    int fd = new_eventfd(0), closed = new_eventfd(0);

    close(closed);
    CHECK_EQ(ops->add(p, file, 7, RN__ADD_PLAIN), -EPERM);
    CHECK_EQ(ops->add(p, directory, 7, RN__ADD_PLAIN), -EPERM);
    CHECK_EQ(ops->add(p, -1, 7, RN__ADD_PLAIN), -EBADF);
    CHECK_EQ(ops->add(p, closed, 7, RN__ADD_PLAIN), -EBADF);
    CHECK_EQ(ops->add(p, fd, RN__TAG_WAKE, RN__ADD_PLAIN), -EINVAL);
    add(p, fd, RN__TAG_WAKE - 1); /* which was left out by the failure, and any other tag will do */
    ops->close(p);
    close(file);
    close(directory);
    close(fd);
}

POLLER_TEST(add_twice_is_refused_and_keeps_the_first_tag)
{
    struct rn__poller *p = open_poller(ops);
    int fd = new_eventfd(1);

    add(p, fd, 7);
    CHECK_EQ(ops->add(p, fd, 8, RN__ADD_PLAIN), -EEXIST);
    CHECK_EQ(ops->add(p, fd, 7, RN__ADD_PLAIN), -EEXIST);
    arm(p, fd, RN__RD);
    (void)await(p, 7, RN__RD);
    ops->del(p, fd);
    add(p, fd, 8);
    arm(p, fd, RN__RD);
    (void)await(p, 8, RN__RD);
    ops->close(p);
    close(fd);
}

POLLER_TEST(after_del_there_are_no_events)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fds[2];

    open_pair(fds);
    add(p, fds[0], 7);
    arm(p, fds[0], BOTH);
    send_byte(fds[1]); /* pending already */
    ops->del(p, fds[0]);
    CHECK_EQ(wait_for(p, 0, ev, 4), 0);
    send_byte(fds[1]);
    close(fds[1]);
    CHECK_EQ(wait_for(p, 0, ev, 4), 0);
    ops->close(p);
    close(fds[0]);
}

POLLER_TEST(del_of_what_is_not_in_is_harmless)
{
    struct rn__poller *p = open_poller(ops);
    int fd = new_eventfd(1), other = new_eventfd(0);

    ops->del(p, fd);
    ops->del(p, -1);
    ops->del(p, 100000);
    add(p, fd, 7);
    ops->del(p, other);
    ops->del(p, 100000);
    arm(p, fd, RN__RD);
    (void)await(p, 7, RN__RD);
    ops->del(p, fd);
    ops->del(p, fd);
    ops->close(p);
    close(fd);
    close(other);
}

POLLER_TEST(del_of_one_leaves_the_others)
{
    static const int order[] = {4, 0, 2, 1, 3}; /* last, first, middle */
    struct rn__poller *p = open_poller(ops);
    bool in[5] = {true, true, true, true, true};
    int fds[5];

    for (int i = 0; i < 5; i++) {
        fds[i] = new_eventfd(0);
        add(p, fds[i], (uint64_t)i + 1);
    }
    for (int k = 0; k < 5; k++) {
        ops->del(p, fds[order[k]]);
        in[order[k]] = false;
        for (int i = 0; i < 5; i++) {
            CHECK_OK(eventfd_write(fds[i], 1));
            if (in[i])
                arm(p, fds[i], RN__RD);
            CHECK_EQ(look(p, (uint64_t)i + 1) & RN__RD, in[i] ? RN__RD : 0);
        }
    }
    ops->close(p);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
}

/* Nobody shares the description: epoll needs no del. Others keep their own books. */
static void close_added(struct rn__poller *p, int fd)
{
    if (p->ops->needs_del)
        p->ops->del(p, fd);
    CHECK_OK(close(fd));
}

POLLER_TEST(a_number_that_comes_again_is_another_tags)
{
    struct rn__poller *p = open_poller(ops);
    int fd = new_eventfd(1), number = fd;

    for (uint64_t generation = 1; generation <= 20; generation++) {
        struct rn__event ev[4];

        CHECK_EQ(fd, number);
        add(p, fd, generation);
        arm(p, fd, RN__RD);
        for (int n = wait_for(p, RN__TIME_NEVER, ev, 4); n > 0; n--)
            CHECK_EQ(ev[n - 1].tag, generation);
        arm(p, fd, RN__RD); /* and leaves it armed and ready */
        close_added(p, fd);
        fd = new_eventfd(1);
    }
    ops->close(p);
    close(fd);
}

POLLER_TEST(an_event_taken_before_the_close_has_the_old_tag)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event late[2];
    int fds[2] = {new_eventfd(1), new_eventfd(1)}, again;

    for (int i = 0; i < 2; i++) {
        add(p, fds[i], 1 + (uint64_t)i);
        arm(p, fds[i], RN__RD);
    }
    CHECK_EQ(wait_for(p, RN__TIME_NEVER, late, 2), 2);
    close_added(p, fds[1]); /* as whoever takes the first event may do */
    again = new_eventfd(0);
    CHECK_EQ(again, fds[1]);
    add(p, again, 3);
    CHECK_EQ(late[0].tag + late[1].tag, 1 + 2);
    CHECK_EQ(look(p, 3) & RN__RD, 0);
    CHECK_OK(eventfd_write(again, 1));
    arm(p, again, RN__RD);
    (void)await(p, 3, RN__RD);
    ops->close(p);
    close(fds[0]);
    close(again);
}

/* A description outlives its number where it was dup'ed or inherited: then del comes first. */
POLLER_TEST(del_before_close_silences_a_shared_description)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fds[2], twin;

    open_pair(fds);
    twin = dup(fds[0]);
    add(p, fds[0], 7);
    arm(p, fds[0], RN__RD);
    (void)look(p, 7);
    ops->del(p, fds[0]);
    close(fds[0]);
    send_byte(fds[1]);
    CHECK_EQ(wait_for(p, 0, ev, 4), 0);
    ops->close(p);
    close(twin);
    close(fds[1]);
}

/* Why that rule is there; and such events still carry the tag that the generation refuses. */
RN_TEST(epoll_reports_a_shared_description_after_close_without_del)
{
    struct rn__poller *p = open_poller(&rn__poller_epoll);
    int fds[2], twin;

    open_pair(fds);
    twin = dup(fds[0]);
    add(p, fds[0], 7);
    (void)look(p, 7);
    close(fds[0]);
    send_byte(fds[1]);
    CHECK(look(p, 7) & RN__RD);
    p->ops->close(p);
    close(twin);
    close(fds[1]);
}

POLLER_TEST(a_descriptor_closed_without_del_does_not_spin)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(0), reports = 0;

    add(p, fd, 7);
    (void)look(p, 7);
    arm(p, fd, BOTH);
    close(fd);
    for (int i = 0; i < 100; i++) {
        int n = wait_for(p, 0, ev, 4);

        CHECK(n == 0 || ev[0].tag == 7);
        reports += n;
    }
    CHECK(reports <= 2); /* at most one a direction */
    ops->close(p);
}

/* ---- many ---- */

#define CROWD 40

static void open_crowd(struct rn__poller *p, int *fds, int n, unsigned initial)
{
    for (int i = 0; i < n; i++) {
        fds[i] = new_eventfd(initial);
        add(p, fds[i], (uint64_t)i);
    }
}

static void close_crowd(int *fds, int n)
{
    for (int i = 0; i < n; i++)
        close(fds[i]);
}

static void all_reported(const struct rn__poller_ops *ops, int max)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[CROWD];
    bool seen[CROWD] = {false};
    int fds[CROWD], n_seen = 0;

    open_crowd(p, fds, CROWD, 1);
    for (int i = 0; i < CROWD; i++)
        arm(p, fds[i], RN__RD);
    for (int turn = 0; n_seen < CROWD; turn++) {
        int n = wait_for(p, RN__TIME_NEVER, ev, max);

        CHECK(turn <= 2 * CROWD);
        for (int i = 0; i < n; i++) {
            n_seen += !seen[ev[i].tag];
            seen[ev[i].tag] = true;
        }
    }
    ops->close(p);
    close_crowd(fds, CROWD);
}

POLLER_TEST(more_ready_than_max_are_reported_by_the_next_waits)
{
    all_reported(ops, 1);
    all_reported(ops, 7);
    all_reported(ops, CROWD - 1);
    all_reported(ops, CROWD);
}

/* What was reported is ready again at once, as under load: the others have their turn. */
POLLER_TEST(a_small_max_starves_nobody)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[3];
    int fds[CROWD], reports[CROWD] = {0};

    open_crowd(p, fds, CROWD, 1);
    for (int i = 0; i < CROWD; i++)
        arm(p, fds[i], RN__RD);
    for (int turn = 0; turn < 20 * CROWD; turn++) {
        int n = wait_for(p, RN__TIME_NEVER, ev, 3);

        for (int i = 0; i < n; i++) {
            reports[ev[i].tag]++;
            CHECK_OK(eventfd_write(fds[ev[i].tag], 1));
            arm(p, fds[ev[i].tag], RN__RD);
        }
    }
    for (int i = 0; i < CROWD; i++)
        CHECK(reports[i] >= 10); /* 60 each, were it exactly fair */
    ops->close(p);
    close_crowd(fds, CROWD);
}

#define MANY 500

POLLER_TEST(among_many_exactly_the_ready_ones_are_reported)
{
    static int fds[MANY], reports[MANY];
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[MANY];

    open_crowd(p, fds, MANY, 0);
    while (wait_for(p, 0, ev, MANY) > 0)
        ; /* the edges of add */
    for (int i = 0; i < MANY; i++) {
        arm(p, fds[i], RN__RD);
        if (i % 7 == 3)
            CHECK_OK(eventfd_write(fds[i], 1));
    }
    for (int n; (n = wait_for(p, 0, ev, MANY)) > 0;)
        for (int i = 0; i < n; i++)
            reports[ev[i].tag] += (ev[i].bits & RN__RD) != 0;
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(reports[i], i % 7 == 3);
    ops->close(p);
    close_crowd(fds, MANY);
}

/* ---- a listener that several pollers watch ---- */

static void share(struct rn__poller *p, int ln, uint64_t tag)
{
    CHECK_OK(p->ops->add(p, ln, tag, RN__ADD_SHARED));
    arm(p, ln, RN__RD);
}

POLLER_TEST(each_connection_to_a_shared_listener_is_reported_by_one_at_least)
{
    struct rn__poller *p[2] = {open_poller(ops), open_poller(ops)};
    struct sockaddr_in at;
    int ln = bind_local(&at);

    CHECK_OK(listen(ln, 64));
    share(p[0], ln, 1);
    share(p[1], ln, 2);
    CHECK_EQ(look(p[0], 1) | look(p[1], 2), 0);
    for (int i = 0; i < 20; i++) {
        int fd = connect_local(&at), conn;

        while (((look(p[0], 1) | look(p[1], 2)) & RN__RD) == 0)
            usleep(100);
        conn = accept4(ln, NULL, NULL, SOCK_CLOEXEC);
        CHECK_OK(conn);
        arm(p[0], ln, RN__RD);
        arm(p[1], ln, RN__RD);
        close(conn);
        close(fd);
    }
    ops->close(p[0]);
    ops->close(p[1]);
    close(ln);
}

POLLER_TEST(a_shared_listener_taken_out_of_one_poller_stays_in_the_other)
{
    struct rn__poller *p[2] = {open_poller(ops), open_poller(ops)};
    struct rn__event ev[4];
    struct sockaddr_in at;
    int ln = bind_local(&at), fd;

    CHECK_OK(listen(ln, 64));
    share(p[0], ln, 1);
    share(p[1], ln, 2);
    ops->del(p[0], ln);
    fd = connect_local(&at);
    (void)await(p[1], 2, RN__RD);
    CHECK_EQ(wait_for(p[0], 0, ev, 4), 0);
    share(p[0], ln, 3); /* back, with a connection waiting: that counts as becoming ready */
    (void)await(p[0], 3, RN__RD);
    ops->close(p[0]);
    ops->close(p[1]);
    close(fd);
    close(ln);
}

/* ---- against a model ---- */

#define PEERS 12

struct peer {
    int fds[2];
    uint64_t tag; /* generation << 8 | index */
    long unread;
    bool latched, parked;
};

static void renew(struct rn__poller *p, struct peer *one)
{
    if (one->tag >> 8 != 0) {
        close_added(p, one->fds[0]);
        close(one->fds[1]);
    }
    open_pair(one->fds);
    one->tag += 1 << 8;
    one->unread = 0;
    one->latched = false;
    one->parked = false;
    add(p, one->fds[0], one->tag);
}

/* As the I/O wait does it: the latch is cleared before the read. */
static void act(struct rn__poller *p, struct peer *one, int what)
{
    if (what < 8) {
        send_byte(one->fds[1]);
        one->unread++;
    } else if (what < 15) {
        one->latched = false;
        CHECK_EQ(drain(one->fds[0]), one->unread);
        one->unread = 0;
    } else if (what < 31) {
        one->parked = true;
        arm(p, one->fds[0], RN__RD);
    } else {
        renew(p, one);
    }
}

static void take_events(struct rn__poller *p, struct peer *peers, int max)
{
    struct rn__event ev[8];

    for (int n; (n = wait_for(p, 0, ev, max)) > 0;)
        for (int i = 0; i < n; i++) {
            struct peer *one = &peers[ev[i].tag & 0xff];

            if (one->tag != ev[i].tag || !(ev[i].bits & RN__RD))
                continue;
            one->latched = true;
            one->parked = false;
        }
}

POLLER_TEST(no_report_is_missed_over_random_operations)
{
    struct rn__poller *p = open_poller(ops);
    struct peer peers[PEERS] = {0};
    unsigned short seed[3] = {1, 2, 3};

    for (int i = 0; i < PEERS; i++) {
        peers[i].tag = (uint64_t)i;
        renew(p, &peers[i]);
    }
    for (int round = 0; round < 5000; round++) {
        for (int k = 0; k < 5; k++)
            act(p, &peers[nrand48(seed) % PEERS], (int)(nrand48(seed) % 32));
        if (nrand48(seed) % 2)
            ops->wake(p);
        take_events(p, peers, 1 + (int)(nrand48(seed) % 8));
        take_events(p, peers, 8); /* the wake may have taken the only place: 0 was not the end */
        for (int i = 0; i < PEERS; i++)
            CHECK(!(peers[i].parked && peers[i].unread > 0 && !peers[i].latched));
    }
    ops->close(p);
    for (int i = 0; i < PEERS; i++)
        close_pair(peers[i].fds);
}

/* ---- open, and what fails ---- */

RN_TEST(pollers_are_found_by_their_names)
{
    CHECK(rn__poller_by_name(NULL) == &rn__poller_epoll);
    CHECK(rn__poller_by_name("epoll") == &rn__poller_epoll);
    CHECK(rn__poller_by_name("poll") == &rn__poller_poll);
    CHECK(rn__poller_by_name("kqueue") == NULL);
    CHECK(rn__poller_by_name("") == NULL);
    CHECK(rn__poller_by_name("select") == &rn__poller_select);
    CHECK(rn__poller_by_name("epoll-lt") == &rn__poller_epoll_lt);
    CHECK(!rn__poller_epoll.needs_arm);
    CHECK(rn__poller_poll.needs_arm);
    CHECK(rn__poller_select.needs_arm);
    CHECK(rn__poller_epoll_lt.needs_arm);
}

POLLER_TEST(close_gives_back_every_descriptor_of_its_own)
{
    int before = count_fds(), fds[2];

    for (int i = 0; i < 3; i++) {
        struct rn__poller *p = open_poller(ops);

        open_pair(fds);
        add(p, fds[0], 7);
        arm(p, fds[0], BOTH);
        ops->close(p); /* what was added is the caller's */
        close_pair(fds);
    }
    CHECK_EQ(count_fds(), before);
}

POLLER_TEST(descriptors_of_a_poller_are_closed_by_exec)
{
    int before = count_fds(), own = 0;
    struct rn__poller *p = open_poller(ops);

    for (int fd = 3; fd < 64; fd++)
        own += fcntl(fd, F_GETFD) == FD_CLOEXEC;
    CHECK(own >= count_fds() - before);
    ops->close(p);
}

/* True where the call is one that open makes. */
static bool open_without(const struct rn__poller_ops *ops, const char *row)
{
    struct rn__sys_count *s = &rn__sys_shared_block()->counts[rn__sys_row_by_name(row)];
    uint64_t calls = atomic_load(&s->calls);
    struct rn__poller *p = NULL;
    int before = count_fds(), r;

    CHECK_OK(rn__sys_fail(row, EMFILE, 1, 1));
    r = ops->open(&p);
    rn__sys_clear();
    if (atomic_load(&s->calls) == calls) {
        CHECK_OK(r);
        ops->close(p);
        return false;
    }
    CHECK_EQ(r, -EMFILE);
    CHECK(p == NULL);
    CHECK_EQ(count_fds(), before);
    return true;
}

POLLER_TEST(an_open_that_fails_leaves_nothing_to_close)
{
    bool epoll = strncmp(ops->name, "epoll", 5) == 0;

    CHECK(open_without(ops, "eventfd2"));
    CHECK_EQ(open_without(ops, "epoll_create1"), epoll);
    CHECK_EQ(open_without(ops, "epoll_ctl"), epoll);
    CHECK_EQ(open_without(ops, "io_uring_setup"), strcmp(ops->name, "io_uring") == 0);
}

POLLER_TEST(an_open_without_memory_leaves_nothing_to_close)
{
    struct rn__poller *p = NULL;
    int before = count_fds(), r = -ENOMEM;
    unsigned nth;

    for (nth = 1; r != 0; nth++) {
        rn__mem_fail(nth, 1);
        r = ops->open(&p);
        rn__mem_fail(0, 0);
        CHECK(r == 0 || r == -ENOMEM);
        CHECK((r == 0) == (p != NULL));
        CHECK(r == 0 || count_fds() == before);
    }
    CHECK(nth > 2); /* the first allocation at least was open's */
    ops->close(p);
    CHECK_EQ(count_fds(), before);
}

/* Until add needs no more memory; how often it did. */
static int add_against_failures(struct rn__poller *p, int fd, uint64_t tag)
{
    int r = -ENOMEM, failures = -1;

    for (unsigned nth = 1; r != 0; nth++, failures++) {
        rn__mem_fail(nth, 1);
        r = p->ops->add(p, fd, tag, RN__ADD_PLAIN);
        rn__mem_fail(0, 0);
        CHECK(r == 0 || r == -ENOMEM);
    }
    return failures;
}

POLLER_TEST(an_add_without_memory_changes_nothing)
{
    static int fds[MANY];
    struct rn__poller *p = open_poller(ops);
    int failures = 0;

    for (int i = 0; i < MANY; i++) {
        fds[i] = new_eventfd(1);
        failures += add_against_failures(p, fds[i], (uint64_t)i);
    }
    /* epoll's memory is the kernel's, select's is all there from the start */
    CHECK_EQ(failures > 0, ops->needs_del && ops != &rn__poller_select);
    for (int i = 0; i < MANY; i += 50) {
        arm(p, fds[i], RN__RD);
        (void)await(p, (uint64_t)i, RN__RD);
    }
    ops->close(p);
    close_crowd(fds, MANY);
}

POLLER_TEST(an_add_that_the_kernel_refuses_changes_nothing)
{
    struct rn__poller *p = open_poller(ops);
    struct rn__event ev[4];
    int fd = new_eventfd(1), r;

    CHECK_OK(rn__sys_fail(ops->needs_del ? "fstat" : "epoll_ctl", ENOMEM, 1, 1));
    r = ops->add(p, fd, 7, RN__ADD_PLAIN);
    CHECK_EQ(r, -ENOMEM);
    CHECK_EQ(ops->arm(p, fd, RN__RD), ops->needs_arm ? -ENOENT : 0);
    CHECK_EQ(wait_for(p, 0, ev, 4), 0);
    add(p, fd, 8);
    arm(p, fd, RN__RD);
    (void)await(p, 8, RN__RD);
    ops->close(p);
    close(fd);
}

/* ---- what only one of them has ---- */

RN_TEST(select_refuses_a_descriptor_it_has_no_room_for)
{
    struct rn__poller *p = open_poller(&rn__poller_select);
    int fd = new_eventfd(1), high = fcntl(fd, F_DUPFD_CLOEXEC, FD_SETSIZE);

    CHECK_EQ(high, FD_SETSIZE);
    CHECK_EQ(p->ops->add(p, high, 7, RN__ADD_PLAIN), -RN_EFDSETSIZE);
    CHECK_EQ(p->ops->arm(p, high, RN__RD), -ENOENT);
    CHECK_OK(close(high));
    CHECK_EQ(dup2(fd, FD_SETSIZE - 1), FD_SETSIZE - 1);
    add(p, FD_SETSIZE - 1, 8);
    arm(p, FD_SETSIZE - 1, RN__RD);
    (void)await(p, 8, RN__RD);
    p->ops->close(p);
    close(FD_SETSIZE - 1);
    close(fd);
}

RN_TEST(select_that_would_need_a_high_descriptor_of_its_own_does_not_open)
{
    struct rn__poller *p = NULL;
    int low[FD_SETSIZE], n = 0, before;

    for (; n < FD_SETSIZE && (n == 0 || low[n - 1] < FD_SETSIZE - 1); n++)
        CHECK_OK(low[n] = new_eventfd(0));
    before = n;
    CHECK_EQ(rn__poller_select.open(&p), -RN_EFDSETSIZE);
    CHECK(p == NULL);
    while (n > 0)
        close(low[--n]);
    CHECK(before > 0);
}

/* EPOLLONESHOT disarmed the other direction too: where it cannot be armed again, it is woken. */
RN_TEST(epoll_lt_that_cannot_arm_says_so_and_strands_nobody)
{
    struct rn__poller *p = open_poller(&rn__poller_epoll_lt);
    int fds[2];

    open_pair(fds);
    add(p, fds[0], 7);
    CHECK_OK(rn__sys_fail("epoll_ctl", ENOSPC, 1, 1));
    CHECK_EQ(p->ops->arm(p, fds[0], RN__RD), -ENOSPC);
    rn__sys_clear();
    arm(p, fds[0], BOTH);
    CHECK_OK(rn__sys_fail("epoll_ctl", ENOMEM, 1, 1));
    CHECK_EQ(look(p, 7), BOTH | RN__ERR); /* writable; that it is readable is not true */
    rn__sys_clear();
    CHECK_EQ(look(p, 7), 0);
    send_byte(fds[1]);
    arm(p, fds[0], RN__RD);
    CHECK_EQ(await(p, 7, RN__RD), RN__RD);
    p->ops->close(p);
    close_pair(fds);
}

/* The kernel ends a multishot poll when it has no place for its completion. */
RN_TEST(io_uring_polls_that_the_kernel_ended_are_begun_again)
{
    const struct rn__poller_ops *ops = io_uring_ops();
    struct rn__poller *p = open_poller(ops);
    static int fds[MANY], reports[MANY];
    struct rn__event ev[MANY];

    open_crowd(p, fds, MANY, 0);
    (void)wait_for(p, 0, ev, 1);
    /* Each look submits nothing new but lets the kernel complete: more than there are places. */
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < MANY; i++)
            CHECK_OK(eventfd_write(fds[i], 1));
        (void)wait_for(p, 0, ev, 1);
    }
    while (wait_for(p, 0, ev, MANY) > 0)
        ;
    for (int i = 0; i < MANY; i++)
        CHECK_OK(eventfd_write(fds[i], 1));
    for (int n; (n = wait_for(p, 0, ev, MANY)) > 0;)
        for (int i = 0; i < n; i++)
            reports[ev[i].tag] += (ev[i].bits & RN__RD) != 0;
    for (int i = 0; i < MANY; i++)
        CHECK(reports[i] >= 1);
    ops->close(p);
    close_crowd(fds, MANY);
}

/* Without del the poll holds the connection open; with it the peer hears of the close at once. */
RN_TEST(io_uring_del_lets_the_kernel_close)
{
    const struct rn__poller_ops *ops = io_uring_ops();
    struct rn__poller *p = open_poller(ops);
    char c;
    int fds[2];

    for (int i = 0; i < 20; i++) {
        open_tcp_pair(fds);
        add(p, fds[1], 7);
        (void)look(p, 7);
        if (i % 2) /* woken, and the kernel has not yet told */
            send_byte(fds[0]);
        ops->del(p, fds[1]);
        CHECK_OK(close(fds[1]));
        CHECK(recv(fds[0], &c, 1, 0) <= 0); /* waits for the end, or the reset */
        close(fds[0]);
    }
    ops->close(p);
}
