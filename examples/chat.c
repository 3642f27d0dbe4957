/*
 * chat.c - a line chat: everybody gets everybody else's lines
 *
 *     ./chat :7002       then, several times:       nc localhost 7002
 *
 * A coroutine for each member reads its lines, and holds the mutex while it writes one to all. Who
 * does not read for a second while others talk is thrown out, and so holds them up only once.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>

struct member {
    rn_conn *conn;
    struct member *next;
};

static rn_mutex mutex;         /* guards the list, and the order of the lines */
static struct member *members; /* each on the stack of its own coroutine */

static void tell_others(const struct member *self, const char *line, size_t len)
{
    rn_mutex_lock(&mutex);
    for (struct member *m = members; m != NULL; m = m->next) {
        if (m == self)
            continue;
        rn_set_write_deadline(m->conn, rn_after(RN_SECOND)); /* each its own */
        if (rn_write(m->conn, line, len) < 0)
            rn_cancel(m->conn); /* its coroutine wakes up, leaves and closes */
    }
    rn_mutex_unlock(&mutex);
}

static void join(struct member *m)
{
    rn_mutex_lock(&mutex);
    m->next = members;
    members = m;
    rn_mutex_unlock(&mutex);
}

static void leave(struct member *m)
{
    struct member **at;

    rn_mutex_lock(&mutex);
    for (at = &members; *at != m; at = &(*at)->next)
        ;
    *at = m->next;
    rn_mutex_unlock(&mutex);
}

/* Passes on the lines in buf; one that fills it all goes in parts. Returns what is left. */
static size_t pass_lines(const struct member *self, char *buf, size_t len, size_t room)
{
    char *line = buf, *end = buf + len, *newline;

    while ((newline = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        tell_others(self, line, (size_t)(newline + 1 - line));
        line = newline + 1;
    }
    if (line == buf && len == room) {
        tell_others(self, buf, room);
        return 0;
    }
    memmove(buf, line, (size_t)(end - line));
    return (size_t)(end - line);
}

static void chat(rn_conn *conn, void *arg)
{
    struct member self = {.conn = conn};
    char buf[1024];
    size_t len = 0;
    ssize_t n;

    (void)arg;
    join(&self);
    while ((n = rn_read(conn, buf + len, sizeof buf - len)) > 0)
        len = pass_lines(&self, buf, len + (size_t)n, sizeof buf);
    leave(&self); /* before the close: nobody else knows the conn any more */
    rn_close(conn);
}

static int serve(void *address) { return rn_serve("tcp", address, NULL, chat, NULL); }

int main(int argc, char **argv)
{
    int r;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        return fprintf(stderr, "Usage: %s [ADDRESS]\n", argv[0]), 2;
    r = rn_run(NULL, serve, argc > 1 ? argv[1] : ":7002");
    fprintf(stderr, "chat: %s\n", rn_strerror(r));
    return 1;
}
