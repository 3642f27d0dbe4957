/*
 * conditional.c - If-Match and its kin, in the order of RFC 9110 13.2.2
 */
#include "http/conditional.h"

#include <string.h>
#include <strings.h>

#include "http/negotiate.h"
#include "http/text.h"
#include "http/token.h"

static bool is_field(const struct rn__http_field *f, const char *name, size_t len)
{
    return f->name_len == len && strncasecmp(f->name, name, len) == 0;
}

/* ---- entity tags ---- */

/* The next entity tag of a list: true, and the quoted part with whether it was weak; false at the
 * end, or where it is malformed. */
static bool next_tag(struct rn__http_slice *rest, struct rn__http_slice *tag, bool *weak)
{
    const char *at = rest->at, *end = at + rest->len, *close;

    while (at < end && (rn__is_space(*at) || *at == ','))
        at++;
    *weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
    at += *weak ? 2 : 0;
    close = end - at > 1 && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at) - 1) : NULL;
    if (close == NULL)
        return false;
    *tag = (struct rn__http_slice){at, (size_t)(close - at) + 1};
    *rest = (struct rn__http_slice){close + 1, (size_t)(end - close) - 1};
    return true;
}

/* RFC 9110 8.8.3.2: the strong comparison wants both to be strong, the weak one does not ask. */
static bool has_tag(struct rn__http_slice list, const struct rn__validators *v, bool strong)
{
    bool weak, own_weak = v->etag[0] == 'W';
    struct rn__http_slice tag, own = {v->etag + 2 * own_weak, v->etag_len - 2 * own_weak};

    while (next_tag(&list, &tag, &weak))
        if (tag.len == own.len && memcmp(tag.at, own.at, own.len) == 0 &&
            !(strong && (weak || own_weak)))
            return true;
    return false;
}

/* A list may be cut up into several fields (RFC 9110 5.3). */
static bool any_tag(const struct rn__http_request *head, const char *name,
                    const struct rn__validators *v, bool strong)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        const struct rn__http_field *f = &head->fields[i];
        struct rn__http_slice list = {f->value, f->value_len};

        if (is_field(f, name, strlen(name)) &&
            ((list.len == 1 && *list.at == '*') || has_tag(list, v, strong)))
            return true;
    }
    return false;
}

/* ---- conditions ---- */

/* The date that the only field of this name has; false where it is none, and the field has no
 * say. */
static bool get_date(const struct rn__http_request *head, const char *name, time_t now, time_t *ret)
{
    const struct rn__http_field *found = NULL;

    for (unsigned i = 0; i < head->n_fields; i++) {
        if (!is_field(&head->fields[i], name, strlen(name)))
            continue;
        if (found != NULL)
            return false;
        found = &head->fields[i];
    }
    return found != NULL && rn__http_parse_date(found->value, found->value_len, now, ret);
}

int rn__http_precondition(const struct rn__http_request *head, const struct rn__validators *v,
                          time_t now)
{
    time_t date;

    if ((head->asks & RN__ASK_IF_MATCH) != 0) {
        if (!any_tag(head, "if-match", v, true))
            return 412;
    } else if ((head->asks & RN__ASK_IF_UNMODIFIED) != 0 &&
               get_date(head, "if-unmodified-since", now, &date) && v->modified > date) {
        return 412;
    }
    if ((head->asks & RN__ASK_IF_NONE_MATCH) != 0)
        return any_tag(head, "if-none-match", v, false) ? 304 : 0;
    if ((head->asks & RN__ASK_IF_MODIFIED) != 0 && get_date(head, "if-modified-since", now, &date))
        return v->modified <= date ? 304 : 0;
    return 0;
}

/* A date is a strong validator only where the file did not change within the same second again,
 * which a file that old did not after it was asked for (RFC 9110 8.8.2.2). */
bool rn__http_range_counts(const struct rn__http_request *head, const struct rn__validators *v,
                           time_t now)
{
    const struct rn__http_field *f;
    time_t date;

    if ((head->asks & RN__ASK_IF_RANGE) == 0)
        return true;
    if (get_date(head, "if-range", now, &date))
        return date == v->modified && v->modified < now;
    f = rn__http_header(head, "if-range");
    return has_tag((struct rn__http_slice){f->value, f->value_len}, v, true);
}

/* ---- ranges ---- */

/* Digits: how many, and their value, or the largest that there is. */
static size_t get_number(struct rn__http_slice s, uint64_t *ret)
{
    size_t n = 0;

    *ret = 0;
    for (; n < s.len && rn__is_digit(s.at[n]); n++)
        if (__builtin_mul_overflow(*ret, (uint64_t)10, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)(s.at[n] - '0'), ret))
            *ret = UINT64_MAX;
    return n;
}

static struct rn__http_slice cut(struct rn__http_slice s, size_t n)
{
    return (struct rn__http_slice){s.at + n, s.len - n};
}

/* "first-last", "first-" or "-suffix": 1, 0 where the file has no such bytes, -1 malformed. */
static int get_range(struct rn__http_slice s, uint64_t size, struct rn__range *ret)
{
    uint64_t first, last;
    size_t n = get_number(s, &first), m;

    if (n == s.len || s.at[n] != '-')
        return -1;
    s = cut(s, n + 1);
    m = get_number(s, &last);
    if (m < s.len || (n == 0 && m == 0))
        return -1;
    if (n == 0) {
        *ret = (struct rn__range){last < size ? size - last : 0, last < size ? last : size};
        return last > 0;
    }
    if (m == 0)
        last = UINT64_MAX;
    if (last < first)
        return -1;
    if (first >= size)
        return 0;
    *ret = (struct rn__range){first, (last < size ? last + 1 : size) - first};
    return 1;
}

int rn__http_ranges(struct rn__http_slice value, uint64_t size,
                    struct rn__range ranges[RN__RANGES_MOST])
{
    struct rn__http_slice one;
    uint64_t sum = 0;
    int asked = 0, n = 0;

    if (value.len < 6 || strncasecmp(value.at, "bytes=", 6) != 0)
        return 0;
    value = cut(value, 6);
    for (; rn__http_next_member(&value, &one); asked++) {
        struct rn__range range;
        int r = asked == RN__RANGES_MOST ? -1 : get_range(one, size, &range);

        if (r < 0)
            return 0;
        /* Nothing else can be said of the last bytes of an empty file than that this is all. */
        if (r > 0 && range.len == 0)
            return 0;
        if (r == 0)
            continue;
        ranges[n++] = range;
        sum += range.len; /* no overflow: 16 times what a file can have */
    }
    if (asked == 0 || sum > size)
        return 0;
    return n > 0 ? n : -1;
}
