/*
 * groups.c - coroutines that are at the same place, counted: what rn_dump lists, for many
 *
 * Of one group are those that were started at the same place, wait in the same kind of call, and
 * have the same backtrace. Looks at coroutines as dump.c does, while they go on. What finds no
 * place in the table is counted together.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "task/dump.h"
#include "task/line.h"
#include "task/proc.h"
#include "task/wait.h"

struct group {
    unsigned n; /* 0: free */
    bool mixed; /* they have no name in common */
    bool parked;
    rn_time least, most; /* how long they have been there; parked ones */
    const char *name, *what;
    const void *site;
    int n_frames;
    const void *frames[RN__FRAMES_MOST];
};

struct census {
    struct group *groups; /* room for n_most */
    rn_time now;
    unsigned n, n_groups, n_most, others;
};

static uint64_t mix(uint64_t hash, const void *value)
{
    hash = (hash ^ (uintptr_t)value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static bool is_same(const struct group *a, const struct group *b)
{
    return a->what == b->what && a->site == b->site && a->n_frames == b->n_frames &&
           memcmp(a->frames, b->frames, (size_t)a->n_frames * sizeof a->frames[0]) == 0;
}

/* Its group, or a free one; NULL: the table is full. */
static struct group *find(struct census *c, const struct group *one)
{
    uint64_t hash = mix(mix(0, one->what), one->site);

    for (int i = 0; i < one->n_frames; i++)
        hash = mix(hash, one->frames[i]);
    for (unsigned i = 0; i < c->n_most; i++) {
        struct group *g = &c->groups[(hash + i) % c->n_most];

        if (g->n == 0 || is_same(g, one))
            return g;
    }
    return NULL;
}

static RN__UNCHECKED void look(struct rn__coro *co, struct group *one, rn_time now)
{
    enum rn__coro_state state = rn__state(co);
    struct rn__proc *p = rn__coro_proc(co);
    const struct rn__wait_kind *wait = co->wait;

    one->n = 1;
    one->mixed = false;
    one->name = co->name;
    one->site = co->site;
    one->n_frames = 0;
    one->least = one->most = 0;
    one->parked = state == RN__PARKED;
    if (one->parked) {
        one->what = wait == NULL ? "?" : wait->name;
        one->least = one->most = now - co->since;
        one->n_frames = rn__dump_frames(co, one->frames);
    } else {
        one->what = p != NULL && p->front.current == co ? "running" : "runnable";
    }
}

static RN__UNCHECKED void count(struct rn__coro *co, void *arg)
{
    struct census *c = arg;
    struct group one, *g;

    if (rn__state(co) == RN__FREE || atomic_load(&co->id) == 0)
        return;
    look(co, &one, c->now);
    c->n++;
    g = find(c, &one);
    if (g == NULL) {
        c->others++;
    } else if (g->n == 0) {
        *g = one;
        c->n_groups++;
    } else {
        g->n++;
        g->mixed |= g->name != one.name;
        g->least = one.least < g->least ? one.least : g->least;
        g->most = one.most > g->most ? one.most : g->most;
    }
}

/* ---- telling ---- */

static int by_number(const void *a, const void *b)
{
    unsigned n = ((const struct group *)a)->n, m = ((const struct group *)b)->n;

    return n < m ? 1 : n > m ? -1 : 0;
}

static int put(int fd, struct rn__line *l)
{
    int r;

    rn__line_text(l, "\n");
    r = rn__panic_write(fd, l->text, l->len);
    l->len = 0;
    return r;
}

static int put_group(int fd, const struct group *g)
{
    struct rn__line l = {.len = 0};
    int r;

    rn__line_number(&l, g->n, 10);
    rn__line_text(&l, g->n == 1 ? " coroutine" : " coroutines");
    if (g->name != NULL && !g->mixed) {
        rn__line_text(&l, " \"");
        rn__line_text(&l, g->name);
        rn__line_text(&l, "\"");
    }
    rn__line_text(&l, g->parked ? ": parked in " : ": ");
    rn__line_text(&l, g->what);
    if (g->parked) {
        rn__line_text(&l, ", for ");
        rn__line_duration(&l, g->least);
        if (g->n > 1) {
            rn__line_text(&l, " to ");
            rn__line_duration(&l, g->most);
        }
    }
    rn__line_text(&l, ", started at ");
    rn__line_site(&l, g->site);
    r = put(fd, &l);
    for (int i = 0; i < g->n_frames && r == 0; i++) {
        rn__line_frame(&l, i, g->frames[i]);
        r = put(fd, &l);
    }
    return r;
}

static int put_all(int fd, struct census *c)
{
    struct rn__line l = {.len = 0};
    int r;

    rn__line_text(&l, "runnel: ");
    rn__line_number(&l, c->n, 10);
    rn__line_text(&l, " coroutines at ");
    rn__line_number(&l, c->n_groups, 10);
    rn__line_text(&l, " places");
    r = put(fd, &l);
    qsort(c->groups, c->n_most, sizeof c->groups[0], by_number);
    for (unsigned i = 0; i < c->n_groups && r == 0; i++)
        r = put_group(fd, &c->groups[i]);
    if (c->others > 0 && r == 0) {
        rn__line_number(&l, c->others, 10);
        rn__line_text(&l, " coroutines at other places");
        r = put(fd, &l);
    }
    return r;
}

int rn__dump_groups(int fd, unsigned most)
{
    struct census c = {
        .groups = rn__calloc(most, sizeof *c.groups), .n_most = most, .now = rn_now()};
    int r;

    if (c.groups == NULL)
        return -ENOMEM;
    rn__stack_walk(count, &c);
    r = put_all(fd, &c);
    rn__free(c.groups);
    return r;
}
