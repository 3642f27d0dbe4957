/*
 * request.c - what a handler may ask of its request
 *
 * Text is terminated where it stands in the input: the byte behind a token, a target or a value is
 * a separator that nobody looks at any more. What had to be decoded is in the request's arena.
 */
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/token.h"

void rn__request_begin(rn_http_request *r)
{
    memset(r, 0, offsetof(rn_http_request, body_left));
    rn__http_begin(&r->head);
}

void rn__request_free(rn_http_request *r)
{
    while (r->arena != NULL) {
        struct rn__arena_block *b = r->arena;

        r->arena = b->next;
        rn__free(b);
    }
}

void *rn_http_alloc(rn_http_request *r, size_t len)
{
    struct rn__arena_block *b = len > SIZE_MAX - sizeof *b ? NULL : rn__malloc(sizeof *b + len);

    if (b == NULL)
        return NULL;
    b->next = r->arena;
    r->arena = b;
    return b->bytes;
}

const char *rn__request_text(struct rn__http_slice s)
{
    if (s.at == NULL)
        return "";
    ((char *)(uintptr_t)s.at)[s.len] = '\0';
    return s.at;
}

static const char *value_text(const struct rn__http_field *f)
{
    return rn__request_text((struct rn__http_slice){f->value, f->value_len});
}

const char *rn_http_get_method(const rn_http_request *r)
{
    return rn__request_text(r->head.method_name);
}

const char *rn_http_get_target(const rn_http_request *r)
{
    return rn__request_text(r->head.target);
}

int rn__percent_at(struct rn__http_slice s, size_t i)
{
    int high = s.at[i] == '%' && s.len - i > 2 ? rn__hex_value(s.at[i + 1]) : -1;
    int low = high >= 0 ? rn__hex_value(s.at[i + 2]) : -1;

    return low >= 0 ? high << 4 | low : -1;
}

const char *rn__request_decode(rn_http_request *r, struct rn__http_slice s, bool form)
{
    char *out = rn_http_alloc(r, s.len + 1);
    size_t n = 0;

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < s.len; i++) {
        int byte = rn__percent_at(s, i);

        if (byte > 0 && (form || byte != '/')) {
            out[n++] = (char)byte;
            i += 2;
        } else {
            out[n++] = form && s.at[i] == '+' ? ' ' : s.at[i];
        }
    }
    out[n] = '\0';
    return out;
}

const char *rn_http_get_path(rn_http_request *r)
{
    if (r->path == NULL && r->head.path.len > 0)
        r->path = rn__request_decode(r, r->head.path, false);
    return r->path == NULL ? "" : r->path;
}

/* In a target of absolute form the byte behind the host belongs to the path. */
const char *rn_http_get_host(const rn_http_request *r)
{
    struct rn__http_slice host = r->head.host;
    char *copy;

    if (r->head.form != RN__HTTP_ABSOLUTE)
        return rn__request_text(host);
    copy = rn_http_alloc((rn_http_request *)(uintptr_t)r, host.len + 1);
    if (copy == NULL)
        return "";
    memcpy(copy, host.at, host.len);
    copy[host.len] = '\0';
    return copy;
}

int rn_http_get_minor(const rn_http_request *r)
{
    return r->head.minor;
}

const char *rn_http_get_header(const rn_http_request *r, const char *name)
{
    const struct rn__http_field *f = rn__http_header(&r->head, name);

    return f == NULL ? NULL : value_text(f);
}

bool rn_http_header_at(const rn_http_request *r, unsigned i, const char **name, const char **value)
{
    const struct rn__http_field *f = &r->head.fields[i];

    if (i >= r->head.n_fields)
        return false;
    *name = rn__request_text((struct rn__http_slice){f->name, f->name_len});
    *value = value_text(f);
    return true;
}

int64_t rn_http_get_content_length(const rn_http_request *r)
{
    if (r->head.chunked)
        return -1;
    return r->head.content_length > INT64_MAX ? INT64_MAX : (int64_t)r->head.content_length;
}

rn_conn *rn_http_get_conn(rn_http_request *r)
{
    return rn__exchange_of_r(r)->conn;
}

void rn_http_set_value(rn_http_request *r, void *value)
{
    r->value = value;
}

void *rn_http_get_value(const rn_http_request *r)
{
    return r->value;
}

int rn_http_set_conn_value(rn_http_request *r, void *value, void (*drop)(void *value))
{
    struct rn__exchange *x = rn__exchange_of_r(r);

    if (x->state == NULL) {
        x->state = rn__calloc(1, sizeof *x->state);
        if (x->state == NULL)
            return -ENOMEM;
        x->state->server = x->server;
    }
    if (x->state->drop != NULL && x->state->value != value)
        x->state->drop(x->state->value);
    x->state->value = value;
    x->state->drop = drop;
    return 0;
}

void *rn_http_get_conn_value(const rn_http_request *r)
{
    struct rn__conn_state *state = rn__exchange_of_r(r)->state;

    return state == NULL ? NULL : state->value;
}
