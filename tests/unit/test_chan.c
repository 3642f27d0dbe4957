/*
 * test_chan.c - channels and select
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "rntest_coro.h"

#define MS RN_MILLISECOND

static rn_chan *make_chan(size_t capacity)
{
    rn_chan *ch = NULL;

    CHECK_OK(rn_chan_new(sizeof(int), capacity, &ch));
    return ch;
}

/* A coroutine that sends or receives once, and what came of it. */
struct one {
    rn_chan *ch;
    bool sends;
    int value;
    int result;
    rn_waitgroup done;
};

static void pass_one(void *arg)
{
    struct one *o = arg;

    o->result = o->sends ? rn_chan_send(o->ch, &o->value) : rn_chan_recv(o->ch, &o->value);
    rn_waitgroup_done(&o->done);
}

static void start_one(struct one *o, rn_chan *ch, bool sends, int value, int proc)
{
    *o = (struct one){.ch = ch, .sends = sends, .value = value, .result = 1};
    rn_waitgroup_add(&o->done, 1);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, pass_one, o));
}

static void end_one(struct one *o, int result)
{
    CHECK_OK(rn_waitgroup_wait(&o->done));
    CHECK_EQ(o->result, result);
}

/* ---- channels ---- */

RN_CORO_TEST(a_channel_keeps_order_up_to_its_capacity)
{
    rn_chan *ch = make_chan(3);
    int v;

    for (int round = 0; round < 5; round++) { /* the ring wraps */
        CHECK_EQ(rn_chan_try_recv(ch, &v), 0);
        for (int i = 0; i < 3; i++)
            CHECK_OK(rn_chan_send(ch, &(int){round * 10 + i}));
        CHECK_EQ(rn_chan_len(ch), 3);
        CHECK_EQ(rn_chan_try_send(ch, &(int){99}), 0);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(rn_chan_recv(ch, &v), 0);
            CHECK_EQ(v, round * 10 + i);
        }
    }
    rn_chan_free(ch);
}

RN_CORO_TEST(an_unbuffered_send_waits_for_its_receive)
{
    for (int proc = 1; proc <= 2; proc++) {
        rn_chan *ch = make_chan(0);
        struct one s, r;
        int v;

        start_one(&s, ch, true, 7, proc);
        CHECK_OK(rn_sleep(5 * MS));
        CHECK_EQ(s.result, 1); /* waits */
        CHECK_OK(rn_chan_recv(ch, &v));
        CHECK_EQ(v, 7);
        end_one(&s, 0);
        start_one(&r, ch, false, 0, proc);
        while (rn_chan_try_send(ch, &(int){8}) == 0)
            CHECK_OK(rn_sleep(MS)); /* until it waits */
        end_one(&r, 0);
        CHECK_EQ(r.value, 8);
        rn_chan_free(ch);
    }
}

RN_CORO_TEST(waiting_senders_get_in_in_their_order)
{
    rn_chan *ch = make_chan(1);
    struct one s[4];
    int v;

    CHECK_OK(rn_chan_send(ch, &(int){0}));
    for (int i = 0; i < 4; i++) {
        start_one(&s[i], ch, true, i + 1, 1);
        CHECK_OK(rn_sleep(2 * MS));
    }
    for (int i = 0; i < 5; i++) {
        CHECK_OK(rn_chan_recv(ch, &v));
        CHECK_EQ(v, i);
    }
    for (int i = 0; i < 4; i++)
        end_one(&s[i], 0);
    rn_chan_free(ch);
}

RN_CORO_TEST(close_wakes_all_and_leaves_what_is_in_it)
{
    rn_chan *full = make_chan(1), *empty = make_chan(0);
    struct one s[3], r[3];
    int v = 0;

    CHECK_OK(rn_chan_send(full, &(int){5}));
    for (int i = 0; i < 3; i++) {
        start_one(&s[i], full, true, 6, 1 + i % 2);
        start_one(&r[i], empty, false, 0, 1 + i % 2);
    }
    CHECK_OK(rn_sleep(10 * MS));
    rn_chan_close(full);
    rn_chan_close(full);
    rn_chan_close(empty);
    for (int i = 0; i < 3; i++) {
        end_one(&s[i], -EPIPE);
        end_one(&r[i], -EPIPE);
    }
    CHECK_EQ(rn_chan_send(full, &v), -EPIPE);
    CHECK_EQ(rn_chan_try_send(full, &v), -EPIPE);
    CHECK_OK(rn_chan_recv(full, &v));
    CHECK_EQ(v, 5);
    CHECK_EQ(rn_chan_recv(full, &v), -EPIPE);
    CHECK_EQ(rn_chan_try_recv(full, &v), -EPIPE);
    rn_chan_free(full);
    rn_chan_free(empty);
}

RN_CORO_TEST_ON(items_may_be_large_or_nothing, 1)
{
    static char big[65536], got[65536];
    rn_chan *ch;

    memset(big, 'x', sizeof big);
    CHECK_OK(rn_chan_new(sizeof big, 2, &ch));
    CHECK_OK(rn_chan_send(ch, big));
    CHECK_OK(rn_chan_recv(ch, got));
    CHECK_MEM(big, got, sizeof big);
    rn_chan_free(ch);
    CHECK_OK(rn_chan_new(0, 1, &ch));
    CHECK_OK(rn_chan_send(ch, NULL));
    CHECK_EQ(rn_chan_try_send(ch, NULL), 0);
    CHECK_OK(rn_chan_recv(ch, NULL));
    rn_chan_free(ch);
    ch = NULL;
    CHECK_EQ(rn_chan_new(65537, 0, &ch), -EINVAL);
    CHECK_EQ(rn_chan_new(65536, SIZE_MAX / 2, &ch), -ENOMEM);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_chan_new(4, 4, &ch), -ENOMEM);
    CHECK(ch == NULL);
    rn_chan_free(NULL);
}

RN_CORO_TEST(the_last_reference_frees_a_channel)
{
    rn_chan *ch = make_chan(1), *same = rn_chan_ref(ch);
    int v;

    CHECK_OK(rn_chan_send(ch, &(int){1}));
    rn_chan_free(ch);
    CHECK_OK(rn_chan_recv(same, &v));
    CHECK_EQ(v, 1);
    rn_chan_free(same);
}

/* ---- plain threads ---- */

static void *send_from_thread(void *arg)
{
    rn_chan *ch = arg;
    int v, sent = 0;

    while (sent < 1000) {
        int r = rn_chan_try_send(ch, &sent);

        CHECK(r >= 0);
        sent += r;
        if (r == 0)
            usleep(20); /* full: valgrind would let nobody else run */
    }
    v = 0;
    while (rn_chan_len(ch) > 0)
        usleep(100);
    CHECK_EQ(rn_chan_recv(ch, &v), -EDEADLK); /* empty: it would have to wait */
    rn_chan_close(ch);
    return NULL;
}

RN_CORO_TEST(a_plain_thread_sends_tries_and_closes)
{
    rn_chan *ch = make_chan(16);
    pthread_t t;
    int v;

    CHECK_EQ(pthread_create(&t, NULL, send_from_thread, ch), 0);
    for (int i = 0; i < 1000; i++) {
        CHECK_OK(rn_chan_recv(ch, &v));
        CHECK_EQ(v, i);
    }
    CHECK_EQ(rn_chan_recv(ch, &v), -EPIPE);
    CHECK_EQ(pthread_join(t, NULL), 0);
    rn_chan_free(ch);
}

/* ---- who runs when ---- */

struct turns {
    rn_chan *there, *back;
    int first;  /* who ran first: 'r' the receiver, 'o' one of the others */
    long trips; /* of the two who pass items */
    long most;  /* of them between two turns of a third */
    bool over;
};

static void receive_first(void *arg)
{
    struct turns *t = arg;
    int v;

    CHECK_OK(rn_chan_recv(t->there, &v));
    if (t->first == 0)
        t->first = 'r';
}

static void be_other(void *arg)
{
    struct turns *t = arg;

    if (t->first == 0)
        t->first = 'o';
}

RN_CORO_TEST_ON(who_is_handed_an_item_runs_before_those_who_wait_for_their_turn, 1)
{
    struct turns t = {.there = make_chan(0)};

    CHECK_OK(rn_go(receive_first, &t));
    rn_yield(); /* it waits */
    for (int i = 0; i < 3; i++)
        CHECK_OK(rn_go(be_other, &t));
    CHECK_OK(rn_chan_send(t.there, &(int){1}));
    CHECK_EQ(t.first, 0); /* not at once, but when its sender stops */
    rn_yield();
    CHECK_EQ(t.first, 'r');
    rn_yield();
    rn_chan_free(t.there);
}

static int send_back(void *arg)
{
    struct turns *t = arg;
    int v;

    while (rn_chan_recv(t->there, &v) == 0)
        CHECK_OK(rn_chan_send(t->back, &v));
    return 0;
}

static int pass_to_and_fro(void *arg)
{
    struct turns *t = arg;
    int v = 0;

    while (!t->over) {
        CHECK_OK(rn_chan_send(t->there, &v));
        CHECK_OK(rn_chan_recv(t->back, &v));
        t->trips++;
    }
    rn_chan_close(t->there);
    return 0;
}

/* Each is the next to run for the other, always. */
RN_CORO_TEST_ON(two_who_pass_items_to_and_fro_let_the_others_run, 1)
{
    struct turns t = {.there = make_chan(0), .back = make_chan(0)};
    rn_group g = RN_GROUP_INIT;

    CHECK_OK(rn_group_go(&g, send_back, &t));
    CHECK_OK(rn_group_go(&g, pass_to_and_fro, &t));
    for (int i = 0; i < 1000; i++) {
        long before = t.trips;

        rn_yield();
        if (t.trips - before > t.most)
            t.most = t.trips - before;
    }
    t.over = true;
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK(t.trips >= 1000);
    CHECK(t.most <= 16);
    rn_chan_free(t.there);
    rn_chan_free(t.back);
}

/* ---- select ---- */

RN_CORO_TEST(select_does_what_can_be_done_at_once)
{
    rn_chan *a = make_chan(1), *b = make_chan(1);
    int in = 0, out = 3;
    rn_select_case cases[] = {{.chan = a, .op = RN_SELECT_RECV, .item = &in},
                              {.chan = b, .op = RN_SELECT_SEND, .item = &out},
                              {.chan = NULL, .op = RN_SELECT_RECV}};

    CHECK_EQ(rn_select(cases, 3, 0), 1);
    CHECK_EQ(cases[1].result, 0);
    CHECK_EQ(rn_select(cases, 3, 1), -ETIME); /* b is full, a empty */
    CHECK_OK(rn_chan_send(a, &(int){4}));
    CHECK_EQ(rn_select(cases, 3, 1), 0);
    CHECK_EQ(in, 4);
    rn_chan_close(a);
    CHECK_EQ(rn_select(cases, 1, 0), 0);
    CHECK_EQ(cases[0].result, -EPIPE);
    rn_chan_free(a);
    rn_chan_free(b);
}

RN_CORO_TEST(select_refuses_what_it_does_not_know)
{
    rn_select_case c = {.op = (enum rn_select_op)7};

    CHECK_EQ(rn_select(&c, 1, 1), -EINVAL);
    CHECK_EQ(rn_select(&c, -1, 1), -EINVAL);
    CHECK_EQ(rn_select(&c, 257, 1), -EINVAL);
    CHECK_EQ(rn_select(NULL, 0, rn_after(2 * MS)), -ETIME);
}

RN_CORO_TEST(select_is_fair_to_its_cases)
{
    rn_chan *a = make_chan(1), *b = make_chan(1);
    int v, times[2] = {0};
    rn_select_case cases[] = {{.chan = a, .item = &v}, {.chan = b, .item = &v}};

    for (int i = 0; i < 1000; i++) {
        (void)rn_chan_try_send(a, &i);
        (void)rn_chan_try_send(b, &i);
        times[rn_select(cases, 2, 0)]++;
    }
    CHECK(times[0] > 300 && times[1] > 300);
    rn_chan_free(a);
    rn_chan_free(b);
}

struct selecting {
    rn_chan *a, *b;
    rn_time deadline;
    int index, result, value;
    rn_waitgroup done;
};

/* Receives from a, or sends to b, whichever comes first. */
static void select_once(void *arg)
{
    struct selecting *s = arg;
    int out = 42;
    rn_select_case cases[] = {{.chan = s->a, .op = RN_SELECT_RECV, .item = &s->value},
                              {.chan = s->b, .op = RN_SELECT_SEND, .item = &out}};

    s->index = rn_select(cases, 2, s->deadline);
    if (s->index >= 0)
        s->result = cases[s->index].result;
    rn_waitgroup_done(&s->done);
}

static void start_select(struct selecting *s, rn_chan *a, rn_chan *b, rn_time deadline, int proc)
{
    *s = (struct selecting){.a = a, .b = b, .deadline = deadline, .index = -1000};
    rn_waitgroup_add(&s->done, 1);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = proc}, select_once, s));
    CHECK_OK(rn_sleep(3 * MS));
}

RN_CORO_TEST(a_waiting_select_is_woken_by_each_of_its_cases)
{
    for (int proc = 1; proc <= 2; proc++) {
        rn_chan *a = make_chan(0), *b = make_chan(0);
        struct selecting s;
        int v = 0;

        start_select(&s, a, b, 0, proc);
        CHECK_EQ(s.index, -1000);
        CHECK_OK(rn_chan_send(a, &(int){9}));
        CHECK_OK(rn_waitgroup_wait(&s.done));
        CHECK(s.index == 0 && s.result == 0 && s.value == 9);

        start_select(&s, a, b, 0, proc);
        CHECK_OK(rn_chan_recv(b, &v));
        CHECK_OK(rn_waitgroup_wait(&s.done));
        CHECK(s.index == 1 && s.result == 0 && v == 42);

        start_select(&s, a, b, rn_after(10 * MS), proc);
        CHECK_OK(rn_waitgroup_wait(&s.done));
        CHECK_EQ(s.index, -ETIME);
        CHECK_EQ(rn_chan_try_send(a, &v), 0); /* nothing of it is left in a */

        start_select(&s, a, b, 0, proc);
        rn_chan_close(b);
        CHECK_OK(rn_waitgroup_wait(&s.done));
        CHECK(s.index == 1 && s.result == -EPIPE);
        rn_chan_free(a);
        rn_chan_free(b);
    }
}

RN_CORO_TEST(two_selects_meet)
{
    rn_chan *a = make_chan(0), *b = make_chan(0);
    struct selecting s, t;

    start_select(&s, a, b, 0, 1);
    start_select(&t, b, a, 0, 2); /* receives from b, where s sends; sends to a, where s receives */
    CHECK_OK(rn_waitgroup_wait(&s.done));
    CHECK_OK(rn_waitgroup_wait(&t.done));
    CHECK_EQ(s.index + t.index, 1);
    CHECK_EQ(s.value + t.value, 42);
    rn_chan_free(a);
    rn_chan_free(b);
}

RN_CORO_TEST(a_channel_may_stand_in_several_cases)
{
    rn_chan *a = make_chan(0);
    int x = 0, y = 0, z = 5;
    rn_select_case cases[] = {{.chan = a, .item = &x},
                              {.chan = a, .item = &y},
                              {.chan = a, .op = RN_SELECT_SEND, .item = &z}};
    struct one s;

    CHECK_EQ(rn_select(cases, 3, rn_after(2 * MS)), -ETIME); /* does not meet itself */
    start_one(&s, a, true, 6, 1);
    CHECK_OK(rn_sleep(2 * MS));
    CHECK(rn_select(cases, 2, 0) >= 0);
    CHECK_EQ(x + y, 6);
    end_one(&s, 0);
    rn_chan_free(a);
}

/* ---- many at once ---- */

#define SENDERS 8
#define EACH 2000

struct flow {
    rn_chan *ch[3];
    _Atomic long sum;
    _Atomic int n;
    rn_waitgroup sent, received;
};

static void send_many(void *arg)
{
    struct flow *f = arg;

    for (int i = 1; i <= EACH; i++)
        CHECK_OK(rn_chan_send(f->ch[i % 3], &i));
    rn_waitgroup_done(&f->sent);
}

static void receive_any(void *arg)
{
    struct flow *f = arg;
    int v, open = 3;
    rn_select_case cases[3];

    for (int i = 0; i < 3; i++)
        cases[i] = (rn_select_case){.chan = f->ch[i], .item = &v};
    while (open > 0) {
        int i = rn_select(cases, 3, 0);

        CHECK(i >= 0);
        if (cases[i].result == 0) {
            f->sum += v;
            f->n++;
        } else {
            cases[i].chan = NULL;
            open--;
        }
    }
    rn_waitgroup_done(&f->received);
}

RN_CORO_TEST(nothing_is_lost_or_doubled_between_many_senders_and_selects)
{
    for (int capacity = 0; capacity < 3; capacity++) {
        struct flow f = {.n = 0};

        for (int i = 0; i < 3; i++)
            f.ch[i] = make_chan((size_t)capacity * 3);
        rn_waitgroup_add(&f.sent, SENDERS);
        rn_waitgroup_add(&f.received, SENDERS);
        for (int i = 0; i < SENDERS; i++) {
            CHECK_OK(rn_go(send_many, &f));
            CHECK_OK(rn_go(receive_any, &f));
        }
        CHECK_OK(rn_waitgroup_wait(&f.sent));
        for (int i = 0; i < 3; i++)
            rn_chan_close(f.ch[i]);
        CHECK_OK(rn_waitgroup_wait(&f.received));
        CHECK_EQ(f.n, SENDERS * EACH);
        CHECK_EQ(f.sum, (long)SENDERS * EACH * (EACH + 1) / 2);
        for (int i = 0; i < 3; i++)
            rn_chan_free(f.ch[i]);
    }
}

/* ---- a channel that outlives a run ---- */

static rn_chan *kept;

/* No cancel ends its wait: the run abandons it, and its stack goes. */
static void never_comes_back(void *arg)
{
    int v = 1;

    rn_shield_begin();
    if (arg == NULL) {
        (void)rn_chan_recv(kept, &v);
    } else {
        rn_select_case c = {.chan = kept, .item = &v, .op = RN_SELECT_SEND};

        (void)rn_select(&c, 1, 0);
    }
}

static int leave_waiters(void *arg)
{
    CHECK_OK(rn_go(never_comes_back, arg));
    CHECK_OK(rn_go(never_comes_back, arg));
    rn_yield();
    return 0;
}

static int pass_through(void *arg)
{
    struct one to;
    int v = 7;

    (void)arg;
    start_one(&to, kept, false, 0, 0);
    CHECK_OK(rn_chan_send(kept, &v));
    CHECK_OK(rn_waitgroup_wait(&to.done));
    CHECK_EQ(to.value, 7);
    CHECK_EQ(rn_chan_try_send(kept, &v), 0);
    return 0;
}

/* The kept one comes first, or last: it finds no room there. */
static int send_by_signal(void *arg)
{
    rn_chan *ch = make_chan(1);
    int signo = 0;

    (void)arg;
    CHECK_OK(rn_signal_notify(kept, SIGUSR1));
    CHECK_OK(rn_signal_notify(ch, SIGUSR1));
    CHECK_OK(raise(SIGUSR1));
    CHECK_OK(rn_chan_recv(ch, &signo));
    CHECK_EQ(signo, SIGUSR1);
    rn_signal_stop(kept);
    rn_signal_stop(ch);
    rn_chan_free(ch);
    return 0;
}

static void ignore_log(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

RN_TEST(waiters_that_a_run_abandons_are_gone_from_a_channel_that_outlives_it)
{
    rn_run_options o = {.procs = 1, .grace_ns = MS, .log = ignore_log};
    int v = 5, sends = 1;

    kept = make_chan(0);
    CHECK_OK(rn_run(&o, leave_waiters, NULL));
    CHECK_EQ(rn_chan_try_send(kept, &v), 0);
    CHECK_OK(rn_run(&o, leave_waiters, &sends));
    CHECK_OK(rn_run(&o, pass_through, NULL));
    CHECK_OK(rn_run(&o, leave_waiters, NULL));
    CHECK_OK(rn_run(&o, send_by_signal, NULL));
    CHECK_OK(rn_run(&o, leave_waiters, NULL));
    CHECK_OK(rn_run(&o, leave_waiters, NULL)); /* beside those that are gone */
    rn_chan_close(kept);
    CHECK_EQ(rn_chan_try_recv(kept, &v), -EPIPE);
    CHECK_OK(rn_run(&o, leave_waiters, NULL));
    rn_chan_free(kept);
    kept = make_chan(0);
    CHECK_OK(rn_run(&o, leave_waiters, NULL));
    rn_chan_free(kept);
}

/* Memory functions that know their own: what they did not give they must not get. */
static const uint64_t magic = 0x72756e6e656c0001;

static void *give_marked(void *arg, size_t bytes)
{
    uint64_t *at = malloc(bytes + 16);

    (void)arg;
    if (at == NULL)
        return NULL;
    *at = magic;
    return at + 2;
}

static void take_marked(void *arg, void *ptr)
{
    uint64_t *at = (uint64_t *)ptr - 2;

    (void)arg;
    CHECK(*at == magic);
    free(at);
}

static void *change_marked(void *arg, void *ptr, size_t bytes)
{
    uint64_t *at;

    if (ptr == NULL)
        return give_marked(arg, bytes);
    at = (uint64_t *)ptr - 2;
    CHECK(*at == magic);
    at = realloc(at, bytes + 16);
    return at == NULL ? NULL : at + 2;
}

static int free_and_make(void *arg)
{
    (void)arg;
    rn_chan_free(kept);
    kept = make_chan(4);
    return 0;
}

RN_TEST(a_channel_is_freed_as_it_was_allocated_before_a_run_or_in_it)
{
    rn_alloc own = {.alloc = give_marked, .realloc = change_marked, .free = take_marked};

    kept = make_chan(4);
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .alloc = &own}, free_and_make, NULL));
    rn_chan_free(kept); /* libc's free would not take what is not its own */
}
