/*
 * input.h - a message as it comes in: the head, and behind it what of the body came along
 *
 *      buf:  [ head | taken | not yet taken | free ]
 *                   base    at              len    room
 *
 * Data goes straight into the reader's buffer, but for what is here already. The framing of a
 * chunked body is read into the room behind the head, which stays where it is: the text that was
 * asked for points there. For server and client: who disagrees with himself on where a body ends
 * is easily smuggled past.
 */
#ifndef RN_HTTP_INPUT_H
#define RN_HTTP_INPUT_H

#include <runnel/net.h>

#include "base/base.h"
#include "http/chunked.h"

struct rn__trailer {
    struct rn__trailer *next;
    const char *name, *value;
};

struct rn__input {
    rn_conn *conn;
    char *buf;
    size_t room, base, at, len;
    struct rn__chunked chunked;           /* the caller's to begin */
    struct rn__trailer *trailers, **last; /* last: where the next one goes */
};

static inline void rn__input_begin(struct rn__input *in, rn_conn *conn, char *buf, size_t room)
{
    in->conn = conn;
    in->buf = buf;
    in->room = room;
    in->base = in->at = in->len = 0;
    in->trailers = NULL;
    in->last = &in->trailers;
}

/* Up to len bytes of data, of which `most` are to come: > 0; 0: the end of the stream; or an
 * error. */
ssize_t rn__input_take(struct rn__input *in, char *buf, size_t len, uint64_t most);

/* To the next data of a chunked body, of which in->chunked.left bytes follow: 1; the end of the
 * body, with its trailers: 0; or an error, -RN_EPARTIAL for the end of the stream. */
int rn__input_next_chunk(struct rn__input *in);

const char *rn__input_trailer(const struct rn__input *in, const char *name);
void rn__input_drop_trailers(struct rn__input *in);
static inline void rn__input_free_trailers(struct rn__input *in)
{
    if (RN_UNLIKELY(in->trailers != NULL))
        rn__input_drop_trailers(in);
}

#endif
