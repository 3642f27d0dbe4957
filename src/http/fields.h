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

/* Where in a field line the scan is; all zero but `line` at the first one. */
struct rn__field_scan {
    uint32_t line;     /* where the present field line starts */
    uint32_t value;    /* where its value starts */
    uint32_t name_len; /* of the field whose value is being scanned */
    uint8_t part;
};

/* Results of rn__field_scan besides the two above. */
enum { RN__FIELD_LINE = 1, RN__FIELD_END = 2, RN__FIELD_FULL = 3 };

/*
 * rn__field_next - one field line, as far as it is there
 *   s        the scan; offsets count from buf, and stay good when the bytes move
 *   buf      the message's bytes from its first on
 *   scanned  how many of them are judged; moved on
 *   end      how many there are
 *   full     there is no room for another
 *   f        what was found
 *   reason   RN__HTTP_BAD: the rule broken
 * Returns RN__FIELD_LINE (*f is set), RN__FIELD_END (the empty line; both are behind *scanned),
 * RN__FIELD_FULL (a line starts), RN__HTTP_INCOMPLETE or RN__HTTP_BAD. Source:
 * src/http/fields.c
 */
int rn__field_next(struct rn__field_scan *s, const char *buf, uint32_t *scanned, uint32_t end,
                   bool full, struct rn__http_field *f, const char **reason);

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

/* want is lower case and len bytes long. */
static inline bool rn__is_word(const char *s, const char *want, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (rn__lower(s[i]) != want[i])
            return false;
    return true;
}

static inline bool rn__is_item(const struct rn__http_slice *s, const char *want)
{
    return s->len == strlen(want) && rn__is_word(s->at, want, s->len);
}

#endif
