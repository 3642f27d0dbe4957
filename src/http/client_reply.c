/*
 * client_reply.c - the response: its head, its body, and the end of the exchange
 *
 *      BEGUN --1xx--> BEGUN --head--> COMPLETE --the last byte of the body--> ended: the link goes
 *                                        |                                    to the pool
 *                                        +--malformed, cut off, too slow--> error: it is closed
 *
 * The head stays in the buffer, for the text that is asked for points there; framing of a chunked
 * body is read behind it, data goes straight into the reader's buffer.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"

#define INTERIM_MOST 16 /* responses before the response */
#define DRAIN_BYTES ((size_t)64 << 10)
#define DRAIN_TIME (50 * RN_MILLISECOND)

void rn__exchange_begin(rn_http_reply *x, bool head_only)
{
    rn__input_free_trailers(&x->in);
    rn__input_begin(&x->in, x->link == NULL ? NULL : x->link->conn, x->input, x->client->in_room);
    memset(&x->now, 0, sizeof x->now);
    x->now.head_only = head_only;
    rn__reply_begin(&x->head);
}

/* ---- the head ---- */

/* 1: a final one is there; 0: more is needed. Interim ones are passed over. */
static int parse_head(rn_http_reply *x)
{
    for (;;) {
        ssize_t n = rn__reply_parse(&x->head, x->in.buf, x->in.len,
                                    x->client->options.max_head_bytes);

        if (n < 0)
            return x->head.too_long ? -EMSGSIZE : -RN_EHTTP;
        if (n == 0)
            return 0;
        if (x->head.status >= 200) {
            x->in.base = x->in.at = (size_t)n;
            x->now.complete = true;
            return 1;
        }
        /* RFC 9110 15.2.2: 101 is the answer to an Upgrade, which was not asked for. */
        if (x->head.status == 101 || ++x->now.interim > INTERIM_MOST)
            return -RN_EHTTP;
        x->now.continued |= x->head.status == 100;
        memmove(x->in.buf, x->in.buf + n, x->in.len - (size_t)n);
        x->in.len -= (size_t)n;
        rn__reply_begin(&x->head);
    }
}

/* The parser's limit is met before the buffer is full. */
static int read_head(rn_http_reply *x)
{
    ssize_t n = rn_read(x->link->conn, x->in.buf + x->in.len, x->in.room - x->in.len);

    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : (int)n;
    x->in.len += (size_t)n;
    x->now.answered = true;
    return parse_head(x);
}

int rn__reply_wait(rn_http_reply *x)
{
    int r = x->now.complete ? 1 : 0;
    bool continued = x->now.continued;

    while (r == 0 && continued == x->now.continued)
        r = read_head(x);
    return r < 0 ? r : 0;
}

int rn__reply_look(rn_http_reply *x)
{
    char byte;
    ssize_t n = rn__sys_recv(x->link->conn->w.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0)
        return n == -EAGAIN ? 0 : (int)n;
    return read_head(x);
}

void rn__reply_start(rn_http_reply *x)
{
    const struct rn__reply_head *h = &x->head;
    bool strange;

    x->now.framing = rn__reply_framing(h, x->now.head_only);
    x->in.chunked = (struct rn__chunked){0};
    x->now.left = x->now.framing == RN__REPLY_LENGTH ? h->content_length : 0;
    /* A 204 has no body, RFC 9112 6.3; if it says that it has one, its server may send it. */
    strange = h->status == 204 && (h->chunked || h->content_length > 0);
    x->now.close |= !h->keep_alive || strange || x->now.framing == RN__REPLY_UNTIL_CLOSE;
    x->now.ended = x->now.framing == RN__REPLY_NO_BODY ||
                   (x->now.framing == RN__REPLY_LENGTH && x->now.left == 0);
    if (x->now.ended)
        rn__reply_let_go(x);
    else
        rn_set_read_deadline(x->link->conn, x->deadline);
}

/* ---- the body ---- */

/* > 0; 0: the end of the body; or an error. */
static ssize_t read_body(rn_http_reply *x, char *buf, size_t len)
{
    uint64_t *left = x->now.framing == RN__REPLY_CHUNKED ? &x->in.chunked.left : &x->now.left;
    ssize_t n;

    if (x->now.framing == RN__REPLY_UNTIL_CLOSE)
        return rn__input_take(&x->in, buf, len, UINT64_MAX);
    if (*left == 0) { /* by length, it would have ended */
        int r = rn__input_next_chunk(&x->in);

        if (r <= 0)
            return r;
    }
    n = rn__input_take(&x->in, buf, len, *left);
    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : n;
    *left -= (uint64_t)n;
    return n;
}

/* Where this was the last of it, the link is still ours. */
static ssize_t read_some(rn_http_reply *x, char *buf, size_t len)
{
    ssize_t n;

    if (x->now.error != 0)
        return x->now.error;
    if (x->now.ended || len == 0)
        return 0;
    n = read_body(x, buf, len);
    if (n < 0)
        x->now.error = (int)n;
    else
        x->now.ended = n == 0 || (x->now.framing == RN__REPLY_LENGTH && x->now.left == 0);
    return n;
}

/* ---- the end ---- */

/* A short rest, so that the connection can be used again: cheaper than a new one. */
static void drain(rn_http_reply *x)
{
    size_t left = DRAIN_BYTES;
    char scratch[1024];
    ssize_t n = 1;

    if (x->now.framing == RN__REPLY_LENGTH && x->now.left > DRAIN_BYTES)
        return;
    rn_set_read_deadline(x->link->conn, rn__earlier(x->deadline, DRAIN_TIME));
    while (!x->now.ended && n > 0 && left >= sizeof scratch) {
        n = read_some(x, scratch, sizeof scratch);
        left -= n > 0 ? (size_t)n : 0;
    }
}

void rn__reply_let_go(rn_http_reply *x)
{
    struct rn__link *link = x->link;

    if (link == NULL)
        return;
    if (!x->now.ended && !x->now.close && x->now.error == 0)
        drain(x);
    x->link = NULL;
    /* What lies behind the response nobody has asked for: it would be the next one's answer. */
    if (x->now.ended && !x->now.close && x->in.at == x->in.len && x->now.error == 0)
        rn__link_put(link, x->client);
    else
        rn__link_drop(link);
}

ssize_t rn_http_body_read(rn_http_reply *reply, void *buf, size_t len)
{
    ssize_t n = read_some(reply, buf, len);

    if (reply->now.ended || n < 0)
        rn__reply_let_go(reply);
    return n;
}

void rn_http_reply_close(rn_http_reply *reply)
{
    if (reply == NULL)
        return;
    rn__reply_let_go(reply);
    rn__reply_free(reply);
}

/* ---- what was said ---- */

int rn_http_reply_status(const rn_http_reply *reply)
{
    return reply->head.status;
}

size_t rn_http_reply_url(const rn_http_reply *reply, char *text, size_t len)
{
    int n = snprintf(text, len, "http://%s%s", reply->url->host, reply->url->target);

    return n < 0 ? 0 : (size_t)n;
}

int64_t rn_http_reply_length(const rn_http_reply *reply)
{
    switch (reply->now.framing) {
    case RN__REPLY_NO_BODY:
        return 0;
    case RN__REPLY_LENGTH:
        return reply->head.content_length > INT64_MAX ? -1 : (int64_t)reply->head.content_length;
    default:
        return -1;
    }
}

const char *rn_http_reply_header(const rn_http_reply *reply, const char *name)
{
    const struct rn__http_field *f = rn__fields_find(reply->head.fields, reply->head.n_fields,
                                                     name);

    return f == NULL ? NULL : rn__request_text((struct rn__http_slice){f->value, f->value_len});
}

bool rn_http_reply_header_at(const rn_http_reply *reply, unsigned i, const char **name,
                             const char **value)
{
    const struct rn__http_field *f;

    if (i >= reply->head.n_fields)
        return false;
    f = &reply->head.fields[i];
    *name = rn__request_text((struct rn__http_slice){f->name, f->name_len});
    *value = rn__request_text((struct rn__http_slice){f->value, f->value_len});
    return true;
}

const char *rn_http_reply_trailer(const rn_http_reply *reply, const char *name)
{
    return rn__input_trailer(&reply->in, name);
}
