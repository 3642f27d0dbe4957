/*
 * fuzz_http_reply.c - libFuzzer target for the response parser, the chunks behind it, and URLs
 *
 * As fuzz_http_parse.c does: whole and in random parts, each in a buffer of exactly its size, must
 * agree, and an accepted head must be what RFC 9112 calls one by rules written here again.
 *
 *   clang -fsanitize=fuzzer,address,undefined -Isrc -Iinclude tests/fuzz/fuzz_http_reply.c \
 *       src/http/{parse_reply,fields,token,url}.c src/base/mem.c -o fuzz
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/parse_reply.h"
#include "http/url.h"

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct rn__reply_head whole, parts;

static char *copy(const uint8_t *data, size_t len)
{
    char *buf = malloc(len == 0 ? 1 : len);

    MUST(buf != NULL);
    if (len > 0)
        memcpy(buf, data, len);
    return buf;
}

static void check_same(void)
{
    MUST(whole.reason == parts.reason && whole.scanned == parts.scanned);
    MUST(whole.status == parts.status && whole.minor == parts.minor);
    MUST(whole.chunked == parts.chunked && whole.too_long == parts.too_long);
    MUST(whole.has_content_length == parts.has_content_length);
    MUST(whole.content_length == parts.content_length);
    MUST(whole.keep_alive == parts.keep_alive && whole.n_fields == parts.n_fields);
    for (unsigned i = 0; i < whole.n_fields; i++) {
        const struct rn__http_field *f = &whole.fields[i], *g = &parts.fields[i];

        MUST(f->name_len == g->name_len && f->value_len == g->value_len);
        MUST(f->name - whole.base == g->name - parts.base);
        MUST(f->value - whole.base == g->value - parts.base);
        MUST(f->name[f->name_len] == ':');
    }
}

/* What holds for any head that one may act upon, whatever the parser thinks. */
static void check_head(const char *s, size_t len)
{
    size_t lines = 0;

    MUST(len >= 16 && memcmp(s, "HTTP/1.", 7) == 0);
    MUST(memmem(s, len, "\r\n\r\n", 4) == s + len - 4);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        MUST(c >= ' ' || c == '\t' || c == '\r' || c == '\n');
        MUST((c == '\r') == (i + 1 < len && s[i + 1] == '\n'));
        lines += c == '\n';
    }
    MUST(lines == whole.n_fields + 2);
    MUST(whole.status >= 100 && whole.status <= 999 && whole.reason == NULL);
    MUST(!(whole.chunked && (whole.has_content_length || whole.minor == 0)));
    MUST(whole.chunked ==
         (rn__fields_find(whole.fields, whole.n_fields, "transfer-encoding") != NULL));
    MUST(whole.has_content_length ==
         (rn__fields_find(whole.fields, whole.n_fields, "content-length") != NULL));
}

/* What a Location says must be fit for a request line, whatever was in it. */
static void check_url(const char *text, size_t len)
{
    struct rn__url *base, *u, *again;

    MUST(rn__url_parse("http://h/a/b?c", 14, &base) == 0);
    if (rn__url_join(base, text, len, &u) == 0) {
        MUST(u->target[0] == '/' && strlen(u->target) == u->target_len && u->host[0] != '\0');
        for (const char *c = u->target; *c != '\0'; c++)
            MUST(*c > ' ' && *c < 0x7f && *c != '#');
        if (rn__url_join(u, "", 0, &again) == 0) {
            MUST(strcmp(u->host, again->host) == 0);
            rn__free(again);
        }
        rn__free(u);
    }
    rn__free(base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t random = 2166136261u;
    char *all = copy(data, len), *some = NULL;
    size_t most, n = 0;
    ssize_t r, part;

    for (size_t i = 0; i < len; i++)
        random = (random ^ data[i]) * 16777619u;
    most = random % 8 == 0 ? 60 : 0;
    rn__reply_begin(&whole);
    r = rn__reply_parse(&whole, all, len, most);
    MUST(r == RN__HTTP_BAD || (r >= 0 && (size_t)r <= len));
    rn__reply_begin(&parts);
    do {
        char *old = some;

        random = random * 1664525u + 1013904223u;
        n += 1 + (random >> 8) % 40;
        n = n > len ? len : n;
        some = copy(data, n);
        free(old);
        part = rn__reply_parse(&parts, some, n, most);
        MUST(part != 0 || parts.scanned + 1 >= n); /* O(bytes) over all calls */
    } while (part == 0 && n < len);
    MUST(r == part);
    check_same();
    if (r > 0)
        check_head(all, (size_t)r);
    else if (r < 0)
        MUST(whole.reason != NULL);
    check_url(all, len);
    free(all);
    free(some);
    return 0;
}
