/*
 * test_http_reply.c - the response parser, rule by rule, at every split and at the page's edge, and
 * URLs
 */
#include <stdlib.h>

#include <runnel/base.h>

#include "base/mem.h"
#include "http/parse_reply.h"
#include "http/url.h"
#include "edge.h"
#include "rntest.h"

#define OK "HTTP/1.1 200 OK\r\n"

static struct rn__reply_head whole, parts;

static ssize_t parse_whole(const char *text, size_t len, size_t most)
{
    rn__reply_begin(&whole);
    return rn__reply_parse(&whole, edge_copy(text, len), len, most);
}

static bool same_outcome(void)
{
    const struct rn__reply_head *a = &whole, *b = &parts;

    if (a->reason != b->reason || a->scanned != b->scanned || a->status != b->status ||
        a->minor != b->minor || a->chunked != b->chunked || a->too_long != b->too_long ||
        a->has_content_length != b->has_content_length || a->keep_alive != b->keep_alive ||
        a->content_length != b->content_length || a->n_fields != b->n_fields)
        return false;
    for (unsigned i = 0; i < a->n_fields; i++) {
        const struct rn__http_field *f = &a->fields[i], *g = &b->fields[i];

        if (f->name - a->base != g->name - b->base || f->value - a->base != g->value - b->base ||
            f->name_len != g->name_len || f->value_len != g->value_len)
            return false;
    }
    return true;
}

/* Every way of cutting the bytes ends as parsing them whole did, with result want. */
static bool agrees_at_each_cut(const char *bytes, size_t len, ssize_t want, size_t most)
{
    for (int moving = 0; moving < 2; moving++) {
        const char *still = edge_copy(bytes, len);
        ssize_t r = 0;

        rn__reply_begin(&parts);
        for (size_t n = 0; n <= len && r == 0; n++) {
            r = rn__reply_parse(&parts, moving ? edge_copy(bytes, n) : still, n, most);
            /* O(bytes): all but a CR waiting for its LF is behind us for good. */
            CHECK(r != 0 || parts.scanned + 1 >= n);
        }
        if (r != want || !same_outcome())
            return false;
    }
    for (size_t cut = 0; cut <= len; cut++) {
        ssize_t r;

        rn__reply_begin(&parts);
        r = rn__reply_parse(&parts, edge_copy(bytes, cut), cut, most);
        if (r == 0)
            r = rn__reply_parse(&parts, edge_copy(bytes, len), len, most);
        if (r != want || !same_outcome())
            return false;
        if (r != 0 && rn__reply_parse(&parts, parts.base, len, most) != r) /* sticky */
            return false;
    }
    return true;
}

/* Numbers are sections of RFC 9112 unless another RFC is named. */
static const struct rule {
    const char *section;
    const char *text;
    const char *reason; /* NULL: accepted */
} rules[] = {
    {"4 smallest", OK "\r\n", NULL},
    {"4 1.0", "HTTP/1.0 200 OK\r\n\r\n", NULL},
    {"4 no phrase", "HTTP/1.1 200 \r\n\r\n", NULL},
    {"4 no phrase, no space", "HTTP/1.1 200\r\n\r\n", NULL},
    {"4 phrase of many words", "HTTP/1.1 404 \tNot (at all) Found \xc3\xa9\r\n\r\n", NULL},
    {"4 control byte in the phrase", "HTTP/1.1 200 a\x01\r\n\r\n",
     "control byte in the status line"},
    {"4 DEL in the phrase", "HTTP/1.1 200 a\x7f\r\n\r\n", "control byte in the status line"},
    {"2.2 bare LF", "HTTP/1.1 200 OK\n\r\n", "bare LF after the status line"},
    {"2.2 bare CR", "HTTP/1.1 200 O\rK\r\n\r\n", "bare CR in the status line"},
    {"2.2 bare LF after a field", OK "A: b\n\r\n", "bare LF in a field line"},
    {"2.2 bare LF as the empty line", OK "\n", "bare LF in a field line"},
    {"2.2 empty line before", "\r\n" OK "\r\n", "response does not start with HTTP/"},
    {"2.3 HTTP/0.9", "<html>", "response does not start with HTTP/"},
    {"2.3 other protocol", "ICY 200 OK\r\n\r\n", "response does not start with HTTP/"},
    {"2.3 lower case", "http/1.1 200 OK\r\n\r\n", "response does not start with HTTP/"},
    {"2.3 1.2", "HTTP/1.2 200 OK\r\n\r\n", "version is neither 1.0 nor 1.1"},
    {"2.3 2.0", "HTTP/2.0 200 OK\r\n\r\n", "version is neither 1.0 nor 1.1"},
    {"2.3 HTTP/2", "HTTP/2 200\r\n\r\n", "version is neither 1.0 nor 1.1"},
    {"2.3 1.10", "HTTP/1.10 200 OK\r\n\r\n", "version is neither 1.0 nor 1.1"},
    {"4 two spaces", "HTTP/1.1  200 OK\r\n\r\n", "status is no number of three digits"},
    {"4 tab", "HTTP/1.1\t200 OK\r\n\r\n", "version is neither 1.0 nor 1.1"},
    {"4 two digits", "HTTP/1.1 20 OK\r\n\r\n", "status is no number of three digits"},
    {"4 four digits", "HTTP/1.1 2000 OK\r\n\r\n", "status is no number of three digits"},
    {"4 sign", "HTTP/1.1 +20 OK\r\n\r\n", "status is no number of three digits"},
    {"4 no status", "HTTP/1.1 OK\r\n\r\n", "status is no number of three digits"},
    {"9110 15 below 100", "HTTP/1.1 099 OK\r\n\r\n", "status below 100"},
    {"9110 15 above 599", "HTTP/1.1 999 OK\r\n\r\n", NULL},
    {"5.1 space before the colon", OK "A : b\r\n\r\n", "white space before the colon"},
    {"5 no colon", OK "A\r\n\r\n", "empty or bad field name"},
    {"5 empty name", OK ": b\r\n\r\n", "empty or bad field name"},
    {"5.2 obs-fold", OK "A: b\r\n c\r\n\r\n", "field line starts with white space"},
    {"9110 5.5 NUL-like", OK "A: b\x01\r\n\r\n", "control byte in a field value"},
    {"9110 5.5 obs-text", OK "A: \xff\r\n\r\n", NULL},
    {"6.1 chunked", OK "Transfer-Encoding: Chunked\r\n\r\n", NULL},
    {"6.1 in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding in HTTP/1.0"},
    {"6.3 TE after CL", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Content-Length with Transfer-Encoding"},
    {"6.3 CL after TE", OK "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
     "Content-Length with Transfer-Encoding"},
    {"6.1 twice", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Transfer-Encoding more than once"},
    {"6.1 gzip", OK "Transfer-Encoding: gzip, chunked\r\n\r\n",
     "transfer coding that is not chunked"},
    {"6.1 identity", OK "Transfer-Encoding: identity\r\n\r\n",
     "transfer coding that is not chunked"},
    {"6.1 empty", OK "Transfer-Encoding:\r\n\r\n", "transfer coding that is not chunked"},
    {"6.3 length", OK "Content-Length: 42 \r\n\r\n", NULL},
    {"6.3 repeated", OK "Content-Length: 4\r\nContent-Length: 4\r\n\r\n",
     "Content-Length more than once"},
    {"6.3 list", OK "Content-Length: 4, 4\r\n\r\n", "Content-Length is not a number"},
    {"9110 8.6 empty", OK "Content-Length: \r\n\r\n", "Content-Length is empty"},
    {"9110 8.6 sign", OK "Content-Length: +4\r\n\r\n", "Content-Length is not a number"},
    {"9110 8.6 2^64", OK "Content-Length: 18446744073709551616\r\n\r\n",
     "Content-Length is too large"},
};

RN_TEST(http_reply_rules_hold_at_every_cut)
{
    int failed = 0;

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *t = &rules[i];
        size_t len = strlen(t->text);
        ssize_t r = parse_whole(t->text, len, 0), want = t->reason ? RN__HTTP_BAD : (ssize_t)len;
        bool good = r == want && (t->reason == NULL ? whole.reason == NULL
                                                    : whole.reason != NULL &&
                                                          strcmp(whole.reason, t->reason) == 0);

        if (!good || !agrees_at_each_cut(t->text, len, r, 0)) {
            fprintf(stderr, "RFC 9112 %s: got %zd (%s)\n", t->section, r,
                    whole.reason == NULL ? "accepted" : whole.reason);
            failed++;
        }
    }
    CHECK_EQ(failed, 0);
}

RN_TEST(http_reply_facts_and_framing)
{
    static const struct {
        const char *text;
        int status, minor;
        bool keep_alive;
        enum rn__reply_body body, after_head;
    } t[] = {
        {OK "\r\n", 200, 1, true, RN__REPLY_UNTIL_CLOSE, RN__REPLY_NO_BODY},
        {OK "Content-Length: 0\r\n\r\n", 200, 1, true, RN__REPLY_LENGTH, RN__REPLY_NO_BODY},
        {OK "Transfer-Encoding: chunked\r\nConnection: a, Close\r\n\r\n", 200, 1, false,
         RN__REPLY_CHUNKED, RN__REPLY_NO_BODY},
        {"HTTP/1.0 500\r\n\r\n", 500, 0, false, RN__REPLY_UNTIL_CLOSE, RN__REPLY_NO_BODY},
        {"HTTP/1.0 200\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\n", 200, 0, true,
         RN__REPLY_LENGTH, RN__REPLY_NO_BODY},
        {"HTTP/1.1 204\r\nContent-Length: 9\r\n\r\n", 204, 1, true, RN__REPLY_NO_BODY,
         RN__REPLY_NO_BODY},
        {"HTTP/1.1 304\r\nContent-Length: 9\r\n\r\n", 304, 1, true, RN__REPLY_NO_BODY,
         RN__REPLY_NO_BODY},
        {"HTTP/1.1 103\r\nLink: </a>\r\n\r\n", 103, 1, true, RN__REPLY_NO_BODY, RN__REPLY_NO_BODY},
    };

    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        CHECK_EQ(parse_whole(t[i].text, strlen(t[i].text), 0), strlen(t[i].text));
        CHECK_EQ(whole.status, t[i].status);
        CHECK_EQ(whole.minor, t[i].minor);
        CHECK_EQ(whole.keep_alive, t[i].keep_alive);
        CHECK_EQ(rn__reply_framing(&whole, false), t[i].body);
        CHECK_EQ(rn__reply_framing(&whole, true), t[i].after_head);
    }
}

RN_TEST(http_reply_stops_after_the_head_and_has_limits)
{
    static char text[32 * 1024];
    size_t len = strlen(OK);

    CHECK_EQ(parse_whole("HTTP/1.1 100\r\n\r\n" OK "\r\n", 35, 0), 16);
    CHECK_EQ(parse_whole(OK "A: 0123456789\r\n\r\n", 34, 34), 34);
    CHECK_EQ(parse_whole(OK "A: 0123456789\r\n\r\n", 34, 33), RN__HTTP_BAD);
    CHECK(whole.too_long && agrees_at_each_cut(OK "A: 0123456789\r\n\r\n", 34, RN__HTTP_BAD, 33));
    memset(text, 'a', sizeof text);
    CHECK_EQ(parse_whole(text, 100, 0), RN__HTTP_BAD);
    CHECK(!whole.too_long);
    strcpy(text, OK);
    text[len] = 'a';
    CHECK_EQ(parse_whole(text, sizeof text, 0), RN__HTTP_BAD);
    CHECK(whole.too_long);
    for (int i = 0; i < 101; i++)
        len += (size_t)sprintf(text + len, "A: %d\r\n", i);
    CHECK_EQ(parse_whole(text, len, 0), RN__HTTP_BAD);
    CHECK(whole.too_long && whole.n_fields == 100);
    CHECK(agrees_at_each_cut(text, len, RN__HTTP_BAD, 0));
    len -= strlen("A: 100\r\n");
    CHECK_EQ(parse_whole(strcpy(text + len, "\r\n") - len, len + 2, 0), len + 2);
}

RN_TEST(http_url_is_taken_apart_or_refused)
{
    static const struct {
        const char *text, *address, *host, *target;
        int error;
    } t[] = {
        {"http://a", "a:80", "a", "/", 0},
        {"HTTP://Ex.Test:8080/A?b#c", "ex.test:8080", "ex.test:8080", "/A?b", 0},
        {"http://a:80?q", "a:80", "a", "/?q", 0},
        {"http://a:/x", "a:80", "a", "/x", 0},
        {"http://[::1]/", "[::1]:80", "[::1]", "/", 0},
        {"http://[::1]:81/", "[::1]:81", "[::1]:81", "/", 0},
        {"http://a/x y\"?\xc3\xa9<%zz", "a:80", "a", "/x%20y%22?%C3%A9%3C%zz", 0},
        {"http://a#/b", "a:80", "a", "/", 0},
        {"https://a/", NULL, NULL, NULL, -RN_ESCHEME},
        {"ftp://a/", NULL, NULL, NULL, -RN_ESCHEME},
        {"a:80", NULL, NULL, NULL, -RN_ESCHEME},
        {"", NULL, NULL, NULL, -RN_EURL},
        {"a", NULL, NULL, NULL, -RN_EURL},
        {"/a", NULL, NULL, NULL, -RN_EURL},
        {"1http://a", NULL, NULL, NULL, -RN_EURL},
        {"http:/a", NULL, NULL, NULL, -RN_EURL},
        {"http:", NULL, NULL, NULL, -RN_EURL},
        {"http://", NULL, NULL, NULL, -RN_EURL},
        {"http:///a", NULL, NULL, NULL, -RN_EURL},
        {"http://u@a/", NULL, NULL, NULL, -RN_EURL},
        {"http://u:p@a/", NULL, NULL, NULL, -RN_EURL},
        {"http://a:0/", NULL, NULL, NULL, -RN_EURL},
        {"http://a:65536/", NULL, NULL, NULL, -RN_EURL},
        {"http://a:8x/", NULL, NULL, NULL, -RN_EURL},
        {"http://a%2Eb/", NULL, NULL, NULL, -RN_EURL},
        {"http://a b/", NULL, NULL, NULL, -RN_EURL},
        {"http://[::1/", NULL, NULL, NULL, -RN_EURL},
        {"http://[::g]/", NULL, NULL, NULL, -RN_EURL},
        {"http://[::1]x/", NULL, NULL, NULL, -RN_EURL},
        {"http://a/\r\nX: y", NULL, NULL, NULL, -RN_EURL},
        {"http://a/\x7f", NULL, NULL, NULL, -RN_EURL},
    };
    static char text[RN__URL_MOST + 2] = "http://";

    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        size_t len = strlen(t[i].text);
        struct rn__url *u = NULL;

        CHECK_EQ(rn__url_parse(edge_copy(t[i].text, len), len, &u), t[i].error);
        CHECK((u == NULL) == (t[i].error != 0));
        if (u == NULL)
            continue;
        CHECK_STR(u->address, t[i].address);
        CHECK_STR(u->host, t[i].host);
        CHECK_STR(u->target, t[i].target);
        CHECK_EQ(u->target_len, strlen(t[i].target));
        rn__free(u);
    }
    for (size_t n = 250; n < 270; n++) { /* a host must leave room for its port */
        struct rn__url *u = NULL;

        memset(text + 7, 'h', n);
        CHECK_EQ(rn__url_parse(text, 7 + n, &u), n + sizeof ":65535" > 264 ? -RN_EURL : 0);
        rn__free(u);
    }
}

/* RFC 3986 5.4, without what has another scheme. */
RN_TEST(http_url_references_are_resolved)
{
    static const struct {
        const char *text, *target;
    } t[] = {
        {"g", "/b/c/g"},
        {"./g", "/b/c/g"},
        {"g/", "/b/c/g/"},
        {"/g", "/g"},
        {"?y", "/b/c/d;p?y"},
        {"g?y", "/b/c/g?y"},
        {"#s", "/b/c/d;p?q"},
        {"g#s", "/b/c/g"},
        {";x", "/b/c/;x"},
        {"", "/b/c/d;p?q"},
        {".", "/b/c/"},
        {"./", "/b/c/"},
        {"..", "/b/"},
        {"../", "/b/"},
        {"../g", "/b/g"},
        {"../..", "/"},
        {"../../g", "/g"},
        {"../../../g", "/g"},
        {"/./g", "/g"},
        {"/../g", "/g"},
        {"g.", "/b/c/g."},
        {".g", "/b/c/.g"},
        {"..g", "/b/c/..g"},
        {"./../g", "/b/g"},
        {"./g/.", "/b/c/g/"},
        {"g/./h", "/b/c/g/h"},
        {"g/../h", "/b/c/h"},
        {"g;x=1/../y", "/b/c/y"},
        {"g?y/../x", "/b/c/g?y/../x"},
        {"g#s/../x", "/b/c/g"},
        {"//h:9/x", "/x"},
        {"http://h/y?z", "/y?z"},
    };
    struct rn__url *base, *u = NULL;

    CHECK_OK(rn__url_parse("http://a/b/c/d;p?q", 18, &base));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        size_t len = strlen(t[i].text);

        CHECK_OK(rn__url_join(base, edge_copy(t[i].text, len), len, &u));
        CHECK_STR(u->target, t[i].target);
        CHECK_STR(u->host, i + 2 < sizeof t / sizeof *t ? "a" : t[i].text[0] == '/' ? "h:9" : "h");
        rn__free(u);
    }
    CHECK_EQ(rn__url_join(base, "https://a/", 10, &u), -RN_ESCHEME);
    CHECK_EQ(rn__url_join(base, "//", 2, &u), -RN_EURL);
    CHECK_EQ(rn__url_join(base, "a\nb", 3, &u), -RN_EURL);
    for (unsigned n = 1; n <= 2; n++) {
        rn__mem_fail(n, 1);
        CHECK_EQ(rn__url_join(base, "g", 1, &u), -ENOMEM);
    }
    rn__mem_fail(0, 0);
    rn__free(base);
}
