/*
 * test_closing.c - what each way to close does to both ends: docs/closing.md, row by row
 *
 * The tables there are what is expected here. Each row is built live: once to see the states of
 * both sockets, what the peer then reads, and the states after it has closed, too; once to see what
 * we read and write; once to see what the peer writes. What differs is printed as the row that it
 * should be. States come from /proc/net/tcp, which knows sockets that have no descriptor any more,
 * and from TCP_INFO where there is one.
 */
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/base.h"
#include "netns.h"
#include "rntest_coro.h"

#define CELLS 9
#define CELL_ROOM 64
#define LONG (10 * RN_SECOND)

/* What has happened before, beside that we have written "answer". */
enum { UNREAD = 1, UNSENT = 2, PEER_ENDED = 4, EVERYWHERE = 8 };

struct ends {
    rn_conn *ours, *peers; /* NULL: closed */
    int our_port, its_port;
    ssize_t written; /* by us */
};

struct way {
    const char *name; /* first cell of its row */
    int before;       /* EVERYWHERE: it is in the table of unix sockets, too */
    void (*act)(struct ends *e);
};

enum {
    NAME,
    WE_READ,
    WE_WRITE,
    PEER_READS,
    PEER_WRITES,
    OURS,
    ITS,
    OURS_AFTER,
    ITS_AFTER,
    UNIX_CELLS = OURS
};

struct row {
    char cell[CELLS][CELL_ROOM];
};

/* ---- the ways ---- */

static void close_ours(struct ends *e)
{
    rn_close(e->ours);
    e->ours = NULL;
}

static void reset(struct ends *e)
{
    CHECK_OK(rn_set_linger(e->ours, 0));
    close_ours(e);
}

static void cancel(struct ends *e)
{
    rn_cancel(e->ours);
}

static void cancel_and_close(struct ends *e)
{
    rn_cancel(e->ours);
    close_ours(e);
}

static void close_write(struct ends *e)
{
    CHECK_OK(rn_close_write(e->ours));
}

static void close_read(struct ends *e)
{
    CHECK_OK(rn_close_read(e->ours));
}

static void close_read_and_close(struct ends *e)
{
    close_read(e);
    close_ours(e);
}

static void close_both(struct ends *e)
{
    close_read(e);
    close_write(e);
}

static void close_write_at_both_ends(struct ends *e)
{
    close_write(e);
    CHECK_OK(rn_close_write(e->peers));
}

/* The socket becomes another process's, which then ends in a hurry. */
static void end_process(struct ends *e)
{
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        close(rn_conn_fd(e->peers));
        for (;;)
            pause();
    }
    cancel_and_close(e); /* a close(2), no more */
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

static const struct way ways[] = {
    {"`rn_close`", EVERYWHERE, close_ours},
    {"`rn_close`, unread input", UNREAD | EVERYWHERE, close_ours},
    {"`rn_close`, unsent output", UNSENT, close_ours},
    {"`rn_close`, the peer has ended", PEER_ENDED, close_ours},
    {"`rn_close`, the peer has ended, unsent output", PEER_ENDED | UNSENT, close_ours},
    {"`rn_set_linger` 0, `rn_close`", 0, reset},
    {"`rn_set_linger` 0, `rn_close`, unsent output", UNSENT, reset},
    {"`rn_cancel`", EVERYWHERE, cancel},
    {"`rn_cancel`, `rn_close`", 0, cancel_and_close},
    {"`rn_cancel`, `rn_close`, unread input", UNREAD, cancel_and_close},
    {"`rn_close_write`", EVERYWHERE, close_write},
    {"`rn_close_write`, the peer has ended", PEER_ENDED, close_write},
    {"`rn_close_write` at both ends, ours first", 0, close_write_at_both_ends},
    {"`rn_close_read`", EVERYWHERE, close_read},
    {"`rn_close_read`, unread input", UNREAD, close_read},
    {"`rn_close_read`, `rn_close`, unread input", UNREAD, close_read_and_close},
    {"`rn_close_read`, `rn_close_write`", EVERYWHERE, close_both},
    {"end of the process", EVERYWHERE, end_process},
    {"end of the process, unread input", UNREAD | EVERYWHERE, end_process},
};

/* ---- both ends, before ---- */

static int port_of(rn_conn *c)
{
    char text[128];

    CHECK_OK(rn_local_addr(c, text, sizeof text));
    return strrchr(text, ':') == NULL ? 0 : atoi(strrchr(text, ':') + 1);
}

static void wait_for_input(rn_conn *c)
{
    int waiting = 0;

    for (int i = 0; i < 10000 && waiting == 0; i++) {
        CHECK_EQ(ioctl(rn_conn_fd(c), FIONREAD, &waiting), 0);
        if (waiting == 0)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
    }
    CHECK(waiting > 0);
}

static void fill(struct ends *e)
{
    static char zeros[65536];
    ssize_t n;

    while ((n = rn_send(e->ours, zeros, sizeof zeros, RN_MSG_DONTWAIT)) > 0)
        e->written += n;
    CHECK_EQ(n, -RN_EWOULDBLOCK);
}

static struct ends prepare(const char *network, int before)
{
    struct ends e = {.written = 6};
    char buf[8];

    rntest_pair_on(network, &e.ours, &e.peers);
    e.our_port = port_of(e.ours);
    e.its_port = port_of(e.peers);
    CHECK_EQ(rn_write(e.ours, "answer", 6), 6);
    wait_for_input(e.peers);
    if (before & UNREAD) {
        CHECK_EQ(rn_write(e.peers, "unread", 6), 6);
        wait_for_input(e.ours);
    }
    if (before & UNSENT)
        fill(&e);
    if (before & PEER_ENDED) {
        CHECK_OK(rn_close_write(e.peers));
        rn_set_read_deadline(e.ours, rn_after(LONG));
        CHECK_EQ(rn_read(e.ours, buf, sizeof buf), 0);
    }
    return e;
}

static void finish(struct ends *e)
{
    if (e->ours != NULL)
        rn_close(e->ours);
    if (e->peers != NULL)
        rn_close(e->peers);
}

/* ---- seeing ---- */

static const char *result_name(ssize_t r)
{
    return r == 0 ? "0" : r == -ETIME ? "waits" : strerrorname_np((int)-r);
}

/* Reads to the end, or until it would wait; "all" is as many bytes as `all`. */
static void see_reads(rn_conn *c, ssize_t all, const char *expected, char *cell)
{
    static char buf[65536];
    bool waits = strstr(expected, "waits") != NULL;
    ssize_t n, sum = 0;

    do { /* a deadline that has passed gives nothing, also where there is something */
        bool more = strncmp(expected, "all, ", 5) == 0 && sum < all;

        rn_set_read_deadline(c, rn_after(waits && !more ? 30 * RN_MILLISECOND : LONG));
        n = rn_read(c, buf, sizeof buf);
        sum += n > 0 ? n : 0;
    } while (n > 0);
    snprintf(cell, CELL_ROOM, "%s%s",
             sum == 0     ? ""
             : sum == all ? "all, "
                          : "some, ",
             result_name(n));
}

/* Some bytes, one by one: "sent", the error of the first, or "sent, " and that of a later one. */
static void see_writes(rn_conn *c, const char *expected, char *cell)
{
    bool fails_later = strncmp(expected, "sent, ", 6) == 0;
    ssize_t n = 0;
    int i;

    rn_set_write_deadline(c, rn_after(LONG));
    for (i = 0; i < (fails_later ? 10000 : 5); i++) {
        n = rn_write(c, "x", 1);
        if (n < 0)
            break;
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    }
    snprintf(cell, CELL_ROOM, "%s%s", i > 0 ? "sent" : "",
             n > 0   ? ""
             : i > 0 ? ", "
                     : result_name(n));
    if (n < 0 && i > 0)
        strncat(cell, result_name(n), CELL_ROOM - strlen(cell) - 1);
}

/* The state of the socket with these ports; there is none: CLOSE. */
static const char *state_of(int local, int remote)
{
    FILE *f = fopen("/proc/net/tcp", "r");
    unsigned from, to, state, found = RN_TCP_CLOSE;
    char line[512];

    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, " %*d: %*8x:%x %*8x:%x %x", &from, &to, &state) == 3 &&
            from == (unsigned)local && to == (unsigned)remote)
            found = state;
    fclose(f);
    return rn_tcp_state_name((int)found);
}

static void see_state(int local, int remote, const char *expected, char *cell)
{
    for (int i = 0; i < 5000 && strcmp(state_of(local, remote), expected) != 0; i++)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    snprintf(cell, CELL_ROOM, "%s", state_of(local, remote));
}

/* A descriptor never shows TIME_WAIT: the kernel keeps that in something smaller than a socket. */
static void check_tcp_info(rn_conn *c, const char *state)
{
    rn_tcp_info info;

    if (c == NULL)
        return;
    CHECK_OK(rn_get_tcp_info(c, &info));
    CHECK_STR(rn_tcp_state_name(info.state), strcmp(state, "TIME_WAIT") == 0 ? "CLOSE" : state);
}

static void see_states_and_peer_reads(const struct way *w, const struct row *want, struct row *got,
                                      const char *network)
{
    struct ends e = prepare(network, w->before);
    bool is_tcp = e.our_port != 0;

    w->act(&e);
    if (is_tcp) {
        see_state(e.our_port, e.its_port, want->cell[OURS], got->cell[OURS]);
        see_state(e.its_port, e.our_port, want->cell[ITS], got->cell[ITS]);
        check_tcp_info(e.ours, got->cell[OURS]);
        check_tcp_info(e.peers, got->cell[ITS]);
    }
    see_reads(e.peers, e.written, want->cell[PEER_READS], got->cell[PEER_READS]);
    if (is_tcp) {
        rn_close(e.peers);
        e.peers = NULL;
        see_state(e.our_port, e.its_port, want->cell[OURS_AFTER], got->cell[OURS_AFTER]);
        see_state(e.its_port, e.our_port, want->cell[ITS_AFTER], got->cell[ITS_AFTER]);
        check_tcp_info(e.ours, got->cell[OURS_AFTER]);
    }
    finish(&e);
}

static void see_ours(const struct way *w, const struct row *want, struct row *got,
                     const char *network)
{
    struct ends e = prepare(network, w->before);

    w->act(&e);
    strcpy(got->cell[WE_READ], "-");
    strcpy(got->cell[WE_WRITE], "-");
    if (e.ours != NULL) {
        see_reads(e.ours, 6, want->cell[WE_READ], got->cell[WE_READ]);
        see_writes(e.ours, want->cell[WE_WRITE], got->cell[WE_WRITE]);
    }
    finish(&e);
}

static void see_peer_writes(const struct way *w, const struct row *want, struct row *got,
                            const char *network)
{
    struct ends e = prepare(network, w->before);

    w->act(&e);
    see_writes(e.peers, want->cell[PEER_WRITES], got->cell[PEER_WRITES]);
    finish(&e);
}

/* ---- the tables ---- */

static bool parse_row(char *line, int n_cells, struct row *ret)
{
    int n = 0;
    char *save, *cell;

    if (strncmp(line, "| ", 2) != 0)
        return false;
    for (cell = strtok_r(line, "|\n", &save); cell != NULL && n < n_cells;
         cell = strtok_r(NULL, "|\n", &save)) {
        size_t len = strlen(cell);

        CHECK(len >= 3 && len < CELL_ROOM + 2);
        snprintf(ret->cell[n++], CELL_ROOM, "%.*s", (int)len - 2, cell + 1);
    }
    return n == n_cells && strcmp(ret->cell[0], "we do") != 0;
}

/* The rows below `heading`, of n_cells each. */
static int read_table(const char *heading, int n_cells, struct row *rows, int most)
{
    FILE *f = fopen(RNTEST_DOCS "/closing.md", "r");
    char line[1024];
    bool inside = false;
    int n = 0;

    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) != NULL && n < most) {
        if (*line == '#')
            inside = strncmp(line, heading, strlen(heading)) == 0;
        if (inside && parse_row(line, n_cells, &rows[n]))
            n++;
    }
    fclose(f);
    return n;
}

static const struct row *find_row(const struct row *rows, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(rows[i].cell[NAME], name) == 0)
            return &rows[i];
    return NULL;
}

static bool same_row(const struct row *want, const struct row *got, int n_cells)
{
    for (int i = 0; i < n_cells; i++)
        if (strcmp(want->cell[i], got->cell[i]) != 0)
            return false;
    return true;
}

static void print_row(const struct row *r, int n_cells)
{
    for (int i = 0; i < n_cells; i++)
        printf("| %s ", r->cell[i]);
    printf("|\n");
}

static void check_table(const char *heading, const char *network, int n_cells)
{
    static const struct row no_row;
    struct row rows[RN_COUNT_OF(ways)];
    int n = read_table(heading, n_cells, rows, RN_COUNT_OF(ways)), used = 0, wrong = 0;

    for (size_t i = 0; i < RN_COUNT_OF(ways); i++) {
        const struct row *want = find_row(rows, n, ways[i].name);
        struct row got = {0};

        if (n_cells == UNIX_CELLS && !(ways[i].before & EVERYWHERE))
            continue;
        used++;
        strcpy(got.cell[NAME], ways[i].name);
        want = want == NULL ? &no_row : want;
        see_states_and_peer_reads(&ways[i], want, &got, network);
        see_ours(&ways[i], want, &got, network);
        see_peer_writes(&ways[i], want, &got, network);
        if (!same_row(want, &got, n_cells)) {
            print_row(&got, n_cells);
            wrong++;
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(n, used);
}

static int check_tcp(void *arg)
{
    (void)arg;
    check_table("## TCP", "tcp", CELLS);
    return 0;
}

/* In a network of its own where that may be: the table of a busy one is long. */
RN_TEST(closing_tcp_does_what_the_table_says)
{
    if (unshare(CLONE_NEWNET) == 0)
        rntest_loopback_up();
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 2}, check_tcp, NULL), 0);
}

RN_CORO_TEST(closing_a_unix_socket_does_what_the_table_says)
{
    check_table("## Unix", "unix", UNIX_CELLS);
}

/* ---- the close that lingers ---- */

/* Unread input, of which the poller has told and a read has taken a part, unsent output, and a
 * close: descriptors open before it, the conn's included. *written: by us, in all. */
static int begin_linger(rn_conn **peer, ssize_t *written, rn_time *since)
{
    struct ends e = prepare("tcp", UNSENT);
    int fds = rntest_count_fds();
    char buf[4];

    rn_set_read_deadline(e.ours, rn_after(RN_MILLISECOND));
    CHECK_EQ(rn_read(e.ours, buf, sizeof buf), -ETIME); /* now it is in a poller */
    rn_set_read_deadline(e.ours, 0);
    CHECK_EQ(rn_write(e.peers, "a unread", 8), 8);
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    CHECK_EQ(rn_read(e.ours, buf, sizeof buf), 4);
    *since = rn_now();
    close_ours(&e);
    *peer = e.peers;
    *written = e.written;
    return fds;
}

static rn_time wait_for_fds(int n, rn_time since)
{
    for (int i = 0; i < 20000 && rntest_count_fds() > n; i++)
        CHECK_OK(rn_sleep(RN_MILLISECOND));
    CHECK_EQ(rntest_count_fds(), n);
    return rn_now() - since;
}

RN_CORO_TEST(a_lingering_close_ends_after_two_seconds)
{
    rn_conn *peer;
    ssize_t written;
    rn_time since;
    int fds = begin_linger(&peer, &written, &since);
    char cell[CELL_ROOM];

    CHECK(wait_for_fds(fds - 1, since) >= 2 * RN_SECOND);
    see_reads(peer, written, "", cell);
    CHECK_STR(cell, "all, 0"); /* no reset, since nothing was left unread */
    see_writes(peer, "sent, ", cell);
    CHECK_STR(cell, "sent, EPIPE");
    rn_close(peer);
}

/* After 48 KiB it still lingers, after 96 it has ended: on some try in time to be not the other
 * limit's doing, however busy the machine. */
RN_CORO_TEST(a_lingering_close_throws_away_at_most_64_kib)
{
    static char zeros[48 << 10];
    bool lingered = false, ended = false;

    for (int i = 0; i < 5 && !(lingered && ended); i++) {
        rn_conn *peer;
        ssize_t written;
        rn_time since;
        int fds = begin_linger(&peer, &written, &since);

        rn_set_write_deadline(peer, rn_after(LONG));
        CHECK_EQ(rn_write(peer, zeros, sizeof zeros), (ssize_t)sizeof zeros);
        CHECK_OK(rn_sleep(20 * RN_MILLISECOND));
        lingered |= rntest_count_fds() == fds;
        (void)rn_write(peer, zeros, sizeof zeros);
        ended |= wait_for_fds(fds - 1, since) < 2 * RN_SECOND;
        rn_close(peer);
    }
    CHECK(lingered);
    CHECK(ended);
}

/* ---- rn_close_read ---- */

struct reading {
    rn_conn *conn;
    ssize_t result;
    rn_waitgroup done;
};

static void read_one(void *arg)
{
    struct reading *r = arg;
    char buf[8];

    r->result = rn_read(r->conn, buf, sizeof buf);
    rn_waitgroup_done(&r->done);
}

/* In the end it comes just before the wait, in it, and just before the try. */
RN_CORO_TEST(close_read_wakes_a_read_at_whatever_moment)
{
    for (int i = 0; i < 300; i++) {
        struct reading r = {0};
        rn_conn *peer;
        char buf[8];

        rntest_pair_on(i % 3 == 0 ? "unix" : "tcp", &r.conn, &peer);
        rn_waitgroup_add(&r.done, 1);
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1 + i % 2}, read_one, &r));
        if (i % 10 == 0)
            CHECK_OK(rn_sleep(RN_MILLISECOND));
        else
            for (volatile int spin = 0; spin < i * 100; spin++)
                ;
        CHECK_OK(rn_close_read(r.conn));
        CHECK_OK(rn_waitgroup_wait(&r.done));
        CHECK_EQ(r.result, 0);
        CHECK_EQ(rn_read(r.conn, buf, sizeof buf), 0);
        CHECK_EQ(rn_recv(r.conn, buf, sizeof buf, 0), 0);
        rn_close(r.conn);
        rn_close(peer);
    }
}

RN_CORO_TEST(after_close_read_what_is_there_already_is_not_read)
{
    struct ends e = prepare("tcp", UNREAD);
    char buf[8];

    CHECK_OK(rn_unread(e.ours, "first", 5));
    CHECK_OK(rn_close_read(e.ours));
    CHECK_OK(rn_close_read(e.ours));
    CHECK_EQ(rn_read(e.ours, buf, sizeof buf), 0);
    CHECK_EQ(rn_recv(e.ours, buf, sizeof buf, RN_MSG_PEEK), 0);
    CHECK_EQ(rn_recv(e.ours, buf, sizeof buf, RN_MSG_WAITALL), 0);
    CHECK_EQ(rn_copy(e.peers, e.ours, NULL), 0);
    finish(&e);
}

struct copying {
    rn_conn *src, *dst;
    ssize_t result;
    rn_waitgroup done;
};

static void copy_all(void *arg)
{
    struct copying *c = arg;

    c->result = rn_copy(c->dst, c->src, NULL);
    rn_waitgroup_done(&c->done);
}

static void write_bulk(void *arg)
{
    static char zeros[4 << 20];

    CHECK_EQ(rn_write(arg, zeros, sizeof zeros), (ssize_t)sizeof zeros);
}

/* It splices by then. */
RN_CORO_TEST(close_read_ends_a_copy_that_waits)
{
    static char buf[65536];
    struct copying c = {0};
    rn_conn *in, *out;

    rntest_pair(&in, &c.src);
    rntest_pair(&c.dst, &out);
    rn_waitgroup_add(&c.done, 1);
    CHECK_OK(rn_go(copy_all, &c));
    CHECK_OK(rn_go(write_bulk, in));
    for (int i = 0; i < 64; i++)
        rntest_read_full(out, buf, sizeof buf);
    CHECK_OK(rn_sleep(5 * RN_MILLISECOND));
    CHECK_OK(rn_close_read(c.src));
    CHECK_OK(rn_waitgroup_wait(&c.done));
    CHECK_EQ(c.result, 4 << 20);
    rn_close(in);
    rn_close(c.src);
    rn_close(c.dst);
    rn_close(out);
}

RN_CORO_TEST(close_read_needs_a_socket_with_a_peer)
{
    rn_conn *udp, *dialled, *pipe_end;
    char address[128], buf[8];
    int fds[2];

    CHECK_OK(rn_listen_packet("udp", "127.0.0.1:0", NULL, &udp));
    CHECK_OK(rn_local_addr(udp, address, sizeof address));
    CHECK_EQ(rn_close_read(udp), -ENOTCONN);
    CHECK_OK(rn_dial("udp", address, NULL, &dialled));
    CHECK_OK(rn_close_read(dialled));
    CHECK_EQ(rn_recv(dialled, buf, sizeof buf, 0), 0);
    CHECK_EQ(rn_write(dialled, "x", 1), 1);
    CHECK_EQ(rn_recv(udp, buf, sizeof buf, 0), 1); /* whose reading has not ended */
    CHECK_EQ(pipe(fds), 0);
    CHECK_OK(rn_conn_from_fd(fds[0], &pipe_end));
    CHECK_EQ(rn_close_read(pipe_end), -ENOTSOCK);
    rn_close(pipe_end);
    close(fds[1]);
    rn_close(udp);
    rn_close(dialled);
}
