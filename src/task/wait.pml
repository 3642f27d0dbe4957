/*
 * wait.pml - the wait that is claimed, for spin: wait.c, and a queue as chan.c has it
 *
 * A coroutine waits in a queue under a lock. A sender on another P wants to hand it an item; a timer
 * and a cancel, which its own P sees, end the wait instead. Proved: it is readied once, whoever comes;
 * an item is handed over if and only if the wait says so; nobody touches the wait's memory after the
 * coroutine has left.
 *
 * -DBUG=1..4 each leave out one thing that the code does; spin must find fault with every one.
 */
#ifndef BUG
#define BUG 0
#endif

#define WAITING 0
#define PASSED 1
#define INTERRUPTED 2

bool lock, queued, alive;  /* the queue's lock; the wait stands in it; its memory is in use */
byte fired = WAITING;
byte readied;
bool handed, kept;         /* the sender's item: given, or still its own */
bool over;                 /* the coroutine has its result */

inline acquire() { atomic { !lock -> lock = true } }
inline release() { lock = false }

/* rn__wait_claim */
inline claim(how, won)
{
    assert(alive);
#if BUG == 1 /* a look and a store */
    won = fired == WAITING;
    if :: won -> fired = how :: else fi
#else
    d_step { won = fired == WAITING; if :: won -> fired = how :: else fi }
#endif
}

active proctype coroutine()
{
    acquire();                                 /* queue_up */
    alive = true;
    queued = true;
    release();
    readied > 0;                               /* rn__wait_park */
    if
    :: fired == PASSED -> assert(handed || BUG == 3)
    :: else ->
        assert(fired == INTERRUPTED);
#if BUG != 2 /* takes itself out */
        acquire();
        queued = false;
        release()
#endif
    fi;
    alive = false;
    over = true
}

active proctype sender()
{
    bool won = false;

    alive || over;
#if BUG != 4 /* looks, and claims, without the lock */
    acquire();
#endif
    if
    :: queued ->
#if BUG == 3 /* lets go of the lock before it has copied */
        claim(PASSED, won);
        if
        :: won -> queued = false; readied++; release(); assert(alive); handed = true
        :: else -> kept = true; release()
        fi
#else
        claim(PASSED, won);
        if
        :: won -> queued = false; assert(alive); handed = true
        :: else -> kept = true
        fi;
        release();
        if :: won -> readied++ :: else fi      /* rn__ready */
#endif
    :: else -> kept = true; release()
    fi
}

/* The coroutine's P: timer and cancel, rn__interrupt, which looks whether it is parked. */
active proctype home()
{
    bool won;
    byte n = 0;

    do
    :: n == 2 -> break
    :: n < 2 && queued && readied == 0 && alive ->
        n++;
        atomic {                               /* one thread with the coroutine: it cannot leave now */
            if
            :: alive && readied == 0 -> claim(INTERRUPTED, won); if :: won -> readied++ :: else fi
            :: else
            fi
        }
    :: n < 2 -> n++                            /* not in time */
    od
}

active proctype check()
{
    timeout ->
    assert(over && readied == 1);
    assert(handed != kept);
    assert(handed == (fired == PASSED))
}
