/*
 * hist.c - log-linear histogram
 *
 * Values below 8 have a bucket each. Above, a value's bucket is its highest bit's position and the
 * three bits below it: bucket = (top - 2) * 8 + those three bits.
 */
#include "base/hist.h"

unsigned rn__hist_bucket(uint64_t value)
{
    unsigned top, bucket;

    if (value < RN__HIST_SUB)
        return (unsigned)value;
    top = 63U - (unsigned)__builtin_clzll(value);
    bucket = (top - RN__HIST_SUB_BITS + 1) * RN__HIST_SUB +
             (unsigned)(value >> (top - RN__HIST_SUB_BITS) & (RN__HIST_SUB - 1));
    return bucket < RN__HIST_BUCKETS ? bucket : RN__HIST_BUCKETS - 1;
}

uint64_t rn__hist_upper(unsigned bucket)
{
    unsigned octave = bucket / RN__HIST_SUB, sub = bucket % RN__HIST_SUB;

    if (octave == 0)
        return sub;
    return (((uint64_t)RN__HIST_SUB + sub + 1) << (octave - 1)) - 1;
}

void rn__hist_add(struct rn__hist *h, uint64_t value)
{
    _Atomic uint32_t *b = &h->buckets[rn__hist_bucket(value)];

    /* One writer: a relaxed load and store, not a locked add. */
    atomic_store_explicit(b, atomic_load_explicit(b, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

void rn__hist_merge(struct rn__hist *into, const struct rn__hist *from)
{
    for (unsigned i = 0; i < RN__HIST_BUCKETS; i++) {
        uint32_t sum = atomic_load_explicit(&into->buckets[i], memory_order_relaxed) +
                       atomic_load_explicit(&from->buckets[i], memory_order_relaxed);

        atomic_store_explicit(&into->buckets[i], sum, memory_order_relaxed);
    }
}

uint64_t rn__hist_count(const struct rn__hist *h)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < RN__HIST_BUCKETS; i++)
        n += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    return n;
}

uint64_t rn__hist_quantile(const struct rn__hist *h, double share)
{
    uint64_t n = rn__hist_count(h), seen = 0, want;

    if (n == 0)
        return 0;
    want = (uint64_t)((double)n * share);
    if ((double)want < (double)n * share)
        want++;
    for (unsigned i = 0; i < RN__HIST_BUCKETS; i++) {
        seen += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (seen >= want)
            return rn__hist_upper(i);
    }
    return rn__hist_upper(RN__HIST_BUCKETS - 1);
}
