/*
 * gdb_target.c - coroutines in every state, for test_gdb.py to look at
 *
 * Prints its number and a line "ready", then goes on until its input ends.
 */
#include <runnel/runnel.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone))

static rn_chan *never;
static atomic_bool stop;
static atomic_int loops;

KEEP static void third(int depth)
{
    int item = 0, marker = depth + 40;

    (void)rn_chan_recv(never, &item);
    __asm__ volatile("" ::"r"(marker) : "memory");
}

KEEP static void second(int depth)
{
    third(depth + 1);
    __asm__ volatile("" ::: "memory");
}

KEEP static void first(int depth)
{
    second(depth + 1);
    __asm__ volatile("" ::: "memory");
}

static void receiver(void *arg)
{
    (void)arg;
    first(0);
    __asm__ volatile("" ::: "memory");
}

static void reader(void *arg)
{
    char c;

    (void)rn_read(arg, &c, 1);
    __asm__ volatile("" ::: "memory");
}

static void sleeper(void *arg)
{
    (void)arg;
    (void)rn_sleep(3600 * RN_SECOND);
    __asm__ volatile("" ::: "memory");
}

KEEP static void loop_here(void)
{
    while (!stop)
        loops++;
}

static void looper(void *arg)
{
    (void)arg;
    loop_here();
    __asm__ volatile("" ::: "memory");
}

static void waits_its_turn(void *arg)
{
    (void)arg; /* behind the looper, on its P */
}

static void go(const char *name, int proc, void (*fn)(void *), void *arg)
{
    (void)rn_go_with(&(rn_go_options){.name = name, .proc = proc}, fn, arg);
}

/* The loop holds P 2; this is on P 1 or, offloaded, on a thread of the pool. */
static int wait_for_end(void *arg)
{
    char c;

    while (read(STDIN_FILENO, &c, 1) > 0)
        ;
    return arg == NULL ? 0 : -1;
}

static int run(void *arg)
{
    rn_conn *conn;
    int fds[2];

    (void)arg;
    if (pipe(fds) < 0 || rn_conn_from_fd(fds[0], &conn) < 0 ||
        rn_chan_new(sizeof(int), 0, &never) < 0)
        return 1;
    go("receiver", 1, receiver, NULL);
    go("reader", 1, reader, conn);
    go("sleeper", 1, sleeper, NULL);
    (void)rn_sleep(10 * RN_MILLISECOND);
    go("looper", 2, looper, NULL);
    while (loops == 0)
        (void)rn_sleep(RN_MILLISECOND);
    go("runnable", 2, waits_its_turn, NULL);
    (void)rn_sleep(10 * RN_MILLISECOND);
    printf("%d fd %d\nready\n", getpid(), fds[0]);
    fflush(stdout);
    (void)rn_offload(wait_for_end, NULL, NULL);
    stop = true;
    rn_chan_close(never);
    puts("goes on");
    return 0;
}

int main(void)
{
    return rn_run(&(rn_run_options){.procs = 2, .watchdog_ns = -1}, run, NULL);
}
