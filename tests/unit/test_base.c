/*
 * test_base.c - what needs no system call: clock, errors, lists, timer heap, histogram, memory
 */
#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/heap.h"
#include "base/hist.h"
#include "base/list.h"
#include "base/mem.h"
#include "rntest.h"

#define RESULT_MIN ((ssize_t)(-SSIZE_MAX - 1))

/* Fixed seeds: a failure comes back. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* ---- clock ---- */

RN_TEST(the_clock_is_positive_and_never_goes_back)
{
    rn_time last = rn_now();

    CHECK(last > 0);
    for (int i = 0; i < 100000; i++) {
        rn_time now = rn_now();

        CHECK(now >= last);
        last = now;
    }
}

RN_TEST(units_of_time_are_nanoseconds)
{
    rn_time start = rn_now();

    CHECK_EQ(RN_MICROSECOND, 1000);
    CHECK_EQ(RN_MILLISECOND, 1000 * RN_MICROSECOND);
    CHECK_EQ(RN_SECOND, 1000 * RN_MILLISECOND);
    usleep(20000);
    CHECK(rn_now() - start >= 20 * RN_MILLISECOND);
}

RN_TEST(after_lies_a_span_ahead)
{
    rn_time before = rn_now(), at = rn_after(5 * RN_SECOND);

    CHECK(at >= before + 5 * RN_SECOND);
    CHECK(at <= rn_now() + 5 * RN_SECOND);
    before = rn_now();
    at = rn_after(0);
    CHECK(at >= before && at <= rn_now());
}

RN_TEST(after_a_negative_span_has_passed)
{
    rn_time at = rn_after(-RN_MILLISECOND);

    CHECK(at > 0);
    CHECK(at < rn_now());
    CHECK_EQ(rn_after(INT64_MIN), 1);
    CHECK_EQ(rn_after(-rn_now() - RN_SECOND), 1);
}

RN_TEST(deadlines_saturate_at_the_end_of_time)
{
    CHECK_EQ(rn_after(INT64_MAX), RN__TIME_NEVER);
    CHECK_EQ(rn__time_add(1, INT64_MAX), RN__TIME_NEVER);
    CHECK_EQ(rn__time_add(INT64_MAX, 1), RN__TIME_NEVER);
    CHECK_EQ(rn__time_add(INT64_MAX, INT64_MAX), RN__TIME_NEVER);
    CHECK_EQ(rn__time_add(INT64_MAX, 0), RN__TIME_NEVER);
    CHECK_EQ(rn__time_add(INT64_MAX - 1, 1), RN__TIME_NEVER);
    CHECK_EQ(rn__time_add(INT64_MAX - 2, 1), INT64_MAX - 1);
}

RN_TEST(deadlines_saturate_at_1_and_are_never_0)
{
    CHECK_EQ(rn__time_add(0, 0), 1);
    CHECK_EQ(rn__time_add(5, -5), 1);
    CHECK_EQ(rn__time_add(5, -4), 1);
    CHECK_EQ(rn__time_add(5, -3), 2);
    CHECK_EQ(rn__time_add(5, -6), 1);
    CHECK_EQ(rn__time_add(-5, 5), 1);
    CHECK_EQ(rn__time_add(-1, INT64_MIN), 1);
    CHECK_EQ(rn__time_add(INT64_MIN, INT64_MIN), 1);
    CHECK_EQ(rn__time_add(INT64_MIN, INT64_MAX), 1);
    CHECK_EQ(rn__time_add(INT64_MAX, INT64_MIN), 1);
    CHECK_EQ(rn__time_add(1, INT64_MIN), 1);
}

/* ---- errors ---- */

RN_TEST(error_texts_know_0_and_both_signs)
{
    CHECK_STR(rn_strerror(0), "success");
    CHECK_STR(rn_error_name(0), "OK");
    CHECK_STR(rn_strerror(-ECONNREFUSED), "Connection refused");
    CHECK_STR(rn_strerror(ECONNREFUSED), "Connection refused");
    CHECK_STR(rn_error_name(-ECONNREFUSED), "ECONNREFUSED");
    CHECK_STR(rn_error_name(ECONNREFUSED), "ECONNREFUSED");
    CHECK_STR(rn_error_name(-EAGAIN), "EAGAIN");
    CHECK_STR(rn_error_name(-EPERM), "EPERM");
}

RN_TEST(a_deadline_is_named_apart_from_the_kernels_timeout)
{
    CHECK_STR(rn_error_name(-ETIME), "ETIME");
    CHECK_STR(rn_strerror(-ETIME), "deadline passed");
    CHECK_STR(rn_error_name(-ETIMEDOUT), "ETIMEDOUT");
    CHECK(strcmp(rn_strerror(-ETIMEDOUT), "deadline passed") != 0);
}

RN_TEST(each_own_error_has_its_name_and_text)
{
    for (int e = RN_EBASE; e < RN_EEND; e++) {
        CHECK_EQ(strncmp(rn_error_name(-e), "RN_E", 4), 0);
        CHECK_STR(rn_error_name(e), rn_error_name(-e));
        CHECK_STR(rn_strerror(e), rn_strerror(-e));
        CHECK(strcmp(rn_strerror(-e), "unknown error") != 0);
        for (int other = RN_EBASE; other < e; other++) {
            CHECK(strcmp(rn_error_name(-e), rn_error_name(-other)) != 0);
            CHECK(strcmp(rn_strerror(-e), rn_strerror(-other)) != 0);
        }
    }
    CHECK_EQ(RN_EBASE, 4096);
    CHECK_STR(rn_error_name(-RN_EADDRESS), "RN_EADDRESS");
}

RN_TEST(what_no_table_knows_is_unknown_not_NULL)
{
    static const ssize_t strangers[] = {-RN_EEND,
                                        RN_EEND,
                                        RN_EBASE - 1,
                                        1 - RN_EBASE,
                                        41,
                                        4095,
                                        1000000,
                                        INT_MAX,
                                        INT_MIN,
                                        (ssize_t)INT_MAX + 1,
                                        (ssize_t)1 << 32,
                                        ((ssize_t)1 << 32) + EPERM,
                                        SSIZE_MAX,
                                        -SSIZE_MAX};

    for (size_t i = 0; i < RN_COUNT_OF(strangers); i++) {
        CHECK_STR(rn_error_name(strangers[i]), "E?");
        CHECK_STR(rn_strerror(strangers[i]), "unknown error");
    }
}

/* -SSIZE_MIN does not exist: its magnitude must be found without negating it. */
RN_TEST(the_smallest_ssize_t_is_an_unknown_error)
{
    CHECK_STR(rn_error_name(RESULT_MIN), "E?");
    CHECK_STR(rn_strerror(RESULT_MIN), "unknown error");
    CHECK(!rn_is_timeout(RESULT_MIN));
}

RN_TEST(is_timeout_is_true_for_ours_and_the_kernels_only)
{
    CHECK(rn_is_timeout(-ETIME));
    CHECK(rn_is_timeout(-ETIMEDOUT));
    CHECK(!rn_is_timeout(ETIME)); /* that many bytes */
    CHECK(!rn_is_timeout(ETIMEDOUT));
    CHECK(!rn_is_timeout(0));
    CHECK(!rn_is_timeout(-EAGAIN));
    CHECK(!rn_is_timeout(-ECANCELED));
}

RN_TEST(version_is_three_numbers)
{
    const char *v = rn_version();
    int dots = 0;

    CHECK(isdigit((unsigned char)v[0]));
    for (; *v != '\0'; v++) {
        CHECK(isdigit((unsigned char)*v) || (*v == '.' && isdigit((unsigned char)v[1])));
        dots += *v == '.';
    }
    CHECK_EQ(dots, 2);
    CHECK(rn_version() == rn_version());
}

RN_TEST(a_broken_invariant_says_which_and_aborts)
{
    char text[300];
    int fds[2], status;
    ssize_t n;
    pid_t pid;

    CHECK_EQ(pipe(fds), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        RN_ASSERT(fds[0] == -7);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    n = read(fds[0], text, sizeof text - 1);
    CHECK(n > 0);
    text[n] = '\0';
    CHECK(strstr(text, "broken invariant: fds[0] == -7 at ") != NULL);
    CHECK(strstr(text, "test_base.c:") != NULL);
}

/* ---- lists ---- */

struct item {
    int value;
    struct rn__snode link;
    struct rn__list node;
};

static int pop_value(struct rn__fifo *q)
{
    struct rn__snode *n = rn__fifo_pop(q);

    return n == NULL ? -1 : RN_CONTAINER(n, struct item, link)->value;
}

RN_TEST(a_zeroed_fifo_is_empty)
{
    struct rn__fifo q = {0};

    CHECK(rn__fifo_empty(&q));
    CHECK(rn__fifo_pop(&q) == NULL);
    CHECK(rn__fifo_pop(&q) == NULL);
    CHECK(rn__fifo_empty(&q));
}

RN_TEST(a_fifo_keeps_order_and_lives_on_after_empty)
{
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    struct rn__fifo q = {0};

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 4; i++)
            rn__fifo_push(&q, &items[i].link);
        CHECK(!rn__fifo_empty(&q));
        for (int i = 0; i < 4; i++)
            CHECK_EQ(pop_value(&q), i);
        CHECK(rn__fifo_empty(&q));
        CHECK_EQ(pop_value(&q), -1);
    }
}

RN_TEST(a_fifo_pushed_in_front_pops_that_first)
{
    struct item items[5] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct rn__fifo q = {0};

    rn__fifo_push_front(&q, &items[2].link); /* into an empty one: head and tail */
    rn__fifo_push(&q, &items[3].link);
    rn__fifo_push_front(&q, &items[1].link);
    rn__fifo_push_front(&q, &items[0].link);
    rn__fifo_push(&q, &items[4].link);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(pop_value(&q), i);
    CHECK(rn__fifo_empty(&q));
}

RN_TEST(a_ring_keeps_order_and_removes_anywhere)
{
    struct item items[5];
    struct rn__list ring;

    rn__list_init(&ring);
    CHECK(rn__list_empty(&ring));
    CHECK(rn__list_pop(&ring) == NULL);
    for (int i = 0; i < 5; i++) {
        items[i].value = i;
        rn__list_push(&ring, &items[i].node);
    }
    rn__list_remove(&items[0].node); /* first, middle, last */
    rn__list_remove(&items[2].node);
    rn__list_remove(&items[4].node);
    CHECK(!rn__list_empty(&ring));
    CHECK_EQ(RN_CONTAINER(rn__list_pop(&ring), struct item, node)->value, 1);
    CHECK_EQ(RN_CONTAINER(rn__list_pop(&ring), struct item, node)->value, 3);
    CHECK(rn__list_pop(&ring) == NULL);
    CHECK(rn__list_empty(&ring));
}

RN_TEST(removing_from_no_ring_is_harmless)
{
    struct item a, b;
    struct rn__list ring;

    rn__list_init(&ring);
    rn__list_init(&a.node);
    rn__list_remove(&a.node);
    rn__list_push(&ring, &a.node);
    rn__list_push(&ring, &b.node);
    rn__list_remove(&a.node);
    rn__list_remove(&a.node); /* twice: it points to itself since the first */
    CHECK(rn__list_empty(&a.node));
    CHECK(rn__list_pop(&ring) == &b.node);
    rn__list_remove(&b.node); /* popped: in no ring either */
    CHECK(rn__list_empty(&ring));
}

/* ---- timer heap ---- */

#define TIMERS 400

struct model {
    struct rn__heap heap;
    struct rn__timer timers[TIMERS];
    rn_time at[TIMERS]; /* 0: idle */
};

static rn_time model_next(const struct model *m)
{
    rn_time least = RN__TIME_NEVER;

    for (int i = 0; i < TIMERS; i++)
        if (m->at[i] != 0 && m->at[i] < least)
            least = m->at[i];
    return least;
}

static void check_model(struct model *m)
{
    uint32_t armed = 0;

    for (int i = 0; i < TIMERS; i++) {
        struct rn__timer *t = &m->timers[i];

        CHECK_EQ(rn__timer_armed(t), m->at[i] != 0);
        if (m->at[i] == 0)
            continue;
        armed++;
        CHECK(t->slot >= 1 && t->slot <= m->heap.n);
        CHECK(m->heap.entries[t->slot].timer == t);
        CHECK_EQ(rn__heap_at(&m->heap, t), m->at[i]);
        CHECK_EQ(t->kind, i);
    }
    CHECK_EQ(armed, m->heap.n);
    CHECK_EQ(rn__heap_next(&m->heap), model_next(m));
}

static void pop_due(struct model *m, rn_time now)
{
    for (;;) {
        rn_time least = model_next(m);
        struct rn__timer *t = rn__heap_pop(&m->heap, now);

        if (least > now || least == RN__TIME_NEVER) {
            CHECK(t == NULL);
            return;
        }
        CHECK(t != NULL);
        CHECK_EQ(m->at[t->kind], least);
        CHECK(!rn__timer_armed(t));
        m->at[t->kind] = 0;
    }
}

static void init_model(struct model *m)
{
    memset(m, 0, sizeof *m);
    rn__heap_init(&m->heap);
    for (uint32_t i = 0; i < TIMERS; i++)
        m->timers[i].kind = i;
}

/* range: how many different times there are; few of them make many equal ones. */
static void run_model(uint64_t seed, uint64_t range, int operations)
{
    struct model m;
    rn_time now = 1;

    init_model(&m);
    for (int i = 0; i < operations; i++) {
        uint64_t r = next_random(&seed);
        size_t which = (size_t)(r >> 8) % TIMERS;

        if (r % 8 < 5) { /* set an idle one or move an armed one, earlier or later */
            rn_time at = now + (rn_time)((r >> 32) % range);

            CHECK_OK(rn__heap_set(&m.heap, &m.timers[which], at));
            m.at[which] = at;
        } else if (r % 8 < 7) {
            rn__heap_cancel(&m.heap, &m.timers[which]);
            m.at[which] = 0;
        } else {
            now += (rn_time)((r >> 32) % (range / 16 + 1));
            pop_due(&m, now);
        }
        CHECK_EQ(rn__heap_next(&m.heap), model_next(&m));
        if (i % 64 == 0)
            check_model(&m);
    }
    check_model(&m);
    pop_due(&m, RN__TIME_NEVER - 1);
    CHECK_EQ(m.heap.n, 0);
    rn__heap_free(&m.heap);
}

RN_TEST(heap_agrees_with_a_model_over_random_operations)
{
    run_model(0x9e3779b97f4a7c15, 1000000, 40000);
}

RN_TEST(heap_agrees_with_a_model_where_times_are_equal)
{
    run_model(0xda942042e4dd58b5, 4, 40000);
    run_model(0x2545f4914f6cdd1d, 1, 5000);
}

RN_TEST(heap_pops_in_order)
{
    struct model m;
    uint64_t seed = 42;
    rn_time last = 0;

    init_model(&m);
    for (int i = 0; i < TIMERS; i++)
        CHECK_OK(rn__heap_set(&m.heap, &m.timers[i], 1 + (rn_time)(next_random(&seed) % 5000)));
    for (int i = 0; i < TIMERS; i++) {
        rn_time at = rn__heap_next(&m.heap);

        CHECK(at >= last);
        last = at;
        CHECK(rn__heap_pop(&m.heap, at) != NULL);
    }
    CHECK(rn__heap_pop(&m.heap, RN__TIME_NEVER) == NULL);
    rn__heap_free(&m.heap);
}

RN_TEST(heap_pops_what_is_due_and_nothing_early)
{
    struct model m;

    init_model(&m);
    CHECK_EQ(rn__heap_next(&m.heap), RN__TIME_NEVER);
    CHECK(rn__heap_pop(&m.heap, RN__TIME_NEVER) == NULL);
    CHECK_OK(rn__heap_set(&m.heap, &m.timers[0], 100));
    CHECK(rn__heap_pop(&m.heap, 99) == NULL);
    CHECK(rn__timer_armed(&m.timers[0]));
    CHECK(rn__heap_pop(&m.heap, 100) == &m.timers[0]); /* due at its time, not after it */
    CHECK(!rn__timer_armed(&m.timers[0]));
    CHECK_EQ(rn__heap_next(&m.heap), RN__TIME_NEVER);
    rn__heap_free(&m.heap);
}

RN_TEST(heap_cancel_is_harmless_on_an_idle_timer)
{
    struct model m;

    init_model(&m);
    rn__heap_cancel(&m.heap, &m.timers[0]); /* of a heap that has no array yet */
    CHECK_OK(rn__heap_set(&m.heap, &m.timers[1], 10));
    rn__heap_cancel(&m.heap, &m.timers[0]);
    rn__heap_cancel(&m.heap, &m.timers[1]);
    rn__heap_cancel(&m.heap, &m.timers[1]);
    CHECK_EQ(m.heap.n, 0);
    CHECK_OK(rn__heap_set(&m.heap, &m.timers[1], 11));
    CHECK_EQ(rn__heap_next(&m.heap), 11);
    rn__heap_free(&m.heap);
    CHECK(rn__heap_pop(&m.heap, 11) == NULL); /* freed is empty, and usable again */
}

/* Cancel moves the last entry into the hole, where it may have to rise, not only to sink. */
RN_TEST(heap_cancel_lets_the_last_entry_rise)
{
    struct model m;

    init_model(&m);
    m.at[0] = 1;
    for (int i = 1; i < 21; i++) /* slot 2 and its children (6 to 9) late, the others early */
        m.at[i] = i == 1 || (i >= 5 && i <= 8) ? 1000 + i : 10 + i;
    for (int i = 0; i < 21; i++)
        CHECK_OK(rn__heap_set(&m.heap, &m.timers[i], m.at[i]));
    CHECK_EQ(m.timers[5].slot, 6);
    CHECK_EQ(m.timers[20].slot, 21); /* the last */
    rn__heap_cancel(&m.heap, &m.timers[5]);
    m.at[5] = 0;
    check_model(&m);
    pop_due(&m, 5000);
    rn__heap_free(&m.heap);
}

/* Fills the heap to where the next timer needs a larger array. */
static int fill_to_growth(struct model *m)
{
    int i = 0;

    CHECK_OK(rn__heap_set(&m->heap, &m->timers[0], 1000));
    m->at[0] = 1000;
    for (i = 1; m->heap.n < m->heap.room; i++) {
        m->at[i] = 1000 - i;
        CHECK_OK(rn__heap_set(&m->heap, &m->timers[i], m->at[i]));
    }
    CHECK(i < TIMERS);
    return i;
}

RN_TEST(heap_growth_failure_leaves_the_heap_intact)
{
    struct model m;
    int next;

    init_model(&m);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn__heap_set(&m.heap, &m.timers[0], 7), -ENOMEM); /* the first array */
    check_model(&m);
    next = fill_to_growth(&m);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn__heap_set(&m.heap, &m.timers[next], 7), -ENOMEM);
    check_model(&m);
    rn__mem_fail(1, 1000);
    CHECK_OK(rn__heap_set(&m.heap, &m.timers[3], 3)); /* moving needs no memory */
    m.at[3] = 3;
    rn__heap_cancel(&m.heap, &m.timers[5]);
    m.at[5] = 0;
    CHECK_OK(rn__heap_set(&m.heap, &m.timers[next], 7)); /* nor does the place that is free now */
    m.at[next] = 7;
    check_model(&m);
    rn__mem_fail(0, 0);
    CHECK_OK(rn__heap_set(&m.heap, &m.timers[5], 8));
    m.at[5] = 8;
    check_model(&m);
    pop_due(&m, 2000);
    rn__heap_free(&m.heap);
}

/* ---- histogram ---- */

RN_TEST(hist_bucket_and_upper_are_inverse_and_monotonic)
{
    for (unsigned b = 0; b < RN__HIST_BUCKETS; b++) {
        uint64_t upper = rn__hist_upper(b);

        CHECK_EQ(rn__hist_bucket(upper), b);
        if (b > 0) {
            uint64_t lower = rn__hist_upper(b - 1) + 1;

            CHECK(upper >= lower);
            CHECK_EQ(rn__hist_bucket(lower), b);
        }
        if (b + 1 < RN__HIST_BUCKETS)
            CHECK_EQ(rn__hist_bucket(upper + 1), b + 1);
    }
    CHECK_EQ(rn__hist_bucket(0), 0);
}

RN_TEST(hist_knows_a_value_to_within_an_eighth)
{
    uint64_t seed = 7;

    for (int i = 0; i < 200000; i++) {
        uint64_t value = next_random(&seed) >> (24 + i % 40);
        unsigned b = rn__hist_bucket(value);
        uint64_t upper = rn__hist_upper(b);

        CHECK(b < RN__HIST_BUCKETS);
        CHECK(upper >= value);
        CHECK((upper - value) * 8 <= value);
        CHECK(b == 0 || rn__hist_upper(b - 1) < value);
    }
}

RN_TEST(hist_covers_18_minutes_and_puts_more_into_the_last_bucket)
{
    static const uint64_t huge[] = {1ULL << RN__HIST_TOP_BIT, 1ULL << 41, 1ULL << 62, 1ULL << 63,
                                    UINT64_MAX - 1,           UINT64_MAX};
    struct rn__hist h = {0};

    CHECK(rn__hist_upper(RN__HIST_BUCKETS - 1) >= 18 * 60 * (uint64_t)RN_SECOND);
    CHECK_EQ(rn__hist_upper(RN__HIST_BUCKETS - 1), (1ULL << RN__HIST_TOP_BIT) - 1);
    for (size_t i = 0; i < RN_COUNT_OF(huge); i++) {
        CHECK_EQ(rn__hist_bucket(huge[i]), RN__HIST_BUCKETS - 1);
        rn__hist_add(&h, huge[i]);
    }
    CHECK_EQ(rn__hist_count(&h), RN_COUNT_OF(huge));
    CHECK_EQ(rn__hist_quantile(&h, 0.5), rn__hist_upper(RN__HIST_BUCKETS - 1));
}

RN_TEST(hist_quantile_of_nothing_is_0)
{
    struct rn__hist h = {0};

    CHECK_EQ(rn__hist_count(&h), 0);
    CHECK_EQ(rn__hist_quantile(&h, 0.5), 0);
    CHECK_EQ(rn__hist_quantile(&h, 1), 0);
}

RN_TEST(hist_quantile_of_one_sample_is_its_bucket)
{
    static const double shares[] = {1e-9, 0.01, 0.5, 0.99, 1};
    struct rn__hist h = {0};

    rn__hist_add(&h, 12345);
    for (size_t i = 0; i < RN_COUNT_OF(shares); i++)
        CHECK_EQ(rn__hist_quantile(&h, shares[i]), rn__hist_upper(rn__hist_bucket(12345)));
}

RN_TEST(hist_quantiles_hold_their_share_of_the_samples)
{
    static const double shares[] = {0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    struct rn__hist h = {0};

    for (uint64_t v = 1; v <= 10000; v++)
        rn__hist_add(&h, v * 100);
    CHECK_EQ(rn__hist_count(&h), 10000);
    for (size_t i = 0; i < RN_COUNT_OF(shares); i++) {
        double exact = ceil(shares[i] * 10000) * 100;
        double q = (double)rn__hist_quantile(&h, shares[i]);

        CHECK(q >= exact);
        CHECK(q <= exact * 1.125);
    }
    for (uint64_t v = 0; v < 8; v++) /* small values are exact */
        CHECK_EQ(rn__hist_upper(rn__hist_bucket(v)), v);
}

RN_TEST(hist_merge_adds_counters_and_leaves_the_source)
{
    struct rn__hist a = {0}, b = {0};

    for (uint64_t v = 0; v < 1000; v++) {
        rn__hist_add(&a, v);
        rn__hist_add(&b, v * 1000000);
    }
    rn__hist_merge(&a, &b);
    CHECK_EQ(rn__hist_count(&a), 2000);
    CHECK_EQ(rn__hist_count(&b), 1000);
    CHECK_EQ(rn__hist_quantile(&a, 0.5), rn__hist_upper(rn__hist_bucket(998)));
    CHECK_EQ(rn__hist_quantile(&a, 1), rn__hist_upper(rn__hist_bucket(999000000)));
    CHECK_EQ(rn__hist_quantile(&b, 1), rn__hist_upper(rn__hist_bucket(999000000)));
}

/* ---- memory ---- */

RN_TEST(nth_allocation_and_those_after_it_fail_as_told)
{
    static const bool expected[] = {true, true, false, false, true, true};

    rn__mem_fail(3, 2);
    for (size_t i = 0; i < RN_COUNT_OF(expected); i++) {
        void *p = i % 2 == 0 ? rn__malloc(8) : rn__calloc(2, 4);

        CHECK_EQ(p != NULL, expected[i]);
        rn__free(p);
    }
    rn__mem_fail(2, 100);
    rn__mem_fail(0, 0); /* ends it */
    for (int i = 0; i < 5; i++) {
        void *p = rn__malloc(8);

        CHECK(p != NULL);
        rn__free(p);
    }
}

RN_TEST(a_failed_realloc_leaves_the_old_block)
{
    char *p = rn__malloc(8), *larger;

    CHECK(p != NULL);
    memcpy(p, "kept it", 8);
    rn__mem_fail(1, 1);
    CHECK(rn__realloc(p, 1 << 20) == NULL);
    CHECK_STR(p, "kept it");
    larger = rn__realloc(p, 1 << 20);
    CHECK(larger != NULL);
    CHECK_STR(larger, "kept it");
    rn__free(larger);
}

RN_TEST(calloc_refuses_a_product_that_overflows)
{
    size_t half = SIZE_MAX / 2 + 1; /* by way of variables: compilers refuse it as constants */
    char *p;

    CHECK(rn__calloc(half, 2) == NULL);
    CHECK(rn__calloc(2, half) == NULL);
    CHECK(rn__calloc(half, half) == NULL);
    p = rn__calloc(100, 3);
    CHECK(p != NULL);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(p[i], 0);
    rn__free(p);
}

struct tally {
    int allocs, reallocs, frees;
    size_t last;
};

static void *tally_alloc(void *arg, size_t bytes)
{
    struct tally *t = arg;
    void *p = malloc(bytes);

    t->allocs++;
    t->last = bytes;
    return p == NULL ? NULL : memset(p, 0xa5, bytes);
}

static void *tally_realloc(void *arg, void *ptr, size_t bytes)
{
    struct tally *t = arg;

    t->reallocs++;
    t->last = bytes;
    return realloc(ptr, bytes);
}

static void tally_free(void *arg, void *ptr)
{
    struct tally *t = arg;

    CHECK(ptr != NULL);
    t->frees++;
    free(ptr);
}

RN_TEST(hooks_get_each_allocation_and_NULL_restores_malloc)
{
    struct tally t = {0};
    struct rn__mem_hooks hooks = {
        .alloc = tally_alloc, .realloc = tally_realloc, .free = tally_free, .arg = &t};
    unsigned char *p;

    rn__mem_set_hooks(&hooks);
    memset(&hooks, 0, sizeof hooks); /* they were copied */
    p = rn__calloc(10, 5);
    CHECK(p != NULL);
    CHECK_EQ(t.last, 50);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(p[i], 0); /* although the hook's memory is dirty */
    p = rn__realloc(p, 70);
    CHECK(p != NULL);
    CHECK_EQ(t.last, 70);
    rn__free(p);
    rn__free(NULL); /* no hook's business */
    CHECK_EQ(t.allocs, 1);
    CHECK_EQ(t.reallocs, 1);
    CHECK_EQ(t.frees, 1);
    rn__mem_set_hooks(NULL);
    rn__free(rn__malloc(3));
    CHECK_EQ(t.allocs, 1);
    CHECK_EQ(t.frees, 1);
}

RN_TEST(injected_failures_come_before_the_hooks)
{
    struct tally t = {0};
    struct rn__mem_hooks hooks = {
        .alloc = tally_alloc, .realloc = tally_realloc, .free = tally_free, .arg = &t};
    size_t half = SIZE_MAX / 2 + 1;

    rn__mem_set_hooks(&hooks);
    rn__mem_fail(1, 3);
    CHECK(rn__malloc(1) == NULL);
    CHECK(rn__calloc(1, 1) == NULL);
    CHECK(rn__realloc(NULL, 1) == NULL);
    CHECK(rn__calloc(half, 2) == NULL);
    CHECK_EQ(t.allocs + t.reallocs, 0);
    rn__free(rn__malloc(1));
    CHECK_EQ(t.allocs, 1);
    CHECK_EQ(t.frees, 1);
    rn__mem_set_hooks(NULL);
}
