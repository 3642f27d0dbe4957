/*
 * test_stress.c - many wake-ups, many seeds: what goes wrong once in a million times
 *
 * Each seed shuffles the run queues (RN_SCHED_SEED) and the order of what the test does; the seed
 * of a failure is printed. RNTEST_LONG, set by `./dev test --long`, runs hundreds of them.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "rntest_coro.h"
#include "task/coro.h"

static int n_seeds(void)
{
    return getenv("RNTEST_LONG") != NULL ? 400 : rntest_sanitized() ? 6 : 25;
}

/* A body under each seed, on two Ps, or three: more than there are CPUs here. */
static void with_seeds(int (*fn)(void *arg))
{
    for (int seed = 1; seed <= n_seeds(); seed++) {
        char text[16];

        snprintf(text, sizeof text, "%d", seed);
        setenv("RN_SCHED_SEED", text, 1);
        printf("seed %d\n", seed);
        fflush(stdout);
        CHECK_EQ(rn_run(&(rn_run_options){.procs = 2 + seed % 2}, fn, &seed), 0);
    }
}

/* ---- wake-ups across Ps ---- */

enum { NOTHING, TOKEN }; /* or a coroutine that waits for the token */

struct cell {
    _Atomic uintptr_t word;
};

static const struct rn__wait_kind wait_token = {.name = "token"};

static void take_token(struct cell *c)
{
    uintptr_t nothing = NOTHING;

    if (atomic_compare_exchange_strong(&c->word, &nothing, (uintptr_t)rn__self())) {
        rn__park(&wait_token, c);
        return;
    }
    CHECK_EQ(nothing, TOKEN);
    atomic_store(&c->word, NOTHING);
}

static void give_token(struct cell *c)
{
    uintptr_t nothing = NOTHING;

    if (atomic_compare_exchange_strong(&c->word, &nothing, TOKEN))
        return;
    CHECK(nothing != TOKEN);
    atomic_store(&c->word, NOTHING);
    rn__ready((struct rn__coro *)nothing);
}

struct player {
    struct cell *mine, *other;
    long times;
    bool first;
    rn_waitgroup *done;
};

static void play(void *arg)
{
    struct player *p = arg;

    for (long i = 0; i < p->times; i++) {
        if (p->first)
            give_token(p->other);
        take_token(p->mine);
        if (!p->first)
            give_token(p->other);
    }
    rn_waitgroup_done(p->done);
}

/* pairs of coroutines, one of each on P 1 and on P 2, hand a token to and fro. */
static void play_pairs(int pairs, long wakes)
{
    struct cell *cells = calloc((size_t)pairs * 2, sizeof *cells);
    struct player *players = calloc((size_t)pairs * 2, sizeof *players);
    static rn_waitgroup done;

    for (int i = 0; i < pairs * 2; i++) {
        players[i] = (struct player){.mine = &cells[i],
                                     .other = &cells[i ^ 1],
                                     .times = wakes / (pairs * 2),
                                     .first = i % 2 == 0,
                                     .done = &done};
        rn_waitgroup_add(&done, 1);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i % 2}, play, &players[i]));
    }
    CHECK_OK(rn_waitgroup_wait(&done));
    free(cells);
    free(players);
}

static int play_all(void *arg)
{
    long scale = rntest_sanitized() ? 20 : 1;

    (void)arg;
    play_pairs(64, 10000000 / scale); /* Ps that seldom sleep */
    play_pairs(1, 300000 / scale);    /* and Ps that sleep before nearly every wake */
    play_pairs(3, 300000 / scale);
    return 0;
}

RN_TEST_TIMEOUT(ten_million_wake_ups_across_procs_lose_none, 120)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, play_all, NULL));
}

/* ---- steal against exit, spawn storms ---- */

static atomic_long leaves;

static void branch(void *arg)
{
    long depth = (long)arg;

    if (depth == 0) {
        atomic_fetch_add(&leaves, 1);
        return;
    }
    CHECK_OK(rn_go(branch, (void *)(depth - 1)));
    if (depth % 3 == 0)
        rn_yield();
    CHECK_OK(rn_go(branch, (void *)(depth - 1)));
}

static int grow_tree(void *arg)
{
    (void)arg;
    atomic_store(&leaves, 0);
    CHECK_OK(rn_go(branch, (void *)12L));
    while (atomic_load(&leaves) < 1 << 12)
        CHECK_OK(rn_sleep(100 * RN_MICROSECOND));
    return 0;
}

RN_TEST_TIMEOUT(trees_of_coroutines_are_stolen_and_end, 120)
{
    with_seeds(grow_tree);
}

/* ---- deadline and cancel against data ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct race {
    rn_conn *a, *b;
    rn_ref ref;
    ssize_t result;
    uint64_t random;
    rn_waitgroup done;
};

static void race_reader(void *arg)
{
    struct race *r = arg;
    char buf[8];

    r->result = rn_read(r->a, buf, sizeof buf);
    rn_waitgroup_done(&r->done);
}

static void race_writer(void *arg)
{
    struct race *r = arg;

    if (r->random % 3 == 0)
        (void)rn_sleep((rn_time)(r->random % 200) * RN_MICROSECOND);
    CHECK_EQ(rn_write(r->b, "x", 1), 1);
    rn_waitgroup_done(&r->done);
}

static void race_canceller(void *arg)
{
    struct race *r = arg;

    if (r->random % 2 == 0)
        (void)rn_sleep((rn_time)(r->random % 100) * RN_MICROSECOND);
    (void)rn_cancel_ref(r->ref);
    rn_waitgroup_done(&r->done);
}

static int race_all(void *arg)
{
    uint64_t random = (uint64_t) * (int *)arg * 0x9e3779b97f4a7c15U + 1;

    for (int i = 0; i < 40; i++) {
        struct race r = {.random = next_random(&random)};
        rn_time deadline = 0;

        rntest_pair(&r.a, &r.b);
        r.ref = rn_conn_ref(r.a);
        if (r.random % 4 == 0)
            deadline = rn_after((rn_time)(r.random % 150) * RN_MICROSECOND);
        rn_set_read_deadline(r.a, deadline);
        rn_waitgroup_add(&r.done, 3);
        CHECK_OK(
            rn_go_with(&(rn_go_options){.proc = 1 + (int)(r.random >> 8) % 2}, race_reader, &r));
        CHECK_OK(
            rn_go_with(&(rn_go_options){.proc = 1 + (int)(r.random >> 9) % 2}, race_writer, &r));
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + (int)(r.random >> 10) % 2}, race_canceller,
                            &r));
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK(r.result == 1 || r.result == -ECANCELED || (deadline != 0 && r.result == -ETIME));
        rn_close(r.a);
        rn_close(r.b);
    }
    return 0;
}

RN_TEST_TIMEOUT(data_deadline_and_cancel_race_and_one_of_them_wins, 120)
{
    with_seeds(race_all);
}

/* ---- descriptors reused at once ---- */

static void churn(void *arg)
{
    rn_waitgroup *done = arg;
    char buf[4];

    for (int i = 0; i < 60; i++) {
        rn_conn *a, *b;

        rntest_pair(&a, &b);
        rn_set_read_deadline(a, rn_after(20 * RN_MICROSECOND));
        CHECK_EQ(rn_read(a, buf, 1), -ETIME); /* registered, and soon somebody else's number */
        rn_set_read_deadline(a, 0);
        CHECK_EQ(rn_write(b, "1", 1), 1);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 1);
        rn_close(b);
        CHECK_EQ(rn_read(a, buf, sizeof buf), 0);
        rn_close(a);
    }
    rn_waitgroup_done(done);
}

static int churn_all(void *arg)
{
    static rn_waitgroup done;

    (void)arg;
    for (int i = 0; i < 8; i++) {
        rn_waitgroup_add(&done, 1);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i % 2}, churn, &done));
    }
    return rn_waitgroup_wait(&done);
}

RN_TEST_TIMEOUT(a_descriptor_number_reused_at_once_meets_no_stale_event, 120)
{
    with_seeds(churn_all);
}

/* ---- rest against data, deadline, cancel, drain ---- */

static atomic_int handled;

static void count_handled(rn_conn *conn, void *arg)
{
    char buf[8];

    (void)arg;
    (void)rn_read(conn, buf, sizeof buf);
    atomic_fetch_add(&handled, 1);
    rn_close(conn);
}

static void write_and_close(void *arg)
{
    (void)rn_write(arg, "x", 1);
    rn_close(arg);
}

static void cancel_by_ref(void *arg)
{
    rn_ref *ref = arg;

    (void)rn_cancel_ref(*ref);
    free(ref);
}

static int rest_all(void *arg)
{
    uint64_t random = (uint64_t) * (int *)arg * 0x9e3779b97f4a7c15U + 5;
    rn_time until;

    atomic_store(&handled, 0);
    for (int i = 0; i < 100; i++) {
        uint64_t r = next_random(&random);
        rn_ref *ref = malloc(sizeof *ref);
        rn_conn *a, *b;

        rntest_pair(&a, &b);
        *ref = rn_conn_ref(a);
        if (r % 3 == 0)
            rn_set_read_deadline(a, rn_after((rn_time)(r % 100) * RN_MICROSECOND));
        CHECK_OK(rn_go_when_readable(a, count_handled, NULL));
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + (int)(r >> 8) % 2}, cancel_by_ref, ref));
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + (int)(r >> 9) % 2}, write_and_close, b));
    }
    until = rn_after(60 * RN_SECOND);
    while (atomic_load(&handled) < 100 && rn_now() < until)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK_EQ(atomic_load(&handled), 100); /* each exactly once */
    return 0;
}

RN_TEST_TIMEOUT(a_rest_ends_exactly_once_whatever_ends_it, 120)
{
    with_seeds(rest_all);
}
