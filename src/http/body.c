/*
 * body.c - the body of a request, as its handler reads it
 *
 *      not begun --first read: 100 Continue where the peer waits for it--> begun
 *      begun --the last byte, the last chunk and its trailers--> ended (0 for ever)
 *            --too long, malformed, cut off, too slow--> body_error (for ever)
 *
 * Data goes straight into the handler's buffer, but for what came along with the head. Framing of a
 * chunked body is read into the exchange's input, behind the head, which must stay where it is.
 */
#include <string.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/token.h"
#include <runnel/task.h>

#define CLOCKED ((uint64_t)64 << 10)

void rn__body_begin(struct rn__exchange *x)
{
    rn_http_request *r = &x->r;

    r->body_left = r->head.content_length;
    r->body_most = x->server->options.max_body_bytes;
    r->body_ended = !rn__has_body(r);
}

void rn_http_set_max_body(rn_http_request *r, uint64_t bytes)
{
    r->body_most = bytes;
}

static int fail(rn_http_request *r, int error)
{
    r->body_error = error;
    return error;
}

static int begin(struct rn__exchange *x)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    rn_http_request *r = &x->r;

    r->body_begun = true;
    rn__http_clock(x, RN__READ, x->server->body_ns);
    if (!r->head.expect_continue || x->len > x->body_at || x->w.head_out)
        return 0;
    if (rn__out_reserve(x, sizeof go_on) < 0)
        return x->w.error;
    rn__out_put(x, go_on, sizeof go_on - 1);
    return rn__out_flush(x, 0);
}

/* More input, behind the head. > 0, or an error; the end of the stream is one. */
static ssize_t refill(struct rn__exchange *x)
{
    ssize_t n;

    if (x->body_at > x->body_base) {
        memmove(x->in + x->body_base, x->in + x->body_at, x->len - x->body_at);
        x->len -= x->body_at - x->body_base;
        x->body_at = x->body_base;
    }
    if (x->len == x->server->in_room)
        return -RN_EHTTP; /* a line longer than there is room: its limit is lower */
    n = rn_read(x->conn, x->in + x->len, x->server->in_room - x->len);
    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : n;
    x->len += (size_t)n;
    return n;
}

/* Data, of which `most` bytes are to come: from the input if there is some, else by a read. */
static ssize_t take(struct rn__exchange *x, char *buf, size_t len, uint64_t most)
{
    size_t have = x->len - x->body_at;
    ssize_t n;

    if (len > most)
        len = (size_t)most;
    if (have > 0) {
        n = (ssize_t)(have < len ? have : len);
        memcpy(buf, x->in + x->body_at, (size_t)n);
        x->body_at += (size_t)n;
        return n;
    }
    n = rn_read(x->conn, buf, len);
    return n == 0 ? -RN_EPARTIAL : n;
}

/* ---- chunked ---- */

static int keep_trailer(rn_http_request *r, const char *name, size_t name_len, const char *value,
                        size_t value_len)
{
    struct rn__trailer *t = rn_http_alloc(r, sizeof *t + name_len + value_len + 2);
    char *text;

    if (t == NULL)
        return -ENOMEM;
    text = (char *)(t + 1);
    *t = (struct rn__trailer){.name = text, .value = text + name_len + 1};
    memcpy(text, name, name_len);
    text[name_len] = '\0';
    memcpy(text + name_len + 1, value, value_len);
    text[name_len + 1 + value_len] = '\0';
    if (rn__trailer_is_forbidden(t->name))
        return 0;
    if (r->last_trailer != NULL)
        r->last_trailer->next = t;
    else
        r->trailers = t;
    r->last_trailer = t;
    return 0;
}

/* 0 when all of them are there. */
static int take_trailers(struct rn__exchange *x)
{
    for (;;) {
        size_t name_len = 0, value_len = 0;
        const char *value = NULL, *at = x->in + x->body_at;
        ssize_t n = rn__chunked_trailer(&x->r.chunked, at, x->len - x->body_at, &name_len, &value,
                                        &value_len);
        int r = 0;

        if (n < 0)
            return -RN_EHTTP;
        if (n == 0) {
            n = refill(x);
            if (n < 0)
                return (int)n;
            continue;
        }
        x->body_at += (size_t)n;
        if (name_len == 0)
            return 0;
        r = keep_trailer(&x->r, at, name_len, value, value_len);
        if (r < 0)
            return r;
    }
}

/* To the next data: 1; the end of the body: 0. */
static int next_chunk(struct rn__exchange *x)
{
    struct rn__chunked *c = &x->r.chunked;

    for (;;) {
        ssize_t n = rn__chunked_next(c, x->in + x->body_at, x->len - x->body_at);

        if (n < 0)
            return -RN_EHTTP;
        x->body_at += (size_t)n;
        if (c->left > 0)
            return 1;
        if (rn__chunked_at_trailers(c))
            return take_trailers(x);
        n = refill(x);
        if (n < 0)
            return (int)n;
    }
}

static ssize_t read_chunked(struct rn__exchange *x, char *buf, size_t len)
{
    struct rn__chunked *c = &x->r.chunked;
    ssize_t n = c->left > 0 ? 1 : next_chunk(x);

    if (n > 0 && (x->r.body_taken > x->r.body_most || c->left > x->r.body_most - x->r.body_taken))
        return -EMSGSIZE;
    if (n > 0)
        n = take(x, buf, len, c->left);
    if (n > 0)
        c->left -= (uint64_t)n;
    return n;
}

/* ---- both ---- */

static ssize_t read_length(struct rn__exchange *x, char *buf, size_t len)
{
    ssize_t n;

    if (x->r.head.content_length > x->r.body_most)
        return -EMSGSIZE;
    n = take(x, buf, len, x->r.body_left);
    if (n > 0)
        x->r.body_left -= (uint64_t)n;
    return n;
}

ssize_t rn_http_read(rn_http_request *r, void *buf, size_t len)
{
    struct rn__exchange *x = rn__exchange_of_r(r);
    ssize_t n = 0;

    if (r->body_error != 0)
        return r->body_error;
    if (r->body_ended || len == 0)
        return 0;
    if (!r->head.chunked && r->head.content_length > r->body_most)
        return fail(r, -EMSGSIZE); /* before the peer is asked to go on */
    if (!r->body_begun)
        n = begin(x);
    if (n == 0)
        n = r->head.chunked ? read_chunked(x, buf, len) : read_length(x, buf, len);
    if (n < 0)
        return fail(r, (int)n);
    r->body_taken += (uint64_t)n;
    r->body_ended = r->head.chunked ? n == 0 : r->body_left == 0;
    if (r->body_taken - r->body_clocked >= CLOCKED) {
        r->body_clocked = r->body_taken;
        rn__http_clock(x, RN__READ, x->server->body_ns);
    }
    return n;
}

const char *rn_http_get_trailer(const rn_http_request *r, const char *name)
{
    for (const struct rn__trailer *t = r->trailers; t != NULL; t = t->next)
        if (strcasecmp(t->name, name) == 0)
            return t->value;
    return NULL;
}

/* ---- what the handler left ---- */

bool rn__body_is_short(const struct rn__exchange *x)
{
    const rn_http_request *r = &x->r;

    if (r->body_ended)
        return true;
    if (r->body_error != 0 || (r->head.expect_continue && !r->body_begun))
        return false; /* whether the peer will send it nobody knows */
    return r->head.chunked || r->body_left <= RN__DRAIN_MOST;
}

bool rn__body_drain(struct rn__exchange *x)
{
    uint64_t limit = x->r.body_taken + RN__DRAIN_MOST;
    char scratch[1024];

    x->r.body_most = limit < x->r.body_most ? limit : x->r.body_most;
    while (!x->r.body_ended && rn_http_read(&x->r, scratch, sizeof scratch) > 0)
        continue;
    return x->r.body_ended;
}
