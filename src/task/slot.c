/*
 * slot.c - chunks of slots, the central free list
 *
 * The table of chunks is fixed and in .bss, hence never moved while another thread reads it.
 */
#include "task/slot.h"

#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "task/iowait.h"

#include <sys/mman.h>

#define CHUNK_SLOTS 256U
#define MAX_CHUNKS 65536U

/* A P's cache keeps this many; what is above goes to the centre, half at a time. */
#define CACHE_KEEP 512U

static _Atomic(char *) chunks[MAX_CHUNKS]; /* [L] to write */
static uint32_t n_slots;                   /* [L] ever made */
static struct rn__slot_cache centre;       /* [L] */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct rn__iowait *take(struct rn__slot_cache *cache)
{
    struct rn__snode *n = rn__fifo_pop(&cache->free);

    if (n == NULL)
        return NULL;
    cache->n--;
    return RN_CONTAINER(n, struct rn__iowait, free_link);
}

static void give(struct rn__slot_cache *cache, struct rn__iowait *w)
{
    rn__fifo_push_front(&cache->free, &w->free_link);
    cache->n++;
}

/* Straight from mmap: zeroed, never freed, and so no business of the user's allocator. */
static int make_slot(struct rn__iowait **ret)
{
    uint32_t chunk = n_slots / CHUNK_SLOTS;
    struct rn__iowait *w;

    if (chunk == MAX_CHUNKS)
        return -ENFILE;
    if (n_slots % CHUNK_SLOTS == 0) {
        void *memory;
        int r = rn__sys_mmap((size_t)CHUNK_SLOTS * RN__SLOT_BYTES, PROT_READ | PROT_WRITE, 0,
                             &memory);

        if (r < 0) /* EAGAIN, too: locked memory has its limit */
            return -ENOMEM;
        atomic_store(&chunks[chunk], memory);
    }
    w = rn__slot_at(n_slots);
    RN_ASSERT(w != NULL);
    w->index = n_slots++;
    *ret = w;
    return 0;
}

int rn__slot_get(struct rn__slot_cache *cache, struct rn__iowait **ret)
{
    struct rn__iowait *w = cache == NULL ? NULL : take(cache);
    int r = 0;

    if (w == NULL) {
        pthread_mutex_lock(&lock);
        w = take(&centre);
        if (w == NULL)
            r = make_slot(&w);
        pthread_mutex_unlock(&lock);
        if (r < 0)
            return r;
    }
    rn__iowait_revive(w);
    *ret = w;
    return 0;
}

static void shed(struct rn__slot_cache *cache, uint32_t keep)
{
    pthread_mutex_lock(&lock);
    while (cache->n > keep)
        give(&centre, take(cache));
    pthread_mutex_unlock(&lock);
}

void rn__slot_put(struct rn__slot_cache *cache, struct rn__iowait *w)
{
    rn__iowait_retire(w);
    give(cache, w);
    if (cache->n > CACHE_KEEP)
        shed(cache, CACHE_KEEP / 2);
}

struct rn__iowait *rn__slot_at(uint32_t index)
{
    uint32_t chunk = index / CHUNK_SLOTS;
    char *memory = chunk < MAX_CHUNKS ? atomic_load_explicit(&chunks[chunk], memory_order_acquire)
                                      : NULL;

    if (memory == NULL)
        return NULL;
    return (struct rn__iowait *)(void *)(memory + (size_t)(index % CHUNK_SLOTS) * RN__SLOT_BYTES);
}

void rn__slot_each(void (*fn)(struct rn__iowait *w, void *arg), void *arg)
{
    uint32_t n;

    pthread_mutex_lock(&lock);
    n = n_slots;
    pthread_mutex_unlock(&lock);
    for (uint32_t i = 0; i < n; i++) {
        struct rn__iowait *w = rn__slot_at(i);

        if (w != NULL && rn__iowait_in_use(w))
            fn(w, arg);
    }
}

size_t rn__slot_bytes(void)
{
    size_t n;

    pthread_mutex_lock(&lock);
    n = (n_slots + CHUNK_SLOTS - 1) / CHUNK_SLOTS * CHUNK_SLOTS;
    pthread_mutex_unlock(&lock);
    return n * RN__SLOT_BYTES;
}

static void drop(struct rn__iowait *w, void *unused)
{
    rn__iowait_fn fn = rn__iowait_drop(w);

    (void)unused;
    if (fn != NULL)
        fn(w);
}

void rn__slot_reset(void)
{
    rn__slot_each(drop, NULL); /* without the lock: they have locks of their own */
    pthread_mutex_lock(&lock);
    centre = (struct rn__slot_cache){0};
    for (uint32_t i = 0; i < n_slots; i++) {
        struct rn__iowait *w = rn__slot_at(i);

        RN_ASSERT(w != NULL);
        if (rn__iowait_in_use(w)) {
            if (w->fd >= 0 && !w->merged && w->how != RN__ADD_SHARED) /* whose it is, closes it */
                (void)rn__sys_close(w->fd);
            rn__iowait_retire(w);
        }
        atomic_store(&w->attending, false); /* the message went with the inbox it was in */
        give(&centre, w);
    }
    pthread_mutex_unlock(&lock);
}
