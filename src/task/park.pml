/*
 * park.pml - park and ready, for spin: rn__park(), rn__ready(), ready_here() of go.c
 *
 * A coroutine at home on P 0 publishes itself, parks, and does so again; a thread elsewhere and one
 * more, racing for the pointer, wake it: by P 0's inbox, for neither is P 0. Proved: each park is
 * ended once, no wake-up is lost, the coroutine is resumed only with its registers saved, and is
 * RUNNABLE then.
 *
 * -DBUG=1..4 each change one thing that the code does; spin must find fault with every one.
 */
#ifndef BUG
#define BUG 0
#endif

#define ROUNDS 2

bool published; /* the pointer is where wakers look */
bool parked;    /* co->state */
bool saved;     /* co->sp is what rn__switch left */
byte inbox;     /* of P 0: rn__msg of the coroutine */
byte runq;      /* of P 0: the coroutine */
byte ended;     /* parks that are over */

active proctype proc()
{
    byte round = 0;

    do
    :: round == ROUNDS -> break
    :: else ->
        /* the coroutine runs */
        saved = false;
#if BUG == 4 /* published last: a waker that came meanwhile saw nobody, and will not come again */
        parked = true;
        saved = true;
        published = true;
#else
        published = true;
        parked = true;                         /* rn__park */
        saved = true;                          /* rn__switch */
#endif
        /* the scheduler, on the same thread */
        do
        :: runq > 0 -> break
        :: runq == 0 && inbox > 0 ->           /* read_inbox: ready_here */
            atomic { inbox--; runq++ }
#if BUG != 2
            parked = false
#endif
        od;
        runq--;
        assert(runq == 0 && inbox == 0);       /* readied once */
        assert(saved);
        assert(!parked);
        ended++;
        round++
    od
}

/* Takes the pointer out; who has it, readies. */
proctype waker()
{
    bool mine;
    byte i = 0;

    do
    :: i == ROUNDS -> break
    :: ended == ROUNDS -> break
    :: published ->
        i++;
#if BUG == 1 /* a look and a store, not one exchange */
        mine = published;
        published = false;
#else
        d_step { mine = published; published = false }
#endif
        if
        :: mine ->
#if BUG == 2 /* says RUNNABLE from afar */
            parked = false;
#endif
#if BUG == 3 /* into the run queue of another thread, and run there */
            runq++;
            assert(saved)
#else
            inbox++                            /* rn__post */
#endif
        :: else
        fi
#if BUG == 4
    :: !published -> break
#endif
    od
}

active proctype check()
{
    timeout ->
    assert(ended == ROUNDS)
}

init
{
    atomic { run waker(); run waker() }
}
