/*
 * slowest.c - which of many took longest, of late
 */
#include "base/slowest.h"

bool rn__slowest_has(const struct rn__slowest *s, int i, rn_time now)
{
    return s->of[i].at != 0 && s->of[i].at >= now - RN__SLOWEST_NS;
}

static void set_floor(struct rn__slowest *s, rn_time now)
{
    rn_time floor = s->of[0].took, until = now + RN__SLOWEST_NS;

    for (int i = 0; i < RN__SLOWEST; i++) {
        if (s->of[i].took < floor)
            floor = s->of[i].took;
        if (s->of[i].at != 0 && s->of[i].at + RN__SLOWEST_NS < until)
            until = s->of[i].at + RN__SLOWEST_NS;
    }
    atomic_store_explicit(&s->floor, floor, memory_order_relaxed);
    atomic_store_explicit(&s->floor_until, until, memory_order_relaxed);
}

int rn__slowest_put(struct rn__slowest *s, rn_time now, rn_time took)
{
    int into = 0;

    for (int i = 0; i < RN__SLOWEST; i++) {
        if (!rn__slowest_has(s, i, now))
            s->of[i].at = s->of[i].took = 0;
        if (s->of[i].took < s->of[into].took)
            into = i;
    }
    if (took > s->of[into].took) {
        s->of[into].at = now;
        s->of[into].took = took;
    } else {
        into = -1;
    }
    set_floor(s, now);
    return into;
}
