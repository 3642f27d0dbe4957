/*
 * follow.h - a cancel of one descriptor wakes who waits at another
 *
 * A copy is inside two connections and can wait at one of them only. While it follows the other, a
 * cancel there wakes it here. It finds out for itself why: a wake too many is harmless.
 */
#ifndef RN_TASK_FOLLOW_H
#define RN_TASK_FOLLOW_H

#include "task/iowait.h"

/* On the stack of who follows, from rn__follow to rn__unfollow. */
struct rn__follower {
    struct rn__follower *next; /* [L] */
    struct rn__iowait *of;     /* [C] what it follows */
    struct rn__iowait *at;     /* [C] where it waits */
    int dir;                   /* [C] */
};

/* From here on a cancel of f->of is a nudge for (f->at, f->dir); also one that came before. */
void rn__follow(struct rn__follower *f);
void rn__unfollow(struct rn__follower *f);

/* The run has ended, and the stacks that followers were on go with it. */
void rn__follow_reset(void);

/* w was cancelled just now; any thread. */
void rn__tell_followers(struct rn__iowait *w);

#endif
