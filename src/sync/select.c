/*
 * select.c - waiting for the first of several channels
 *
 * All channels are locked together, in the order of their addresses, for the look and for the
 * publishing: between the two nothing can happen to any of them. The wait itself is one word
 * (wait.h), which the first waker claims; the others pass the select over. What is not claimed is
 * taken out afterwards, channel by channel.
 *
 * Fair: the look begins at a random case.
 */
#include "sync/chan.h"

#define CASES_MOST 256 /* sorted by insertion */

/* In rn_select_case.space. */
struct place {
    struct rn__chan_node node;
    rn_select_case *next; /* by address of the channel */
};

_Static_assert(sizeof(struct place) <= sizeof(((rn_select_case *)0)->space), "a case has room");

static const struct rn__wait_kind wait_select = {.name = "select", .interrupt = rn__wait_interrupt};

static struct place *place_of(rn_select_case *c)
{
    return (struct place *)(void *)c->space;
}

static rn_select_case *sort(rn_select_case *cases, int n)
{
    rn_select_case *first = NULL;

    for (int i = 0; i < n; i++) {
        rn_select_case **at = &first;

        if (cases[i].chan == NULL)
            continue;
        while (*at != NULL && (uintptr_t)(*at)->chan < (uintptr_t)cases[i].chan)
            at = &place_of(*at)->next;
        place_of(&cases[i])->next = *at;
        *at = &cases[i];
    }
    return first;
}

/* A channel that stands in several cases is locked once. */
static void lock_all(rn_select_case *first)
{
    rn_chan *last = NULL;

    for (rn_select_case *c = first; c != NULL; c = place_of(c)->next) {
        if (c->chan != last)
            rn__chan_lock(c->chan);
        last = c->chan;
    }
}

static void unlock_all(rn_select_case *first)
{
    rn_chan *last = NULL;

    for (rn_select_case *c = first; c != NULL; c = place_of(c)->next) {
        if (c->chan != last)
            rn__chan_unlock(c->chan);
        last = c->chan;
    }
}

static unsigned random_below(int n)
{
    static _Thread_local uint32_t state = 2463534242U;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % (unsigned)n;
}

/* The index of a case that could go on at once, or -1. */
static int try_each(rn_select_case *cases, int n, struct rn__proc *p, struct rn__wait **wake)
{
    int start = n > 1 ? (int)random_below(n) : 0;

    for (int k = 0; k < n; k++) {
        int i = (start + k) % n, r;
        rn_select_case *c = &cases[i];

        if (c->chan == NULL)
            continue;
        r = c->op == RN_SELECT_SEND ? rn__chan_put(c->chan, c->item, p, wake)
                                    : rn__chan_take(c->chan, c->item, p, wake);
        if (r != 0) {
            c->result = r < 0 ? r : 0;
            return i;
        }
    }
    return -1;
}

static void publish(rn_select_case *cases, int n, struct rn__wait *wait)
{
    for (int i = 0; i < n; i++) {
        rn_select_case *c = &cases[i];
        struct rn__chan_node *node = &place_of(c)->node;

        if (c->chan == NULL)
            continue;
        *node = (struct rn__chan_node){.wait = wait, .item = c->item, .index = i};
        rn__list_push(c->op == RN_SELECT_SEND ? &c->chan->senders : &c->chan->receivers,
                      &node->link);
    }
}

static void withdraw(rn_select_case *first)
{
    for (rn_select_case *c = first; c != NULL; c = place_of(c)->next) {
        rn__spin_lock(&c->chan->lock);
        rn__list_remove(&place_of(c)->node.link);
        rn__chan_unlock(c->chan);
    }
}

static int check_cases(const rn_select_case *cases, int n)
{
    if (n < 0 || n > CASES_MOST)
        return -EINVAL;
    for (int i = 0; i < n; i++)
        if (cases[i].op != RN_SELECT_SEND && cases[i].op != RN_SELECT_RECV)
            return -EINVAL;
    return 0;
}

/* 0 with the case that could go on at once in *chosen, or with -1 there and the wait published. */
static int look(rn_select_case *cases, int n, rn_select_case *first, struct rn__wait *wait,
                rn_time deadline, int *chosen)
{
    struct rn__proc *p = rn__proc();
    bool foreign = rn__foreign_begin();
    struct rn__wait *wake = NULL;
    int r = 0;

    lock_all(first);
    *chosen = try_each(cases, n, p, &wake);
    if (*chosen < 0)
        r = rn__wait_begin(wait, NULL, deadline);
    if (*chosen < 0 && r == 0)
        publish(cases, n, wait);
    unlock_all(first);
    if (wake != NULL)
        rn__ready(wake->co);
    rn__foreign_end(foreign);
    return r;
}

int rn_select(rn_select_case *cases, int n, rn_time deadline)
{
    rn_select_case *first;
    struct rn__wait wait;
    int r = check_cases(cases, n), chosen;

    if (r < 0)
        return r;
    first = sort(cases, n);
    r = look(cases, n, first, &wait, deadline, &chosen);
    if (r < 0)
        return r;
    if (chosen >= 0) {
        if (rn__proc() != NULL)
            rn__spend();
        return chosen;
    }
    r = rn__wait_park(&wait, &wait_select);
    withdraw(first);
    if (r < 0)
        return r;
    chosen = rn__wait_fired(&wait);
    cases[chosen].result = place_of(&cases[chosen])->node.passed ? 0 : -EPIPE;
    return chosen;
}
