/*
 * planted.c - bugs for the tools to find: planted NAME. Lines are found by their marks.
 */
/* NOLINTBEGIN: the bugs are meant */
#include <runnel/runnel.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP __attribute__((noinline, noclone))
#define NO_TAIL __asm__ volatile("" ::: "memory")

static rn_chan *ch;
static rn_mutex mutex = RN_MUTEX_INIT;
static int shared;
static atomic_int racing;
static char *block;
static volatile int sink;

/* Some parks and switches on the way, from here and there. */
static void wander(void)
{
    for (int i = 0; i < 20; i++) {
        rn_yield();
        (void)rn_sleep(10 * RN_MICROSECOND);
    }
}

KEEP static void innermost(void)
{
    sink = block[3]; /* MARK use */
    NO_TAIL;
}

KEEP static void middle(void)
{
    innermost();
    NO_TAIL;
}

KEEP static void outer(void)
{
    wander();
    middle();
    NO_TAIL;
}

static void use_after_free(void *arg)
{
    block = malloc(16);
    memset(block, 1, 16);
    free(block);
    outer();
    (void)arg;
    NO_TAIL;
}

KEEP static void fill(char *to, int n)
{
    for (int i = 0; i < n; i++)
        to[i] = (char)i; /* MARK overflow */
}

static void stack_overflow(void *arg)
{
    char room[24];

    wander();
    fill(room, 25 + (arg != NULL));
    sink = room[1];
}

KEEP static void branch(const int *on)
{
    if (on[1] > 3) /* MARK branch */
        sink = 1;
    NO_TAIL;
}

static void uninitialised(void *arg)
{
    int *words = malloc(16);

    wander();
    branch(words);
    free(words);
    (void)arg;
}

KEEP static void write_shared(void)
{
    for (int i = 0; i < 1000; i++, shared++) /* MARK race */
        ;
}

static void racer(void *arg)
{
    wander();
    /* At the same time, and without an order between them. */
    atomic_fetch_add_explicit(&racing, 1, memory_order_relaxed);
    while (atomic_load_explicit(&racing, memory_order_relaxed) < 2)
        ;
    write_shared();
    (void)rn_chan_send(ch, &(int){arg != NULL});
}

static void locker(void *arg)
{
    for (int i = 0; i < 200; i++) {
        rn_mutex_lock(&mutex);
        write_shared();
        if (i % 10 == 0)
            wander();
        rn_mutex_unlock(&mutex);
    }
    (void)rn_chan_send(ch, &(int){arg != NULL});
}

/* What it alone holds is no leak while it waits. */
static void holder(void *arg)
{
    char *only = malloc(100);
    int item;

    memset(only, 1, 100);
    (void)rn_chan_recv(ch, &item);
    sink = only[5];
    free(only);
    (void)arg;
}

static void on_both(void (*fn)(void *))
{
    int item;

    for (int i = 1; i <= 2; i++)
        (void)rn_go_with(&(rn_go_options){.name = "planted", .proc = i}, fn, NULL);
    for (int i = 1; i <= 2; i++)
        (void)rn_chan_recv(ch, &item);
}

static void alone(void (*fn)(void *))
{
    (void)rn_go_with(&(rn_go_options){.name = "planted", .proc = 2}, fn, NULL);
    for (int i = 0; i < 50; i++)
        wander();
}

static int run(void *name)
{
    if (rn_chan_new(sizeof(int), 2, &ch) < 0)
        return 1;
    if (strcmp(name, "use-after-free") == 0)
        alone(use_after_free);
    else if (strcmp(name, "stack-overflow") == 0)
        alone(stack_overflow);
    else if (strcmp(name, "uninitialised") == 0)
        alone(uninitialised);
    else if (strcmp(name, "race") == 0)
        on_both(racer);
    else if (strcmp(name, "ordered") == 0)
        on_both(locker);
    else if (strcmp(name, "holder") == 0)
        alone(holder);
    else
        return 2;
    rn_chan_close(ch);
    wander();
    rn_chan_free(ch);
    puts("done");
    return 0;
}

int main(int argc, char **argv)
{
    return argc != 2 ? 2 : rn_run(&(rn_run_options){.procs = 2}, run, argv[1]);
}
/* NOLINTEND */
