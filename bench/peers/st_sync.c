/*
 * st_sync.c - what bench/switch.c and bench/sync.c measure, on State Threads.
 *
 * State Threads has neither channels nor more than one P: an int is handed over in a box with a
 * condition variable for each side, which is how its users do it. Nor has 1.9 a yield: st_usleep(0)
 * is what stands in for one, and goes by way of the timers and the poller.
 */
#include <st.h>
#include <string.h>

#include "../pieces.h"

#define YIELDS 20000
#define CHAN_TIMES 400000
#define RING 1000
#define RING_LAPS 200

struct box {
    st_cond_t changed;
    bool full, closed;
    int value;
};

static void open_box(struct box *b)
{
    memset(b, 0, sizeof *b);
    b->changed = st_cond_new();
}

static void put(struct box *b, int value)
{
    while (b->full)
        st_cond_wait(b->changed);
    b->value = value;
    b->full = true;
    st_cond_signal(b->changed);
}

static bool take(struct box *b, int *value)
{
    while (!b->full && !b->closed)
        st_cond_wait(b->changed);
    if (!b->full)
        return false;
    *value = b->value;
    b->full = false;
    st_cond_signal(b->changed); /* who waits to put */
    return true;
}

static void close_box(struct box *b)
{
    b->closed = true;
    st_cond_broadcast(b->changed);
}

static st_thread_t start(void *(*fn)(void *), void *arg)
{
    st_thread_t t = st_thread_create(fn, arg, 1, 0);

    if (t == NULL) {
        perror("st_sync: st_thread_create");
        exit(1);
    }
    return t;
}

static bool stop;

static void *yielder(void *arg)
{
    while (!stop)
        st_usleep(0);
    return arg;
}

static void bench_yield(void)
{
    for (int i = 0; i < YIELDS / 2; i++)
        st_usleep(0);
}

static void *nothing(void *arg)
{
    return arg;
}

/* By a join, which switches to the new thread and comes back at its end. */
static void bench_spawn(void)
{
    for (int i = 0; i < CHAN_TIMES; i++)
        st_thread_join(start(nothing, NULL), NULL);
}

static struct box boxes[RING];

static void *echo(void *arg)
{
    int v;

    while (take(&boxes[0], &v))
        put(&boxes[1], v);
    return arg;
}

static void bench_chan(void)
{
    st_thread_t t;
    int v;

    open_box(&boxes[0]);
    open_box(&boxes[1]);
    t = start(echo, NULL);
    for (int i = 0; i < CHAN_TIMES; i++) {
        put(&boxes[0], i);
        (void)take(&boxes[1], &v);
    }
    close_box(&boxes[0]);
    st_thread_join(t, NULL);
    st_cond_destroy(boxes[0].changed);
    st_cond_destroy(boxes[1].changed);
}

static void *pass_on(void *arg)
{
    struct box *from = arg, *to = from == &boxes[RING - 1] ? &boxes[0] : from + 1;
    int v;

    while (take(from, &v))
        put(to, v);
    close_box(to);
    return arg;
}

static void bench_ring(void)
{
    static st_thread_t t[RING];
    int v;

    for (int i = 0; i < RING; i++)
        open_box(&boxes[i]);
    for (int i = 1; i < RING; i++)
        t[i] = start(pass_on, &boxes[i]);
    for (int lap = 0; lap < RING_LAPS; lap++) {
        put(&boxes[1], lap);
        (void)take(&boxes[0], &v);
    }
    close_box(&boxes[1]);
    for (int i = 1; i < RING; i++)
        st_thread_join(t[i], NULL);
    for (int i = 0; i < RING; i++)
        st_cond_destroy(boxes[i].changed);
}

int main(void)
{
    st_thread_t t;

    if (st_init() < 0) {
        perror("st_sync: st_init");
        return 1;
    }
    t = start(yielder, NULL);
    pieces_measure("yield", YIELDS, bench_yield);
    stop = true;
    st_thread_join(t, NULL);
    pieces_measure("spawn", CHAN_TIMES, bench_spawn);
    pieces_measure("chan", CHAN_TIMES, bench_chan);
    pieces_measure("ring", (long)RING * RING_LAPS, bench_ring);
    return 0;
}
