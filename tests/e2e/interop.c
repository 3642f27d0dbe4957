/*
 * interop.c - one end of an echo over any network: `interop serve|dial NETWORK ADDRESS [LOCAL]`
 *
 * serve prints where it listens, and goes on until it is killed. dial sends, and prints "good" when
 * all has come back: a MiB of a stream, written and read at once, and its end; messages of several
 * sizes one by one. For test_interop.py.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM ((size_t)1 << 20)
#define MESSAGE ((size_t)1 << 16) /* at most */
#define LIMIT (60 * RN_SECOND)

struct command {
    const char *what, *network, *address, *local;
};

static int fail(const char *what, ssize_t r)
{
    fprintf(stderr, "interop: %s: %s\n", what, rn_strerror(r));
    return 1;
}

static void echo(rn_conn *conn, void *arg)
{
    char *buf = malloc(MESSAGE);
    ssize_t n;

    (void)arg;
    while ((n = rn_read(conn, buf, MESSAGE)) > 0)
        if (rn_write(conn, buf, (size_t)n) < 0)
            break;
    free(buf);
    rn_close(conn);
}

static int serve_packets(const struct command *c)
{
    static char buf[MESSAGE];
    char text[128];
    rn_addr from;
    rn_conn *conn;
    ssize_t n = rn_listen_packet(c->network, c->address, NULL, &conn);

    if (n < 0)
        return fail("listen", n);
    (void)rn_local_addr(conn, text, sizeof text);
    puts(text);
    fflush(stdout);
    while ((n = rn_recv_from(conn, buf, sizeof buf, &from)) >= 0)
        if ((n = rn_send_to(conn, buf, (size_t)n, &from)) < 0)
            break;
    rn_close(conn);
    return fail("serve", n);
}

static int serve(const struct command *c)
{
    char text[128];
    rn_listener *ln;
    int r = rn_listen(c->network, c->address, NULL, &ln);

    if (r < 0)
        return fail("listen", r);
    (void)rn_listener_addr(ln, text, sizeof text);
    puts(text);
    fflush(stdout);
    r = rn_serve_listener(ln, NULL, echo, NULL);
    rn_listener_close(ln);
    return fail("serve", r);
}

/* ---- dial ---- */

static char byte_at(size_t i)
{
    return (char)(i * 7 + i / 4096);
}

static int write_stream(void *arg)
{
    rn_conn *conn = arg;
    char *buf = malloc(STREAM);
    ssize_t n;

    for (size_t i = 0; i < STREAM; i++)
        buf[i] = byte_at(i);
    n = rn_write(conn, buf, STREAM);
    free(buf);
    return n < 0 ? (int)n : rn_close_write(conn);
}

static int talk_stream(rn_conn *conn)
{
    rn_group g = RN_GROUP_INIT;
    char buf[4096];
    size_t at = 0;
    ssize_t n;
    int r = rn_group_go(&g, write_stream, conn);

    if (r < 0)
        return fail("go", r);
    while ((n = rn_read(conn, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != byte_at(at++)) {
                fprintf(stderr, "interop: byte %zu is wrong\n", at - 1);
                exit(1);
            }
    r = rn_group_wait(&g, 0);
    if (n < 0 || r < 0)
        return fail("stream", n < 0 ? n : r);
    return at == STREAM ? 0 : fail("the stream is short", 0);
}

static int talk_messages(rn_conn *conn)
{
    static const size_t sizes[] = {1, 100, 8000, 3};
    static char out[8000], in[MESSAGE];

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ssize_t n;

        memset(out, 'a' + (int)i, sizes[i]);
        n = rn_write(conn, out, sizes[i]);
        if (n >= 0)
            n = rn_read(conn, in, sizeof in);
        if (n < 0)
            return fail("message", n);
        if ((size_t)n != sizes[i] || memcmp(in, out, sizes[i]) != 0)
            return fail("a message has changed", 0);
    }
    return 0;
}

static int dial(const struct command *c)
{
    rn_dial_options o = {.local = c->local, .deadline = rn_after(LIMIT)};
    rn_conn *conn;
    int r = rn_dial(c->network, c->address, &o, &conn);
    bool is_stream = strncmp(c->network, "tcp", 3) == 0 || strcmp(c->network, "unix") == 0;

    if (r < 0)
        return fail("dial", r);
    rn_set_deadline(conn, rn_after(LIMIT));
    r = is_stream ? talk_stream(conn) : talk_messages(conn);
    rn_close(conn);
    if (r == 0)
        puts("good");
    return r;
}

static int run(void *arg)
{
    const struct command *c = arg;
    bool is_packet = strncmp(c->network, "udp", 3) == 0 || strcmp(c->network, "unixgram") == 0;

    if (strcmp(c->what, "dial") == 0)
        return dial(c);
    return is_packet ? serve_packets(c) : serve(c);
}

int main(int argc, char **argv)
{
    struct command c;

    if (argc < 4)
        return 2;
    c = (struct command){argv[1], argv[2], argv[3], argv[4]};
    return rn_run(NULL, run, &c);
}
