/*
 * fuzz_http_chunked.c - libFuzzer target for the framing of chunked bodies
 *
 * Feeds the input whole and again in random parts, each call with a buffer of exactly what has
 * come, and checks that both agree; and that a body that was accepted is what RFC 9112 7.1 calls
 * one, by rules written here a second time and as plainly as possible.
 */
#include "framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What has come so far, in a block of its own. */
static struct framed frame_in_parts(const char *all, size_t len, uint32_t random, size_t most)
{
    struct framed f = {.body_hash = HASH_START};
    struct rn__chunked c = {0};
    size_t have = 0;

    do {
        char *some;

        random = random * 1664525u + 1013904223u;
        have += 1 + (random >> 8) % most;
        if (have > len)
            have = len;
        some = malloc(have == 0 ? 1 : have);
        MUST(some != NULL);
        memcpy(some, all, have);
        (void)frame_chunked(&f, &c, some, have);
        free(some);
    } while (f.verdict == NEEDS_MORE && have < len);
    MUST((f.verdict == REFUSED) == (c.reason != NULL));
    return f;
}

/* 1*16 digits, then an extension, up to CR LF. */
static size_t plain_size(const char *s, const char *line_end, uint64_t *size)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    size_t digits = 0;
    char text[17];

    while (s + digits < line_end && s[digits] != '\0' && strchr(hex, s[digits]) != NULL)
        digits++;
    MUST(digits >= 1 && digits <= 16);
    MUST(s + digits == line_end || s[digits] == ';');
    memcpy(text, s, digits);
    text[digits] = '\0';
    *size = strtoull(text, NULL, 16);
    return (size_t)(line_end - s) + 2;
}

static const char *plain_line(const char *s, const char *end)
{
    const char *cr = memmem(s, (size_t)(end - s), "\r\n", 2);

    MUST(cr != NULL);
    for (const char *at = s; at < cr; at++)
        MUST((unsigned char)*at >= ' ' || *at == '\t');
    return cr;
}

/* Where a body that was accepted ends, and what it holds. */
static struct framed frame_plainly(const char *s, size_t len)
{
    struct framed f = {.verdict = ENDED, .body_hash = HASH_START};
    const char *end = s + len, *at = s;

    for (;;) {
        uint64_t size;

        at += plain_size(at, plain_line(at, end), &size);
        if (size == 0)
            break;
        MUST(size + 2 <= (uint64_t)(end - at));
        hash_body(&f, at, (size_t)size);
        at += size;
        MUST(at[0] == '\r' && at[1] == '\n');
        at += 2;
    }
    for (;;) {
        const char *cr = plain_line(at, end);
        bool empty = cr == at;

        MUST(empty || memchr(at, ':', (size_t)(cr - at)) > (const void *)at);
        at = cr + 2;
        if (empty)
            break;
        f.trailers++;
    }
    f.at = (size_t)(at - s);
    return f;
}

static void check_same(const struct framed *a, const struct framed *b)
{
    MUST(a->verdict == b->verdict);
    MUST(a->verdict == REFUSED || a->at == b->at);
    MUST(a->body_len == b->body_len && a->body_hash == b->body_hash);
    MUST(a->trailers == b->trailers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    uint32_t hash = HASH_START;
    struct framed whole = {.body_hash = HASH_START}, parts, plain;
    struct rn__chunked c = {0};

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ data[i]) * 16777619u;
    (void)frame_chunked(&whole, &c, (const char *)data, len);
    parts = frame_in_parts((const char *)data, len, hash, hash % 3 == 0 ? 1 : 20);
    check_same(&whole, &parts);
    if (whole.verdict == ENDED) {
        plain = frame_plainly((const char *)data, len);
        check_same(&whole, &plain);
    }
    return 0;
}
