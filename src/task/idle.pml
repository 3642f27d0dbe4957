/*
 * idle.pml - the idle protocol of sched.c, for spin: idle(), wake_one(), rn__post(), steal()
 *
 * Two Ps. P 0 starts a coroutine, by run_fresh, and is then held for ever by another; a plain thread
 * posts a message to P 1; each thread runs at any speed. Whoever sleeps with work for it in sight is
 * found when nothing can move any more: all work must have been done, and `idle` must be the number
 * of Ps that sleep.
 *
 * Spin's memory is sequentially consistent. That is what S1, S2, W1 and W2 are in the code; the rest
 * is ordered by them. What compilers and machines make of it is tests/stress's to see.
 *
 * -DBUG=1..6 each leave out one thing that the code does; spin must find fault with every one.
 */
#ifndef BUG
#define BUG 0
#endif

#define WORK 2

byte inbox[2], ring[2]; /* how many are in it */
bool sleeping[2], rung[2];
short idle, done;

/* Exchange sleeping, false; was true: idle -= 1, wake the poller. */
inline wake(p)
{
    if
    :: sleeping[p] ->
#if BUG == 3 /* a load and a store */
        sleeping[p] = false;
        was = true;
#else
        d_step { was = sleeping[p]; sleeping[p] = false }
#endif
        if
        :: was -> idle--; assert(idle >= 0); rung[p] = true
        :: else
        fi
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
    :: inbox[p] == 0 && ring[p] == 0 && ring[1 - p] == 0 ->
#if BUG != 4 /* said after the look */
        idle++;                                                        /* S1 */
        sleeping[p] = true;
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
        sleeping[p] = true;
#endif
        if                                                             /* S3 */
        :: found
        :: !found -> rung[p] -> rung[p] = false
        fi;
#if BUG == 6 /* both count it */
        sleeping[p] = false;
        idle--;
        assert(idle >= 0)
#else
        if                                                             /* S4 */
        :: sleeping[p] ->
            d_step { was = sleeping[p]; sleeping[p] = false }
            if :: was -> idle--; assert(idle >= 0) :: else fi
        :: else
        fi
#endif
    od
}

active proctype holder()
{
    bool was;

#if BUG == 5 /* looks before it publishes */
    if :: idle > 0 -> wake(1) :: else fi;
    ring[0]++
#else
    ring[0]++;                                                         /* W1 */
    if :: idle > 0 -> wake(1) :: else fi                               /* W2, W3: wake_one */
#endif
    /* and never comes back to its loop */
}

active proctype thread()
{
    bool was;

    inbox[1]++;                                                        /* W1: rn__post */
    wake(1)                                                            /* W2, W3 */
}

active proctype proc()
{
    bool was, found;

    loop(1)
}

active proctype check()
{
    timeout ->
    assert(done == WORK);
    assert(idle == sleeping[0] + sleeping[1])
}
