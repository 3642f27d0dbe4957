/*
 * follow.c - who follows whom: a small table beside the slots, which have no room for a list that
 * few of them need
 *
 * Either a follower, who enters the table and then looks at the cancel flag, sees the flag, or the
 * canceller, who sets the flag and then looks at the table, sees the follower: both in one total
 * order. Slots are type-stable, so a nudge that comes late meets a valid object.
 */
#include "task/follow.h"

#include <pthread.h>

#define BUCKETS 64

static struct bucket {
    pthread_mutex_t lock;
    _Atomic(struct rn__follower *) first; /* [L] to write */
} buckets[BUCKETS] = {[0 ... BUCKETS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static struct bucket *bucket_of(const struct rn__iowait *w)
{
    return &buckets[w->index % BUCKETS];
}

void rn__follow(struct rn__follower *f)
{
    struct bucket *b = bucket_of(f->of);

    pthread_mutex_lock(&b->lock);
    f->next = atomic_load_explicit(&b->first, memory_order_relaxed);
    atomic_store(&b->first, f);
    pthread_mutex_unlock(&b->lock);
    if (atomic_load(&f->of->life) & 1)
        rn__iowait_nudge(f->at, f->dir);
}

void rn__unfollow(struct rn__follower *f)
{
    struct bucket *b = bucket_of(f->of);
    struct rn__follower *before;

    pthread_mutex_lock(&b->lock);
    before = atomic_load_explicit(&b->first, memory_order_relaxed);
    if (before == f) {
        atomic_store(&b->first, f->next);
    } else {
        while (before->next != f)
            before = before->next;
        before->next = f->next;
    }
    pthread_mutex_unlock(&b->lock);
}

void rn__follow_reset(void)
{
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_lock(&buckets[i].lock);
        atomic_store(&buckets[i].first, NULL);
        pthread_mutex_unlock(&buckets[i].lock);
    }
}

void rn__tell_followers(struct rn__iowait *w)
{
    struct bucket *b = bucket_of(w);

    if (atomic_load(&b->first) == NULL)
        return;
    pthread_mutex_lock(&b->lock);
    for (struct rn__follower *f = atomic_load_explicit(&b->first, memory_order_relaxed); f != NULL;
         f = f->next)
        if (f->of == w)
            rn__iowait_nudge(f->at, f->dir);
    pthread_mutex_unlock(&b->lock);
}
