/*
 * chunked.h - the framing of a chunked body (RFC 9112 7.1): bytes in, how many of them are data
 *
 * A pure function over the caller's bytes: no allocation, no clock, libc headers only, any thread.
 * Strict, as parse.h is and for the same reason.
 *
 *      SIZE --1*HEXDIG--> EXTENSION --CR LF--> DATA --all of it--> DATA_END --CR LF--> SIZE
 *                                     \_ size 0: TRAILERS --empty line--> DONE
 *      any of them --> BAD
 */
#ifndef RN_HTTP_CHUNKED_H
#define RN_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define RN__CHUNKED_OVERHEAD ((size_t)16 << 10) /* bytes of extensions and trailers, in all */

/* All zero at the start of a body. */
struct rn__chunked {
    uint64_t left;     /* DATA: bytes of this chunk that are still to come */
    uint64_t size;     /* of this chunk, as far as its digits have come */
    uint32_t overhead; /* bytes of extensions and trailers so far */
    uint8_t state;
    uint8_t digits;
    const char *reason; /* BAD: the rule broken */
};

/*
 * rn__chunked_next - step over framing
 *   c    the body so far
 *   buf  the bytes that come next
 *   len  how many are there, 0 included
 * Returns how many bytes at buf were framing. Then, when c->left > 0, as many bytes of data follow:
 * the caller takes some, by c->left -= n. When it is 0: rn__chunked_trailers: a trailer section
 * follows; else more bytes are needed. -1: malformed, c->reason says why.
 */
ssize_t rn__chunked_next(struct rn__chunked *c, const char *buf, size_t len);

/* The last chunk has come: what follows are field lines and an empty line. */
bool rn__chunked_at_trailers(const struct rn__chunked *c);

/*
 * rn__chunked_trailer - one line of the trailer section
 *   c          at the trailers
 *   buf, len   what is there, from the start of the line on
 *   name_len, value, value_len  of the field
 * Returns the bytes of the line, and 0 in *name_len for the empty one, which is the last; 0: more
 * bytes are needed; -1: malformed.
 */
ssize_t rn__chunked_trailer(struct rn__chunked *c, const char *buf, size_t len, size_t *name_len,
                            const char **value, size_t *value_len);

#endif
