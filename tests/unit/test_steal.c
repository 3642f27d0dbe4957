/*
 * test_steal.c - new coroutines: who runs them, and where their stacks go
 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "base/sys.h"
#include "rntest_coro.h"

static atomic_int ran;

static void run_one(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ran, 1);
}

static void wait_for(const atomic_int *n, int least)
{
    while (atomic_load(n) < least)
        ;
}

/* ---- a P that is held ---- */

static atomic_int held, let_go;

static void hold(void *arg)
{
    (void)arg;
    atomic_store(&held, 1);
    wait_for(&let_go, 1);
}

RN_CORO_TEST(who_yields_lets_those_run_that_it_has_started)
{
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, hold, NULL)); /* nobody else could */
    wait_for(&held, 1);
    for (int i = 0; i < 10; i++) {
        CHECK_OK(rn_go(run_one, NULL));
        rn_yield();
        rn_yield(); /* the first may have gone by way of the scheduler */
        CHECK_EQ(atomic_load(&ran), i + 1);
    }
    atomic_store(&let_go, 1);
}

static atomic_long not_ended;

static void end_at_once(void *arg)
{
    (void)arg;
    atomic_fetch_sub(&not_ended, 1);
}

RN_CORO_TEST_ON(who_spawns_at_each_turn_does_not_outrun_what_it_spawned, 2)
{
    long most = 0;

    for (int i = 0; i < 20000; i++) {
        long n = atomic_fetch_add(&not_ended, 1) + 1;

        most = n > most ? n : most;
        CHECK_OK(rn_go(end_at_once, NULL));
        rn_yield();
    }
    CHECK(most < 2000); /* the ring, and a few ticks */
    while (atomic_load(&not_ended) > 0)
        rn_yield();
}

static void busy(rn_time span)
{
    rn_time until = rn_now() + span;

    while (rn_now() < until)
        ;
}

/* Never lets go of its P: only the other one can run what it starts, awake, asleep or napping, and
 * while messages come in for it. */
static int start_and_hold(void *arg)
{
    int n = 0;

    for (int i = 0; i < *(int *)arg; i++) {
        busy(i % 8 * 40 * RN_MICROSECOND);
        if (i % 3 == 0) {
            CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, run_one, NULL));
            n++;
        }
        if (i % 5 == 0)
            wait_for(&ran, n);
        CHECK_OK(rn_go(run_one, NULL));
        wait_for(&ran, ++n);
    }
    return 0;
}

RN_TEST_TIMEOUT(what_a_held_p_has_started_is_taken_by_the_other, 60)
{
    int times = rntest_sanitized() ? 200 : 1000;

    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, start_and_hold, &times));
    atomic_store(&ran, 0);
    CHECK_OK(setenv("RN_SCHED_SEED", "7", 1));
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, start_and_hold, &times));
}

/* ---- more than the ring has room for ---- */

#define MANY 2000

static atomic_int ran_on[2];
static rn_waitgroup all;

/* On P 1 it holds on until the other P has run as many. */
static void keep_pace(void *arg)
{
    int p = rn_proc_id() - 1, n = atomic_fetch_add(&ran_on[p], 1) + 1;

    (void)arg;
    while (p == 0 && atomic_load(&ran_on[1]) < n && n + atomic_load(&ran_on[1]) < MANY)
        ;
    rn_waitgroup_done(&all);
}

static int start_many(void *arg)
{
    (void)arg;
    rn_waitgroup_add(&all, MANY);
    for (int i = 0; i < MANY; i++)
        CHECK_OK(rn_go(keep_pace, NULL));
    CHECK_OK(rn_waitgroup_wait(&all));
    return 0;
}

RN_TEST(those_that_the_ring_has_no_room_for_are_shared_to_the_last)
{
    CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, start_many, NULL));
}

/* ---- sleeps are exact ---- */

static int timer_slack(void *arg)
{
    (void)arg;
    return prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
}

RN_TEST(a_run_gives_its_thread_the_timer_slack_back)
{
    int before = timer_slack(NULL);

    if (rn_run(NULL, timer_slack, NULL) != 1)
        RN_TEST_SKIP("no timer slack here");
    CHECK_EQ(timer_slack(NULL), before);
    CHECK_OK(rn__sys_fail("prctl", EPERM, 1, 2)); /* a filter: it runs even so */
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, timer_slack, NULL), before);
    rn__sys_clear();
}

/* ---- stacks ---- */

static uint64_t calls_of(const char *name)
{
    rn_stats *s;
    uint64_t n = 0;

    CHECK_OK(rn_stats_get(&s));
    for (int i = 0; i < s->n_calls; i++)
        if (strcmp(s->total.calls[i].name, name) == 0)
            n = s->total.calls[i].calls;
    rn_stats_free(s);
    return n;
}

static rn_waitgroup done;

static void end(void *arg)
{
    (void)arg;
    rn_waitgroup_done(&done);
}

/* Where a stack has no pages, or none was left, madvise has been called for it. */
RN_CORO_TEST(stacks_that_end_on_another_p_come_back_with_their_pages)
{
    for (int i = 0; i < 80; i++) {
        rn_waitgroup_add(&done, 100);
        for (int k = 0; k < 100; k++)
            CHECK_OK(rn_go_with(&(rn_go_options){.proc = 2}, end, NULL));
        CHECK_OK(rn_waitgroup_wait(&done));
    }
    CHECK(calls_of("madvise") < 2000);
}

/* ---- by a plain thread, while runs end ---- */

static atomic_bool enough;

static void *start_from_outside(void *arg)
{
    rn_stats *s;

    (void)arg;
    while (!atomic_load(&enough)) {
        (void)rn_go_with(&(rn_go_options){.proc = 2}, run_one, NULL);
        (void)rn_go(run_one, NULL);
        CHECK(rn_procs() <= 2 && rn_poller() != NULL);
        CHECK_OK(rn_stats_get(&s)); /* which allocates */
        rn_stats_free(s);
    }
    return NULL;
}

static int return_at_once(void *arg)
{
    (void)arg;
    return 0;
}

RN_TEST_TIMEOUT(a_plain_thread_names_a_p_while_the_run_ends, 60)
{
    pthread_t threads[2];
    int times = rntest_sanitized() ? 20 : 50;

    for (int i = 0; i < 2; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, start_from_outside, NULL));
    for (int i = 0; i < times; i++)
        CHECK_OK(rn_run(&(rn_run_options){.procs = 2}, return_at_once, NULL));
    atomic_store(&enough, true);
    for (int i = 0; i < 2; i++)
        CHECK_OK(pthread_join(threads[i], NULL));
}
