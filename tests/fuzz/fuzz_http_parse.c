/*
 * fuzz_http_parse.c - libFuzzer target for the request parser and the path decoder
 *
 * Feeds the input whole and again in random parts, each part in a new buffer of exactly its size
 * (so ASan sees any read past the end, or of the buffer before), and checks that both agree, that
 * slices lie in the buffer, and that an accepted head is what RFC 9112 calls one, by rules written
 * here a second time and as plainly as possible.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Isrc tests/fuzz/fuzz_http_parse.c \
 *       src/http/{parse,fields,token,path}.c -o fuzz && ./fuzz tests/fuzz/corpus/http_parse
 */
#include "http/parse.h"
#include "http/path.h"
#include "must.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct rn__http_request whole, parts;

static void check_slice(const struct rn__http_request *req, size_t len, const char *at, size_t n)
{
    if (at == NULL)
        MUST(n == 0);
    else
        MUST(at >= req->base && n <= len && (size_t)(at - req->base) <= len - n);
}

/* Every slice of a complete head lies in its first len bytes. */
static void check_slices(const struct rn__http_request *req, size_t len)
{
    check_slice(req, len, req->method_name.at, req->method_name.len);
    check_slice(req, len, req->target.at, req->target.len);
    check_slice(req, len, req->path.at, req->path.len);
    check_slice(req, len, req->query.at, req->query.len);
    check_slice(req, len, req->host.at, req->host.len);
    for (unsigned i = 0; i < req->n_fields; i++) {
        const struct rn__http_field *f = &req->fields[i];

        MUST(f->name_len > 0 && f->name[f->name_len] == ':');
        check_slice(req, len, f->name, f->name_len);
        check_slice(req, len, f->value, f->value_len);
        MUST(f->value_len == 0 || (f->value[0] != ' ' && f->value[f->value_len - 1] != ' '));
    }
}

static void check_same_slice(struct rn__http_slice a, struct rn__http_slice b)
{
    MUST(a.len == b.len && (a.at == NULL) == (b.at == NULL));
    MUST(a.at == NULL || a.at - whole.base == b.at - parts.base);
}

static void check_same(void)
{
    const struct rn__http_request *a = &whole, *b = &parts;

    MUST(a->status == b->status && a->reason == b->reason && a->scanned == b->scanned);
    MUST(a->minor == b->minor && a->method == b->method && a->form == b->form);
    MUST(a->chunked == b->chunked && a->has_content_length == b->has_content_length);
    MUST(a->content_length == b->content_length && a->keep_alive == b->keep_alive);
    MUST(a->expect_continue == b->expect_continue && a->upgrade == b->upgrade);
    MUST(a->n_fields == b->n_fields && a->asks == b->asks);
    check_same_slice(a->method_name, b->method_name);
    check_same_slice(a->target, b->target);
    check_same_slice(a->path, b->path);
    check_same_slice(a->query, b->query);
    check_same_slice(a->host, b->host);
    for (unsigned i = 0; i < a->n_fields; i++) {
        const struct rn__http_field *f = &a->fields[i], *g = &b->fields[i];

        MUST(f->name_len == g->name_len && f->value_len == g->value_len);
        MUST(f->name - whole.base == g->name - parts.base);
        MUST(f->value - whole.base == g->value - parts.base);
    }
}

/* What holds for any head that one may act upon, whatever the parser thinks. */
static void check_head(const struct rn__http_request *req, const char *s, size_t len)
{
    size_t lines = 0, lead = 0;

    while (s[lead] == '\r')
        lead += 2;
    MUST(len - lead >= 4 && memcmp(s + len - 4, "\r\n\r\n", 4) == 0);
    MUST(memmem(s + lead, len - lead, "\r\n\r\n", 4) == s + len - 4);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        MUST(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
        MUST((c == '\r') == (i + 1 < len && s[i + 1] == '\n'));
        if (c == '\n' && i > lead)
            lines++;
    }
    MUST(lines == req->n_fields + 2);
    MUST(!(req->chunked && (req->has_content_length || req->minor == 0)));
    MUST(req->chunked == (rn__http_header(req, "transfer-encoding") != NULL));
    MUST(req->has_content_length == (rn__http_header(req, "content-length") != NULL));
    MUST(req->minor == 0 || rn__http_header(req, "host") != NULL);
    MUST(req->status == 0 && req->reason == NULL);
}

/* A path that decodes names nothing outside the root. */
static void check_path(struct rn__http_slice path)
{
    char out[600], fenced[640];
    bool is_dir;
    ssize_t r = rn__http_path(path.at, path.len, out, sizeof out, &is_dir);

    if (r < 0 || strcmp(out, ".") == 0)
        return;
    MUST((size_t)r == strlen(out) && out[0] != '/' && out[r - 1] != '/');
    snprintf(fenced, sizeof fenced, "/%s/", out);
    MUST(strstr(fenced, "/./") == NULL && strstr(fenced, "/../") == NULL);
}

/* Parses in parts of 1..most bytes, each call in a buffer of its own. The last is returned. */
static char *parse_in_parts(const uint8_t *data, size_t len, uint32_t random, size_t most,
                            const struct rn__http_limits *limits, ssize_t *result)
{
    char *buf = NULL, *old;
    size_t n = 0;

    rn__http_begin(&parts);
    do {
        random = random * 1664525u + 1013904223u;
        n += 1 + (random >> 8) % most;
        if (n > len)
            n = len;
        old = buf;
        buf = malloc(n == 0 ? 1 : n);
        MUST(buf != NULL);
        if (n > 0)
            memcpy(buf, data, n);
        free(old);
        *result = rn__http_parse(&parts, buf, n, limits);
        MUST(*result != 0 || parts.scanned + 1 >= n); /* O(bytes) over all calls */
    } while (*result == 0 && n < len);
    return buf;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct rn__http_limits small = {20, 90, 3};
    uint32_t hash = 2166136261u;
    const struct rn__http_limits *limits;
    char *all = malloc(len == 0 ? 1 : len), *some;
    ssize_t r, part;

    MUST(all != NULL);
    if (len > 0)
        memcpy(all, data, len);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 16777619u;
    limits = hash % 8 == 0 ? &small : NULL;
    rn__http_begin(&whole);
    r = rn__http_parse(&whole, all, len, limits);
    MUST(r == RN__HTTP_BAD || (r >= 0 && (size_t)r <= len));
    some = parse_in_parts(data, len, hash, hash % 3 == 0 ? 1 : 40, limits, &part);
    MUST(r == part);
    check_same();
    if (r > 0) {
        check_slices(&whole, (size_t)r);
        check_head(&whole, all, (size_t)r);
        if (whole.form == RN__HTTP_ORIGIN)
            check_path(whole.path);
    } else if (r < 0) {
        MUST(whole.status >= 400 && whole.status < 600 && whole.reason != NULL);
    }
    free(all);
    free(some);
    return 0;
}
