/*
 * writes.c - answers a number with a report of so many lines; the bottleneck is how it is written
 *
 *     ./writes each ADDRESS      a write for each line of the report
 *     ./writes cork ADDRESS      the same, with RN_MSG_MORE on all but the last
 *     ./writes writev ADDRESS    all lines by one call
 *     ./writes bufio ADDRESS     into a buffer, and one write of that
 *
 * See docs/find-the-bottleneck.md.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define MOST 256

enum how { EACH, CORK, WRITEV, BUFIO, HOWS };

static const char *const names[HOWS] = {"each", "cork", "writev", "bufio"};
static char line[] = "a line of the report\n";
static struct iovec lines[MOST]; /* all the same */

struct service {
    enum how how;
    const char *address;
};

static int write_report(rn_conn *conn, rn_bufio *b, int n, enum how how)
{
    ssize_t r = 0;

    if (how == WRITEV)
        r = rn_writev(conn, lines, n);
    for (int i = 0; r >= 0 && i < n && how != WRITEV; i++) {
        if (how == BUFIO)
            r = rn_bufio_write(b, line, strlen(line));
        else if (how == CORK)
            r = rn_send(conn, line, strlen(line), i < n - 1 ? RN_MSG_MORE : 0);
        else
            r = rn_write(conn, line, strlen(line));
    }
    return r < 0 ? (int)r : rn_bufio_flush(b); /* nothing, where nothing is buffered */
}

/* The number that a line begins with, or more than MOST. */
static int parse(const char *text, ssize_t len)
{
    int n = 0;

    for (ssize_t i = 0; i < len && text[i] >= '0' && text[i] <= '9' && n <= MOST; i++)
        n = n * 10 + text[i] - '0';
    return n;
}

static void answer(rn_conn *conn, void *arg)
{
    struct service *s = arg;
    rn_bufio_options options = {.write_bytes = MOST * sizeof line};
    rn_bufio *b;
    const char *text;
    ssize_t len;

    if (rn_bufio_new(conn, &options, &b) == 0) {
        while ((len = rn_bufio_read_line(b, 0, &text)) > 0) {
            int n = parse(text, len);

            if (n < 1 || n > MOST || write_report(conn, b, n, s->how) < 0)
                break;
        }
        (void)rn_bufio_free(b);
    }
    rn_close(conn);
}

static int serve(void *arg)
{
    struct service *s = arg;

    return rn_serve("tcp", s->address, NULL, answer, s);
}

int main(int argc, char **argv)
{
    struct service s = {HOWS, argc == 3 ? argv[2] : ""};

    for (int i = 0; i < MOST; i++)
        lines[i] = (struct iovec){line, strlen(line)};
    for (int how = 0; argc == 3 && how < HOWS; how++)
        if (strcmp(argv[1], names[how]) == 0)
            s.how = (enum how)how;
    if (s.how == HOWS) {
        fputs("usage: writes each|cork|writev|bufio ADDRESS\n", stderr);
        return 2;
    }
    fprintf(stderr, "writes: %s\n", rn_strerror(rn_run(NULL, serve, &s)));
    return 1;
}
