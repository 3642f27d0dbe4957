/*
 * bufio.c - buffers on a connection
 *
 *      in:   0 ... [from, to) what was read and not asked for ... size
 *      out:  [0, used) what was written and not sent ... size
 *
 * The two sides share nothing but the connection. A read that fails consumes nothing, so that after
 * a deadline the same call can be made again; a write that fails stays failed, because what the
 * peer has got of it is unknown.
 */
#include <runnel/bufio.h>

#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "net/net.h"

#define DEFAULT_BYTES 4096

struct rn_bufio {
    rn_conn *conn;
    char *in;
    size_t in_size, from, to; /* [reader] */
    char *out;
    size_t out_size, used; /* [writer] */
    int write_error;       /* [writer] the first */
};

/* ---- making ---- */

static bool are_good(const rn_bufio_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return false;
    return (o->read_buffer == NULL || o->read_bytes > 0) &&
           (o->write_buffer == NULL || o->write_bytes > 0) && o->read_bytes <= SSIZE_MAX / 4 &&
           o->write_bytes <= SSIZE_MAX / 4;
}

int rn_bufio_new(rn_conn *conn, const rn_bufio_options *options, rn_bufio **ret)
{
    static const rn_bufio_options defaults;
    const rn_bufio_options *o = options == NULL ? &defaults : options;
    size_t in_size = o->read_bytes != 0 ? o->read_bytes : DEFAULT_BYTES;
    size_t out_size = o->write_bytes != 0 ? o->write_bytes : DEFAULT_BYTES;
    rn_bufio *b;
    char *room;

    if (!are_good(o))
        return -EINVAL;
    b = rn__malloc(sizeof *b + (o->read_buffer == NULL ? in_size : 0) +
                   (o->write_buffer == NULL ? out_size : 0));
    if (b == NULL)
        return -ENOMEM;
    room = (char *)(b + 1);
    *b = (rn_bufio){.conn = conn,
                    .in = o->read_buffer != NULL ? o->read_buffer : room,
                    .in_size = in_size,
                    .out_size = out_size};
    if (o->read_buffer == NULL)
        room += in_size;
    b->out = o->write_buffer != NULL ? o->write_buffer : room;
    *ret = b;
    return 0;
}

int rn_bufio_free(rn_bufio *b)
{
    int r;

    if (b == NULL)
        return 0;
    r = rn_unread(b->conn, b->in + b->from, b->to - b->from);
    rn__free(b);
    return r;
}

/* ---- reading ---- */

size_t rn_bufio_buffered(const rn_bufio *b)
{
    return b->to - b->from;
}

/* One read into the buffer, which is not full. Behind what is in it there shall be enough room that
 * it is worth the call. */
static ssize_t fill(rn_bufio *b)
{
    ssize_t n;

    if (b->from == b->to) {
        b->from = b->to = 0;
    } else if (b->from > 0 && b->in_size - b->to < b->in_size / 2) {
        memmove(b->in, b->in + b->from, b->to - b->from);
        b->to -= b->from;
        b->from = 0;
    }
    n = rn_read(b->conn, b->in + b->to, b->in_size - b->to);
    if (n > 0)
        b->to += (size_t)n;
    return n;
}

static size_t take(rn_bufio *b, char *buf, size_t len)
{
    if (len > b->to - b->from)
        len = b->to - b->from;
    if (len > 0)
        memcpy(buf, b->in + b->from, len);
    b->from += len;
    return len;
}

ssize_t rn_bufio_read(rn_bufio *b, void *buf, size_t len)
{
    if (b->from == b->to) {
        ssize_t n;

        if (len == 0 || len >= b->in_size)
            return rn_read(b->conn, buf, len);
        n = fill(b);
        if (n <= 0)
            return n;
    }
    return (ssize_t)take(b, buf, len);
}

/* Nothing is in the buffer; done bytes that were to be consumed are not. */
static ssize_t hand_back(rn_bufio *b, const void *buf, size_t done, ssize_t r)
{
    int back = rn_unread(b->conn, buf, done);

    return back < 0 ? back : r;
}

ssize_t rn_bufio_read_full(rn_bufio *b, void *buf, size_t len)
{
    size_t done;

    if (len > SSIZE_MAX)
        return -EINVAL;
    done = take(b, buf, len);
    while (done < len) {
        /* The buffer is empty now: what would fill it goes where it belongs. */
        ssize_t n = len - done >= b->in_size ? rn_read(b->conn, (char *)buf + done, len - done)
                                             : fill(b);

        if (n == 0 && done == 0)
            return 0;
        if (n <= 0)
            return hand_back(b, buf, done, n == 0 ? -RN_EPARTIAL : n);
        done += b->from < b->to ? take(b, (char *)buf + done, len - done) : (size_t)n;
    }
    return (ssize_t)len;
}

ssize_t rn_bufio_read_line(rn_bufio *b, size_t limit, const char **ret)
{
    size_t seen = 0; /* without a newline */

    if (limit == 0 || limit > b->in_size)
        limit = b->in_size;
    for (;;) {
        size_t there = b->to - b->from < limit ? b->to - b->from : limit;
        const char *line = b->in + b->from;
        const char *end = there > seen ? memchr(line + seen, '\n', there - seen) : NULL;
        ssize_t n;

        if (end == NULL && there == limit)
            return -RN_ELONG;
        seen = there;
        n = end != NULL ? 1 : fill(b);
        if (n < 0)
            return n;
        if (end != NULL || n == 0) {
            there = end != NULL ? (size_t)(end - line) + 1 : there;
            if (there > 0)
                *ret = b->in + b->from; /* fill may have moved it */
            b->from += there;
            return (ssize_t)there;
        }
    }
}

ssize_t rn_bufio_peek(rn_bufio *b, size_t n, const char **ret)
{
    if (n == 0 || n > b->in_size)
        return -EINVAL;
    while (b->to - b->from < n) {
        ssize_t got;

        /* fill makes room for some; here it must be enough. */
        if (b->in_size - b->from < n) {
            memmove(b->in, b->in + b->from, b->to - b->from);
            b->to -= b->from;
            b->from = 0;
        }
        got = fill(b);
        if (got < 0)
            return got;
        if (got == 0) {
            n = b->to - b->from;
            break;
        }
    }
    if (n > 0)
        *ret = b->in + b->from;
    return (ssize_t)n;
}

ssize_t rn_bufio_skip(rn_bufio *b, size_t n)
{
    size_t left = n;

    if (n > SSIZE_MAX)
        return -EINVAL;
    for (;;) {
        size_t there = b->to - b->from;
        ssize_t got;

        b->from += there < left ? there : left;
        left -= there < left ? there : left;
        if (left == 0)
            return (ssize_t)n;
        got = fill(b);
        if (got <= 0)
            return got < 0 ? got : (ssize_t)(n - left);
    }
}

/* ---- writing ---- */

size_t rn_bufio_unflushed(const rn_bufio *b)
{
    return b->used;
}

/* What is buffered and then buf, as one unit. */
static ssize_t send_with(rn_bufio *b, const void *buf, size_t len)
{
    struct iovec iov[2] = {{.iov_base = b->out, .iov_len = b->used},
                           {.iov_base = (void *)buf, .iov_len = len}};
    ssize_t r = len > 0 ? rn_writev(b->conn, iov, 2) : rn_write(b->conn, b->out, b->used);

    if (r < 0)
        b->write_error = (int)r;
    else
        b->used = 0;
    return r;
}

ssize_t rn_bufio_write(rn_bufio *b, const void *buf, size_t len)
{
    ssize_t r;

    if (b->write_error < 0)
        return b->write_error;
    if (len > SSIZE_MAX)
        return -EINVAL;
    if (len > b->out_size - b->used) {
        r = b->used > 0 ? send_with(b, buf, len) : rn_write(b->conn, buf, len);
        if (r < 0)
            b->write_error = (int)r;
        return r < 0 ? r : (ssize_t)len;
    }
    if (len > 0)
        memcpy(b->out + b->used, buf, len);
    b->used += len;
    return (ssize_t)len;
}

int rn_bufio_flush(rn_bufio *b)
{
    ssize_t r = b->write_error;

    if (r == 0 && b->used > 0)
        r = send_with(b, NULL, 0);
    return r < 0 ? (int)r : 0;
}
