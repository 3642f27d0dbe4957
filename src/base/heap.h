/*
 * heap.h - timer heap: earliest first, O(log n) insert, cancel and move
 *
 * Owns an array of (time, node) pairs; the nodes belong to the caller and remember their slot, so
 * that cancel needs no search. The times stand in the array beside the pointers: sifting compares
 * neighbours of one cache line and never touches the nodes it passes over, but to renumber them.
 * One thread. Insertion can fail for want of memory; everything else cannot.
 */
#ifndef RN_BASE_HEAP_H
#define RN_BASE_HEAP_H

#include "base/base.h"

/* Slot 0 means "in no heap": slots in the array start at 1. */
struct rn__timer {
    uint32_t slot;
    uint32_t kind; /* the owner's: which kind of object this node is embedded in */
};

struct rn__heap_entry {
    rn_time at;
    struct rn__timer *timer;
};

struct rn__heap {
    struct rn__heap_entry *entries; /* 1-based; entries[0] unused */
    uint32_t n;
    uint32_t room;
};

void rn__heap_init(struct rn__heap *h);
void rn__heap_free(struct rn__heap *h);

/* Puts an idle timer in, or moves one that is in. 0 or -ENOMEM (only for an idle one). */
int rn__heap_set(struct rn__heap *h, struct rn__timer *t, rn_time at);

/* Takes the timer out; harmless when it is in no heap. */
void rn__heap_cancel(struct rn__heap *h, struct rn__timer *t);

static inline bool rn__timer_armed(const struct rn__timer *t)
{
    return t->slot != 0;
}

/* The time an armed timer stands at. */
static inline rn_time rn__heap_at(const struct rn__heap *h, const struct rn__timer *t)
{
    return h->entries[t->slot].at;
}

/* The earliest time, or RN__TIME_NEVER when the heap is empty. */
rn_time rn__heap_next(const struct rn__heap *h);

/* Takes out and returns the earliest timer that is due at now, or NULL. */
struct rn__timer *rn__heap_pop(struct rn__heap *h, rn_time now);

#endif
