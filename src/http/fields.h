/*
 * fields.h - field lines of HTTP/1, as requests, responses and their rules share them
 *
 * Pure functions over the caller's bytes: no allocation, no errno, no clock, libc headers only, any
 * thread.
 */
#ifndef RN_HTTP_FIELDS_H
#define RN_HTTP_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http/token.h"

/* Room in a table of fields; a limit may be lower, not higher. */
#define RN__HTTP_MAX_FIELDS 100

/* Results of the parsers that are no byte count. */
enum {
    RN__HTTP_INCOMPLETE = 0, /* good so far, call again with more bytes */
    RN__HTTP_BAD = -4100     /* -RN_EHTTP, spelled out because this header knows libc only */
};

#ifdef RUNNEL_BASE_H
_Static_assert(RN__HTTP_BAD == -RN_EHTTP, "one number for malformed HTTP");
#endif

/* A piece of the caller's buffer; at is NULL where the message has no such piece. */
struct rn__http_slice {
    const char *at;
    size_t len;
};

/* One field line; the value is without the white space around it and may be empty. */
struct rn__http_field {
    const char *name;
    const char *value;
    uint32_t name_len;
    uint32_t value_len;
};

/* The fields' bytes have moved from `old`, an address that may be gone, to buf. */
void rn__fields_move(struct rn__http_field *fields, unsigned n, uintptr_t old, const char *buf);

static inline void rn__slice_move(struct rn__http_slice *s, uintptr_t old, const char *buf)
{
    if (s->at != NULL)
        s->at = buf + ((uintptr_t)s->at - old);
}

/* The first field of that name (NUL-terminated; letters compare without case), or NULL. */
const struct rn__http_field *rn__fields_find(const struct rn__http_field *fields, unsigned n,
                                             const char *name);

/* Takes the next item of a comma list off rest, without the spaces around it; may be empty. */
bool rn__next_item(struct rn__http_slice *rest, struct rn__http_slice *item);

/* 1*DIGIT and nothing else (RFC 9110 8.6): NULL, or the rule broken. */
const char *rn__take_digits(const struct rn__http_field *f, uint64_t *ret);

/* A name as a field may have it; and a value: nothing in it could end the line early, or be taken
 * for its end. Both are terminated. */
bool rn__is_token_text(const char *s);
bool rn__is_value_text(const char *s);

/* A name that a message's framing or routing hangs on: it has no business after the body (RFC 9110
 * 6.5.1), and is passed over there. Terminated. */
bool rn__trailer_is_forbidden(const char *name);

/* 0 means `normal`, and more than `most` is `most`. */
static inline size_t rn__choose_limit(size_t wanted, size_t normal, size_t most)
{
    if (wanted == 0)
        return normal;
    return wanted < most ? wanted : most;
}

#define RN__EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Where eight or four bytes differ by more than 0x20, bits are set. */
static inline uint64_t rn__differ8(const char *a, const char *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x ^ y) & ~RN__EACH(0x20);
}

static inline uint32_t rn__differ4(const char *a, const char *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x ^ y) & (uint32_t)~RN__EACH(0x20);
}

/*
 * Is s, without case, this word of letters, digits and "-:/", in lower case and len bytes long? Of
 * each of those only its other case, or a control byte, differs by 0x20; and s has no control
 * bytes. Both words are constants where this is used: what is left of it is a few loads.
 */
static inline __attribute__((always_inline)) bool rn__is_word(const char *s, const char *want,
                                                              size_t len)
{
    const size_t last = len - (len < 8 ? 4 : 8); /* where the last step begins; it may overlap */
    uint64_t differ = 0;

    if (len < 4) {
        for (size_t i = 0; i < len; i++)
            if (rn__lower(s[i]) != want[i])
                return false;
        return true;
    }
    if (len < 8)
        return (rn__differ4(s, want) | rn__differ4(s + last, want + last)) == 0;
    for (size_t i = 0; i < last; i += 8)
        differ |= rn__differ8(s + i, want + i);
    return (differ | rn__differ8(s + last, want + last)) == 0;
}

static inline __attribute__((always_inline)) bool rn__is_item(const struct rn__http_slice *s,
                                                              const char *want)
{
    return s->len == strlen(want) && rn__is_word(s->at, want, s->len);
}

#endif
