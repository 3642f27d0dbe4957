/*
 * steal.pml - a cancel against a thief, for spin: cancel_here() of wait.c, steal() of sched.c
 *
 * A coroutine that has not run stands in P 0's ring. A cancel is on its way to P 0, and P 1 steals it.
 * Proved: wherever it runs, its wait ends.
 *
 * -DBUG=1..3 each leave out one thing that the code does; spin must find fault with every one.
 */
#ifndef BUG
#define BUG 0
#endif

bool in_ring = true, cancelled, parked, over;
byte at;                 /* co->proc */
byte inbox[2];           /* rn__cancel's message, once at most */
bool cancelling = true;  /* it is in an inbox */

/* rn__cancel */
inline cancel_again()
{
    d_step { asked = cancelling; cancelling = true }
    if :: !asked -> inbox[at]++ :: else fi
}

/* cancel_here, on P p */
inline cancel_here(p)
{
    inbox[p]--;
    cancelling = false;
    was_parked = parked;                       /* before where */
    if
    :: at == p ->
        cancelled = true;
        if :: was_parked && parked -> parked = false; over = true :: else fi
    :: else
    fi;
#if BUG != 1 /* it may have been stolen between */
    if :: at != p && !over -> cancel_again() :: else fi
#endif
}

/* The coroutine's life on P p: one wait. */
inline life(p)
{
    if
    :: cancelled -> over = true                /* rn__is_cancelled */
    :: else -> parked = true
    fi
}

proctype proc(byte p)
{
    bool mine, was_parked, asked;

    do
    :: inbox[p] > 0 -> cancel_here(p)
    :: in_ring ->                              /* take_fresh, or steal */
        d_step { mine = in_ring; in_ring = false }
        if
        :: mine ->
#if BUG == 2 /* runs it before it says that it has it */
            life(p);
            at = p
#elif BUG == 3 /* does not say it at all */
            life(p)
#else
            at = p;
            life(p)
#endif
        :: else
        fi
    od
}

active proctype check()
{
    timeout -> assert(over)
}

init
{
    inbox[0] = 1;
    atomic { run proc(0); run proc(1) }
}
