/*
 * proxy.c - a TCP proxy by rn_copy, which tells of each flow what went by and which way
 *
 *     ./proxy :7003 localhost:80
 *
 * Two copies for each connection. Each passes the end of its stream on, and the other goes on for
 * as long as its sender likes ("half-close"). One that fails cancels both connections, which ends
 * the other copy, and has them reset: an end of stream would tell the other side that it has got
 * all. (forward.c does the same with a buffer of its own.)
 */
#include <runnel/runnel.h>
#include <stdio.h>

struct flow {
    rn_conn *src, *dst;
    rn_waitgroup *running;
    ssize_t result;
    rn_copy_report report;
};

static const char *target;

static void abort_conn(rn_conn *conn)
{
    (void)rn_set_linger(conn, 0);
    rn_cancel(conn); /* wakes the other copy */
}

static void pump(void *arg)
{
    struct flow *f = arg;
    int r;

    f->result = rn_copy(f->dst, f->src, &f->report);
    if (f->result >= 0 && (r = rn_close_write(f->dst)) < 0)
        f->result = r;
    if (f->result < 0) {
        abort_conn(f->src);
        abort_conn(f->dst);
    }
    rn_waitgroup_done(f->running); /* the last: f may be gone now */
}

static void tell(const char *way, const struct flow *f)
{
    static const char *const side[] = {"", " at its source", " at its target"};
    const rn_copy_report *r = &f->report;

    fprintf(stderr, "proxy: %s %lld bytes, spliced %lld, lost %lld: %s%s\n", way,
            (long long)r->bytes, (long long)r->by_splice, (long long)r->lost,
            f->result < 0 ? rn_strerror(f->result) : "ended", side[r->failed]);
}

/* Start one pump, run the other, wait for both; then close both conns, never before. */
static void proxy(rn_conn *client, void *arg)
{
    rn_dial_options options = {.deadline = rn_after(10 * RN_SECOND)};
    rn_waitgroup running = RN_WAITGROUP_INIT;
    rn_conn *server;
    int r = rn_dial("tcp", target, &options, &server);

    (void)arg;
    if (r < 0) {
        fprintf(stderr, "proxy: %s: %s\n", target, rn_strerror(r));
        rn_close(client);
        return;
    }
    struct flow up = {.src = client, .dst = server, .running = &running};
    struct flow down = {.src = server, .dst = client, .running = &running};

    rn_waitgroup_add(&running, 2);
    if (rn_go(pump, &up) < 0) {
        abort_conn(client);
        rn_waitgroup_done(&running);
    }
    pump(&down);
    /* When the program ends, the other pump is cancelled too; until it ends it uses this stack. */
    while (rn_waitgroup_wait(&running) == -ECANCELED)
        rn_yield();
    tell("up", &up);
    tell("down", &down);
    rn_close(server);
    rn_close(client);
}

static int serve(void *address) { return rn_serve("tcp", address, NULL, proxy, NULL); }

int main(int argc, char **argv)
{
    int r;

    if (argc != 3) {
        fprintf(stderr, "Usage: %s LISTEN TARGET\n", argv[0]);
        return 2;
    }
    target = argv[2];
    r = rn_run(NULL, serve, argv[1]);
    fprintf(stderr, "proxy: %s: %s\n", argv[1], rn_strerror(r));
    return 1;
}
