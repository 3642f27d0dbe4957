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
    r->body_taken = r->body_clocked = 0;
    r->body_most = x->server->options.max_body_bytes;
    r->body_error = 0;
    r->body_begun = false;
    r->body_ended = !rn__has_body(r);
    if (r->head.chunked)
        x->in.chunked = (struct rn__chunked){0};
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
    rn__http_clock(x->conn, RN__READ, x->server->body_ns);
    if (!r->head.expect_continue || x->in.len > x->in.at || x->w.head_out)
        return 0;
    if (rn__out_reserve(x, sizeof go_on) < 0)
        return x->w.error;
    rn__out_put(x, go_on, sizeof go_on - 1);
    return rn__out_flush(x, 0);
}

/* > 0, or an error. */
static ssize_t take(struct rn__exchange *x, char *buf, size_t len, uint64_t *left)
{
    ssize_t n = rn__input_take(&x->in, buf, len, *left);

    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : n;
    *left -= (uint64_t)n;
    return n;
}

static ssize_t read_chunked(struct rn__exchange *x, char *buf, size_t len)
{
    uint64_t *left = &x->in.chunked.left;
    ssize_t n = *left > 0 ? 1 : rn__input_next_chunk(&x->in);

    if (n > 0 && (x->r.body_taken > x->r.body_most || *left > x->r.body_most - x->r.body_taken))
        return -EMSGSIZE;
    return n > 0 ? take(x, buf, len, left) : n;
}

static ssize_t read_length(struct rn__exchange *x, char *buf, size_t len)
{
    if (x->r.head.content_length > x->r.body_most)
        return -EMSGSIZE;
    return take(x, buf, len, &x->r.body_left);
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
        rn__http_clock(x->conn, RN__READ, x->server->body_ns);
    }
    return n;
}

const char *rn_http_get_trailer(const rn_http_request *r, const char *name)
{
    return rn__input_trailer(&rn__exchange_of_r(r)->in, name);
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
