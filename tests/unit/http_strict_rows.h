/*
 * http_strict_rows.h - requests, and by which rule each is taken or refused
 *
 * For test_http_strict.c, and for e2e/framing.c, which hands them to parsers of others. Sections
 * are those of RFC 9112 unless another RFC is named.
 */
#ifndef HTTP_STRICT_ROWS_H
#define HTTP_STRICT_ROWS_H

#include <stddef.h>

#define NEXT "GET /next HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n"
#define HOST "Host: h\r\n"
#define POST "POST /read HTTP/1.1\r\n" HOST
#define CODED POST "Transfer-Encoding: chunked\r\n\r\n"

enum {
    ENDS = 0,
    GOES_ON = 1, /* the request behind it is answered */
    CUT = 2      /* the same wherever it is cut */
};

struct row {
    const char *section, *bytes;
    size_t len;
    int status;
    int flags;
    const char *has; /* in the answer; NULL: anything */
};

#define ROW_HAS(section, bytes, status, flags, has)                                                \
    {                                                                                              \
        section, bytes, sizeof bytes - 1, status, flags, has                                       \
    }
#define ROW(section, bytes, status, flags) ROW_HAS(section, bytes, status, flags, NULL)

/* ---- request line ---- */

static const struct row lines[] = {
    ROW("2.2", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 200, GOES_ON | CUT),
    ROW("2.2", "\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.2", "\nGET / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.2", "\rGET / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.2", "GET / HTTP/1.1\n" HOST "\r\n", 400, ENDS | CUT),
    ROW("2.2", "GET / HTTP/1.1\r" HOST "\r\n", 400, ENDS | CUT),
    ROW("2.2", "GET / HTTP/1.1\r\n" HOST "\n", 400, ENDS | CUT),
    ROW("2.2", "GET / HTTP/1.1\r\n X: y\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.3", "GET /\r\n", 400, ENDS), /* HTTP/0.9 */
    ROW("2.3", "GET / http/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.3", "GET / HTTP/1,1\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.3", "GET / HTTP/01.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.3", "GET / HTTP/1.10\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.3", "GET / HTTP/1.\r\n" HOST "\r\n", 400, ENDS),
    ROW("2.3", "GET / HTTPS/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("RFC 9110 15.6.6", "GET / HTTP/1.2\r\n" HOST "\r\n", 505, ENDS | CUT),
    ROW("RFC 9110 15.6.6", "GET / HTTP/0.9\r\n" HOST "\r\n", 505, ENDS),
    ROW("RFC 9110 15.6.6", "GET / HTTP/2.0\r\n" HOST "\r\n", 505, ENDS),
    ROW("RFC 9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, ENDS | CUT),
    ROW("RFC 9113 3.4", "PRI /a HTTP/1.1\r\n" HOST "\r\n", 501, GOES_ON), /* a token as any */
    ROW("3", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3", "GET /  HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3", "GET / HTTP/1.1 \r\n" HOST "\r\n", 400, ENDS),
    ROW("3", " GET / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3", "GET /\tHTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3", "GET / x HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.1", "GE(T / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.1", "G\0T / HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.1", "get /a HTTP/1.1\r\n" HOST "\r\n", 501, GOES_ON), /* not GET */
    ROW("3.1", "GETS /a HTTP/1.1\r\n" HOST "\r\n", 501, GOES_ON),
    ROW("3.1", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n", 501, ENDS),
    ROW("RFC 9110 15.6.2", "BREW /a HTTP/1.1\r\n" HOST "\r\n", 501, GOES_ON),
    ROW_HAS("RFC 9110 15.5.6", "PUT /a HTTP/1.1\r\n" HOST "\r\n", 405, GOES_ON,
            "Allow: POST, GET, HEAD\r\n"),
    ROW_HAS("RFC 9110 9.3.6", "CONNECT h:80 HTTP/1.1\r\n" HOST "\r\n", 405, GOES_ON, "Allow: "),
};

static const struct row targets[] = {
    ROW_HAS("3.2.1", "GET /a?b=/c?d HTTP/1.1\r\n" HOST "\r\n", 200, GOES_ON, "[GET /a h 0]"),
    ROW("3.2.1", "GET a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.1", "GET ?a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW_HAS("3.2.2", "GET http://u:8/a HTTP/1.1\r\n" HOST "\r\n", 200, GOES_ON | CUT,
            "[GET /a u:8 0]"),
    ROW_HAS("3.2.2", "GET HTTPS://[::1]/a HTTP/1.1\r\n" HOST "\r\n", 200, GOES_ON,
            "[GET /a [::1] 0]"),
    ROW_HAS("3.2.2", "GET http://u HTTP/1.1\r\n" HOST "\r\n", 200, GOES_ON, "[GET  u 0]"),
    ROW("3.2.2", "GET http://u/a HTTP/1.1\r\n\r\n", 400, ENDS), /* Host all the same */
    ROW("3.2.2", "GET http:///a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.2", "GET http:/a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.2", "GET ftp://u/a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.2", "GET http://u:x/a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.2", "GET http://[::1/a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("RFC 9110 4.2.4", "GET http://u@h/a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "GET h:80 HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "CONNECT /a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "CONNECT h HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "CONNECT h: HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "CONNECT h:0 HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "CONNECT h:80/a HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.3", "CONNECT http://h/ HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.4", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 204, GOES_ON),
    ROW("3.2.4", "GET * HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2.4", "OPTIONS ** HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2", "GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2", "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2", "GET /\0 HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2", "GET /\" HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400, ENDS),
    ROW("3.2", "GET /a\r\nHost: h HTTP/1.1\r\n\r\n", 400, ENDS),
};

/* ---- fields ---- */

static const struct row fields[] = {
    ROW("3.2", "GET / HTTP/1.1\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\n" HOST "Host: i\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\n" HOST "A: b\r\nhOST: h\r\n\r\n", 400, ENDS | CUT),
    ROW("3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: h/a\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: u@h\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: h:a\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: h:65536\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: h:80:81\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: [::g]\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: h%2\r\n\r\n", 400, ENDS),
    ROW("3.2", "GET / HTTP/1.1\r\nHost: h%41\r\n\r\n", 200, GOES_ON),
    ROW("3.2", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, GOES_ON),
    ROW("3.2", "GET / HTTP/1.0\r\n" HOST HOST "\r\n", 400, ENDS),
    ROW("5", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400, ENDS),
    ROW("5", "GET / HTTP/1.1\r\n" HOST "x\r\n\r\n", 400, ENDS),
    ROW("2.2", "GET / HTTP/1.1\r\n" HOST "\rx\r\n\r\n", 400, ENDS | CUT),
    ROW("5", "GET / HTTP/1.1\r\n" HOST "a(b: x\r\n\r\n", 400, ENDS),
    ROW("5", "GET / HTTP/1.1\r\n" HOST "a\0b: x\r\n\r\n", 400, ENDS),
    ROW("5.1", "GET / HTTP/1.1\r\n" HOST "A : x\r\n\r\n", 400, ENDS),
    ROW("5.1", "GET / HTTP/1.1\r\n" HOST "A\t: x\r\n\r\n", 400, ENDS),
    ROW("5.1", POST "Content-Length : 5\r\n\r\nhello", 400, ENDS | CUT),
    ROW("5.1", POST "Content-Length\v: 5\r\n\r\nhello", 400, ENDS),
    ROW("5.2", "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n", 400, ENDS | CUT),
    ROW("5.2", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("RFC 9110 5.5", "GET / HTTP/1.1\r\n" HOST "A: b\0c\r\n\r\n", 400, ENDS),
    ROW("RFC 9110 5.5", "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n", 400, ENDS | CUT),
    ROW("RFC 9110 5.5", "GET / HTTP/1.1\r\n" HOST "A: b\nB: c\r\n\r\n", 400, ENDS | CUT),
    ROW("RFC 9110 5.5", "GET / HTTP/1.1\r\n" HOST "A: b\x7f\r\n\r\n", 400, ENDS),
    ROW("RFC 9110 5.5", "GET / HTTP/1.1\r\n" HOST "A:\t\xe4\t\r\n\r\n", 200, GOES_ON),
    ROW("9.3", "GET / HTTP/1.0\r\n" HOST "\r\n", 200, ENDS),
    ROW("9.3", "GET / HTTP/1.1\r\n" HOST "Connection: x , CLOSE\r\n\r\n", 200, ENDS),
    ROW("9.3", "GET / HTTP/1.1\r\n" HOST "Connection: keep-alive, close\r\n\r\n", 200, ENDS),
};

/* ---- framing ---- */

static const struct row framing[] = {
    ROW("6.1", POST "Transfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, GOES_ON | CUT),
    ROW("6.1", POST "Transfer-Encoding: chunked\t\r\n\r\n1\r\na\r\n0\r\n\r\n", 200, GOES_ON),
    ROW("6.1", POST "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n", 501, ENDS),
    ROW("6.1", POST "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 501, ENDS),
    ROW("6.1", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, ENDS),
    ROW("6.1", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, ENDS | CUT),
    ROW("6.3", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("6.1", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: chun ked\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400, ENDS),
    ROW("6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        400, ENDS | CUT),
    ROW("6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.1", "POST /read HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("6.3", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
        ENDS | CUT),
    ROW("6.3", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
        ENDS | CUT),
    ROW("6.3", POST "Content-Length: 5\r\nTransfer-Encoding:\r\n\r\nhello", 400, ENDS),
    ROW_HAS("6.3", POST "Content-Length: 5\r\n\r\nhello", 200, GOES_ON | CUT, "[POST /read h 5]"),
    ROW_HAS("6.3", POST "Content-Length: \t 5 \r\n\r\nhello", 200, GOES_ON, "[POST /read h 5]"),
    ROW_HAS("6.3", POST "Content-Length: 5\t\r\n\r\nhello", 200, GOES_ON, "[POST /read h 5]"),
    ROW_HAS("6.3", POST "Content-Length: 005\r\n\r\nhello", 200, GOES_ON, "[POST /read h 5]"),
    ROW("6.3", "GET /read HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 200, GOES_ON),
    ROW("6.3", "HEAD /read HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 200, GOES_ON),
    ROW("6.3", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, ENDS),
    ROW("6.3", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, ENDS | CUT),
    ROW("6.3", POST "Content-Length: 5, 5\r\n\r\nhello", 400, ENDS),
    ROW("6.3", POST "Content-Length: 5 5\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length:\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length: +5\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length: -5\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length: 0x5\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length: 5_0\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length: 5;\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 8.6", POST "Content-Length: 18446744073709551616\r\n\r\nhello", 400, ENDS),
    ROW("RFC 9110 9.3.6", "CONNECT h:80 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 400,
        ENDS),
    ROW("RFC 9110 9.3.6",
        "CONNECT h:80 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ENDS),
    ROW("RFC 9110 9.3.6", "CONNECT h:80 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 405,
        GOES_ON),
    ROW("RFC 9110 15.5.14", POST "Content-Length: 18446744073709551615\r\n\r\nhello", 413, ENDS),
};

static const struct row chunks[] = {
    ROW_HAS("7.1", CODED "5\r\nhello\r\n00\r\n\r\n", 200, GOES_ON | CUT, "[POST /read h 5]"),
    ROW("7.1", CODED "000000000000000A\r\n0123456789\r\n0\r\n\r\n", 200, GOES_ON),
    ROW("7.1", CODED "00000000000000005\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "10000000000000005\r\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("RFC 9110 15.5.14", CODED "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", 413, ENDS),
    ROW("7.1", CODED "\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED ";a\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "0x5\r\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1", CODED "0_5\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "_5\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "+5\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "-5\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED " 5\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "5 \r\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1", CODED "5\t\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "5g\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "5\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1", CODED "5\rhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "5\rxhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1", CODED "5\r\nhello\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1", CODED "5\r\nhello\r0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1", CODED "5\r\nhello\rx0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "5\r\nhello!\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1", CODED "5\r\nhello0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5;a;b=c;d=\"e;\\\"f\"\r\nhello\r\n0;x\r\n\r\n", 200, GOES_ON | CUT),
    ROW("7.1.1", CODED "5;\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5 ;a\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5; a\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5;a=\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5;=a\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5;a=b c\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5;a=b\"c\"\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.1", CODED "5;a\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1.1", CODED "5;a\rb\r\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1.1", CODED "5;a=\"\r\nhello\r\n0\r\n\r\n", 400, ENDS | CUT),
    ROW("7.1.1", CODED "5;a=\"\0\"\r\nhello\r\n0\r\n\r\n", 400, ENDS),
    ROW("7.1.2", CODED "0\r\nA: b\r\nContent-Length: 9\r\n\r\n", 200, GOES_ON | CUT),
    ROW("7.1.2", CODED "0\r\nContent-Length: x\r\n\r\n", 200, GOES_ON),
    ROW("7.1.2", CODED "0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 200, GOES_ON),
    ROW("7.1.2", CODED "0\r\nTransfer-Encoding: chunked\r\n\r\n", 200, GOES_ON),
    ROW("7.1.2", CODED "0\r\n\rx\r\n\r\n", 400, ENDS),
    ROW("7.1.2", CODED "0\r\nA : b\r\n\r\n", 400, ENDS),
    ROW("7.1.2", CODED "0\r\nA: b\n\r\n", 400, ENDS | CUT),
    ROW("7.1.2", CODED "0\r\nA: b\r\n c\r\n\r\n", 400, ENDS),
    ROW("7.1.2", CODED "0\r\nA: b\0\r\n\r\n", 400, ENDS),
    ROW("7.1.2", CODED "0\r\n\n", 400, ENDS),
    ROW("7.1.2", CODED "0\r\n: b\r\n\r\n", 400, ENDS),
};

#endif
