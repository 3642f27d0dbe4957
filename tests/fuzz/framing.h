/*
 * framing.h - where a message ends, for the fuzz targets: as src/http/body.c uses the parser
 */
#ifndef FRAMING_H
#define FRAMING_H

#include <stdint.h>
#include <string.h>

#include "http/chunked.h"
#include "http/parse.h"
#include "must.h"

enum verdict { NEEDS_MORE, ENDED, REFUSED };

struct framed {
    enum verdict verdict;
    size_t at; /* ENDED: the byte behind the message */
    uint64_t body_len;
    uint32_t body_hash; /* FNV-1a */
    unsigned trailers;
    const char *reason; /* REFUSED: the rule broken */
};

#define HASH_START 2166136261u

static inline void hash_body(struct framed *f, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        f->body_hash = (f->body_hash ^ (unsigned char)bytes[i]) * 16777619u;
    f->body_len += len;
}

static inline enum verdict frame_trailers(struct framed *f, struct rn__chunked *c, const char *buf,
                                          size_t len)
{
    for (;;) {
        size_t name_len = 0, value_len = 0;
        const char *value = NULL, *at = buf + f->at;
        ssize_t n = rn__chunked_trailer(c, at, len - f->at, &name_len, &value, &value_len);

        if (n <= 0)
            return n < 0 ? REFUSED : NEEDS_MORE;
        MUST((size_t)n <= len - f->at);
        f->at += (size_t)n;
        if (name_len == 0)
            return ENDED;
        MUST(at[name_len] == ':' && value >= at && value + value_len <= at + n - 2);
        f->trailers++;
    }
}

/* On from f->at, as far as the len bytes at buf go. */
static inline enum verdict frame_chunked(struct framed *f, struct rn__chunked *c, const char *buf,
                                         size_t len)
{
    for (;;) {
        size_t have = len - f->at, take = c->left < have ? (size_t)c->left : have;
        ssize_t n;

        hash_body(f, buf + f->at, take);
        f->at += take;
        c->left -= take;
        if (c->left > 0)
            return f->verdict = NEEDS_MORE;
        if (!rn__chunked_at_trailers(c)) {
            n = rn__chunked_next(c, buf + f->at, len - f->at);
            if (n < 0)
                return f->verdict = REFUSED;
            MUST((size_t)n <= len - f->at);
            f->at += (size_t)n;
        }
        if (rn__chunked_at_trailers(c))
            return f->verdict = frame_trailers(f, c, buf, len);
        if (c->left == 0)
            return f->verdict = NEEDS_MORE;
    }
}

/* All of a request: its head, of which req then tells, and its body. */
static inline struct framed frame_ours(struct rn__http_request *req, const char *buf, size_t len)
{
    struct framed f = {.body_hash = HASH_START};
    struct rn__chunked c = {0};
    ssize_t n;

    rn__http_begin(req);
    n = rn__http_parse(req, buf, len, NULL);
    if (n <= 0) {
        f.verdict = n < 0 ? REFUSED : NEEDS_MORE;
        f.reason = req->reason;
        return f;
    }
    f.at = (size_t)n;
    if (req->chunked) {
        (void)frame_chunked(&f, &c, buf, len);
        f.reason = c.reason;
    } else if (req->content_length > len - f.at) {
        f.verdict = NEEDS_MORE;
    } else {
        hash_body(&f, buf + f.at, (size_t)req->content_length);
        f.at += (size_t)req->content_length;
        f.verdict = ENDED;
    }
    return f;
}

#endif
