/*
 * fields.c - one field line after the other, never looking at a byte twice
 *
 *     NAME -> SPACE -> VALUE -> NAME ...
 *       \__ empty line
 *
 * As in parse.c every decision is made at a byte position and from the bytes up to it, and a scan
 * that must see two bytes (CR LF) stays on the first until the second is there.
 *
 * Numbers in comments are sections of RFC 9112 unless another RFC is named.
 */
#include "http/fields.h"

#include <endian.h>
#include <strings.h>

enum part { NAME, SPACE, VALUE };

static int refuse(const char **to, const char *reason)
{
    *to = reason;
    return RN__HTTP_BAD;
}

/* The first byte of a line is no tchar: the empty line, or wrong. */
static int start_line(const char *buf, uint32_t *scanned, uint32_t end, const char **reason)
{
    const char *s = buf + *scanned;

    if (*s == '\r') {
        if (end - *scanned < 2)
            return RN__HTTP_INCOMPLETE;
        if (s[1] != '\n')
            return refuse(reason, "bare CR in a field line"); /* 2.2 */
        *scanned += 2;
        return RN__FIELD_END;
    }
    if (rn__is_space(*s)) /* 5.2: obs-fold; 2.2: white space before the first field */
        return refuse(reason, "field line starts with white space");
    if (*s == '\n') /* 2.2 lets us take it for an end of line; nginx and llhttp disagree: refuse */
        return refuse(reason, "bare LF in a field line");
    return refuse(reason, "empty or bad field name"); /* 5, RFC 9110 5.1 */
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * The first byte at or after i that no value has: a control byte but HTAB (RFC 9110 5.5; bytes
 * above 127 are obs-text). Eight at a time: `odd` has the top bit of each byte that is below 0x20
 * or is 0x7f, up to and with the first such byte; borrows make it unreliable only behind that.
 */
static inline uint32_t skip_value(const char *buf, uint32_t i, uint32_t end)
{
    while (end - i >= 8) {
        uint64_t w, del, odd;

        memcpy(&w, buf + i, 8);
        w = le64toh(w);
        del = w ^ EACH(0x7f);
        odd = (((w - EACH(0x20)) & ~w) | ((del - EACH(1)) & ~del)) & EACH(0x80);
        if (odd == 0) {
            i += 8;
            continue;
        }
        i += (uint32_t)__builtin_ctzll(odd) / 8;
        if (buf[i] != '\t')
            return i;
        i++;
    }
    for (; i < end; i++) {
        unsigned char c = (unsigned char)buf[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f)
            break;
    }
    return i;
}

/* The name ended in something else than a colon. */
static int refuse_name(char c, const char **reason)
{
    if (rn__is_space(c)) /* 5.1 */
        return refuse(reason, "white space before the colon");
    return refuse(reason, "empty or bad field name");
}

/* A byte that no value has, at i. RN__FIELD_LINE: CR LF. */
static int end_value(const char *buf, uint32_t i, uint32_t end, const char **reason)
{
    if (buf[i] == '\n')
        return refuse(reason, "bare LF in a field line"); /* 2.2 */
    if (buf[i] != '\r')
        return refuse(reason, "control byte in a field value"); /* RFC 9110 5.5 */
    if (end - i < 2)
        return RN__HTTP_INCOMPLETE;
    if (buf[i + 1] != '\n')
        return refuse(reason, "bare CR in a field line"); /* 2.2 */
    return RN__FIELD_LINE;
}

int rn__field_next(struct rn__field_scan *s, const char *buf, uint32_t *scanned, uint32_t end,
                   bool full, struct rn__http_field *f, const char **reason)
{
    uint32_t i = *scanned, line = s->line, stop;
    int r;

    if (i == end)
        return RN__HTTP_INCOMPLETE;
    if (s->part == NAME) {
        if (i == line && !rn__is_class(buf[i], RN__CLASS_TOKEN))
            return start_line(buf, scanned, end, reason);
        if (i == line && full)
            return RN__FIELD_FULL;
        while (i < end && rn__is_class(buf[i], RN__CLASS_TOKEN))
            i++;
        *scanned = i;
        if (i == end)
            return RN__HTTP_INCOMPLETE;
        if (buf[i] != ':')
            return refuse_name(buf[i], reason);
        s->name_len = i++ - line;
        s->part = SPACE;
    }
    if (s->part == SPACE) { /* 5.1: optional white space between colon and value */
        while (i < end && rn__is_space(buf[i]))
            i++;
        s->value = i;
        s->part = i == end ? SPACE : VALUE;
    }
    i = skip_value(buf, i, end);
    *scanned = i;
    r = i == end ? RN__HTTP_INCOMPLETE : end_value(buf, i, end, reason);
    if (r != RN__FIELD_LINE)
        return r;
    for (stop = i; stop > s->value && rn__is_space(buf[stop - 1]); stop--)
        continue;
    f->name = buf + line;
    f->value = buf + s->value;
    f->name_len = s->name_len;
    f->value_len = stop - s->value;
    *scanned = s->line = i + 2;
    s->part = NAME;
    return RN__FIELD_LINE;
}

void rn__fields_move(struct rn__http_field *fields, unsigned n, uintptr_t old, const char *buf)
{
    for (unsigned i = 0; i < n; i++) {
        fields[i].name = buf + ((uintptr_t)fields[i].name - old);
        fields[i].value = buf + ((uintptr_t)fields[i].value - old);
    }
}

const struct rn__http_field *rn__fields_find(const struct rn__http_field *fields, unsigned n,
                                             const char *name)
{
    size_t len = strlen(name);

    for (unsigned i = 0; i < n; i++) {
        const struct rn__http_field *f = &fields[i];
        size_t k = 0;

        if (f->name_len != len)
            continue;
        while (k < len && rn__lower(f->name[k]) == rn__lower(name[k]))
            k++;
        if (k == len)
            return f;
    }
    return NULL;
}

bool rn__next_item(struct rn__http_slice *rest, struct rn__http_slice *item)
{
    const char *s = rest->at, *comma;
    size_t len;

    if (s == NULL)
        return false;
    comma = memchr(s, ',', rest->len);
    len = comma == NULL ? rest->len : (size_t)(comma - s);
    *rest = comma == NULL ? (struct rn__http_slice){NULL, 0}
                          : (struct rn__http_slice){comma + 1, rest->len - len - 1};
    while (len > 0 && rn__is_space(*s))
        s++, len--;
    while (len > 0 && rn__is_space(s[len - 1]))
        len--;
    *item = (struct rn__http_slice){s, len};
    return true;
}

const char *rn__take_digits(const struct rn__http_field *f, uint64_t *ret)
{
    uint64_t n = 0;

    if (f->value_len == 0)
        return "Content-Length is empty";
    for (uint32_t i = 0; i < f->value_len; i++) {
        if (!rn__is_digit(f->value[i]))
            return "Content-Length is not a number";
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(f->value[i] - '0'), &n))
            return "Content-Length is too large";
    }
    *ret = n;
    return NULL;
}

bool rn__is_token_text(const char *s)
{
    const char *at = s;

    while (rn__is_class(*at, RN__CLASS_TOKEN))
        at++;
    return at > s && *at == '\0';
}

bool rn__is_value_text(const char *s)
{
    for (; *s != '\0'; s++)
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
            return false;
    return true;
}

bool rn__trailer_is_forbidden(const char *name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "host",
                                        "trailer",        "content-encoding",  "content-type",
                                        "authorization"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}
