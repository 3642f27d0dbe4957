/*
 * copy_test.h - a chain of two connections, near -> (src copies to dst) -> far, and who feeds it
 */
#ifndef COPY_TEST_H
#define COPY_TEST_H

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/sys.h"
#include "calls.h"
#include "rntest_coro.h"
#include "task/proc.h"

#define MIB ((size_t)1 << 20)

static inline char byte_at(size_t i)
{
    return (char)(i * 7 + i / 4096 + i / 65536);
}

#define ROW ((size_t)4096)
static char rows[256][ROW]; /* all that byte_at can say of so many bytes: compared as a whole */

static __attribute__((constructor)) void fill_rows(void)
{
    for (size_t k = 0; k < 256; k++)
        for (size_t i = 0; i < ROW; i++)
            rows[k][i] = (char)(i * 7 + k);
}

/* The bytes of the pattern from i on, and how many of them stand there. */
static inline const char *bytes_from(size_t i, size_t *len)
{
    *len = ROW - i % ROW;
    return &rows[(i / 4096 + i / 65536) % 256][i % ROW];
}

/* ---- a chain ---- */

struct chain {
    rn_conn *near, *src, *dst, *far;
    size_t n; /* 0: until the end */
    ssize_t result;
    rn_copy_report report;
    rn_waitgroup done;
};

static inline void copy_it(void *arg)
{
    struct chain *c = arg;

    c->result = c->n > 0 ? rn_copy_n(c->dst, c->src, c->n, &c->report)
                         : rn_copy(c->dst, c->src, &c->report);
    rn_waitgroup_done(&c->done);
}

static inline void start_copy(struct chain *c)
{
    memset(&c->report, 0xee, sizeof c->report);
    rn_waitgroup_add(&c->done, 1);
    CHECK_OK(rn_go(copy_it, c));
}

static inline void wait_copy(struct chain *c)
{
    CHECK_OK(rn_waitgroup_wait(&c->done));
    CHECK_EQ(c->report.bytes,
             c->report.by_read_write + c->report.by_splice + c->report.by_sendfile);
    CHECK_EQ(c->report.reserved[0], 0);
}

/* One end is our pipe's: {read, write}. */
static inline void pipe_pair(rn_conn **rd, rn_conn **wr)
{
    int fds[2];

    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    CHECK_OK(rn_conn_from_fd(fds[0], rd));
    CHECK_OK(rn_conn_from_fd(fds[1], wr));
}

static inline void pair_of(const char *kind, rn_conn **wr, rn_conn **rd)
{
    if (strcmp(kind, "pipe") == 0)
        pipe_pair(rd, wr);
    else
        rntest_pair_on(kind, wr, rd);
}

static inline void open_chain(struct chain *c, const char *in, const char *out)
{
    memset(c, 0, sizeof *c);
    pair_of(in, &c->near, &c->src);
    pair_of(out, &c->dst, &c->far);
}

static inline void close_chain(struct chain *c)
{
    rn_close(c->near);
    rn_close(c->src);
    rn_close(c->dst);
    rn_close(c->far);
}

struct feed {
    rn_conn *conn;
    size_t len, piece;
    bool stays_open;
    rn_waitgroup done;
};

/* Ends by an error when the other end does. */
static inline void feed(void *arg)
{
    struct feed *f = arg;
    char *buf = malloc(f->piece);

    for (size_t at = 0; at < f->len;) {
        size_t len = f->len - at < f->piece ? f->len - at : f->piece;

        for (size_t i = 0, n; i < len; i += n) {
            const char *from = bytes_from(at + i, &n);

            n = n < len - i ? n : len - i;
            memcpy(buf + i, from, n);
        }
        if (rn_write(f->conn, buf, len) < 0)
            break;
        at += len;
    }
    free(buf);
    if (!f->stays_open && rn_close_write(f->conn) == -ENOTSOCK)
        rn_cancel(f->conn);
    rn_waitgroup_done(&f->done);
}

static inline void start_feed(struct feed *f)
{
    rn_waitgroup_add(&f->done, 1);
    CHECK_OK(rn_go(feed, f));
}

/* Reads len bytes of the pattern, from its byte `at` on. */
static inline void expect(rn_conn *conn, size_t at, size_t len)
{
    static _Thread_local char buf[65536];

    for (size_t end = at + len; at < end;) {
        ssize_t n = rn_read(conn, buf, end - at < sizeof buf ? end - at : sizeof buf);

        CHECK(n > 0);
        for (size_t i = 0, len_here; i < (size_t)n; i += len_here, at += len_here) {
            const char *want = bytes_from(at, &len_here);

            len_here = len_here < (size_t)n - i ? len_here : (size_t)n - i;
            if (memcmp(buf + i, want, len_here) != 0)
                rntest_fail_at(__FILE__, __LINE__, "a byte from %zu on is wrong", at);
        }
    }
}

static inline void expect_end(rn_conn *conn)
{
    char c;

    CHECK_EQ(rn_read(conn, &c, 1), 0);
}

static inline void wait_until_blocked(rn_conn *conn)
{
    int before = -1, now = 0;

    /* Until nothing more arrives in the receiver: what lies before it is full. */
    for (int same = 0; same < 5; same = now == before ? same + 1 : 0) {
        before = now;
        rntest_until_all_wait(); /* who feeds it is not only late */
        CHECK_OK(rn_sleep(10 * RN_MILLISECOND));
        CHECK_EQ(ioctl(rn_conn_fd(conn), FIONREAD, &now), 0);
        if (now == 0)
            same = 0;
    }
}

/* What the copy does not read fills its source, so that each read fills the buffer. */
static inline void fill_source(struct chain *c, struct feed *f)
{
    f->conn = c->near;
    start_feed(f);
    wait_until_blocked(c->src);
}

/* A chain whose every buffer is full, with a copy that is spliced. */
static inline void open_stuck(struct chain *c, struct feed *f, const char *in, const char *out)
{
    open_chain(c, in, out);
    *f = (struct feed){.len = 64 * MIB, .piece = MIB};
    fill_source(c, f);
    start_copy(c);
    expect(c->far, 0, 4 * MIB);
    wait_until_blocked(c->far);
}

static inline void close_stuck(struct chain *c, struct feed *f)
{
    rn_cancel(c->near);
    CHECK_OK(rn_waitgroup_wait(&f->done));
    close_chain(c);
}

#endif
