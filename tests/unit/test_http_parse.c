/*
 * test_http_parse.c - the request parser, rule by rule, at every split and at the page's edge
 *
 * Each row of `rules` is fed whole, byte by byte into one place, byte by byte into a buffer that
 * moves, and in two parts at every cut; the last byte always lies before an unreadable page. All
 * ways must end in the same result, the same facts and the same slices.
 */
#include "http/parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge.h"
#include "rntest.h"

#define G "GET / HTTP/1.1\r\n"
#define GH G "Host: a\r\n"

static struct rn__http_request whole, parts;

static bool same_slice(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a == NULL || b == NULL)
        return a == b && a_len == b_len;
    return a - whole.base == b - parts.base && a_len == b_len;
}

static bool same_slices(const struct rn__http_slice *a, const struct rn__http_slice *b)
{
    return same_slice(a->at, a->len, b->at, b->len);
}

/* whole and parts agree in everything a caller can see, and in where they stopped. */
static bool same_outcome(void)
{
    const struct rn__http_request *a = &whole, *b = &parts;

    if (a->status != b->status || a->reason != b->reason || a->scanned != b->scanned ||
        a->minor != b->minor || a->method != b->method || a->form != b->form ||
        a->chunked != b->chunked || a->has_content_length != b->has_content_length ||
        a->content_length != b->content_length || a->keep_alive != b->keep_alive ||
        a->expect_continue != b->expect_continue || a->upgrade != b->upgrade ||
        a->asks != b->asks || a->n_fields != b->n_fields)
        return false;
    if (!same_slices(&a->method_name, &b->method_name) || !same_slices(&a->target, &b->target) ||
        !same_slices(&a->path, &b->path) || !same_slices(&a->query, &b->query) ||
        !same_slices(&a->host, &b->host))
        return false;
    for (unsigned i = 0; i < a->n_fields; i++) {
        const struct rn__http_field *f = &a->fields[i], *g = &b->fields[i];

        if (!same_slice(f->name, f->name_len, g->name, g->name_len) ||
            !same_slice(f->value, f->value_len, g->value, g->value_len))
            return false;
    }
    return true;
}

static ssize_t parse_whole(const char *bytes, size_t len, const struct rn__http_limits *limits)
{
    rn__http_begin(&whole);
    return rn__http_parse(&whole, edge_copy(bytes, len), len, limits);
}

/* Parses text, which must be a good head; the facts are in `whole`. */
static void parse_good(const char *text)
{
    ssize_t r = parse_whole(text, strlen(text), NULL);

    if (r != (ssize_t)strlen(text))
        fprintf(stderr, "refused: %s\n%s\n", whole.reason == NULL ? "?" : whole.reason, text);
    CHECK_EQ(r, strlen(text));
}

static bool is_text(struct rn__http_slice s, const char *text)
{
    if (s.at == NULL || text == NULL)
        return s.at == text;
    return s.len == strlen(text) && memcmp(s.at, text, s.len) == 0;
}

/* Every way of cutting the bytes ends as parsing them whole did, with result want. */
static bool agrees_at_each_cut(const char *bytes, size_t len, ssize_t want,
                               const struct rn__http_limits *limits)
{
    for (int moving = 0; moving < 2; moving++) {
        const char *still = edge_copy(bytes, len);
        ssize_t r = 0;

        rn__http_begin(&parts);
        for (size_t n = 0; n <= len && r == 0; n++)
            r = rn__http_parse(&parts, moving ? edge_copy(bytes, n) : still, n, limits);
        if (r != want || !same_outcome())
            return false;
    }
    for (size_t cut = 0; cut <= len; cut++) {
        ssize_t r;

        rn__http_begin(&parts);
        r = rn__http_parse(&parts, edge_copy(bytes, cut), cut, limits);
        if (r == 0)
            r = rn__http_parse(&parts, edge_copy(bytes, len), len, limits);
        if (r != want || !same_outcome())
            return false;
        /* Sticky: asking again changes nothing. */
        if (r != 0 && (rn__http_parse(&parts, parts.base, len, limits) != r || !same_outcome()))
            return false;
    }
    return true;
}

/* status 0: accepted. Numbers are sections of RFC 9112 unless another RFC is named. */
struct rule {
    const char *section;
    const char *text;
    int status;
};

static const struct rule rules[] = {
    {"2.1 smallest 1.1 request", GH "\r\n", 0},
    {"2.1 smallest 1.0 request", "GET / HTTP/1.0\r\n\r\n", 0},
    {"2.2 one empty line before", "\r\n" GH "\r\n", 0},
    {"2.2 two empty lines before", "\r\n\r\n" GH "\r\n", 0},
    {"2.2 three empty lines before", "\r\n\r\n\r\n" GH "\r\n", 400},
    {"2.2 bare CR before", "\rGET / HTTP/1.1\r\n", 400},
    {"2.2 bare LF before", "\n" GH "\r\n", 400},
    {"2.2 white space before", " " GH "\r\n", 400},
    {"2.2 bare LF after request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
    {"2.2 bare CR after request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
    {"2.2 bare LF after a field", G "Host: a\n\r\n", 400},
    {"2.2 bare CR after a field", G "Host: a\rX: b\r\n\r\n", 400},
    {"2.2 bare CR inside a value", GH "X: a\rb\r\n\r\n", 400},
    {"2.2 CR CR LF", G "Host: a\r\r\n\r\n", 400},
    {"2.2 bare LF as the empty line", GH "\n", 400},
    {"2.2 bare CR as the empty line", GH "\rX", 400},
    {"2.2 white space before the first field", G " Host: a\r\n\r\n", 400},
    {"2.3 HTTP/0.9", "GET /\r\n", 400},
    {"2.3 lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"2.3 HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"2.3 HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"2.3 HTTP/0.9 spelled out", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
    {"2.3 two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
    {"2.3 two digits before the dot", "GET / HTTP/11.1\r\nHost: a\r\n\r\n", 400},
    {"2.3 no minor", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
    {"2.3 other protocol", "GET / ICY/1.1\r\nHost: a\r\n\r\n", 400},
    {"3 two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3 two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3 space after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"3 tab after the method", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3 tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3 space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3 method only", "GET\r\n", 400},
    {"3.1 other method", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.1 strange token", "M-S!#$%&'*+.^_`|~9 / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.1 no token", "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.1 32 bytes of method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.0\r\n\r\n", 0},
    {"3 33 bytes of method", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.0\r\n\r\n", 501},
    {"3.1 TLS on a plain port", "\x16\x03\x01\x02", 400},
    {"3.2 fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 fragment in the query", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 byte above 127", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 DEL", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 quote", "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 angle bracket in query", "GET /?<script> HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 backslash in the path", "GET /..\\x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 brace in the path", "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 what browsers leave raw", "GET /a[1]|^?b[]={c|d}`\\^% HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.2 neither path nor URI", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2 query without path", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.1 all of pchar", "GET /-._~!$&'()*+,;=:@%20 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.2.1 two slashes", "GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.2.2 absolute", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.2.2 absolute, no path", "GET HTTPS://b:443 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.2.2 absolute, no host", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.2 absolute, nothing", "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.2 other scheme", "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.2 no scheme, no slash", "GET b.example.org/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.2 other scheme, long", "GET gopher://b.example/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.2 absolute without Host", "GET http://b/ HTTP/1.1\r\n\r\n", 400},
    {"9110 4.2.4 user information", "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"9110 4.2.1 port without host", "GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.3 authority", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 0},
    {"3.2.3 authority in brackets", "CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"9110 9.3.6 no port", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"9110 9.3.6 empty port", "CONNECT a: HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"9110 9.3.6 port 0", "CONNECT a:0 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"9110 9.3.6 port 65536", "CONNECT a:65536 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.3 CONNECT to a path", "CONNECT /a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.3 CONNECT to a URI", "CONNECT http://a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.3 CONNECT with query", "CONNECT a:1?b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.3 authority for GET", "GET a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.4 asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"3.2.4 asterisk for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.4 asterisk and more", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"3.2.4 asterisk with query", "OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"9113 3.4 preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
    {"3.2 no Host", G "\r\n", 400},
    {"3.2 two Hosts", GH "Host: b\r\n\r\n", 400},
    {"3.2 two equal Hosts", GH "host: a\r\n\r\n", 400},
    {"3.2 two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"3.2 Host joined", G "Host: a, b\r\n\r\n", 400},
    {"3.2 Host with comma", G "Host: a,b\r\n\r\n", 400},
    {"9110 4.2.1 empty Host", G "Host:\r\n\r\n", 400},
    {"9110 7.2 Host with path", G "Host: a/b\r\n\r\n", 400},
    {"9110 7.2 Host with user", G "Host: u@a\r\n\r\n", 400},
    {"9110 7.2 Host with space", G "Host: a b\r\n\r\n", 400},
    {"9110 7.2 Host above 127", G "Host: \xc3\xa9\r\n\r\n", 400},
    {"9110 7.2 Host with bad port", G "Host: a:b\r\n\r\n", 400},
    {"9110 7.2 Host with two ports", G "Host: a:1:2\r\n\r\n", 400},
    {"9110 7.2 Host with large port", G "Host: a:99999999999\r\n\r\n", 400},
    {"9110 7.2 Host with port", G "Host: a.example:8080\r\n\r\n", 0},
    {"3986 3.2.3 Host with empty port", G "Host: a:\r\n\r\n", 0},
    {"3986 3.2.2 Host with %", G "Host: a%2Db\r\n\r\n", 0},
    {"3986 3.2.2 Host with bad %", G "Host: a%2\r\n\r\n", 400},
    {"3986 3.2.2 Host with %aF", G "Host: %aFb\r\n\r\n", 0},
    {"3986 3.2.2 Host with %Fa at the end", G "Host: b%Fa\r\n\r\n", 0},
    {"3986 3.2.2 Host with %g0", G "Host: a%g0\r\n\r\n", 400},
    {"3986 3.2.2 Host with %0G", G "Host: a%0Gb\r\n\r\n", 400},
    {"3986 3.2.2 Host with %:", G "Host: a%:80\r\n\r\n", 400},
    {"9110 7.2 Host with the last port", G "Host: a:65535\r\n\r\n", 0},
    {"9110 7.2 Host with a port too many", G "Host: a:65536\r\n\r\n", 400},
    {"3986 3.2.2 Host IPv6, too long",
     G "Host: [0000:0000:0000:0000:0000:0000:0000:0000000000000001]\r\n\r\n", 400},
    {"3986 3.2.2 Host IPv6 with a zone", G "Host: [fe80::1%25eth0]\r\n\r\n", 400},
    {"3986 3.2.2 Host IPv6", G "Host: [2001:db8::1]:80\r\n\r\n", 0},
    {"3986 3.2.2 Host IPv6 open", G "Host: [::1\r\n\r\n", 400},
    {"3986 3.2.2 Host IPv6 wrong", G "Host: [1:2]\r\n\r\n", 400},
    {"3986 3.2.2 Host IPv6 empty", G "Host: []\r\n\r\n", 400},
    {"3986 3.2.2 Host IPv6 and more", G "Host: [::1]x\r\n\r\n", 400},
    {"5 no colon", GH "X\r\n\r\n", 400},
    {"5 empty name", GH ": b\r\n\r\n", 400},
    {"5 bad byte in a name", GH "X(: b\r\n\r\n", 400},
    {"5 byte above 127 in a name", GH "X\xe4: b\r\n\r\n", 400},
    {"5 control byte in a name", GH "X\x01: b\r\n\r\n", 400},
    {"9110 5.6.2 strange name", GH "!#$%&'*+-.^_`|~1: b\r\n\r\n", 0},
    {"5.1 space before the colon", GH "X : b\r\n\r\n", 400},
    {"5.1 tab before the colon", GH "X\t: b\r\n\r\n", 400},
    {"5.1 space hides a length", GH "Content-Length : 5\r\n\r\n", 400},
    {"5.1 no space after the colon", G "Host:a\r\n\r\n", 0},
    {"5.1 much space around", G "Host: \t a\t \r\n\r\n", 0},
    {"5.2 obs-fold", GH "X: a\r\n b\r\n\r\n", 400},
    {"5.2 obs-fold with tab", GH "X: a\r\n\tb\r\n\r\n", 400},
    {"5.2 obs-fold of nothing", GH "X: a\r\n \r\n\r\n", 400},
    {"9110 5.5 control byte in a value", GH "X: a\x01z\r\n\r\n", 400},
    {"9110 5.5 late control byte", GH "X: 0123456789abcdefghi\x1fz\r\n\r\n", 400},
    {"9110 5.5 DEL in a value", GH "X: 0123456789abc\x7f\r\n\r\n", 400},
    {"9110 5.5 obs-text in a value", GH "X: \x80\xff\xa0\xe9\x80\xff\xa0\xe9\xfe\r\n\r\n", 0},
    {"9110 5.5 tab in a value", GH "X: 012345678\t9abcdefgh\ti\r\n\r\n", 0},
    {"9110 5.5 empty value", GH "X:\r\nY: \t\r\n\r\n", 0},
    {"6.1 chunked", GH "Transfer-Encoding: chunked\r\n\r\n", 0},
    {"7 coding names have no case", GH "transfer-ENCODING: ChunkeD\r\n\r\n", 0},
    {"6.1 in 1.0", "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"6.1 TE after CL", GH "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"6.1 CL after TE", GH "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {"6.1 twice", GH "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"6.1 twice in a list", GH "Transfer-Encoding: chunked, chunked\r\n\r\n", 400},
    {"6.1 chunked not last", GH "Transfer-Encoding: chunked, gzip\r\n\r\n", 400},
    {"6.1 gzip before chunked", GH "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"6.1 gzip alone", GH "Transfer-Encoding: gzip\r\n\r\n", 501},
    {"6.1 identity", GH "Transfer-Encoding: identity\r\n\r\n", 501},
    {"6.1 xchunked", GH "Transfer-Encoding: xchunked\r\n\r\n", 501},
    {"6.1 empty", GH "Transfer-Encoding:\r\n\r\n", 400},
    {"6.1 comma", GH "Transfer-Encoding: chunked,\r\n\r\n", 400},
    {"6.1 comma before", GH "Transfer-Encoding: ,chunked\r\n\r\n", 400},
    {"6.1 parameter", GH "Transfer-Encoding: chunked;q=1\r\n\r\n", 400},
    {"6.1 quoted", GH "Transfer-Encoding: \"chunked\"\r\n\r\n", 400},
    {"6.1 two words", GH "Transfer-Encoding: chunked x\r\n\r\n", 400},
    {"6.1 vertical tab", GH "Transfer-Encoding: \vchunked\r\n\r\n", 400},
    {"6.2 length", GH "Content-Length: 42\r\n\r\n", 0},
    {"9110 8.6 leading zeros", GH "Content-Length: 0042\r\n\r\n", 0},
    {"9110 8.6 2^64-1", GH "Content-Length: 18446744073709551615\r\n\r\n", 0},
    {"9110 8.6 2^64", GH "Content-Length: 18446744073709551616\r\n\r\n", 400},
    {"9110 8.6 far too many", GH "Content-Length: 99999999999999999999999\r\n\r\n", 400},
    {"9110 8.6 empty", GH "Content-Length:\r\n\r\n", 400},
    {"9110 8.6 only space", GH "Content-Length:  \r\n\r\n", 400},
    {"9110 8.6 plus", GH "Content-Length: +1\r\n\r\n", 400},
    {"9110 8.6 minus", GH "Content-Length: -1\r\n\r\n", 400},
    {"9110 8.6 list", GH "Content-Length: 1,2\r\n\r\n", 400},
    {"6.3 list of equals", GH "Content-Length: 5, 5\r\n\r\n", 400},
    {"6.3 repeated, differing", GH "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400},
    {"6.3 repeated, equal", GH "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
    {"9110 8.6 hexadecimal", GH "Content-Length: 0x1\r\n\r\n", 400},
    {"9110 8.6 underscore", GH "Content-Length: 0_0\r\n\r\n", 400},
    {"9110 8.6 two numbers", GH "Content-Length: 1 1\r\n\r\n", 400},
    {"9110 8.6 fraction", GH "Content-Length: 1.0\r\n\r\n", 400},
    {"9110 8.6 tab inside", GH "Content-Length: 1\t1\r\n\r\n", 400},
};

RN_TEST(http_parse_rules_hold_at_every_cut)
{
    int failed = 0;

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *t = &rules[i];
        size_t len = strlen(t->text);
        ssize_t r = parse_whole(t->text, len, NULL);
        bool good = t->status == 0 ? r == (ssize_t)len && whole.reason == NULL
                                   : r == RN__HTTP_BAD && whole.reason != NULL;

        if (!good || whole.status != t->status || !agrees_at_each_cut(t->text, len, r, NULL)) {
            fprintf(stderr, "RFC 9112 %s: got %zd, status %d (%s)\n", t->section, r, whole.status,
                    whole.reason == NULL ? "accepted" : whole.reason);
            failed++;
        }
    }
    CHECK_EQ(failed, 0);
}

/* Each text ends in the very byte that condemns it: not a byte later, and none before. */
RN_TEST(http_parse_refuses_at_the_first_bad_byte)
{
    static const char *const prefixes[] = {
        "\x16",
        "\n",
        "\r\r",
        "\r\n\r\n\r",
        "G\n",
        "GET\r",
        "GET  ",
        "GET /#",
        "GET /\x80",
        "GET /?\"",
        "GET * ",
        "GET a ",
        "CONNECT / ",
        "GET / h",
        "GET / HTTP/2.0",
        "GET / HTTP/1.2",
        "GET / HTTP/1.1\n",
        "GET / HTTP/1.1\r\r",
        G " ",
        G "\n",
        G ":",
        G "A ",
        G "A(",
        G "A\r",
        G "A: \x01",
        G "A: b\n",
        G "A: b\rc",
        GH "\t",
        GH "\rx",
        G "A: 01234567\x7f",
        G "Host: \r\n",
        GH "Host: a\r\n",
        GH "Content-Length: x\r\n",
        G "\r\n",
        GH "Transfer-Encoding: y\r\n",
    };

    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t len = strlen(prefixes[i]);

        CHECK_EQ(parse_whole(prefixes[i], len - 1, NULL), RN__HTTP_INCOMPLETE);
        CHECK_EQ(parse_whole(prefixes[i], len, NULL), RN__HTTP_BAD);
    }
    CHECK_EQ(parse_whole("GET /\0", 6, NULL), RN__HTTP_BAD);
    CHECK_EQ(parse_whole(GH "X: 1\0", strlen(GH) + 5, NULL), RN__HTTP_BAD);
    CHECK_EQ(parse_whole(GH "X\0", strlen(GH) + 2, NULL), RN__HTTP_BAD);
    CHECK_EQ(parse_whole(G "Host: [::1\0]\r\n", strlen(G) + 14, NULL), RN__HTTP_BAD);
}

/* Every byte value in every place where the grammar takes one: only the class's bytes pass. */
RN_TEST(http_parse_byte_classes_are_the_grammars)
{
    static const char token[] = "!#$%&'*+-.^_`|~"; /* RFC 9110 5.6.2, and letters and digits */
    static const char path[] = "-._~!$&'()*+,;=:@/%[]^|";
    static const char digits[] = "0123456789012345678901234567890123456789";
    char text[128];

    for (int c = 1; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool in_token = alnum || strchr(token, c) != NULL;
        bool in_path = alnum || strchr(path, c) != NULL;
        bool in_value = c == '\t' || (c >= ' ' && c != 0x7f);
        ssize_t r;

        snprintf(text, sizeof text, "G%c", c);
        CHECK_EQ(parse_whole(text, 2, NULL) == 0, in_token || c == ' ');
        snprintf(text, sizeof text, "GET /%c", c);
        CHECK_EQ(parse_whole(text, 6, NULL) == 0, in_path || c == ' ' || c == '?');
        snprintf(text, sizeof text, "GET /?%c", c);
        CHECK_EQ(parse_whole(text, 7, NULL) == 0,
                 in_path || (c < 128 && strchr(" ?{}`\\", c) != NULL));
        snprintf(text, sizeof text, GH "A%c", c);
        r = parse_whole(text, strlen(text), NULL);
        CHECK_EQ(r == 0, in_token || c == ':');
        for (int at = 0; at < 40; at++) { /* each place in what is scanned at once */
            snprintf(text, sizeof text, GH "A:.%.*s%c%s", at, digits, c, digits + at);
            r = parse_whole(text, strlen(text), NULL);
            CHECK_EQ(r == 0, in_value);
            snprintf(text, sizeof text, GH "%.*s%c%s:", at + 1, digits, c, digits + at);
            r = parse_whole(text, strlen(text), NULL);
            CHECK_EQ(r == 0, in_token || (c == ':'));
        }
    }
}

RN_TEST(http_parse_takes_the_request_line_apart)
{
    static const struct {
        const char *line, *method_name, *target, *path, *query, *host;
        enum rn__http_method method;
        enum rn__http_form form;
    } t[] = {
        {"GET /", "GET", "/", "/", NULL, "h", RN__HTTP_GET, RN__HTTP_ORIGIN},
        {"HEAD /a/b?", "HEAD", "/a/b?", "/a/b", "", "h", RN__HTTP_HEAD, RN__HTTP_ORIGIN},
        {"POST /?a=/?b", "POST", "/?a=/?b", "/", "a=/?b", "h", RN__HTTP_POST, RN__HTTP_ORIGIN},
        {"PUT http://b:1/c?d", "PUT", "http://b:1/c?d", "/c", "d", "b:1", RN__HTTP_PUT,
         RN__HTTP_ABSOLUTE},
        {"DELETE https://b?d", "DELETE", "https://b?d", "", "d", "b", RN__HTTP_DELETE,
         RN__HTTP_ABSOLUTE},
        {"OPTIONS http://b", "OPTIONS", "http://b", "", NULL, "b", RN__HTTP_OPTIONS,
         RN__HTTP_ABSOLUTE},
        {"OPTIONS *", "OPTIONS", "*", NULL, NULL, "h", RN__HTTP_OPTIONS, RN__HTTP_ASTERISK},
        {"CONNECT [::1]:9", "CONNECT", "[::1]:9", NULL, NULL, "[::1]:9", RN__HTTP_CONNECT,
         RN__HTTP_AUTHORITY},
        {"TRACE /", "TRACE", "/", "/", NULL, "h", RN__HTTP_TRACE, RN__HTTP_ORIGIN},
        {"PATCH /", "PATCH", "/", "/", NULL, "h", RN__HTTP_PATCH, RN__HTTP_ORIGIN},
        {"get /", "get", "/", "/", NULL, "h", RN__HTTP_OTHER, RN__HTTP_ORIGIN},
    };
    char text[128];

    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n\r\n", t[i].line);
        parse_good(text);
        CHECK_EQ(whole.method, t[i].method);
        CHECK_EQ(whole.form, t[i].form);
        CHECK_EQ(whole.minor, 1);
        CHECK(is_text(whole.method_name, t[i].method_name));
        CHECK(is_text(whole.target, t[i].target));
        CHECK(is_text(whole.path, t[i].path));
        CHECK(is_text(whole.query, t[i].query));
        CHECK(is_text(whole.host, t[i].host));
    }
    parse_good("GET / HTTP/1.0\r\n\r\n");
    CHECK_EQ(whole.minor, 0);
    CHECK(whole.host.at == NULL);
}

RN_TEST(http_parse_keep_alive_expect_and_upgrade)
{
    static const struct {
        const char *section, *fields;
        int minor;
        bool keep_alive, expect_continue, upgrade;
    } t[] = {
        {"9.3", "", 1, true, false, false},
        {"9.3", "", 0, false, false, false},
        {"9.3", "Connection: close\r\n", 1, false, false, false},
        {"9.3", "Connection: keep-alive\r\n", 0, true, false, false},
        {"9.3", "Connection: Keep-Alive\r\n", 1, true, false, false},
        {"9.3", "Connection: keep-alive, CLOSE\r\n", 0, false, false, false},
        {"9.3", "Connection: close\r\nConnection: keep-alive\r\n", 1, false, false, false},
        {"9.3", "Connection: x ,\t, close ,\r\n", 1, false, false, false},
        {"9.3", "Connection: closed, not-close, clos\r\n", 1, true, false, false},
        {"9.3", "Connection:\r\n", 1, true, false, false},
        {"9110 7.6.1", "Proxy-Connection: close\r\n", 1, true, false, false},
        {"9110 10.1.1", "Expect: 100-Continue\r\n", 1, true, true, false},
        {"9110 10.1.1", "Expect: 100-continue\r\n", 0, false, false, false},
        {"9110 10.1.1", "Expect: a, 100-continue\r\n", 1, true, true, false},
        {"9110 10.1.1", "Expect: 100\r\n", 1, true, false, false},
        {"9110 7.8", "Connection: upgrade\r\nUpgrade: websocket\r\n", 1, true, false, true},
        {"9110 7.8", "Upgrade: w\r\nConnection: keep-alive, Upgrade\r\n", 1, true, false, true},
        {"9110 7.8", "Upgrade: websocket\r\n", 1, true, false, false},
        {"9110 7.8", "Connection: upgrade\r\n", 1, true, false, false},
        {"9110 7.8", "Connection: upgrade\r\nUpgrade: w\r\n", 0, false, false, false},
    };
    char text[256];

    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        snprintf(text, sizeof text, "GET / HTTP/1.%d\r\nHost: h\r\n%s\r\n", t[i].minor,
                 t[i].fields);
        parse_good(text);
        CHECK_EQ(whole.keep_alive, t[i].keep_alive);
        CHECK_EQ(whole.expect_continue, t[i].expect_continue);
        CHECK_EQ(whole.upgrade, t[i].upgrade);
        CHECK(agrees_at_each_cut(text, strlen(text), (ssize_t)strlen(text), NULL));
    }
}

/* What ends up in the log is the rule that was broken, not the one next to it. */
RN_TEST(http_parse_reasons_name_the_rule)
{
    static const struct {
        const char *text, *reason;
    } t[] = {
        {"GET /#", "fragment in the target"},
        {"GET /\r", "request line without a version"},
        {"GET /\n", "request line without a version"},
        {"GET /\x01", "bad byte in the target"},
        {"GET  ", "more than one space in the request line"},
        {"GET /  ", "more than one space in the request line"},
        {"GET / X", "bad version"},
        {"GET / HTTP/1.1x", "request line must end in CR LF"},
        {G "\n", "bare LF in a field line"},
        {G "X: \n", "bare LF in a field line"},
        {G "X: \r\r", "bare CR in a field line"},
        {G " ", "field line starts with white space"},
        {G "X ", "white space before the colon"},
        {G ":", "empty or bad field name"},
        {G "\r\n", "HTTP/1.1 request without Host"},
    };

    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        CHECK_EQ(parse_whole(t[i].text, strlen(t[i].text), NULL), RN__HTTP_BAD);
        CHECK_STR(whole.reason, t[i].reason);
    }
}

RN_TEST(http_parse_body_framing)
{
    parse_good(GH "\r\n");
    CHECK(!whole.has_content_length && !whole.chunked && whole.content_length == 0);
    parse_good(GH "content-length: 0\r\n\r\n");
    CHECK(whole.has_content_length && !whole.chunked && whole.content_length == 0);
    parse_good(GH "CONTENT-LENGTH: 18446744073709551615 \r\n\r\n");
    CHECK(whole.has_content_length && whole.content_length == UINT64_MAX);
    parse_good(GH "Transfer-Encoding:chunked\r\n\r\n");
    CHECK(!whole.has_content_length && whole.chunked);
}

RN_TEST(http_parse_fields_are_trimmed_and_found)
{
    const struct rn__http_field *f;

    parse_good(G "Host:\t a \t\r\nX-Empty: \t \r\nX-Two: a \t b\r\nx-two: second\r\n\r\n");
    CHECK_EQ(whole.n_fields, 4);
    f = rn__http_header(&whole, "hOST");
    CHECK(f != NULL && f->value_len == 1 && f->value[0] == 'a' && memcmp(f->name, "Host", 4) == 0);
    f = rn__http_header(&whole, "x-empty");
    CHECK(f != NULL && f->value_len == 0 && f->name_len == 7);
    f = rn__http_header(&whole, "X-TWO");
    CHECK(f != NULL && f->value_len == 5 && memcmp(f->value, "a \t b", 5) == 0);
    CHECK(rn__http_header(&whole, "X-Tw") == NULL);
    CHECK(rn__http_header(&whole, "X_Two") == NULL); /* '_' and '-' differ by more than case */
    CHECK(rn__http_header(&whole, "") == NULL);
    parse_good(GH "AZ-az^: v\r\n\r\n");
    CHECK(rn__http_header(&whole, "az-AZ^") == &whole.fields[1]);
    CHECK(rn__http_header(&whole, "az-AZ~") == NULL); /* nor are these two cases of a letter */
}

/* The body, or the next request, is left alone; its first bytes may be anything. */
RN_TEST(http_parse_stops_after_the_head)
{
    static const char two[] = GH "\r\n"
                                 "GET /second HTTP/1.0\r\n\r\n\x01\x02";
    size_t first = strlen(GH "\r\n");

    CHECK_EQ(parse_whole(two, sizeof two - 1, NULL), first);
    CHECK_EQ(parse_whole(two + first, sizeof two - 1 - first, NULL), strlen(two) - first - 2);
    CHECK(is_text(whole.path, "/second"));
    CHECK_EQ(parse_whole("", 0, NULL), RN__HTTP_INCOMPLETE);
}

/* before, n times c, after: the result of parsing that, the same at any cut. */
static ssize_t parse_long(const char *before, char c, size_t n, const char *after,
                          const struct rn__http_limits *limits)
{
    static char text[64 * 1024];
    size_t len = strlen(before) + n + strlen(after), cuts[] = {1, n / 2, n, n + 1, len - 1};
    ssize_t r;

    memcpy(text, before, strlen(before));
    memset(text + strlen(before), c, n);
    memcpy(text + strlen(before) + n, after, strlen(after));
    r = parse_whole(text, len, limits);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        ssize_t part;

        rn__http_begin(&parts);
        part = rn__http_parse(&parts, edge_copy(text, cuts[i]), cuts[i], limits);
        if (part == 0)
            part = rn__http_parse(&parts, edge_copy(text, len), len, limits);
        CHECK_EQ(part, r);
        CHECK(same_outcome());
    }
    rn__http_begin(&parts);
    (void)edge_copy(text, len);
    for (size_t k = 1, part = 0; k <= len && part == 0; k++) {
        part = (size_t)rn__http_parse(&parts, edge_alloc(len), k, limits);
        /* O(bytes): all but a CR waiting for its LF is behind us for good. */
        CHECK(part != 0 || parts.scanned + 1 >= k);
    }
    CHECK(same_outcome());
    return r;
}

RN_TEST(http_parse_limits)
{
    static const char tail[] = " HTTP/1.0\r\n\r\n", head[] = "GET / HTTP/1.0\r\nX:";
    const struct rn__http_limits small = {.max_target_len = 4, .max_head_len = 40, .max_fields = 2};
    const struct rn__http_limits tiny = {.max_head_len = 10};
    size_t room = 16 * 1024 - strlen(head) - 4;

    CHECK(parse_long("GET /", 'a', 7999, tail, NULL) > 0);
    CHECK_EQ(parse_long("GET /", 'a', 8000, tail, NULL), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 414);
    CHECK(parse_long("GET /?", 'a', 7998, tail, NULL) > 0);
    CHECK_EQ(parse_long("GET /?", 'a', 7999, tail, NULL), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 414);

    CHECK_EQ(parse_long(head, 'v', room, "\r\n\r\n", NULL), 16 * 1024);
    CHECK_EQ(parse_long(head, ' ', room, "\r\n\r\n", NULL), 16 * 1024);
    CHECK_EQ(parse_long(head, 'v', room + 1, "\r\n\r\n", NULL), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 431);
    CHECK_EQ(parse_long("GET / HTTP/1.0\r\n", 'n', 17000, ":\r\n\r\n", NULL), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 431);
    CHECK_EQ(parse_long("", 'M', 40000, " / HTTP/1.0\r\n\r\n", NULL), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 501);

    CHECK(parse_long("GET /", 'a', 3, tail, &small) > 0);
    CHECK_EQ(parse_long("GET /", 'a', 4, tail, &small), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 414);
    CHECK_EQ(parse_long(head, 'v', 40 - strlen(head) - 4, "\r\n\r\n", &small), 40);
    CHECK_EQ(parse_long(head, 'v', 40 - strlen(head) - 3, "\r\n\r\n", &small), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 431);
    CHECK(parse_long("GET / HTTP/1.0\r\nA:\r\nB:\r\n", '\r', 1, "\n", &small) > 0);
    CHECK_EQ(parse_long("GET /", 'a', 200, tail, &tiny), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 414); /* the head's limit, but the target is what fills it */
    CHECK_EQ(parse_long("GET / ", 'H', 1, "TTP/1.0\r\n", &tiny), RN__HTTP_BAD);
    CHECK_EQ(whole.status, 431);
    CHECK_EQ(parse_long("GET / HTTP/1.0\r\nA:\r\nB:\r\n", 'C', 1, ":\r\n\r\n", &small),
             RN__HTTP_BAD);
    CHECK_EQ(whole.status, 431);
}

RN_TEST(http_parse_field_count)
{
    static char text[2048];
    const struct rn__http_limits more = {.max_fields = 1000}; /* the table has no such room */

    for (int n = 99; n <= 101; n++) {
        int len = snprintf(text, sizeof text, "GET / HTTP/1.0\r\n");

        for (int i = 0; i < n; i++)
            len += snprintf(text + len, sizeof text - (size_t)len, "a: %d\r\n", i);
        len += snprintf(text + len, sizeof text - (size_t)len, "\r\n");
        for (int i = 0; i < 2; i++) {
            ssize_t r = parse_whole(text, (size_t)len, i == 0 ? NULL : &more);

            CHECK_EQ(r, n <= 100 ? len : RN__HTTP_BAD);
            CHECK_EQ(whole.status, n <= 100 ? 0 : 431);
            CHECK(agrees_at_each_cut(text, (size_t)len, r, i == 0 ? NULL : &more));
        }
    }
}
