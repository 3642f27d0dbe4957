/*
 * test_http_range.c - dates, conditions and ranges: each rule of RFC 9110 13 and 14 a row
 */
#include <stdlib.h>
#include <string.h>

#include "http/conditional.h"
#include "http/text.h"
#include "rntest.h"

#define NOW ((time_t)1735689600) /* Wed, 01 Jan 2025 00:00:00 GMT */

/* ---- dates: RFC 9110 5.6.7 ---- */

static const struct {
    const char *text;
    time_t want; /* -1: no date */
} dates[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"Sun Nov  6 08:49:37 1994", 784111777},
    {"Wed Nov 16 08:49:37 1994", 784975777},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Thu, 29 Feb 2024 12:00:00 GMT", 1709208000},
    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},     /* a leap second */
    {"Wednesday, 01-Jan-75 00:00:00 GMT", 3313526400}, /* 50 years ahead */
    {"Thursday, 01-Jan-76 00:00:00 GMT", 189302400},   /* 51: the century before */
    {"Thu, 29 Feb 2023 12:00:00 GMT", -1},
    {"Thu, 29 Feb 1900 12:00:00 GMT", -1},
    {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 08:60:37 GMT", -1},
    {"Sun, 00 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 31 Nov 1994 08:49:37 GMT", -1},
    {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
    {"sun, 06 nov 1994 08:49:37 GMT", -1},
    {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", -1},
    {"Sun, 06 Nov 1994 08:49:37", -1},
    {"Sun, 06-Nov-94 08:49:37 GMT", -1},
    {"Sun Nov 06 08:49:37 94", -1},
    {"784111777", -1},
    {"", -1},
};

RN_TEST(dates_come_in_three_formats)
{
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        time_t at = -1;
        bool is = rn__http_parse_date(dates[i].text, strlen(dates[i].text), NOW, &at);

        if (is != (dates[i].want != -1) || at != dates[i].want)
            rntest_fail_at(__FILE__, __LINE__, "\"%s\": %d, %lld", dates[i].text, is,
                           (long long)at);
    }
}

/* However it is cut, nothing behind the end is read: valgrind and ASan look. */
RN_TEST(dates_that_are_cut_are_none)
{
    for (size_t i = 0; i < 3; i++)
        for (size_t len = 0; len < strlen(dates[i].text); len++) {
            char *copy = memcpy(malloc(len + 1), dates[i].text, len);
            char *exact = realloc(copy, len == 0 ? 1 : len);
            time_t at = -1;

            CHECK(!rn__http_parse_date(exact, len, NOW, &at));
            CHECK_EQ(at, -1);
            free(exact);
        }
}

/* ---- conditions: RFC 9110 13 ---- */

#define STRONG "\"abc\""
#define SAME "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct condition {
    const char *fields;
    int want; /* 0, 304, 412; 200 and 206: 0, and whether the Range counts */
    const char *etag;
} conditions[] = {
    /* 13.1.1 If-Match: the strong comparison */
    {"If-Match: \"abc\"\r\n", 0, STRONG},
    {"If-Match: \"abd\"\r\n", 412, STRONG},
    {"If-Match: \"ab\"\r\n", 412, STRONG},
    {"If-Match: \"x\", \"abc\"\r\n", 0, STRONG},
    {"If-Match: ,, \"x\" ,\"abc\"\r\n", 0, STRONG},
    {"If-Match: \"x\"\r\nIf-Match: \"abc\"\r\n", 0, STRONG},
    {"If-Match: *\r\n", 0, STRONG},
    {"If-Match: W/\"abc\"\r\n", 412, STRONG},
    {"If-Match: W/\"abc\"\r\n", 412, "W/\"abc\""},
    {"If-Match: \"abc\"\r\n", 412, "W/\"abc\""},
    {"If-Match: abc\r\n", 412, STRONG},
    {"If-Match: \"abc\r\n", 412, STRONG},
    {"If-Match:\r\n", 412, STRONG},
    {"IF-MATCH: \"abd\"\r\n", 412, STRONG},
    /* 8.8.3: a comma, and what looks like another tag, may be inside */
    {"If-Match: \"a,b\"\r\n", 0, "\"a,b\""},
    {"If-None-Match: \"a, W/\"\r\n", 304, "\"a, W/\""},
    /* 13.1.2 If-None-Match: the weak comparison */
    {"If-None-Match: \"abc\"\r\n", 304, STRONG},
    {"If-None-Match: W/\"abc\"\r\n", 304, STRONG},
    {"If-None-Match: \"abc\"\r\n", 304, "W/\"abc\""},
    {"If-None-Match: \"x\", W/\"abc\"\r\n", 304, STRONG},
    {"If-None-Match: *\r\n", 304, STRONG},
    {"If-None-Match: \"x\"\r\n", 0, STRONG},
    {"If-None-Match: w/\"abc\"\r\n", 0, STRONG},
    {"If-None-Match: nonsense\r\n", 0, STRONG},
    /* 13.1.3 If-Modified-Since */
    {"If-Modified-Since: " SAME "\r\n", 304, STRONG},
    {"If-Modified-Since: " AFTER "\r\n", 304, STRONG},
    {"If-Modified-Since: " BEFORE "\r\n", 0, STRONG},
    {"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n", 304, STRONG},
    {"If-Modified-Since: Sun Nov  6 08:49:37 1994\r\n", 304, STRONG},
    {"If-Modified-Since: yesterday\r\n", 0, STRONG},
    {"If-Modified-Since: " SAME "\r\nIf-Modified-Since: " SAME "\r\n", 0, STRONG},
    /* 13.1.3: ignored beside If-None-Match */
    {"If-Modified-Since: " SAME "\r\nIf-None-Match: \"x\"\r\n", 0, STRONG},
    {"If-Modified-Since: " BEFORE "\r\nIf-None-Match: \"abc\"\r\n", 304, STRONG},
    /* 13.1.4 If-Unmodified-Since */
    {"If-Unmodified-Since: " SAME "\r\n", 0, STRONG},
    {"If-Unmodified-Since: " AFTER "\r\n", 0, STRONG},
    {"If-Unmodified-Since: " BEFORE "\r\n", 412, STRONG},
    {"If-Unmodified-Since: tomorrow\r\n", 0, STRONG},
    /* 13.1.4: ignored beside If-Match */
    {"If-Unmodified-Since: " BEFORE "\r\nIf-Match: \"abc\"\r\n", 0, STRONG},
    {"If-Unmodified-Since: " AFTER "\r\nIf-Match: \"x\"\r\n", 412, STRONG},
    /* 13.2.2: If-Match and If-Unmodified-Since come first */
    {"If-None-Match: \"abc\"\r\nIf-Match: \"x\"\r\n", 412, STRONG},
    {"If-None-Match: \"abc\"\r\nIf-Match: \"abc\"\r\n", 304, STRONG},
    {"If-None-Match: \"abc\"\r\nIf-Unmodified-Since: " BEFORE "\r\n", 412, STRONG},
    {"If-Modified-Since: " SAME "\r\nIf-Unmodified-Since: " SAME "\r\n", 304, STRONG},
    /* 13.1.5 If-Range: the strong comparison; exactly the date */
    {"Range: bytes=0-1\r\n", 206, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: \"abc\"\r\n", 206, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: \"abd\"\r\n", 200, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: W/\"abc\"\r\n", 200, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: \"abc\"\r\n", 200, "W/\"abc\""},
    {"Range: bytes=0-1\r\nIf-Range: " SAME "\r\n", 206, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: " AFTER "\r\n", 200, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: " BEFORE "\r\n", 200, STRONG},
    {"Range: bytes=0-1\r\nIf-Range: nonsense\r\n", 200, STRONG},
    {"Range: bytes=0-1\r\nIf-None-Match: \"abc\"\r\nIf-Range: \"abc\"\r\n", 304, STRONG},
    {"X: y\r\nIf: z\r\nIf-Matches: \"x\"\r\n", 0, STRONG},
};

RN_TEST(conditions_are_tried_in_their_order)
{
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        const struct condition *c = &conditions[i];
        struct rn__validators v = {
            .etag = c->etag, .etag_len = strlen(c->etag), .modified = 784111777};
        static struct rn__http_request head;
        char text[512];
        int got;

        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", c->fields);
        rn__http_begin(&head);
        CHECK_EQ(rn__http_parse(&head, text, strlen(text), NULL), strlen(text));
        got = rn__http_precondition(&head, &v, NOW);
        if (got == 0 && (head.asks & RN__ASK_RANGE) != 0)
            got = rn__http_range_counts(&head, &v, NOW) ? 206 : 200;
        if (got != c->want)
            rntest_fail_at(__FILE__, __LINE__, "%s: %d", c->fields, got);
    }
}

/* A file that changed in this very second may change in it again (8.8.2.2). */
RN_TEST(a_date_is_no_strong_validator_within_its_second)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n"
                               "If-Range: " SAME "\r\n\r\n";
    struct rn__validators v = {.etag = STRONG, .etag_len = 5, .modified = 784111777};
    static struct rn__http_request head;

    rn__http_begin(&head);
    CHECK_EQ(rn__http_parse(&head, text, sizeof text - 1, NULL), sizeof text - 1);
    CHECK(!rn__http_range_counts(&head, &v, 784111777));
    CHECK(rn__http_range_counts(&head, &v, 784111778));
}

/* ---- ranges: RFC 9110 14 ---- */

static const struct {
    const char *value;
    uint64_t size;
    int want; /* how many; 0: the whole file, -1: 416 */
    struct rn__range ranges[3];
} rows[] = {
    /* 14.1.2: first and last are of bytes, the last included */
    {"bytes=0-0", 10, 1, {{0, 1}}},
    {"bytes=0-9", 10, 1, {{0, 10}}},
    {"bytes=2-4", 10, 1, {{2, 3}}},
    {"bytes=0-99", 10, 1, {{0, 10}}},
    {"bytes=9-", 10, 1, {{9, 1}}},
    {"bytes=0-", 10, 1, {{0, 10}}},
    {"bytes=-1", 10, 1, {{9, 1}}},
    {"bytes=-10", 10, 1, {{0, 10}}},
    {"bytes=-11", 10, 1, {{0, 10}}},
    {"bytes=10-", 10, -1, {{0, 0}}},
    {"bytes=10-11", 10, -1, {{0, 0}}},
    {"bytes=-0", 10, -1, {{0, 0}}},
    {"bytes=5-4", 10, 0, {{0, 0}}}, /* 14.1.1: invalid */
    {"bytes=20-10", 10, 0, {{0, 0}}},
    /* 14.1.2: an empty file */
    {"bytes=0-", 0, -1, {{0, 0}}},
    {"bytes=-5", 0, 0, {{0, 0}}},
    /* numbers larger than any file */
    {"bytes=99999999999999999999999-", 10, -1, {{0, 0}}},
    {"bytes=3-99999999999999999999999", 10, 1, {{3, 7}}},
    {"bytes=-99999999999999999999999", 10, 1, {{0, 10}}},
    {"bytes=18446744073709551615-", 10, -1, {{0, 0}}},
    {"bytes=0-18446744073709551616", 10, 1, {{0, 10}}},
    /* 14.1.1: lists */
    {"bytes=0-0,-1", 10, 2, {{0, 1}, {9, 1}}},
    {"bytes=8-9 ,\t0-1", 10, 2, {{8, 2}, {0, 2}}},
    {"bytes=,, 0-1 ,,2-2,", 10, 2, {{0, 2}, {2, 1}}},
    {"bytes=0-1,2-3,4-5", 10, 3, {{0, 2}, {2, 2}, {4, 2}}},
    {"bytes=0-1,50-60", 10, 1, {{0, 2}}}, /* 14.2: what is not there is left out */
    {"bytes=50-60,70-", 10, -1, {{0, 0}}},
    {"bytes=0-1,x", 10, 0, {{0, 0}}},
    {"bytes=0-4,3-6", 10, 2, {{0, 5}, {3, 4}}}, /* they may overlap, */
    {"bytes=0-,0-", 10, 0, {{0, 0}}},           /* 17.15: but not to get more than the file has */
    {"bytes=0-8,0-8", 10, 0, {{0, 0}}},
    {"bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9,0-0,0-0,0-0,0-0,0-0,0-0,0-0", 100, 0, {{0, 0}}},
    /* 14.2: another unit, or nothing that is a range */
    {"BYTES=0-1", 10, 1, {{0, 2}}}, /* 14.1: units compare without case */
    {"lines=0-1", 10, 0, {{0, 0}}},
    {"bytes 0-1", 10, 0, {{0, 0}}},
    {"bytes =0-1", 10, 0, {{0, 0}}},
    {"bytes=", 10, 0, {{0, 0}}},
    {"bytes=,", 10, 0, {{0, 0}}},
    {"bytes=-", 10, 0, {{0, 0}}},
    {"bytes=--1", 10, 0, {{0, 0}}},
    {"bytes=1", 10, 0, {{0, 0}}},
    {"bytes=1 - 2", 10, 0, {{0, 0}}},
    {"bytes=+1-2", 10, 0, {{0, 0}}},
    {"bytes=0x1-2", 10, 0, {{0, 0}}},
    {"bytes=1-2-3", 10, 0, {{0, 0}}},
    {"", 10, 0, {{0, 0}}},
};

RN_TEST(ranges_of_a_file)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct rn__range ranges[RN__RANGES_MOST];
        struct rn__http_slice value = {rows[i].value, strlen(rows[i].value)};
        int n = rn__http_ranges(value, rows[i].size, ranges);

        if (n != rows[i].want)
            rntest_fail_at(__FILE__, __LINE__, "\"%s\": %d", rows[i].value, n);
        for (int k = 0; k < n; k++)
            if (ranges[k].first != rows[i].ranges[k].first ||
                ranges[k].len != rows[i].ranges[k].len)
                rntest_fail_at(__FILE__, __LINE__, "\"%s\", %d: %llu, %llu", rows[i].value, k,
                               (unsigned long long)ranges[k].first,
                               (unsigned long long)ranges[k].len);
    }
}
