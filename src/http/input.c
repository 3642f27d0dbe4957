/*
 * input.c - the bytes of a body, and the framing and trailers of a chunked one
 */
#include "http/input.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/fields.h"

/* More input, behind the head. > 0, or an error; the end of the stream is one. */
static ssize_t refill(struct rn__input *in)
{
    ssize_t n;

    if (in->at > in->base) {
        memmove(in->buf + in->base, in->buf + in->at, in->len - in->at);
        in->len -= in->at - in->base;
        in->at = in->base;
    }
    if (in->len == in->room)
        return -RN_EHTTP; /* a line longer than there is room: its limit is lower */
    n = rn_read(in->conn, in->buf + in->len, in->room - in->len);
    if (n <= 0)
        return n == 0 ? -RN_EPARTIAL : n;
    in->len += (size_t)n;
    return n;
}

ssize_t rn__input_take(struct rn__input *in, char *buf, size_t len, uint64_t most)
{
    size_t have = in->len - in->at;

    if (len > most)
        len = (size_t)most;
    if (have == 0)
        return rn_read(in->conn, buf, len);
    have = have < len ? have : len;
    memcpy(buf, in->buf + in->at, have);
    in->at += have;
    return (ssize_t)have;
}

static int keep_trailer(struct rn__input *in, const char *name, size_t name_len, const char *value,
                        size_t value_len)
{
    struct rn__trailer *t = rn__malloc(sizeof *t + name_len + value_len + 2);
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
    *in->last = t;
    in->last = &t->next;
    return 0;
}

/* 0 when all of them are there. */
static int take_trailers(struct rn__input *in)
{
    for (;;) {
        size_t name_len = 0, value_len = 0;
        const char *value = NULL, *at = in->buf + in->at;
        ssize_t n = rn__chunked_trailer(&in->chunked, at, in->len - in->at, &name_len, &value,
                                        &value_len);

        if (n < 0)
            return -RN_EHTTP;
        in->at += (size_t)n;
        if (n > 0 && name_len == 0)
            return 0;
        n = n == 0 ? refill(in) : keep_trailer(in, at, name_len, value, value_len);
        if (n < 0)
            return (int)n;
    }
}

int rn__input_next_chunk(struct rn__input *in)
{
    struct rn__chunked *c = &in->chunked;

    for (;;) {
        ssize_t n = rn__chunked_next(c, in->buf + in->at, in->len - in->at);

        if (n < 0)
            return -RN_EHTTP;
        in->at += (size_t)n;
        if (c->left > 0)
            return 1;
        if (rn__chunked_at_trailers(c))
            return take_trailers(in);
        n = refill(in);
        if (n < 0)
            return (int)n;
    }
}

const char *rn__input_trailer(const struct rn__input *in, const char *name)
{
    for (const struct rn__trailer *t = in->trailers; t != NULL; t = t->next)
        if (strcasecmp(t->name, name) == 0)
            return t->value;
    return NULL;
}

void rn__input_drop_trailers(struct rn__input *in)
{
    while (in->trailers != NULL) {
        struct rn__trailer *t = in->trailers;

        in->trailers = t->next;
        rn__free(t);
    }
    in->last = &in->trailers;
}
