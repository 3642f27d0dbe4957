/*
 * forward.c - a port forwarder: what comes in on LISTEN goes to TARGET, and back
 *
 *     ./forward :7002 localhost:22
 *
 * Two coroutines for each connection, one for each direction. The end of one direction is passed on
 * and the other one stays open, for as long as its sender likes ("half-close"). An abort ends both,
 * and is passed on as an abort: an end of stream would tell the other side that it has got all.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <sys/socket.h>

struct flow {
    rn_conn *src, *dst;
    rn_waitgroup *running;
};

static const char *target;

static ssize_t copy(rn_conn *dst, rn_conn *src)
{
    char buf[16 << 10];
    ssize_t n;

    while ((n = rn_read(src, buf, sizeof buf)) > 0)
        if ((n = rn_write(dst, buf, (size_t)n)) < 0)
            break;
    return n;
}

/* What is closed after this is reset. */
static void abort_conn(rn_conn *conn)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(rn_conn_fd(conn), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    rn_cancel(conn); /* wakes the other direction */
}

static void pump(void *arg)
{
    struct flow *f = arg;

    if (copy(f->dst, f->src) < 0 || rn_close_write(f->dst) < 0) {
        abort_conn(f->src);
        abort_conn(f->dst);
    }
    rn_waitgroup_done(f->running); /* the last: f may be gone now */
}

/* Start one pump, run the other, wait for both; then close both conns, never before. */
static void forward(rn_conn *client, void *arg)
{
    rn_dial_options options = {.deadline = rn_after(10 * RN_SECOND)};
    rn_waitgroup running = RN_WAITGROUP_INIT;
    rn_conn *server;
    int r = rn_dial("tcp", target, &options, &server);

    (void)arg;
    if (r < 0) {
        fprintf(stderr, "forward: %s: %s\n", target, rn_strerror(r));
        rn_close(client);
        return;
    }
    struct flow up = {client, server, &running}, down = {server, client, &running};

    rn_waitgroup_add(&running, 2);
    if (rn_go(pump, &up) < 0) {
        abort_conn(client);
        abort_conn(server);
        rn_waitgroup_done(&running);
    }
    pump(&down);
    /* When the program ends, the other pump is cancelled too; until it ends it uses this stack. */
    while (rn_waitgroup_wait(&running) == -ECANCELED)
        rn_yield();
    rn_close(server);
    rn_close(client);
}

static int serve(void *address) { return rn_serve("tcp", address, NULL, forward, NULL); }

int main(int argc, char **argv)
{
    int r;

    if (argc != 3) {
        fprintf(stderr, "Usage: %s LISTEN TARGET\n", argv[0]);
        return 2;
    }
    target = argv[2];
    r = rn_run(NULL, serve, argv[1]);
    fprintf(stderr, "forward: %s: %s\n", argv[1], rn_strerror(r));
    return 1;
}
