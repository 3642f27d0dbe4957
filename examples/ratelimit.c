/*
 * ratelimit.c - a line server that answers so many lines a second, and no more
 *
 *     ./ratelimit :7003 100 5 250       a line every 100 ms, 5 at once, nobody waits above 250 ms
 *
 * Tokens lie in a channel: one coroutine puts one in at each tick, and drops it where the channel
 * is full. Who has a line to answer takes a token, or waits a while for one, or says that it is
 * busy.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *address;
static rn_time every, patience;
static size_t burst;
static rn_chan *tokens; /* of nothing: only that it is there counts */

/* Like Go's ticker, by the clock: a tick that comes late does not make the next ones late. */
static void fill(void *arg)
{
    rn_time next = rn_now();

    (void)arg;
    do
        (void)rn_chan_try_send(tokens, NULL);
    while (rn_sleep((next += every) - rn_now()) == 0);
}

/* Reads no more lines while it waits: so the kernel slows down who sends too many. */
static bool answer(rn_conn *conn, const char *line, size_t len)
{
    rn_select_case token = {.chan = tokens, .op = RN_SELECT_RECV};
    int r = rn_select(&token, 1, rn_after(patience));

    if (r == -ETIME)
        return rn_write(conn, "busy\n", 5) > 0;
    return r == 0 && rn_write(conn, "ok ", 3) > 0 && rn_write(conn, line, len) > 0;
}

static void serve_lines(rn_conn *conn, void *arg)
{
    char buf[1024], *end;
    size_t len = 0;
    ssize_t n;

    (void)arg;
    while ((n = rn_read(conn, buf + len, sizeof buf - len)) > 0) {
        bool on = true;

        for (len += (size_t)n; on && (end = memchr(buf, '\n', len)) != NULL;) {
            size_t line = (size_t)(end + 1 - buf);

            on = answer(conn, buf, line);
            memmove(buf, end + 1, len -= line);
        }
        if (!on)
            break;
    } /* a line without an end has no room left, and reads 0 */
    rn_close(conn);
}

static int serve(void *arg)
{
    int r = rn_chan_new(0, burst, &tokens);

    (void)arg;
    for (size_t i = 0; r == 0 && i < burst; i++)
        (void)rn_chan_try_send(tokens, NULL);
    if (r == 0)
        r = rn_go(fill, NULL);
    return r < 0 ? r : rn_serve("tcp", address, NULL, serve_lines, NULL);
}

int main(int argc, char **argv)
{
    if (argc == 5) {
        address = argv[1];
        every = strtol(argv[2], NULL, 10) * RN_MILLISECOND;
        burst = strtoul(argv[3], NULL, 10);
        patience = strtol(argv[4], NULL, 10) * RN_MILLISECOND;
    }
    if (every <= 0 || burst == 0)
        return fprintf(stderr, "Usage: %s LISTEN EVERY_MS BURST PATIENCE_MS\n", argv[0]), 2;
    fprintf(stderr, "ratelimit: %s\n", rn_strerror(rn_run(NULL, serve, NULL)));
    return 1;
}
