/*
 * wait.pml - the wait that is claimed, for spin: wait.c, and a queue as chan.c has it
 *
 * A coroutine waits in a queue under a lock. Two senders want to hand it an item: one on another P, who
 * claims, and one on its own, for whom a look and a store will do (rn__wait_claim_by). A timer and a
 * cancel, which its own P sees, end the wait instead. Proved: it is readied once, whoever comes; an item
 * is handed over if and only if the wait says so; nobody touches the wait's memory after the coroutine
 * has left.
 *
 * -DBUG=1..5 each leave out one thing that the code does; spin must find fault with every one.
 */
#ifndef BUG
#define BUG 0
#endif

#define WAITING 0
#define PASSED 1
#define INTERRUPTED 2

bool lock, queued, alive;  /* the queue's lock; the wait stands in it; its memory is in use */
bool cpu;                  /* the thread of its P is busy: coroutine, neighbour and timer share it */
byte fired = WAITING;
byte readied;
byte handed, kept;         /* the senders' items: given, or still their own */
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
    atomic { !cpu -> cpu = true }
    acquire();                                 /* queue_up */
    alive = true;
    queued = true;
    release();
    cpu = false;
    atomic { readied > 0 && !cpu -> cpu = true } /* rn__park */
    if
    :: fired == PASSED -> assert(handed == 1 || BUG == 3)
    :: else ->
        assert(fired == INTERRUPTED);
#if BUG != 2 /* takes itself out */
        acquire();
        queued = false;
        release()
#endif
    fi;
    alive = false;
    over = true;
    cpu = false
}

active proctype sender()
{
    bool won = false;

    alive || over;
#if BUG != 4 && BUG != 5 /* 4: looks, and claims, without the lock; 5: under another one, as in a select */
    acquire();
#endif
    if
    :: queued ->
        claim(PASSED, won);
#if BUG == 3 /* lets go of the lock before it has copied */
        if
        :: won -> queued = false; readied++; release(); assert(alive); handed++
        :: else -> kept++; release()
        fi
#else
        if
        :: won -> queued = false; assert(alive); handed++
        :: else -> kept++
        fi;
#if BUG != 5
        release();
#endif
        if :: won -> readied++ :: else fi      /* rn__ready */
#endif
    :: else ->
        kept++;
#if BUG != 5
        release()
#endif
    fi
}

/* On the coroutine's own P. */
active proctype neighbour()
{
    atomic { (alive || over) && !cpu -> cpu = true }
    acquire();
    if
    :: queued && fired == WAITING ->           /* rn__wait_claim_by: no locked instruction */
        assert(alive);
        fired = PASSED;
        queued = false;
        assert(alive);
        handed++;
        release();
        readied++
    :: else ->
        kept++;
        release()
    fi;
    cpu = false
}

/* The coroutine's P: timer and cancel, rn__interrupt, which looks whether it is parked. */
active proctype home()
{
    bool won;
    byte n = 0;

    do
    :: n == 2 -> break
    :: n < 2 && queued && readied == 0 && alive && !cpu ->
        n++;
        atomic {                               /* one thread with the coroutine: it cannot leave now */
            if
            :: alive && readied == 0 && !cpu ->
                cpu = true;
                claim(INTERRUPTED, won);
                if :: won -> readied++ :: else fi;
                cpu = false
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
    assert(handed + kept == 2);
    assert(handed == (fired == PASSED))
}
