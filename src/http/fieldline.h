/*
 * fieldline.h - one field line after the other, never looking at a byte twice
 *
 *     NAME -> SPACE -> VALUE -> NAME ...
 *       \__ empty line
 *
 * As in parse.c every decision is made at a byte position and from the bytes up to it, and a scan
 * that must see two bytes (CR LF) stays on the first until the second is there. Inline, because
 * this is where the parsers of requests and of responses spend their time.
 *
 * Numbers in comments are sections of RFC 9112 unless another RFC is named.
 */
#ifndef RN_HTTP_FIELDLINE_H
#define RN_HTTP_FIELDLINE_H

#include <endian.h>

#include "http/fields.h"

enum rn__field_part { RN__FIELD_NAME, RN__FIELD_SPACE, RN__FIELD_VALUE };

/* Where in a field line the scan is; all zero but `line` at the first one. */
struct rn__field_scan {
    uint32_t line;     /* where the present field line starts */
    uint32_t value;    /* where its value starts */
    uint32_t name_len; /* of the field whose value is being scanned */
    uint8_t part;
};

/* Results of rn__field_next besides RN__HTTP_INCOMPLETE and RN__HTTP_BAD. */
enum { RN__FIELD_LINE = 1, RN__FIELD_END = 2, RN__FIELD_FULL = 3 };

static inline int rn__field_refuse(const char **to, const char *reason)
{
    *to = reason;
    return RN__HTTP_BAD;
}

/* The first byte of a line is no tchar: the empty line, or wrong. */
static inline int rn__field_end(const char *s, const char *end, const char **reason)
{
    if (*s == '\r') {
        if (end - s < 2)
            return RN__HTTP_INCOMPLETE;
        return s[1] == '\n' ? RN__FIELD_END
                            : rn__field_refuse(reason, "bare CR in a field line"); /* 2.2 */
    }
    if (rn__is_space(*s)) /* 5.2: obs-fold; 2.2: white space before the first field */
        return rn__field_refuse(reason, "field line starts with white space");
    if (*s == '\n') /* 2.2 lets us take it for an end of line; nginx and llhttp disagree: refuse */
        return rn__field_refuse(reason, "bare LF in a field line");
    return rn__field_refuse(reason, "empty or bad field name"); /* 5, RFC 9110 5.1 */
}

/* The name ended in something else than a colon. */
static inline int rn__field_refuse_name(char c, const char **reason)
{
    if (rn__is_space(c)) /* 5.1 */
        return rn__field_refuse(reason, "white space before the colon");
    return rn__field_refuse(reason, "empty or bad field name");
}

typedef uint8_t rn__bytes __attribute__((vector_size(16)));
typedef uint64_t rn__halves __attribute__((vector_size(16)));

/* The first byte at or after s that no value has, or end. Sixteen at a time. */
static inline const char *rn__skip_value(const char *s, const char *end)
{
    while (end - s >= 16) {
        rn__bytes b;
        rn__halves odd;
        uint64_t low, high;

        memcpy(&b, s, sizeof b);
        odd = (rn__halves)((b < 0x20) | (b == 0x7f));
        low = le64toh(odd[0]);
        high = le64toh(odd[1]);
        if ((low | high) == 0) {
            s += 16;
            continue;
        }
        s += low != 0 ? __builtin_ctzll(low) / 8 : 8 + __builtin_ctzll(high) / 8;
        if (*s != '\t')
            return s;
        s++;
    }
    return rn__skip_class(s, end, RN__CLASS_VALUE);
}

/* At a byte that no value has. RN__FIELD_LINE: CR LF. */
static inline int rn__field_end_value(const char *s, const char *end, const char **reason)
{
    if (*s == '\n')
        return rn__field_refuse(reason, "bare LF in a field line"); /* 2.2 */
    if (*s != '\r')
        return rn__field_refuse(reason, "control byte in a field value"); /* RFC 9110 5.5 */
    if (end - s < 2)
        return RN__HTTP_INCOMPLETE;
    if (s[1] != '\n')
        return rn__field_refuse(reason, "bare CR in a field line"); /* 2.2 */
    return RN__FIELD_LINE;
}

/*
 * rn__field_next - one field line, as far as it is there
 *   s        the scan; offsets count from buf, and stay good when the bytes move
 *   buf      the message's bytes from its first on
 *   scanned  how many of them are judged; moved on
 *   len      how many there are
 *   full     there is no room for another
 *   f        what was found
 *   reason   RN__HTTP_BAD: the rule broken
 * Returns RN__FIELD_LINE (*f is set), RN__FIELD_END (the empty line; both are behind *scanned),
 * RN__FIELD_FULL (a line starts), RN__HTTP_INCOMPLETE or RN__HTTP_BAD.
 */
static inline int rn__field_next(struct rn__field_scan *s, const char *buf, uint32_t *scanned,
                                 uint32_t len, bool full, struct rn__http_field *f,
                                 const char **reason)
{
    const char *at = buf + *scanned, *end = buf + len, *line = buf + s->line;
    const char *value = buf + s->value, *stop;
    uint32_t name_len = s->name_len;
    int r;

    if (at == end)
        return RN__HTTP_INCOMPLETE;
    if (s->part == RN__FIELD_NAME) {
        if (at == line) {
            if (!rn__is_class(*at, RN__CLASS_TOKEN)) {
                r = rn__field_end(at, end, reason);
                *scanned += r == RN__FIELD_END ? 2 : 0;
                return r;
            }
            if (full)
                return RN__FIELD_FULL;
        }
        at = rn__skip_class(at, end, RN__CLASS_TOKEN);
        *scanned = (uint32_t)(at - buf);
        if (at == end)
            return RN__HTTP_INCOMPLETE;
        if (*at != ':')
            return rn__field_refuse_name(*at, reason);
        name_len = (uint32_t)(at++ - line);
    }
    if (s->part != RN__FIELD_VALUE) { /* 5.1: optional white space between colon and value */
        while (at < end && rn__is_space(*at))
            at++;
        value = at;
    }
    at = rn__skip_value(at, end);
    r = at == end ? RN__HTTP_INCOMPLETE : rn__field_end_value(at, end, reason);
    if (r != RN__FIELD_LINE) {
        s->part = value == end ? RN__FIELD_SPACE : RN__FIELD_VALUE;
        s->name_len = name_len;
        s->value = (uint32_t)(value - buf);
        *scanned = (uint32_t)(at - buf);
        return r;
    }
    for (stop = at; stop > value && rn__is_space(stop[-1]); stop--)
        continue;
    *f = (struct rn__http_field){
        .name = line, .value = value, .name_len = name_len, .value_len = (uint32_t)(stop - value)};
    *scanned = s->line = (uint32_t)(at + 2 - buf);
    s->part = RN__FIELD_NAME;
    return RN__FIELD_LINE;
}

#endif
