/*
 * heap.c - a 4-ary timer heap
 *
 * Invariant: for each slot s > 1, entries[parent(s)].at <= entries[s].at, and
 * entries[s].timer->slot == s. Four children a node halve the depth of a binary heap, and the four
 * times that a sift-down compares share one 64-byte line.
 */
#include "base/heap.h"

#include "base/clock.h"
#include "base/mem.h"

#define FIRST_ROOM 64

static uint32_t parent_of(uint32_t slot)
{
    return (slot - 2) / 4 + 1;
}

static uint32_t first_child_of(uint32_t slot)
{
    return (slot - 1) * 4 + 2;
}

static void place(struct rn__heap *h, uint32_t slot, struct rn__heap_entry e)
{
    h->entries[slot] = e;
    e.timer->slot = slot;
}

static void sift_up(struct rn__heap *h, uint32_t slot, struct rn__heap_entry e)
{
    while (slot > 1) {
        uint32_t up = parent_of(slot);

        if (h->entries[up].at <= e.at)
            break;
        place(h, slot, h->entries[up]);
        slot = up;
    }
    place(h, slot, e);
}

static void sift_down(struct rn__heap *h, uint32_t slot, struct rn__heap_entry e)
{
    for (;;) {
        uint32_t child = first_child_of(slot), least = child;

        if (child > h->n)
            break;
        for (uint32_t c = child + 1; c < child + 4 && c <= h->n; c++)
            if (h->entries[c].at < h->entries[least].at)
                least = c;
        if (h->entries[least].at >= e.at)
            break;
        place(h, slot, h->entries[least]);
        slot = least;
    }
    place(h, slot, e);
}

void rn__heap_init(struct rn__heap *h)
{
    *h = (struct rn__heap){0};
}

void rn__heap_free(struct rn__heap *h)
{
    rn__free(h->entries);
    rn__heap_init(h);
}

static int grow(struct rn__heap *h)
{
    uint32_t room = h->room == 0 ? FIRST_ROOM : h->room * 2;
    struct rn__heap_entry *entries;

    if (room <= h->room)
        return -ENOMEM;
    entries = rn__realloc(h->entries, ((size_t)room + 1) * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    h->entries = entries;
    h->room = room;
    return 0;
}

int rn__heap_set(struct rn__heap *h, struct rn__timer *t, rn_time at)
{
    struct rn__heap_entry e = {.at = at, .timer = t};

    if (t->slot != 0) {
        if (at < h->entries[t->slot].at)
            sift_up(h, t->slot, e);
        else
            sift_down(h, t->slot, e);
        return 0;
    }
    if (h->n == h->room) {
        int r = grow(h);

        if (r < 0)
            return r;
    }
    sift_up(h, ++h->n, e);
    return 0;
}

void rn__heap_cancel(struct rn__heap *h, struct rn__timer *t)
{
    uint32_t slot = t->slot;
    struct rn__heap_entry last;

    if (slot == 0)
        return;
    t->slot = 0;
    last = h->entries[h->n--];
    if (last.timer == t)
        return;
    if (slot > 1 && last.at < h->entries[parent_of(slot)].at)
        sift_up(h, slot, last);
    else
        sift_down(h, slot, last);
}

rn_time rn__heap_next(const struct rn__heap *h)
{
    return h->n == 0 ? RN__TIME_NEVER : h->entries[1].at;
}

struct rn__timer *rn__heap_pop(struct rn__heap *h, rn_time now)
{
    struct rn__timer *t;

    if (h->n == 0 || h->entries[1].at > now)
        return NULL;
    t = h->entries[1].timer;
    rn__heap_cancel(h, t);
    return t;
}
