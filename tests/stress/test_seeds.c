/*
 * test_seeds.c - channels, select and cancel under hundreds of shuffled schedules
 *
 * Each test runs its body once for each seed, in a runtime of its own. What came out is compared
 * with what went in: an item arrives exactly once if its send said 0, and never if it said anything
 * else; and of each sender in order.
 */
#include <stdatomic.h>

#include "rntest_coro.h"

#define SENDERS 4
#define RECEIVERS 3
#define EACH 50
#define CHANS 2

struct item {
    int sender, serial;
};

struct world {
    rn_chan *ch[CHANS];
    rn_group senders, receivers;
    _Atomic int sent[SENDERS][EACH]; /* 1: the send said 0 */
    _Atomic int got[SENDERS][EACH];
    _Atomic int next_sender;
    bool in_order;
};

static uint32_t seed_now;

static uint32_t random_of(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 16;
}

static void run_seeds(int (*body)(void *), int procs)
{
    unsigned n = getenv("RNTEST_LONG") != NULL ? 2000 : rntest_sanitized() ? 60 : 300;
    char text[16];

    for (seed_now = 1; seed_now <= n; seed_now++) {
        snprintf(text, sizeof text, "%u", seed_now);
        setenv("RN_SCHED_SEED", text, 1);
        CHECK_OK(rn_run(&(rn_run_options){.procs = procs}, body, NULL));
    }
}

static void receive(struct world *w, const struct item *it, int *last)
{
    CHECK_EQ(atomic_fetch_add(&w->got[it->sender][it->serial], 1), 0);
    if (w->in_order)
        CHECK(it->serial > last[it->sender]);
    last[it->sender] = it->serial;
}

/* ---- those who take part ---- */

static int send_all(void *arg)
{
    struct world *w = arg;
    int me = atomic_fetch_add(&w->next_sender, 1), r = 0;
    uint32_t rnd = seed_now * 31 + (uint32_t)me;

    for (int i = 0; i < EACH && r == 0; i++) {
        struct item it = {.sender = me, .serial = i};

        r = rn_chan_send(w->ch[w->in_order ? me % CHANS : (int)random_of(&rnd) % CHANS], &it);
        if (r == 0)
            w->sent[me][i] = 1;
        if (random_of(&rnd) % 8 == 0)
            rn_yield();
    }
    return r == -EPIPE ? 0 : r;
}

static int receive_all(void *arg)
{
    struct world *w = arg;
    struct item it;
    rn_select_case cases[CHANS];
    int open = CHANS, last[SENDERS] = {-1, -1, -1, -1};

    for (int i = 0; i < CHANS; i++)
        cases[i] = (rn_select_case){.chan = w->ch[i], .item = &it};
    while (open > 0) {
        int i = rn_select(cases, CHANS, 0);

        if (i < 0)
            return i;
        if (cases[i].result == 0)
            receive(w, &it, last);
        else
            cases[i].chan = NULL, open--;
    }
    return 0;
}

/* With deadlines that often pass just when an item comes. */
static int receive_in_haste(void *arg)
{
    struct world *w = arg;
    struct item it;
    rn_select_case c = {.chan = w->ch[0], .item = &it};
    int last[SENDERS] = {-1, -1, -1, -1};
    uint32_t rnd = seed_now;

    for (;;) {
        int i = rn_select(&c, 1, rn_after((rn_time)(random_of(&rnd) % 20) * RN_MICROSECOND));

        if (i == -ETIME)
            continue;
        if (i < 0)
            return i;
        if (c.result < 0)
            return 0;
        receive(w, &it, last);
    }
}

/* ---- worlds ---- */

static void open_world(struct world *w, size_t capacity, bool in_order)
{
    memset(w, 0, sizeof *w);
    w->in_order = in_order;
    for (int i = 0; i < CHANS; i++)
        CHECK_OK(rn_chan_new(sizeof(struct item), capacity, &w->ch[i]));
}

static void start(struct world *w, int (*sender)(void *), int (*receiver)(void *), int receivers)
{
    for (int i = 0; i < SENDERS; i++)
        CHECK_OK(rn_group_go(&w->senders, sender, w));
    for (int i = 0; i < receivers; i++)
        CHECK_OK(rn_group_go(&w->receivers, receiver, w));
}

static void close_all(struct world *w)
{
    for (int i = 0; i < CHANS; i++)
        rn_chan_close(w->ch[i]);
}

/* What is left in the channels counts as received. */
static void end_world(struct world *w)
{
    struct item it;
    int last[SENDERS] = {-1, -1, -1, -1};

    w->in_order = false;
    for (int i = 0; i < CHANS; i++) {
        while (rn_chan_try_recv(w->ch[i], &it) == 1)
            receive(w, &it, last);
        rn_chan_free(w->ch[i]);
    }
    for (int s = 0; s < SENDERS; s++)
        for (int i = 0; i < EACH; i++)
            CHECK_EQ(w->got[s][i], w->sent[s][i]);
}

static struct world world;

static int all_goes_through(void *arg)
{
    (void)arg;
    open_world(&world, seed_now % 4, false);
    start(&world, send_all, receive_all, RECEIVERS);
    CHECK_OK(rn_group_wait(&world.senders, 0));
    close_all(&world);
    CHECK_OK(rn_group_wait(&world.receivers, 0));
    for (int s = 0; s < SENDERS; s++)
        CHECK_EQ(world.sent[s][EACH - 1], 1);
    end_world(&world);
    return 0;
}

static int order_is_kept(void *arg)
{
    (void)arg;
    open_world(&world, seed_now % 4, true);
    start(&world, send_all, receive_all, 1);
    CHECK_OK(rn_group_wait(&world.senders, 0));
    close_all(&world);
    CHECK_OK(rn_group_wait(&world.receivers, 0));
    end_world(&world);
    return 0;
}

static int close_meets_select(void *arg)
{
    (void)arg;
    open_world(&world, seed_now % 4, false);
    start(&world, send_all, receive_all, RECEIVERS);
    CHECK_OK(rn_sleep((rn_time)(seed_now % 100) * RN_MICROSECOND));
    close_all(&world);
    CHECK_OK(rn_group_wait(&world.senders, 0));
    CHECK_OK(rn_group_wait(&world.receivers, 0));
    end_world(&world);
    return 0;
}

static int cancel_meets_completion(void *arg)
{
    int r;

    (void)arg;
    open_world(&world, seed_now % 4, false);
    start(&world, send_all, receive_all, RECEIVERS);
    CHECK_OK(rn_sleep((rn_time)(seed_now % 100) * RN_MICROSECOND));
    rn_group_cancel(seed_now % 2 ? &world.senders : &world.receivers);
    if (seed_now % 2 == 0) {
        CHECK_EQ(rn_group_wait(&world.receivers, 0), -ECANCELED);
        close_all(&world); /* or the senders would wait for ever */
    }
    r = rn_group_wait(&world.senders, 0);
    CHECK(r == 0 || r == -ECANCELED);
    close_all(&world);
    CHECK_OK(rn_group_wait(&world.receivers, 0));
    end_world(&world);
    return 0;
}

static int deadline_meets_item(void *arg)
{
    (void)arg;
    open_world(&world, 0, false);
    rn_chan_free(world.ch[1]);
    world.ch[1] = rn_chan_ref(world.ch[0]);
    start(&world, send_all, receive_in_haste, RECEIVERS);
    CHECK_OK(rn_group_wait(&world.senders, 0));
    close_all(&world);
    CHECK_OK(rn_group_wait(&world.receivers, 0));
    end_world(&world);
    return 0;
}

RN_TEST_TIMEOUT(what_is_sent_arrives_once, 120)
{
    run_seeds(all_goes_through, 2);
    run_seeds(all_goes_through, 1);
}

RN_TEST_TIMEOUT(each_senders_items_keep_their_order, 120)
{
    run_seeds(order_is_kept, 2);
}

RN_TEST_TIMEOUT(close_against_select_loses_nothing, 120)
{
    run_seeds(close_meets_select, 3);
}

RN_TEST_TIMEOUT(cancel_against_completion_loses_nothing, 120)
{
    run_seeds(cancel_meets_completion, 2);
}

RN_TEST_TIMEOUT(deadline_against_item_loses_nothing, 120)
{
    run_seeds(deadline_meets_item, 2);
}
