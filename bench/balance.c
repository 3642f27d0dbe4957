/*
 * balance.c - how connections find their P: balance, delay while a P is stuck, accepts for nothing
 *
 * Two Ps serve; a plain thread connects. Each connection is told the number of its P. Printed for
 * each way, as a Markdown row:
 *
 *   max/mean    connections on the fuller P over the mean, of 2000 held open
 *   p50 p99 max time from connect to first byte, ms, of 400 connections one after the other, while
 *               a coroutine keeps one P busy for 200 ms, leaves it alone for 20 ms, and so on
 *   EAGAIN      accept4 calls that found nothing, per connection
 *
 * "shared" is what a listener in several epolls without EPOLLEXCLUSIVE does: all are woken.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pieces.h"
#include "task/proc.h"
#include <runnel/runnel.h>

#define HELD 2000
#define TIMED 400
#define STALL (200 * RN_MILLISECOND)
#define BREATH (20 * RN_MILLISECOND)

enum way { SHARED = -1 }; /* else enum rn_balance */

static struct sockaddr_in server;
static atomic_bool client_done, stalling;

/* ---- server ---- */

static void tell_proc(rn_conn *conn, void *arg)
{
    char proc = (char)('0' + rn_proc_id()), end;

    (void)arg;
    if (rn_write(conn, &proc, 1) == 1)
        (void)rn_read(conn, &end, 1);
    rn_close(conn);
}

static void tell_proc_task(void *arg)
{
    tell_proc(arg, NULL);
}

/* One of several: accept, or wait for the listener with everybody else. */
static void accept_shared(void *arg)
{
    int fd = *(int *)arg;

    while (!atomic_load(&client_done)) {
        int got = rn__sys_accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        rn_conn *conn;

        if (got < 0)
            (void)rn_wait_fd(fd, RN_READABLE, rn_after(100 * RN_MILLISECOND));
        else if (rn_conn_from_fd(got, &conn) < 0 || rn_go(tell_proc_task, conn) < 0)
            close(got);
    }
}

static void stall(void *arg)
{
    (void)arg;
    while (!atomic_load(&client_done)) {
        rn_time until = rn_after(STALL);

        while (atomic_load(&stalling) && rn_now() < until)
            ;
        (void)rn_sleep(BREATH);
    }
}

static uint64_t count_eagain(void)
{
    struct rn__runtime *rt = atomic_load(&rn__runtime);
    uint64_t n = 0;

    for (int i = 0; i < rt->n_procs; i++)
        n += atomic_load(&rt->procs[i]->counters.rows[RN__SYS_accept4].again);
    return n;
}

/* ---- client ---- */

struct result {
    int procs[2];
    double ms[TIMED];
    uint64_t eagain_before, eagain_after;
};

/* A connection's descriptor, with the number of its P in *proc. */
static int connect_one(int *proc)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char c = '1';

    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0 ||
        read(fd, &c, 1) != 1) {
        perror("connect");
        exit(1);
    }
    *proc = c - '1';
    return fd;
}

static void *run_client(void *arg)
{
    struct result *r = arg;
    static int held[HELD];
    int proc;

    for (int i = 0; i < HELD; i++) {
        held[i] = connect_one(&proc);
        r->procs[proc & 1]++;
    }
    r->eagain_after = count_eagain();
    for (int i = 0; i < HELD; i++)
        close(held[i]);
    atomic_store(&stalling, true);
    for (int i = 0; i < TIMED; i++) {
        rn_time start = rn_now();
        int fd = connect_one(&proc);

        r->ms[i] = (double)(rn_now() - start) / 1e6;
        close(fd);
        usleep(2000);
    }
    qsort(r->ms, TIMED, sizeof r->ms[0], pieces_compare);
    atomic_store(&client_done, true);
    return NULL;
}

/* ---- one way ---- */

struct trial {
    int way;
    int stuck; /* which P */
    rn_listener *ln;
    struct result result;
};

static void serve(void *arg)
{
    struct trial *t = arg;
    rn_serve_options o = {.balance = (enum rn_balance)t->way, .listener = &t->ln};

    (void)rn_serve("tcp", "127.0.0.1:0", &o, tell_proc, NULL);
}

static void start_server(struct trial *t, int *fd)
{
    if (t->way != SHARED) {
        (void)rn_go_with(&(rn_go_options){.proc = 1}, serve, t);
        while (t->ln == NULL)
            (void)rn_sleep(RN_MILLISECOND);
        return;
    }
    if (rn_listen("tcp", "127.0.0.1:0", NULL, &t->ln) < 0)
        exit(1);
    *fd = rn_listener_fd(t->ln);
    for (int i = 1; i <= 2; i++)
        (void)rn_go_with(&(rn_go_options){.proc = i}, accept_shared, fd);
}

static int run_trial(void *arg)
{
    struct trial *t = arg;
    socklen_t len = sizeof server;
    pthread_t client;
    int fd = -1;

    start_server(t, &fd);
    (void)rn_sleep(10 * RN_MILLISECOND);
    (void)getsockname(rn_listener_fd(t->ln), (struct sockaddr *)&server, &len);
    (void)rn_go_with(&(rn_go_options){.proc = t->stuck}, stall, NULL);
    t->result.eagain_before = count_eagain();
    if (pthread_create(&client, NULL, run_client, &t->result) != 0)
        return 1;
    while (!atomic_load(&client_done))
        (void)rn_sleep(10 * RN_MILLISECOND);
    pthread_join(client, NULL);
    rn_listener_cancel(t->ln);
    return 0;
}

static void print_row(const char *name, const struct trial *t)
{
    const struct result *r = &t->result;
    int fuller = r->procs[0] > r->procs[1] ? r->procs[0] : r->procs[1];

    printf("| %s, P %d stuck | %.2f | %.2f | %.1f | %.1f | %.2f |\n", name, t->stuck,
           fuller * 2.0 / HELD, r->ms[TIMED / 2], r->ms[TIMED * 99 / 100], r->ms[TIMED - 1],
           (double)(r->eagain_after - r->eagain_before) / HELD);
    fflush(stdout);
}

int main(void)
{
    static const struct {
        const char *name;
        int way;
    } ways[] = {{"shared, all woken", SHARED},
                {"EPOLLEXCLUSIVE, keep", RN_BALANCE_EXCLUSIVE},
                {"one accepts, place", RN_BALANCE_ONE},
                {"SO_REUSEPORT", RN_BALANCE_REUSE_PORT},
                {"EPOLLEXCLUSIVE, place", RN_BALANCE_PLACE}};

    printf(
        "| way | max/mean | p50 ms | p99 ms | max ms | EAGAIN/conn |\n|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        for (int stuck = 1; stuck <= 2; stuck++) {
            struct trial *t = calloc(1, sizeof *t);

            t->way = ways[i].way;
            t->stuck = stuck;
            atomic_store(&client_done, false);
            atomic_store(&stalling, false);
            if (rn_run(&(rn_run_options){.procs = 2}, run_trial, t) != 0)
                return 1;
            print_row(ways[i].name, t);
            free(t);
        }
    }
    return 0;
}
