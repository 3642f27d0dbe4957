/*
 * chunked.c - the framing of a chunked body, byte by byte
 *
 * Numbers in comments are sections of RFC 9112 unless another RFC is named.
 */
#include "http/chunked.h"

#include <string.h>

#include "http/token.h"

#define MOST_DIGITS 16 /* of a size; more would not fit 64 bits but for zeros, which hide things */

enum state {
    SIZE,
    EXTENSION,  /* after a size or a value: ';' or the end of the line */
    NAME_FIRST, /* after ';' */
    NAME,
    VALUE, /* after '=' */
    TOKEN, /* within a value */
    QUOTED,
    ESCAPED, /* after a backslash */
    LINE_END,
    DATA,
    DATA_END,
    DATA_LF,
    TRAILERS,
    DONE,
    BAD
};

static int refuse(struct rn__chunked *c, const char *reason)
{
    c->state = BAD;
    c->reason = reason;
    return -1;
}

static bool is_token(char b)
{
    return rn__is_class(b, RN__CLASS_TOKEN);
}

static int take_digit(struct rn__chunked *c, int digit)
{
    if (c->digits == MOST_DIGITS)
        return refuse(c, "chunk size too large"); /* 7.1: must not overflow */
    c->digits++;
    c->size = c->size << 4 | (uint64_t)digit;
    return 0;
}

/* 7.1.1: chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ). The white
 * space is for old senders only ("bad"), and what some parsers skip others do not: refused. */
static int take_extension(struct rn__chunked *c, char b)
{
    if (b == ';')
        c->state = NAME_FIRST;
    else if (b == '\r')
        c->state = LINE_END;
    else
        return refuse(c, c->digits == 0 ? "chunk without a size" : "bad byte in a chunk size");
    return 0;
}

static int take_size(struct rn__chunked *c, char b)
{
    int digit = rn__hex_value(b);

    if (digit >= 0)
        return take_digit(c, digit);
    return c->digits == 0 ? refuse(c, "chunk without a size") : take_extension(c, b);
}

static int take_name(struct rn__chunked *c, char b)
{
    if (is_token(b))
        c->state = NAME;
    else if (c->state == NAME_FIRST)
        return refuse(c, "chunk extension without a name");
    else if (b == '=')
        c->state = VALUE;
    else
        return take_extension(c, b);
    return 0;
}

static int take_value(struct rn__chunked *c, char b)
{
    if (b == '"')
        c->state = QUOTED;
    else if (is_token(b))
        c->state = TOKEN;
    else
        return refuse(c, "chunk extension without a value");
    return 0;
}

static int take_quoted(struct rn__chunked *c, char b)
{
    if (((unsigned char)b < 0x20 && b != '\t') || b == 0x7f)
        return refuse(c, "control byte in a chunk extension");
    if (c->state == ESCAPED)
        c->state = QUOTED;
    else if (b == '\\')
        c->state = ESCAPED;
    else if (b == '"')
        c->state = EXTENSION;
    return 0;
}

static int end_line(struct rn__chunked *c, char b)
{
    if (b != '\n')
        return refuse(c, "bare CR in a chunk size");
    c->left = c->size;
    c->state = c->size > 0 ? DATA : TRAILERS;
    return 0;
}

/* One byte of framing. */
static int step(struct rn__chunked *c, char b)
{
    bool counts = c->state >= EXTENSION && c->state <= ESCAPED;

    if (counts && ++c->overhead > RN__CHUNKED_OVERHEAD)
        return refuse(c, "chunk extensions too long");
    switch ((enum state)c->state) {
    case SIZE:
        return take_size(c, b);
    case EXTENSION:
        return take_extension(c, b);
    case NAME_FIRST:
    case NAME:
        return take_name(c, b);
    case VALUE:
        return take_value(c, b);
    case TOKEN:
        return is_token(b) ? 0 : take_extension(c, b);
    case QUOTED:
    case ESCAPED:
        return take_quoted(c, b);
    case LINE_END:
        return end_line(c, b);
    case DATA_END:
        c->state = DATA_LF;
        return b == '\r' ? 0 : refuse(c, "chunk is longer than its size");
    case DATA_LF:
        c->state = SIZE;
        c->digits = 0;
        c->size = 0;
        return b == '\n' ? 0 : refuse(c, "chunk is longer than its size");
    default:
        return refuse(c, "bytes after the last chunk");
    }
}

ssize_t rn__chunked_next(struct rn__chunked *c, const char *buf, size_t len)
{
    size_t i = 0;

    if (c->state == DATA && c->left == 0)
        c->state = DATA_END;
    while (i < len && c->state != DATA && c->state != TRAILERS)
        if (step(c, buf[i++]) < 0)
            return -1;
    return c->state == BAD ? -1 : (ssize_t)i;
}

bool rn__chunked_at_trailers(const struct rn__chunked *c)
{
    return c->state == TRAILERS;
}

/* The bytes up to and with CR LF; 0: not all there. */
static ssize_t find_line(struct rn__chunked *c, const char *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)buf[i];

        if (b == '\r') {
            if (i + 1 == len)
                return 0;
            return buf[i + 1] == '\n' ? (ssize_t)i + 2 : refuse(c, "bare CR in a trailer");
        }
        if ((b < 0x20 && b != '\t') || b == 0x7f)
            return refuse(c, "control byte in a trailer"); /* a bare LF, too */
    }
    return len > RN__CHUNKED_OVERHEAD ? refuse(c, "trailers too long") : 0;
}

ssize_t rn__chunked_trailer(struct rn__chunked *c, const char *buf, size_t len, size_t *name_len,
                            const char **value, size_t *value_len)
{
    ssize_t line = find_line(c, buf, len);
    size_t n = 0, from, to;

    if (line <= 0)
        return line;
    c->overhead += (uint32_t)line;
    if (c->overhead > RN__CHUNKED_OVERHEAD)
        return refuse(c, "trailers too long");
    if (line == 2) {
        c->state = DONE;
        *name_len = 0;
        return line;
    }
    while (is_token(buf[n]))
        n++;
    if (n == 0 || buf[n] != ':') /* 5.1: no white space before the colon; 5.2: no folding */
        return refuse(c, "malformed trailer");
    for (from = n + 1; rn__is_space(buf[from]); from++)
        continue;
    for (to = (size_t)line - 2; to > from && rn__is_space(buf[to - 1]); to--)
        continue;
    *name_len = n;
    *value = buf + from;
    *value_len = to - from;
    return line;
}
