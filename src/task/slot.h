/*
 * slot.h - type-stable memory for whatever the kernel may still have an event for
 *
 * A slot is RN__SLOT_BYTES, starts with a struct rn__iowait, and is never unmapped: a late event or
 * a kept rn_ref meets a valid object and finds that the generation has moved on. Slots come in
 * chunks; index -> address is two loads.
 */
#ifndef RN_TASK_SLOT_H
#define RN_TASK_SLOT_H

#include "base/list.h"

#define RN__SLOT_BYTES 256

struct rn__iowait;

struct rn__slot_cache {
    struct rn__fifo free; /* LIFO */
    uint32_t n;
};

/* A slot out of the P's cache (NULL: from the centre). Its index and generation are set, all else
 * is as the last user left it. -ENOMEM; -ENFILE when all of 2^24 slots are in use. */
int rn__slot_get(struct rn__slot_cache *cache, struct rn__iowait **ret);

/* Ends a generation and gives the slot back. */
void rn__slot_put(struct rn__slot_cache *cache, struct rn__iowait *w);

/* Any index that ever was in a tag or an rn_ref; NULL for one that cannot have been. */
struct rn__iowait *rn__slot_at(uint32_t index);

/* Calls fn for each slot in use; slots come and go meanwhile, so fn must look again for itself. */
void rn__slot_each(void (*fn)(struct rn__iowait *w, void *arg), void *arg);

/* Memory for slots, free ones included. */
size_t rn__slot_bytes(void);

/* The runtime has ended: closes and ends every slot in use, and empties all caches. */
void rn__slot_reset(void);

#endif
