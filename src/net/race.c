/*
 * race.c - several addresses of one host: the first that answers wins (RFC 8305)
 *
 * The caller tries one address after the other by itself, as long as each fails soon: a machine
 * without IPv6 says so at once, and no coroutine is needed. The first attempt that is still under
 * way after the delay begins the race:
 *
 *      alone --an attempt has not answered in time--> race: that attempt, and each further one, is
 *            a member of a group; one begins at each delay, or when another has failed
 *      race --the first success, or no attempt left, deadline, cancel--> the group is cancelled,
 *            all members have ended: losers have closed their sockets
 *
 * Owns what the members share, on the caller's stack; `lock` guards it.
 */
#include "net/net.h"
#include <runnel/task.h>

#define DEFAULT_DELAY (250 * RN_MILLISECOND)
#define LEAST_SHARE (2 * RN_SECOND) /* of the time left, for one address of several */

struct race;

struct runner {
    struct race *race;
    rn_conn *conn; /* an attempt that was under way when the race began, or NULL */
};

struct race {
    const struct rn__dial *dial; /* [C] */
    const struct rn__addr *addrs;
    int n;
    rn_mutex lock;
    rn_cond changed; /* an attempt has ended */
    rn_group group;
    rn_conn *winner; /* [L] */
    int next;        /* [L] the address to try next */
    int running;     /* [L] */
    int failed;      /* [L] attempts that have failed since one began */
    int error;       /* [L] of the address tried first, of those that failed */
    int error_of;    /* [L] which that is */
    bool late;       /* [L] an attempt has ended by the deadline */
    struct runner runners[RN__NAMED];
};

/* IPv6 and IPv4 in turn, each family in the order given; the first address stays the first. */
static void interleave(struct rn__addr *addrs, int n)
{
    for (int i = 1; i < n; i++) {
        struct rn__addr a;
        int j = i;

        while (j < n && addrs[j].sa.sa_family == addrs[i - 1].sa.sa_family)
            j++;
        if (j == n)
            return; /* the rest is of one family */
        a = addrs[j];
        for (; j > i; j--)
            addrs[j] = addrs[j - 1];
        addrs[i] = a;
    }
}

static rn_time sooner(rn_time a, rn_time b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void discard(rn_conn *c)
{
    if (c != NULL)
        rn__conn_finish(c);
}

/* ---- the race ---- */

static void note_error(struct race *race, int of, int error)
{
    if (error == -ETIME)
        race->late = true;
    if (of < race->error_of) {
        race->error_of = of;
        race->error = error;
    }
}

static int run(void *arg)
{
    struct runner *me = arg;
    struct race *race = me->race;
    int i = (int)(me - race->runners);
    rn_conn *c = me->conn;
    int r = rn__dial_try(race->dial, &race->addrs[i], race->dial->options->deadline, &c);

    (void)rn_mutex_lock(&race->lock);
    race->running--;
    if (r < 0) {
        race->failed++;
        note_error(race, i, r);
    } else if (race->winner == NULL) {
        race->winner = c;
        c = NULL;
    }
    rn_cond_signal(&race->changed);
    rn_mutex_unlock(&race->lock);
    discard(c);
    return 0;
}

/* The next attempt, which may be under way; the lock is held. Without a coroutine for it the race
 * is over: the rest may not answer for minutes. */
static int start(struct race *race, rn_conn *under_way)
{
    int i = race->next++, r;

    race->runners[i] = (struct runner){.race = race, .conn = under_way};
    race->failed = 0;
    race->running++;
    r = rn_group_go(&race->group, run, &race->runners[i]);
    if (r < 0) {
        race->running--;
        discard(under_way);
    }
    return r;
}

/* Until one has won, all have failed, or the caller must not wait any longer; the lock is held. */
static int watch(struct race *race, rn_time delay)
{
    rn_time deadline = race->dial->options->deadline, next_at = rn_now();

    while (race->winner == NULL && (race->running > 0 || race->next < race->n)) {
        bool more = race->next < race->n;
        int r;

        if (more && (race->running == 0 || race->failed > 0 || rn_now() >= next_at)) {
            r = start(race, NULL);
            if (r < 0)
                return r;
            next_at = rn_after(delay);
            continue;
        }
        r = rn_cond_wait(&race->changed, &race->lock, more ? sooner(next_at, deadline) : deadline);
        if (r < 0 && (r != -ETIME || (deadline != 0 && rn_now() >= deadline)))
            return r;
    }
    return 0;
}

/* Address `at` has not answered; `conn` is its attempt. */
static __attribute__((noinline)) int run_race(struct race *race, rn_conn *conn, rn_time delay,
                                              rn_conn **ret)
{
    int r;

    (void)rn_mutex_lock(&race->lock);
    r = start(race, conn);
    if (r == 0)
        r = watch(race, delay);
    rn_mutex_unlock(&race->lock);
    rn_group_cancel(&race->group);
    rn_shield_begin();
    (void)rn_group_wait(&race->group, 0);
    rn_shield_end();
    if (race->winner != NULL && r != -ECANCELED) {
        *ret = race->winner;
        return 0;
    }
    discard(race->winner);
    if (r == 0)
        r = race->late ? -ETIME : race->error;
    return r;
}

/* ---- alone ---- */

/* One after the other; each gets its share of the time that is left, so that one that never answers
 * does not use up the others'. */
static int dial_in_turn(const struct rn__dial *d, const struct rn__addr *addrs, int n,
                        rn_conn **ret)
{
    rn_time deadline = d->options->deadline;
    int first = 0;

    for (int i = 0; i < n; i++) {
        rn_time now = rn_now(), share = (deadline - now) / (n - i);
        rn_conn *c = NULL;
        int r;

        if (share < LEAST_SHARE)
            share = LEAST_SHARE;
        r = rn__dial_try(d, &addrs[i], deadline == 0 ? 0 : sooner(deadline, now + share), &c);
        if (r == 0) {
            *ret = c;
            return 0;
        }
        discard(c);
        if (r == -ECANCELED || (r == -ETIME && rn_now() >= deadline))
            return r;
        if (first == 0)
            first = r;
    }
    return first;
}

int rn__dial_race(const struct rn__dial *d, struct rn__addr *addrs, int n, rn_conn **ret)
{
    rn_time deadline = d->options->deadline, delay = d->options->fallback_delay_ns;
    struct race race = {.dial = d, .addrs = addrs, .n = n, .error_of = n};

    interleave(addrs, n);
    if (delay < 0)
        return dial_in_turn(d, addrs, n, ret);
    if (delay == 0)
        delay = DEFAULT_DELAY;
    for (; race.next < n; race.next++) {
        bool last = race.next == n - 1;
        rn_conn *c = NULL;
        int r = rn__dial_try(d, &addrs[race.next],
                             last ? deadline : sooner(deadline, rn_after(delay)), &c);

        if (r == 0) {
            *ret = c;
            return 0;
        }
        if (r == -ETIME && !last && (deadline == 0 || rn_now() < deadline))
            return run_race(&race, c, delay, ret);
        discard(c);
        if (r == -ECANCELED || r == -ETIME)
            return r;
        note_error(&race, race.next, r);
    }
    return race.error;
}
