/*
 * form.c - what a request says in pairs: its query, a form that was sent, cookies
 *
 * Pairs are looked through each time they are asked for: there are few, and nothing is to be kept.
 */
#include <string.h>
#include <strings.h>

#include "http/exchange.h"
#include "http/token.h"

#define FORM_BEGIN 4096

/* The next "name=value", without the '='. */
static bool next_pair(struct rn__http_slice *rest, char between, struct rn__http_slice *name,
                      struct rn__http_slice *value)
{
    const char *end, *stop, *equals;

    if (rest->at == NULL)
        return false;
    end = rest->at + rest->len;
    stop = memchr(rest->at, between, rest->len);
    *name = (struct rn__http_slice){rest->at, stop == NULL ? rest->len : (size_t)(stop - rest->at)};
    *rest = stop == NULL ? (struct rn__http_slice){NULL, 0}
                         : (struct rn__http_slice){stop + 1, (size_t)(end - stop) - 1};
    equals = memchr(name->at, '=', name->len);
    *value = (struct rn__http_slice){"", 0};
    if (equals != NULL) {
        *value = (struct rn__http_slice){equals + 1, name->len - (size_t)(equals - name->at) - 1};
        name->len = (size_t)(equals - name->at);
    }
    return true;
}

/* Does the encoded name say the same as the plain one? */
static bool is_named(struct rn__http_slice s, const char *name)
{
    size_t i = 0;

    for (; i < s.len && *name != '\0'; name++) {
        int byte = rn__percent_at(s, i);

        if (*name != (byte >= 0 ? (char)byte : s.at[i] == '+' ? ' ' : s.at[i]))
            return false;
        i += byte >= 0 ? 3 : 1;
    }
    return i == s.len && *name == '\0';
}

static bool has_zero(struct rn__http_slice s)
{
    return memmem(s.at, s.len, "%00", 3) != NULL || memchr(s.at, '\0', s.len) != NULL;
}

static const char *find_decoded(rn_http_request *r, struct rn__http_slice pairs, const char *name)
{
    struct rn__http_slice key, value;

    while (next_pair(&pairs, '&', &key, &value))
        if (is_named(key, name))
            return has_zero(value) ? NULL : rn__request_decode(r, value, true);
    return NULL;
}

const char *rn_http_get_query(rn_http_request *r, const char *name)
{
    return find_decoded(r, r->head.query, name);
}

/* ---- forms ---- */

static bool is_form(const rn_http_request *r)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const struct rn__http_field *f = rn__http_header(&r->head, "content-type");
    size_t len = sizeof type - 1;

    return f != NULL && f->value_len >= len && strncasecmp(f->value, type, len) == 0 &&
           (f->value_len == len || f->value[len] == ';' || rn__is_space(f->value[len]));
}

/* All of the body, into the request's memory. */
static void read_form(rn_http_request *r)
{
    size_t room = FORM_BEGIN, len = 0;
    char *buf = rn_http_alloc(r, room);
    ssize_t n = buf == NULL ? -ENOMEM : 1;

    while (n > 0) {
        if (len == room) {
            char *more = rn_http_alloc(r, room * 2);

            if (more == NULL)
                return;
            buf = memcpy(more, buf, len);
            room *= 2;
        }
        n = rn_http_read(r, buf + len, room - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n == 0)
        r->form = (struct rn__http_slice){buf, len};
}

const char *rn_http_get_form(rn_http_request *r, const char *name)
{
    if (!r->form_read && is_form(r)) {
        r->form_read = true;
        read_form(r);
    }
    return find_decoded(r, r->form, name);
}

/* ---- cookies ---- */

/* RFC 6265 4.2: pairs with "; " between; what is quoted is meant without its quotes. */
const char *rn_http_get_cookie(rn_http_request *r, const char *name)
{
    size_t name_len = strlen(name);

    for (unsigned i = 0; i < r->head.n_fields; i++) {
        const struct rn__http_field *f = &r->head.fields[i];
        struct rn__http_slice rest = {f->value, f->value_len}, key, value;

        if (f->name_len != 6 || strncasecmp(f->name, "cookie", 6) != 0)
            continue;
        while (next_pair(&rest, ';', &key, &value)) {
            char *copy;

            for (; key.len > 0 && rn__is_space(*key.at); key.at++)
                key.len--;
            if (key.len != name_len || memcmp(key.at, name, name_len) != 0)
                continue;
            if (value.len > 1 && value.at[0] == '"' && value.at[value.len - 1] == '"')
                value = (struct rn__http_slice){value.at + 1, value.len - 2};
            copy = rn_http_alloc(r, value.len + 1);
            if (copy != NULL)
                *(char *)mempcpy(copy, value.at, value.len) = '\0';
            return copy;
        }
    }
    return NULL;
}
