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
    while (x->trailers != NULL) {
        struct rn__trailer *t = x->trailers;

        x->trailers = t->next;
        rn__free(t);
    }
    memset(&x->now, 0, sizeof x->now);
    x->now.head_only = head_only;
    x->base = x->at = x->len = 0;
    rn__reply_begin(&x->head);
}

/* ---- the head ---- */

/* 1: a final one is there; 0: more is needed. Interim ones are passed over. */
static int parse_head(rn_http_reply *x)
{
    for (;;) {
        ssize_t n = rn__reply_parse(&x->head, x->in, x->len, x->client->options.max_head_bytes);

        if (n < 0)
            return x->head.too_long ? -EMSGSIZE : -RN_EHTTP;
        if (n == 0)
            return 0;
        if (x->head.status >= 200) {
            x->base = x->at = (size_t)n;
            x->now.complete = true;
            return 1;
        }
        /* RFC 9110 15.2.2: 101 is the answer to an Upgrade, which was not asked for. */
        if (x->head.status == 101 || ++x->now.interim > INTERIM_MOST)
            return -RN_EHTTP;
        x->now.continued |= x->head.status == 100;
        memmove(x->in, x->in + n, x->len - (size_t)n);
        x->len -= (size_t)n;
        rn__reply_begin(&x->head);
    }
}

/* The parser's limit is met before the buffer is full. */
static int read_head(rn_http_reply *x)
{
    ssize_t n = rn_read(x->link->conn, x->in + x->len, x->client->in_room - x->len);

    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : (int)n;
    x->len += (size_t)n;
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

/* More input, behind the head. > 0, or an error; the end of the stream is one. */
static ssize_t refill(rn_http_reply *x)
{
    ssize_t n;

    memmove(x->in + x->base, x->in + x->at, x->len - x->at);
    x->len -= x->at - x->base;
    x->at = x->base;
    if (x->len == x->client->in_room)
        return -RN_EHTTP; /* a line longer than there is room: its limit is lower */
    n = rn_read(x->link->conn, x->in + x->len, x->client->in_room - x->len);
    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : n;
    x->len += (size_t)n;
    return n;
}

/* Data, of which `most` bytes are to come: 0 at the end of the stream. */
static ssize_t take(rn_http_reply *x, char *buf, size_t len, uint64_t most)
{
    size_t have = x->len - x->at;

    if (len > most)
        len = (size_t)most;
    if (have == 0)
        return rn_read(x->link->conn, buf, len);
    have = have < len ? have : len;
    memcpy(buf, x->in + x->at, have);
    x->at += have;
    return (ssize_t)have;
}

static int keep_trailer(rn_http_reply *x, const char *name, size_t name_len, const char *value,
                        size_t value_len)
{
    struct rn__trailer *t = rn__malloc(sizeof *t + name_len + value_len + 2), **at = &x->trailers;
    char *text;

    if (t == NULL)
        return -ENOMEM;
    text = (char *)(t + 1);
    *t = (struct rn__trailer){.name = text, .value = text + name_len + 1};
    *(char *)mempcpy(text, name, name_len) = '\0';
    *(char *)mempcpy(text + name_len + 1, value, value_len) = '\0';
    if (rn__trailer_is_forbidden(t->name)) {
        rn__free(t);
        return 0;
    }
    while (*at != NULL)
        at = &(*at)->next;
    *at = t;
    return 0;
}

/* 0 when all of them are there. */
static int take_trailers(rn_http_reply *x)
{
    for (;;) {
        size_t name_len = 0, value_len = 0;
        const char *value = NULL, *at = x->in + x->at;
        ssize_t n = rn__chunked_trailer(&x->now.chunked, at, x->len - x->at, &name_len, &value,
                                        &value_len);

        if (n < 0)
            return -RN_EHTTP;
        x->at += (size_t)n;
        if (n > 0 && name_len == 0)
            return 0;
        n = n == 0 ? refill(x) : keep_trailer(x, at, name_len, value, value_len);
        if (n < 0)
            return (int)n;
    }
}

/* To the next data: 1; the end of the body: 0. */
static int next_chunk(rn_http_reply *x)
{
    struct rn__chunked *c = &x->now.chunked;

    for (;;) {
        ssize_t n = rn__chunked_next(c, x->in + x->at, x->len - x->at);

        if (n < 0)
            return -RN_EHTTP;
        x->at += (size_t)n;
        if (c->left > 0)
            return 1;
        if (rn__chunked_at_trailers(c))
            return take_trailers(x);
        n = refill(x);
        if (n < 0)
            return (int)n;
    }
}

/* > 0; 0: the end of the body; or an error. */
static ssize_t read_body(rn_http_reply *x, char *buf, size_t len)
{
    uint64_t *left = x->now.framing == RN__REPLY_CHUNKED ? &x->now.chunked.left : &x->now.left;
    ssize_t n;

    if (x->now.framing == RN__REPLY_UNTIL_CLOSE)
        return take(x, buf, len, UINT64_MAX);
    if (*left == 0) { /* by length, it would have ended */
        int r = next_chunk(x);

        if (r <= 0)
            return r;
    }
    n = take(x, buf, len, *left);
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
    if (x->now.ended && !x->now.close && x->at == x->len && x->now.error == 0)
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
    for (const struct rn__trailer *t = reply->trailers; t != NULL; t = t->next)
        if (strcasecmp(t->name, name) == 0)
            return t->value;
    return NULL;
}
