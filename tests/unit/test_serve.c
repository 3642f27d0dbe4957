/*
 * test_serve.c - serving on all Ps, draining, resting
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "rntest_coro.h"
#include "task/iowait.h"

/* ---- serving ---- */

struct server {
    rn_listener *ln;
    rn_serve_options options;
    rn_handler fn;
    void *arg;
    int result;
    char address[128];
    rn_waitgroup done;
};

static void run_server(void *arg)
{
    struct server *s = arg;

    s->result = rn_serve_listener(s->ln, &s->options, s->fn, s->arg);
    rn_waitgroup_done(&s->done);
}

static void start_server(struct server *s, rn_handler fn, void *arg)
{
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &s->ln));
    CHECK_OK(rn_listener_addr(s->ln, s->address, sizeof s->address));
    s->fn = fn;
    s->arg = arg;
    rn_waitgroup_add(&s->done, 1);
    CHECK_OK(rn_go(run_server, s));
}

static void stop_server(struct server *s)
{
    rn_listener_cancel(s->ln);
    CHECK_OK(rn_waitgroup_wait(&s->done));
    CHECK_EQ(s->result, -ECANCELED);
    rn_listener_close(s->ln);
}

static void echo(rn_conn *conn, void *arg)
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    while ((n = rn_read(conn, buf, sizeof buf)) > 0)
        if (rn_write(conn, buf, (size_t)n) < 0)
            break;
    rn_close(conn);
}

static void echo_resting(rn_conn *conn, void *arg)
{
    char buf[4096];
    ssize_t n = rn_read(conn, buf, sizeof buf);

    if (n <= 0 || rn_write(conn, buf, (size_t)n) < 0 ||
        rn_go_when_readable(conn, echo_resting, arg) < 0)
        rn_close(conn);
}

static void exchange(const char *address, int times)
{
    rn_conn *c;
    char buf[16];

    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    for (int i = 0; i < times; i++) {
        CHECK_EQ(rn_write(c, "ping", 4), 4);
        rntest_read_full(c, buf, 4);
        CHECK(memcmp(buf, "ping", 4) == 0);
    }
    rn_close(c);
}

struct client {
    const char *address;
    rn_waitgroup *done;
};

static void run_client(void *arg)
{
    struct client *c = arg;

    exchange(c->address, 20);
    rn_waitgroup_done(c->done);
}

static void many_clients(const char *address, int n)
{
    static rn_waitgroup done;
    struct client c = {.address = address, .done = &done};

    for (int i = 0; i < n; i++) {
        rn_waitgroup_add(&done, 1);
        CHECK_OK(rn_go(run_client, &c));
    }
    CHECK_OK(rn_waitgroup_wait(&done));
}

RN_CORO_TEST(each_way_to_balance_serves)
{
    for (int balance = RN_BALANCE_PLACE; balance <= RN_BALANCE_ONE; balance++) {
        for (int rest = 0; rest < 2; rest++) {
            struct server s = {
                .options = {.balance = (enum rn_balance)balance, .when_readable = rest == 1}};

            start_server(&s, rest ? echo_resting : echo, NULL);
            many_clients(s.address, 100);
            stop_server(&s);
        }
    }
}

struct serve_call {
    rn_listener *ln;
    rn_serve_options options;
    int result;
    rn_waitgroup done;
};

static void call_serve(void *arg)
{
    struct serve_call *s = arg;

    s->result = rn_serve("tcp", "127.0.0.1:0", &s->options, echo, NULL);
    rn_waitgroup_done(&s->done);
}

RN_CORO_TEST(rn_serve_listens_serves_and_closes)
{
    for (int balance = RN_BALANCE_PLACE; balance <= RN_BALANCE_REUSE_PORT; balance++) {
        int fds = rntest_count_fds();
        char address[128];
        struct serve_call s = {.options = {.balance = (enum rn_balance)balance}};

        s.options.listener = &s.ln;
        rn_waitgroup_add(&s.done, 1);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = rn_proc_id()}, call_serve, &s));
        while (s.ln == NULL)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
        CHECK_OK(rn_listener_addr(s.ln, address, sizeof address));
        many_clients(address, 50);
        rn_listener_cancel(s.ln);
        CHECK_OK(rn_waitgroup_wait(&s.done));
        CHECK_EQ(s.result, -ECANCELED);
        CHECK_EQ(rntest_count_fds(), fds);
    }
    CHECK_EQ(rn_serve("tcp", "nonsense", NULL, echo, NULL), -RN_EADDRESS);
    CHECK_EQ(rn_serve("tcp", ":0", &(rn_serve_options){.reserved = {1}}, echo, NULL), -EINVAL);
}

static void hold(rn_conn *conn, void *arg)
{
    rn_waitgroup *wg = arg;
    char c = '!';

    CHECK_EQ(rn_write(conn, &c, 1), 1);
    CHECK_OK(rn_waitgroup_wait(wg));
    rn_close(conn);
}

RN_CORO_TEST(above_max_conns_nobody_is_accepted)
{
    static rn_waitgroup end;
    struct server s = {.options = {.max_conns = 4, .balance = RN_BALANCE_ONE}};
    rn_conn *c[5];
    char buf[4];

    rn_waitgroup_add(&end, 1);
    start_server(&s, hold, &end);
    for (int i = 0; i < 5; i++)
        CHECK_OK(rn_dial("tcp", s.address, NULL, &c[i]));
    for (int i = 0; i < 4; i++)
        CHECK_EQ(rn_read(c[i], buf, 1), 1);
    rn_set_read_deadline(c[4], rn_after(50 * RN_MILLISECOND));
    CHECK_EQ(rn_read(c[4], buf, 1), -ETIME);
    rn_set_read_deadline(c[4], 0);
    rn_waitgroup_done(&end); /* the four end, and the fifth gets its turn */
    CHECK_EQ(rn_read(c[4], buf, 1), 1);
    for (int i = 0; i < 5; i++)
        rn_close(c[i]);
    stop_server(&s);
}

static void *cancel_listener(void *arg)
{
    usleep(1000); /* it serves by then */
    rn_listener_cancel(arg);
    return NULL;
}

/* Whom it wakes closes the listener while the one who cancels may still be at it. */
RN_CORO_TEST(who_cancels_a_listener_may_be_slower_than_who_closes_it)
{
    for (int i = 0; i < 50; i++) {
        rn_listener *ln;
        pthread_t t;

        CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
        CHECK_EQ(pthread_create(&t, NULL, cancel_listener, ln), 0);
        CHECK_EQ(rn_serve_listener(ln, NULL, echo, NULL), -ECANCELED);
        rn_listener_close(ln);
        CHECK_EQ(pthread_join(t, NULL), 0);
    }
}

RN_CORO_TEST(a_drain_lets_busy_connections_end_and_cancels_resting_ones)
{
    static rn_waitgroup end;
    struct server busy = {.ln = NULL}, resting = {.options = {.when_readable = true}};
    rn_conn *b, *r, *r2;
    char buf[8], address[64];

    rn_waitgroup_add(&end, 1);
    start_server(&busy, hold, &end);
    start_server(&resting, echo_resting, NULL);
    CHECK_OK(rn_dial("tcp", busy.address, NULL, &b));
    CHECK_EQ(rn_read(b, buf, 1), 1);
    CHECK_OK(rn_dial("tcp", resting.address, NULL, &r));
    CHECK_EQ(rn_write(r, "x", 1), 1);
    CHECK_EQ(rn_read(r, buf, 1), 1);
    stop_server(&resting);
    CHECK_EQ(rn_read(r, buf, 1), 0);
    rn_listener_cancel(busy.ln);
    while (rn_listener_fd(busy.ln) != -1) /* whose P it is comes to it */
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    rntest_until_all_wait();
    CHECK_EQ(busy.result, 0); /* has not returned */
    CHECK_EQ(rn_dial("tcp", busy.address, NULL, &r2), -ECONNREFUSED);
    CHECK_EQ(rn_listener_fd(busy.ln), -1);
    CHECK_EQ(rn_listener_addr(busy.ln, address, sizeof address), -ECANCELED);
    rn_waitgroup_done(&end);
    stop_server(&busy);
    rn_close(b);
    rn_close(r);
}

static void read_for_ever(rn_conn *conn, void *result)
{
    char c;

    CHECK_EQ(rn_write(conn, "x", 1), 1);
    *(ssize_t *)result = rn_read(conn, &c, 1);
    rn_close(conn);
}

RN_CORO_TEST(a_drain_that_takes_too_long_cancels_busy_connections)
{
    static ssize_t result;
    struct server busy = {.options = {.drain_ns = 30 * RN_MILLISECOND}};
    rn_conn *b;
    char c;

    start_server(&busy, read_for_ever, &result);
    CHECK_OK(rn_dial("tcp", busy.address, NULL, &b));
    CHECK_EQ(rn_read(b, &c, 1), 1);
    stop_server(&busy);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(rn_read(b, &c, 1), 0);
    rn_close(b);
}

/* ---- resting ---- */

struct rested {
    ssize_t result;
    char bytes[16];
    int runs;
    rn_waitgroup done;
};

static void on_rest_end(rn_conn *conn, void *arg)
{
    struct rested *r = arg;

    r->runs++;
    r->result = rn_read(conn, r->bytes, sizeof r->bytes);
    rn_close(conn);
    rn_waitgroup_done(&r->done);
}

static void rest(rn_conn *c, struct rested *r)
{
    memset(r, 0, sizeof *r);
    rn_waitgroup_add(&r->done, 1);
    CHECK_OK(rn_go_when_readable(c, on_rest_end, r));
}

RN_CORO_TEST(a_rest_ends_with_data_deadline_cancel_or_hang_up)
{
    rn_conn *a, *b;
    struct rested r;

    rntest_pair(&a, &b);
    rest(a, &r);
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    CHECK_EQ(r.runs, 0);
    CHECK_EQ(rn_write(b, "data", 4), 4);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 4);
    rn_close(b);

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(20 * RN_MILLISECOND));
    rest(a, &r);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, -ETIME);
    rn_close(b);

    rntest_pair(&a, &b);
    rest(a, &r);
    rn_set_read_deadline(a, rn_after(10 * RN_MILLISECOND)); /* set while it rests */
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, -ETIME);
    rn_close(b);

    rntest_pair(&a, &b);
    rest(a, &r);
    CHECK(rn_cancel_ref(rn_conn_ref(a)));
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, -ECANCELED);
    rn_close(b);

    rntest_pair(&a, &b);
    rest(a, &r);
    rn_close(b);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 0);
    CHECK_EQ(r.runs, 1);
}

RN_CORO_TEST(a_rest_ends_at_once_where_bytes_are_there_already)
{
    rn_conn *a, *b;
    struct rested r;

    rntest_pair(&a, &b);
    CHECK_EQ(rn_write(b, "wire", 4), 4);
    CHECK_OK(rn_sleep(2 * RN_MILLISECOND));
    rest(a, &r);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 4);
    rn_close(b);

    rntest_pair(&a, &b);
    CHECK_OK(rn_unread(a, "back", 4));
    rest(a, &r);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 4);
    CHECK(memcmp(r.bytes, "back", 4) == 0);
    rn_close(b);
}

/* The edge for them is behind us: the poller has told, and the read has cleared it. */
RN_CORO_TEST(a_rest_ends_at_once_where_a_read_has_left_something)
{
    for (int i = 0; i < 4; i++) {
        rn_conn *a, *b;
        struct rested r;
        char buf[4];

        rntest_pair_on(i % 2 == 0 ? "tcp" : "unix", &a, &b);
        rn_set_read_deadline(a, rn_after(RN_MILLISECOND));
        CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME); /* now it is in a poller */
        rn_set_read_deadline(a, 0);
        CHECK_EQ(rn_write(b, "oneleft", i < 2 ? 7 : 4), i < 2 ? 7 : 4);
        if (i >= 2)
            CHECK_OK(rn_close_write(b)); /* its end is left */
        CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
        CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
        rest(a, &r);
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, i < 2 ? 3 : 0);
        rn_close(b);
    }
}

/* A signal that comes just then ends ppoll, also one that does not wait. */
RN_CORO_TEST_ON(a_rest_whose_look_was_in_vain_ends_at_once, 1)
{
    rn_conn *a, *b;
    struct rested r;
    char buf[4];

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_after(RN_MILLISECOND));
    CHECK_EQ(rn_read(a, buf, sizeof buf), -ETIME); /* now it is in a poller */
    rn_set_read_deadline(a, 0);
    CHECK_EQ(rn_write(b, "oneleft", 7), 7);
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    CHECK_EQ(rn_read(a, buf, sizeof buf), 4);
    CHECK_OK(rn__sys_fail("ppoll", EINTR, 1, 1));
    rest(a, &r);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 3);
    rn__sys_clear();
    rn_close(b);
}

/* Closed like this it sends a reset. */
static void reset_on_close(rn_conn *conn)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    CHECK_EQ(setsockopt(rn_conn_fd(conn), SOL_SOCKET, SO_LINGER, &none, sizeof none), 0);
}

RN_CORO_TEST(a_rest_ends_with_a_reset)
{
    rn_conn *a, *b;
    struct rested r;

    rntest_pair(&a, &b);
    reset_on_close(b);
    rest(a, &r);
    rn_close(b);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, -ECONNRESET);
}

RN_CORO_TEST(a_rest_ends_at_once_after_a_cancel_or_a_past_deadline)
{
    rn_conn *a, *b;
    struct rested r;

    rntest_pair(&a, &b);
    rn_cancel(a);
    rest(a, &r);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, -ECANCELED);
    rn_close(b);

    rntest_pair(&a, &b);
    rn_set_read_deadline(a, rn_now() - 1);
    rest(a, &r);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, -ETIME);
    rn_close(b);
}

/* On one P nothing fires before this coroutine parks. */
RN_CORO_TEST_ON(a_rest_whose_deadline_is_taken_away_goes_on, 1)
{
    rn_conn *a, *b;
    struct rested r;

    rntest_pair(&a, &b);
    rn_set_write_deadline(a, rn_after(RN_MILLISECOND)); /* none of a reader's business */
    rest(a, &r);
    rn_set_read_deadline(a, rn_after(200 * RN_MILLISECOND));
    rn_set_read_deadline(a, 0);
    CHECK_OK(rn_sleep(220 * RN_MILLISECOND));
    CHECK_EQ(r.runs, 0);
    CHECK_EQ(rn_write(b, "data", 4), 4);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 4);
    rn_close(b);
}

static atomic_bool no_more_load;

static void never_park(void *arg)
{
    (void)arg;
    while (!atomic_load(&no_more_load))
        rn_yield();
}

/* Their run queues are never empty: what rests must not wait until they are. */
RN_CORO_TEST(rests_end_while_every_proc_is_busy)
{
    enum { CONNS = 200 };
    static struct rested r[CONNS];
    static rn_conn *near[CONNS], *far[CONNS];
    static const ssize_t wanted[] = {4, 0, -ECANCELED, -ETIME, -ECONNRESET};

    for (int proc = 1; proc <= 2; proc++)
        for (int i = 0; i < 3; i++)
            CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, never_park, NULL));
    for (int i = 0; i < CONNS; i++) {
        rntest_pair(&near[i], &far[i]);
        rest(near[i], &r[i]);
    }
    for (int i = 0; i < CONNS; i++) {
        ssize_t want = wanted[i % 5];

        if (want == 4)
            CHECK_EQ(rn_write(far[i], "data", 4), 4);
        if (want == -ECANCELED)
            rn_cancel(near[i]);
        if (want == -ETIME)
            rn_set_read_deadline(near[i], rn_after(RN_MILLISECOND));
        if (want == -ECONNRESET)
            reset_on_close(far[i]);
        if (want == 0 || want == -ECONNRESET)
            rn_close(far[i]);
    }
    for (int i = 0; i < CONNS; i++) {
        ssize_t want = wanted[i % 5];

        CHECK_OK(rn_waitgroup_wait(&r[i].done));
        CHECK_EQ(r[i].runs, 1);
        CHECK_EQ(r[i].result, want);
        if (want != 0 && want != -ECONNRESET)
            rn_close(far[i]);
    }
    atomic_store(&no_more_load, true);
}

RN_CORO_TEST(a_resting_conn_has_a_reader)
{
    rn_conn *a, *b;
    struct rested r;
    char buf[4];

    rntest_pair(&a, &b);
    rest(a, &r);
    CHECK_EQ(rn_read(a, buf, sizeof buf), -EBUSY);
    CHECK_EQ(rn_go_when_readable(a, on_rest_end, &r), -EBUSY);
    CHECK_EQ(rn_write(a, "out", 3), 3); /* writing is free */
    CHECK_EQ(rn_read(b, buf, 3), 3);
    rn_close(b);
    CHECK_OK(rn_waitgroup_wait(&r.done));
}

/* Of one handler after the other, on one P: which of their reads let another coroutine run? */
struct reads_at_once {
    rn_waitgroup done;
    bool other_ran, switched;
};

static void note_run(void *arg)
{
    ((struct reads_at_once *)arg)->other_ran = true;
}

static void read_and_rest(rn_conn *conn, void *arg)
{
    struct reads_at_once *s = arg;
    char buf[16];
    ssize_t n;

    s->other_ran = false;
    CHECK_OK(rn_go(note_run, s));
    n = rn_read(conn, buf, sizeof buf);
    s->switched |= s->other_ran;
    if (n > 0 && rn_go_when_readable(conn, read_and_rest, arg) == 0)
        rn_waitgroup_done(&s->done);
    else
        rn_close(conn);
}

RN_CORO_TEST_ON(a_handler_that_rested_reads_at_once, 1)
{
    static struct reads_at_once s;
    rn_conn *a, *b;

    s = (struct reads_at_once){0};
    rntest_pair(&a, &b);
    CHECK_OK(rn_go_when_readable(a, read_and_rest, &s));
    for (int i = 0; i < 5; i++) {
        rn_waitgroup_add(&s.done, 1);
        CHECK_EQ(rn_write(b, "x", 1), 1);
        CHECK_OK(rn_waitgroup_wait(&s.done));
    }
    CHECK(!s.switched);
    rn_close(b);
}

RN_CORO_TEST_ON(a_rest_without_memory_for_a_stack_waits_for_memory, 1)
{
    rn_conn *a, *b;
    struct rested r;

    rntest_pair(&a, &b);
    rest(a, &r);
    a = NULL;
    CHECK_OK(rn__sys_fail("mmap", ENOMEM, 1, 2));
    CHECK_OK(rn__sys_fail("madvise", ENOMEM, 1, 2)); /* whichever a new stack needs first */
    CHECK_EQ(rn_write(b, "x", 1), 1);
    CHECK_OK(rn_waitgroup_wait(&r.done));
    CHECK_EQ(r.result, 1);
    rn__sys_clear();
    rn_close(b);
}

static int rest_and_leave(void *arg)
{
    static struct rested r;
    rn_conn *a, *b;

    (void)arg;
    rntest_pair(&a, &b);
    rest(a, &r);
    return 0; /* neither a nor b is closed */
}

RN_TEST(what_a_run_leaves_open_is_closed_by_its_end)
{
    int fds = rntest_count_fds();

    CHECK_OK(rn_run(NULL, rest_and_leave, NULL));
    CHECK_EQ(rntest_count_fds(), fds);
}

/* P 2 is stuck when it is asked to look at what waits there, and does not look any more. */
static rn_conn *far_away[2];
static _Atomic int heard;

static void block_the_thread(void *arg)
{
    (void)arg;
    usleep(200000);
}

static void read_shielded(void *arg)
{
    char c;

    rn_shield_begin();
    (void)rn_read(arg, &c, 1);
    rn_shield_end();
}

static int leave_unheard(void *arg)
{
    (void)arg;
    rntest_pair(&far_away[0], &far_away[1]);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, read_shielded, far_away[1]));
    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, block_the_thread, NULL));
    CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
    rn_set_read_deadline(far_away[1], rn_after(RN_SECOND)); /* its home is there */
    return 0;
}

static void read_until_deadline(void *arg)
{
    char c;

    CHECK_EQ(rn_read(arg, &c, 1), -ETIME);
    heard++;
}

/* The slots of the run before are taken again; each must hear of what is asked from elsewhere. Who
 * dialled is at home here, who was accepted there, where it is read. */
static int be_heard(void *arg)
{
    rn_conn *c[8];

    (void)arg;
    for (int i = 0; i < 8; i += 2)
        rntest_pair(&c[i], &c[i + 1]);
    for (int i = 0; i < 8; i++) {
        if (i % 2 == 0)
            rn_set_read_deadline(c[i], rn_after(20 * RN_MILLISECOND));
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, read_until_deadline, c[i]));
        CHECK_OK(rn_sleep(10 * RN_MILLISECOND));
        if (i % 2 == 1)
            rn_set_read_deadline(c[i], rn_after(RN_MILLISECOND));
        for (int ms = 0; ms < 3000 && heard == i; ms++)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
        CHECK_EQ(heard, i + 1);
    }
    for (int i = 0; i < 8; i++)
        rn_close(c[i]);
    return 0;
}

RN_TEST(what_one_run_was_not_told_does_not_make_the_next_one_deaf)
{
    CHECK_OK(
        rn_run(&(rn_run_options){.procs = 2, .grace_ns = RN_MILLISECOND}, leave_unheard, NULL));
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, be_heard, NULL));
}

static _Atomic int rested, ended_by;

static void after_rest(rn_conn *conn, void *arg)
{
    char c;

    (void)arg;
    atomic_store(&ended_by, (int)rn_read(conn, &c, 1));
    rn_close(conn);
}

static void rest_again(rn_conn *conn, void *arg)
{
    char c;

    CHECK_EQ(rn_read(conn, &c, 1), 1);
    CHECK_OK(rn_go_when_readable(conn, after_rest, arg));
    atomic_fetch_add(&rested, 1);
}

static void serve_until_cancelled(void *arg)
{
    (void)rn_serve_listener(arg, NULL, rest_again, NULL);
    rn_listener_close(arg);
}

static int leave_a_served_one_at_rest(void *arg)
{
    char address[64];
    rn_listener *ln;
    rn_conn *c;

    (void)arg;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_go(serve_until_cancelled, ln));
    CHECK_OK(rn_dial("tcp", address, NULL, &c));
    CHECK_EQ(rn_write(c, "x", 1), 1);
    while (rested == 0)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    return 0;
}

/* What it has for its connection is its to release. */
RN_TEST(at_the_end_of_a_run_a_served_connection_at_rest_gets_its_handler)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, leave_a_served_one_at_rest, NULL));
    CHECK_EQ(ended_by, -ECANCELED);
}

/* ---- no memory for who rests ---- */

static int rests;

/* As where the handler is to start on another P, and has no stack. */
static void want_memory(struct rn__iowait *w)
{
    if (rests++ > 0)
        return;
    rn__iowait_leave_home(w);
    rn__mem_fail(1, 1); /* of the timer */
    rn__iowait_rest_again(w);
    CHECK_EQ(rn__mem_failures(), 1);
    rn__mem_fail(0, 0);
}

static int rest_without_home(void *arg)
{
    struct rn__iowait *w;
    int fds[2];

    (void)arg;
    CHECK_OK(pipe(fds));
    CHECK_OK(rn__iowait_open(fds[0], RN__ADD_PLAIN, &w));
    CHECK_OK(rn__iowait_rest(w, want_memory));
    CHECK_EQ(write(fds[1], "x", 1), 1);
    while (rests < 2)
        rn_yield();
    rn__iowait_close(w, false);
    CHECK_OK(close(fds[1]));
    return 0;
}

RN_TEST(who_rests_is_started_in_the_end_also_without_a_home_and_memory_for_a_timer)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1}, rest_without_home, NULL));
}
