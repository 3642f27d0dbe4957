/*
 * group.c - coroutines that begin, are cancelled and end together
 *
 *      OPEN --first error, rn_group_cancel, cancel or deadline of the wait--> CANCELLED
 *      either --all members have ended, rn_group_wait returns--> OPEN, empty
 *
 * Owns a member for each coroutine. A member leaves the list before its coroutine ends, under the
 * lock; so whoever cancels, under the lock, meets only living ones. One that has not yet begun has
 * no coroutine in the list: it sees the group's flag when it begins, and runs even so, because what
 * was handed to it is its to release.
 */
#include <runnel/sync.h>
#include <runnel/task.h>

#include "base/mem.h"
#include "sync/waitq.h"

struct group {
    _Atomic uint32_t lock;
    int result;                  /* [L] the first error */
    uint32_t alive;              /* [L] */
    bool cancelled;              /* [L] */
    struct member *members;      /* [L] those that have begun */
    struct rn__claimant *waiter; /* [L] in rn_group_wait */
};

_Static_assert(sizeof(struct group) <= sizeof(rn_group), "rn_group has room");

struct member {
    struct member *next, **at; /* [L] *at is what points here */
    struct group *group;
    int (*fn)(void *arg);
    void *arg;
    struct rn__coro *co;
    uint64_t id;
};

static const struct rn__wait_kind wait_members = {.name = "group", .interrupt = rn__wait_interrupt};
static const struct rn__wait_kind wait_end = {.name = "group, cancelled"};

static struct group *self(rn_group *g)
{
    return (struct group *)(void *)g;
}

static void cancel_locked(struct group *g)
{
    g->cancelled = true;
    for (struct member *m = g->members; m != NULL; m = m->next)
        rn__cancel(m->co, m->id);
}

static void enter(struct member *m)
{
    struct group *g = m->group;

    m->co = rn__self();
    m->id = rn_id();
    rn__spin_lock(&g->lock);
    m->next = g->members;
    m->at = &g->members;
    if (m->next != NULL)
        m->next->at = &m->next;
    g->members = m;
    if (g->cancelled)
        atomic_store(&m->co->cancelled, true);
    rn__spin_unlock(&g->lock);
}

/* Afterwards g may be gone. */
static void leave(struct member *m, int result)
{
    struct group *g = m->group;
    struct rn__coro *wake = NULL;

    rn__spin_lock(&g->lock);
    *m->at = m->next;
    if (m->next != NULL)
        m->next->at = m->at;
    if (result < 0 && g->result == 0)
        g->result = result;
    if (result < 0 && !g->cancelled)
        cancel_locked(g);
    if (--g->alive == 0 && g->waiter != NULL && rn__wait_claim(&g->waiter->wait, 0))
        wake = g->waiter->wait.co;
    rn__spin_unlock(&g->lock);
    if (wake != NULL)
        rn__ready(wake);
}

static void run_member(void *arg)
{
    struct member *m = arg;
    int r;

    enter(m);
    r = m->fn(m->arg);
    leave(m, r);
    rn__free(m);
}

int rn_group_go(rn_group *group, int (*fn)(void *arg), void *arg)
{
    struct rn__spawn how = {.site = __builtin_return_address(0)};
    struct group *g = self(group);
    struct member *m = rn__malloc(sizeof *m);
    int r = 0;

    if (m == NULL)
        return -ENOMEM;
    *m = (struct member){.group = g, .fn = fn, .arg = arg};
    rn__spin_lock(&g->lock);
    if (g->cancelled)
        r = -ECANCELED;
    else
        g->alive++;
    rn__spin_unlock(&g->lock);
    if (r == 0) {
        r = rn__go(&how, run_member, m);
        if (r == 0)
            return 0;
        rn__spin_lock(&g->lock);
        g->alive--;
        rn__spin_unlock(&g->lock);
    }
    rn__free(m);
    return r;
}

void rn_group_cancel(rn_group *group)
{
    struct group *g = self(group);
    bool foreign = rn__foreign_begin();

    rn__spin_lock(&g->lock);
    if (!g->cancelled)
        cancel_locked(g);
    rn__spin_unlock(&g->lock);
    rn__foreign_end(foreign);
}

/* Until nobody is alive; `why` says whether a cancel or a deadline may end it. */
static int wait_for_members(struct group *g, const struct rn__wait_kind *why, rn_time deadline)
{
    struct rn__claimant me = {.wait = {.co = rn__self(), .fired = RN__WAITING}};
    int r = why->interrupt == NULL ? 0 : rn__wait_begin(&me.wait, g, deadline);

    if (r < 0)
        return r;
    rn__spin_lock(&g->lock);
    if (g->alive == 0) {
        rn__spin_unlock(&g->lock);
        rn__wait_drop(&me.wait);
        return 0;
    }
    g->waiter = &me;
    rn__spin_unlock(&g->lock);
    r = rn__wait_park(&me.wait, why);
    rn__spin_lock(&g->lock);
    g->waiter = NULL;
    rn__spin_unlock(&g->lock);
    return r;
}

int rn_group_wait(rn_group *group, rn_time deadline)
{
    struct group *g = self(group);
    int r, result;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = wait_for_members(g, &wait_members, deadline);
    if (r < 0) {
        rn_group_cancel(group);
        (void)wait_for_members(g, &wait_end, 0);
    }
    rn__spin_lock(&g->lock); /* somebody may be about to cancel it */
    result = g->result;
    g->result = 0;
    g->cancelled = false;
    rn__spin_unlock(&g->lock);
    return r < 0 ? r : result;
}
