/*
 * idle.pml - the idle protocol of sched.c, for spin: idle(), wake_one(), rouse(), rn__post(),
 * steal()
 *
 * Two Ps. P 0 starts a coroutine, by run_fresh, and another; may take one, and is then held by it for
 * ever, or by the one that has started them; a plain thread posts a message to P 1; each thread runs
 * at any speed. Whoever sleeps with work for it in sight is
 * found when nothing can move any more: all work must have been done, and `idle` must be the number
 * of Ps that sleep.
 *
 * Spin's memory is sequentially consistent. That is what S1, S2, W1 and W2 are in the code; the rest
 * is ordered by them. What compilers and machines make of it is tests/stress's to see.
 *
 * A nap is any sleep of P 1, once or twice, whatever it has seen; its time may be up at once, or not
 * before all else has happened.
 *
 * -DBUG=1..11 each leave out one thing that the code does; spin must find fault with every one.
 */
#ifndef BUG
#define BUG 0
#endif

#define WORK 3
#define NAPS 2

#define AWAKE 0
#define SLEEPING 1
#define NAPPING 2

byte inbox[2], ring[2]; /* how many are in it */
byte sleep[2], naps;
bool rung[2];
short idle, done;

/* Exchange sleep, AWAKE; was SLEEPING: idle -= 1. */
inline rouse(p)
{
    if
    :: sleep[p] != AWAKE ->
#if BUG == 3 /* a load and a store */
        was = sleep[p];
        sleep[p] = AWAKE;
#else
        d_step { was = sleep[p]; sleep[p] = AWAKE };
#endif
        if
#if BUG == 7 /* a nap is not counted */
        :: was != AWAKE -> idle--; assert(idle >= 0)
#else
        :: was == SLEEPING -> idle--; assert(idle >= 0)
#endif
        :: else
        fi
    :: else -> was = AWAKE
    fi
}

/* Compare and exchange; then wake the poller. */
inline wake_one(p)
{
    if
#if BUG == 9 /* wakes one that naps, too */
    :: sleep[p] != AWAKE ->
        d_step { was = sleep[p]; sleep[p] = AWAKE };
        if :: was != AWAKE -> idle--; assert(idle >= 0); rung[p] = true :: else fi
#else
    :: sleep[p] == SLEEPING ->
        d_step { was = sleep[p]; if :: was == SLEEPING -> sleep[p] = AWAKE :: else fi };
        if :: was == SLEEPING -> idle--; assert(idle >= 0); rung[p] = true :: else fi
#endif
    :: else
    fi
}

/* The rest of a P's life, from its loop on. */
inline loop(p)
{
    do
    :: atomic { inbox[p] > 0 -> done = done + inbox[p]; inbox[p] = 0 } /* read_inbox */
    :: atomic { inbox[p] == 0 && ring[p] > 0 -> ring[p]--; done++ }    /* take_fresh */
    :: atomic { inbox[p] == 0 && ring[p] == 0 && ring[1 - p] > 0 -> ring[1 - p]--; done++ } /* steal */
    :: inbox[p] == 0 && naps < NAPS ->
        naps++;
        sleep[p] = NAPPING;                                            /* S1 */
#if BUG == 8 /* for good */
        if :: inbox[p] > 0 :: else -> rung[p] -> rung[p] = false fi;
#else
        if :: rung[p] -> rung[p] = false :: true fi;                   /* S3 */
#endif
        rouse(p)                                                       /* S4 */
    :: inbox[p] == 0 && ring[p] == 0 && ring[1 - p] == 0 ->
#if BUG != 4 /* said after the look */
        idle++;                                                        /* S1 */
        sleep[p] = SLEEPING;
#endif
        found = false;                                                 /* S2, one look after the other */
#if BUG != 1
        if :: inbox[p] > 0 -> found = true :: else fi;
#endif
        if :: ring[p] > 0 -> found = true :: else fi;
#if BUG != 2
        if :: ring[1 - p] > 0 -> found = true :: else fi;
#endif
#if BUG == 4
        idle++;
        sleep[p] = SLEEPING;
#endif
        if                                                             /* S3 */
        :: found
        :: !found -> rung[p] -> rung[p] = false
        fi;
#if BUG == 6 /* both count it */
        sleep[p] = AWAKE;
        idle--;
        assert(idle >= 0)
#else
        rouse(p)                                                       /* S4 */
#endif
    od
}

/* The same for one that naps: the owner of a ring goes on with what is coarse. */
inline wake_napper(p)
{
    if
    :: sleep[p] == NAPPING ->
#if BUG == 10 /* a load and a store */
        sleep[p] = AWAKE;
        rung[p] = true
#else
        d_step { was = sleep[p]; if :: was == NAPPING -> sleep[p] = AWAKE :: else fi };
#if BUG == 11 /* counted as one that sleeps */
        if :: was == NAPPING -> idle--; assert(idle >= 0); rung[p] = true :: else fi
#else
        if :: was == NAPPING -> rung[p] = true :: else fi
#endif
#endif
    :: else
    fi
}

inline run_fresh(p)
{
#if BUG == 5 /* looks before it publishes */
    if :: idle > 0 -> wake_one(1 - p) :: else fi;
    ring[p]++
#else
    ring[p]++;                                                         /* W1 */
    if :: idle > 0 -> wake_one(1 - p) :: else fi                       /* W2, W3 */
#endif
}

active proctype holder()
{
    byte was;

    run_fresh(0);
    run_fresh(0);
    if
    :: atomic { ring[0] > 0 -> ring[0]--; done++ };                    /* take_fresh */
       if :: ring[0] > 0 -> wake_napper(1) :: else fi
    :: true
    fi
    /* and never comes back to its loop */
}

active proctype thread()
{
    byte was;

    inbox[1]++;                                                        /* W1: rn__post */
    rouse(1);                                                          /* W2, W3 */
    if :: was != AWAKE -> rung[1] = true :: else fi
}

active proctype proc()
{
    byte was;
    bool found;

    loop(1)
}

active proctype check()
{
    timeout ->
    assert(done == WORK);
    assert(idle == (sleep[0] == SLEEPING) + (sleep[1] == SLEEPING))
}
