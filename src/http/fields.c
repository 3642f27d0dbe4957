/*
 * fields.c - tables of fields, and what their values are made of
 *
 * Numbers in comments are sections of RFC 9112 unless another RFC is named.
 */
#include "http/fields.h"

#include <strings.h>

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
    while (rn__is_class(*s, RN__CLASS_VALUE))
        s++;
    return *s == '\0';
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
