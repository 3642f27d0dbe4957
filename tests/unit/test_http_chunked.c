/*
 * test_http_chunked.c - the framing of chunked bodies, whole and cut at every byte
 */
#include "http/chunked.h"

#include "edge.h"
#include "rntest.h"

/* Everything that is there up to `len`: the data in out, what was not consumed stays. 1: the
 * trailers are reached; 0: more is needed; -1: refused. *used: bytes consumed. */
static int feed(struct rn__chunked *c, const char *buf, size_t len, size_t *used, char *out,
                size_t *out_len)
{
    for (;;) {
        ssize_t n = rn__chunked_next(c, buf + *used, len - *used);
        size_t take;

        if (n < 0)
            return -1;
        *used += (size_t)n;
        if (rn__chunked_at_trailers(c))
            return 1;
        take = len - *used < c->left ? len - *used : (size_t)c->left;
        if (take == 0)
            return 0;
        memcpy(out + *out_len, buf + *used, take);
        *out_len += take;
        *used += take;
        c->left -= take;
    }
}

struct row {
    const char *in;
    const char *data; /* NULL: refused */
};

static const struct row rows[] = {
    {"3\r\nabc\r\n0\r\n", "abc"},
    {"1\r\na\r\n2\r\nbc\r\n0\r\n", "abc"},
    {"0003\r\nabc\r\n000\r\n", "abc"},
    {"A\r\n0123456789\r\n0\r\n", "0123456789"},
    {"a\r\n0123456789\r\n0\r\n", "0123456789"},
    {"0\r\n", ""},
    {"3;x\r\nabc\r\n0\r\n", "abc"},
    {"3;x=y;z\r\nabc\r\n0;end\r\n", "abc"},
    {"3;x=\"a;\\\" b\"\r\nabc\r\n0\r\n", "abc"},
    {"3;x=\"\"\r\nabc\r\n0\r\n", "abc"},
    /* 7.1: a size is 1*HEXDIG and nothing else. */
    {"\r\nabc", NULL},
    {";x\r\n", NULL},
    {"0x3\r\nabc", NULL},
    {"+3\r\nabc", NULL},
    {"-3\r\nabc", NULL},
    {" 3\r\nabc", NULL},
    {"3 \r\nabc", NULL},
    {"3_0\r\nabc", NULL},
    {"3.0\r\nabc", NULL},
    {"3\xff\r\nabc", NULL},
    {"00000000000000003\r\n", NULL},
    {"ffffffffffffffff1\r\n", NULL},
    /* 2.2: CR LF ends lines, and nothing else does. */
    {"3\nabc\r\n0\r\n", NULL},
    {"3\r\rabc", NULL},
    {"3\r\nabc\n0\r\n", NULL},
    {"3\r\nabc\r0", NULL},
    /* Longer or shorter than its size. */
    {"2\r\nabc\r\n", NULL},
    {"4\r\nabc\r\n0\r\n\r\n", NULL},
    /* 7.1.1: extensions. */
    {"3;\r\nabc", NULL},
    {"3;=x\r\nabc", NULL},
    {"3;x=\r\nabc", NULL},
    {"3; x\r\nabc", NULL},
    {"3 ;x\r\nabc", NULL},
    {"3;x=\"a\r\n\"\r\nabc", NULL},
    {"3;x=\"a\nb\"\r\nabc", NULL},
    {"3;x=a\nb\r\nabc", NULL},
    {"3;x=\"a\"b\r\nabc", NULL},
    {"3;x\ny\r\nabc", NULL},
};

/* The outcome is the same however the bytes are cut. */
RN_TEST(chunks_are_framed_as_rfc_9112_says_whole_and_cut)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t len = strlen(rows[i].in);

        for (size_t cut = 0; cut <= len; cut++) {
            const char *in = edge_copy(rows[i].in, len);
            char out[64];
            struct rn__chunked c = {0};
            size_t used = 0, out_len = 0;
            int r = feed(&c, in, cut, &used, out, &out_len);

            if (r == 0)
                r = feed(&c, in, len, &used, out, &out_len);
            if ((rows[i].data == NULL) != (r < 0) || (r < 0 && c.reason == NULL))
                rntest_fail_at(__FILE__, __LINE__, "row %zu cut at %zu: %d", i, cut, r);
            if (r >= 0) {
                CHECK_EQ(r, 1);
                CHECK_EQ(used, len);
                CHECK_EQ(out_len, strlen(rows[i].data));
                CHECK_MEM(out, rows[i].data, out_len);
            }
        }
    }
}

RN_TEST(a_chunk_may_be_as_long_as_64_bits_say)
{
    struct rn__chunked c = {0};

    CHECK_EQ(rn__chunked_next(&c, "ffffffffffffffff\r\n", 18), 18);
    CHECK(c.left == UINT64_MAX);
}

RN_TEST(extensions_have_a_limit_over_all_chunks)
{
    static const char chunk[] = "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\na\r\n";
    struct rn__chunked c = {0};
    size_t used = 0, out_len = 0, chunks = 0;
    char out[sizeof chunk];

    for (; chunks < 10000; chunks++) {
        used = out_len = 0;
        if (feed(&c, chunk, sizeof chunk - 1, &used, out, &out_len) < 0)
            break;
    }
    CHECK(chunks > 100 && chunks < 400);
}

static const struct {
    const char *in;
    ssize_t result;
    const char *name, *value;
} trailers[] = {
    {"\r\n", 2, "", ""},
    {"a: b\r\n", 6, "a", "b"},
    {"a:\r\n", 4, "a", ""},
    {"a: \t b c \r\n", 11, "a", "b c"},
    {"", 0, NULL, NULL},
    {"\r", 0, NULL, NULL},
    {"a: b", 0, NULL, NULL},
    {"a: b\r", 0, NULL, NULL},
    {"a: b\n", -1, NULL, NULL},
    {"a: b\rc\r\n", -1, NULL, NULL},
    {"a : b\r\n", -1, NULL, NULL},
    {" a: b\r\n", -1, NULL, NULL},
    {": b\r\n", -1, NULL, NULL},
    {"a\r\n", -1, NULL, NULL},
    {"a: b\001\r\n", -1, NULL, NULL},
};

RN_TEST(trailers_are_field_lines)
{
    for (size_t i = 0; i < sizeof trailers / sizeof *trailers; i++) {
        size_t len = strlen(trailers[i].in), name_len = 0, value_len = 0;
        const char *in = edge_copy(trailers[i].in, len);
        struct rn__chunked c = {0};
        const char *value = NULL;

        CHECK_EQ(rn__chunked_next(&c, "0\r\n", 3), 3);
        CHECK(rn__chunked_at_trailers(&c));
        CHECK_EQ(rn__chunked_trailer(&c, in, len, &name_len, &value, &value_len),
                 trailers[i].result);
        if (trailers[i].result > 0) {
            CHECK_EQ(name_len, strlen(trailers[i].name));
            CHECK_MEM(in, trailers[i].name, name_len);
            CHECK_EQ(value_len, strlen(trailers[i].value));
            CHECK_MEM(value == NULL ? "" : value, trailers[i].value, value_len);
            CHECK_EQ(rn__chunked_at_trailers(&c), name_len > 0);
        }
    }
}
