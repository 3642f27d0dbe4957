/*
 * test_http_body.c - bodies of requests, as their handlers read them, and connections taken over
 */
#include "base/mem.h"
#include "http_test.h"

#define POST(path) "POST " path " HTTP/1.1\r\nHost: example.test\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n\r\n"
#define GET_END "GET /end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

/* Says what it read, in the pieces its path asks for. */
static void tell_body(rn_http_response *w, rn_http_request *r, void *arg)
{
    const char *path = rn_http_get_path(r), *trailer;
    size_t piece = strcmp(path, "/bytes") == 0 ? 1 : 4096, len = 0;
    static char body[1 << 20];
    ssize_t n;

    (void)arg;
    if (strcmp(path, "/ignore") == 0) {
        rn_http_printf(w, "ignored\n");
        return;
    }
    if (strcmp(path, "/small") == 0)
        rn_http_set_max_body(r, 4);
    CHECK_EQ(rn_http_read(r, body, 0), 0);
    if (strcmp(path, "/lower") == 0) { /* than what has been read already */
        CHECK_EQ(rn_http_read(r, body, 3), 3);
        rn_http_set_max_body(r, 1);
    }
    while ((n = rn_http_read(r, body + len,
                             piece < sizeof body - len ? piece : sizeof body - len)) > 0)
        len += (size_t)n;
    CHECK_EQ(rn_http_read(r, body, 1), n);
    if (n < 0) {
        CHECK_OK(rn_http_error(w, n == -EMSGSIZE ? 413 : 400, rn_error_name((int)n)));
        return;
    }
    rn_http_printf(w, "[%.*s]", (int)(len < 64 ? len : 64), body);
    trailer = rn_http_get_trailer(r, "x-sum");
    if (trailer != NULL)
        rn_http_printf(w, " sum=<%s>", trailer);
    CHECK(rn_http_get_trailer(r, "host") == NULL);
    rn_http_printf(w, " %zu\n", len);
}

static struct site *new_site(const rn_http_server_options *o)
{
    struct site *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    open_site(s, o, tell_body, NULL);
    return s;
}

static void end_site(struct site *s)
{
    close_site(s);
    free(s);
}

RN_CORO_TEST(a_body_by_length_is_read_and_the_next_request_follows)
{
    struct site *s = new_site(NULL);

    CHECK_HAS(ask(s, POST("/") "Content-Length: 5\r\n\r\nhello" GET_END), "[hello] 5\n");
    CHECK_HAS(s->answer, "[] 0\n");
    CHECK_HAS(ask(s, POST("/bytes") "Content-Length: 5\r\n\r\nhello" GET_END), "[hello] 5\n");
    CHECK_HAS(s->answer, "[] 0\n");
    end_site(s);
}

/* Every cut, so that head, sizes, data and trailers arrive in two pieces. */
RN_CORO_TEST(a_chunked_body_is_read_however_it_is_cut)
{
    static const char request[] = POST("/bytes") CHUNKED
        "5\r\nhello\r\n1;x=\"y\"\r\n,\r\n006\r\n world\r\n0\r\nX-Sum: 12\r\nHost: "
        "evil\r\n\r\n" GET_END;
    struct site *s = new_site(NULL);

    for (size_t cut = 60; cut < sizeof request - 1; cut++) {
        close_client(s);
        connect_site(s);
        CHECK_OK(rn_write(s->client, request, cut));
        CHECK_OK(rn_sleep(20 * RN_MICROSECOND));
        CHECK_OK(rn_write(s->client, request + cut, sizeof request - 1 - cut));
        CHECK_HAS(hear(s, NULL), "[hello, world] sum=<12> 12\n");
        CHECK_HAS(s->answer, "[] 0\n");
    }
    end_site(s);
}

RN_CORO_TEST(pipelined_bodies_behind_a_full_buffer_find_room)
{
    struct site *s = new_site(NULL);
    char *request = malloc(64 << 10), *at = request;

    /* Small ones until nearly all of the input is used, then one with chunks. */
    for (int i = 0; i < 330; i++)
        at = stpcpy(at, "GET /x HTTP/1.1\r\nHost: example.test\r\nA: b\r\n\r\n");
    at = stpcpy(at, POST("/") CHUNKED);
    for (int i = 0; i < 3000; i++)
        at = stpcpy(at, "1\r\nz\r\n");
    stpcpy(at, "0\r\n\r\n" GET_END);
    say(s, request);
    CHECK_HAS(hear(s, NULL), "] 3000\n");
    free(request);
    end_site(s);
}

RN_CORO_TEST(a_malformed_or_cut_body_is_an_error_and_ends_the_connection)
{
    static const char *const bad[] = {
        POST("/") CHUNKED "x\r\n",
        POST("/") CHUNKED "1\r\nab\r\n0\r\n\r\n",
        POST("/") CHUNKED "0\r\nbad trailer\r\n\r\n",
        POST("/") CHUNKED "1\r\na",
        POST("/") CHUNKED "1\r\na\r\n0\r\n",
        POST("/") "Content-Length: 10\r\n\r\nabc",
    };
    struct site *s = new_site(NULL);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_HAS(ask(s, bad[i]), " 400 ");
        CHECK_HAS(s->answer, i < 3 ? "RN_EHTTP" : "RN_EPARTIAL");
        CHECK_HAS(s->answer, "Connection: close\r\n");
    }
    end_site(s);
}

RN_CORO_TEST(a_body_beyond_its_limit_is_refused)
{
    struct site *s = new_site(&(rn_http_server_options){.max_body_bytes = 1000});

    CHECK_HAS(ask(s, POST("/") "Content-Length: 1001\r\n\r\n"), " 413 ");
    CHECK_HAS(ask(s, POST("/") CHUNKED "3e9\r\n"), " 413 ");
    CHECK_HAS(ask(s, POST("/") CHUNKED "ffffffffffffffff\r\n"), " 413 ");
    CHECK_HAS(ask(s, POST("/small") CHUNKED "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n"), " 413 ");
    CHECK_HAS(ask(s, POST("/lower") CHUNKED "8\r\nabcdefgh\r\n0\r\n\r\n"), " 413 ");
    CHECK_HAS(ask(s, POST("/lower") "Content-Length: 8\r\n\r\nabcdefgh"), " 413 ");
    CHECK_HAS(ask(s, POST("/small") "Content-Length: 4\r\n\r\nabcd" GET_END), "[abcd] 4\n");
    end_site(s);
}

RN_CORO_TEST(a_peer_that_waits_is_asked_to_go_on_when_its_body_is_wanted)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct site *s = new_site(NULL);

    say(s, POST("/") "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    hear(s, go_on);
    say(s, "ok");
    CHECK_HAS(hear(s, "[ok] 2\n"), "HTTP/1.1 200 OK\r\n");
    /* It did not wait. */
    say(s, POST("/") "Content-Length: 2\r\nExpect: 100-continue\r\n\r\nok");
    CHECK_HAS_NO(hear(s, "[ok] 2\n"), "100 Continue");
    /* Nobody wants it: the answer comes at once, and the connection ends, for what follows may be
     * the body or the next request. */
    say(s, POST("/ignore") "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    CHECK_HAS(hear(s, NULL), "Connection: close\r\n");
    CHECK_HAS_NO(s->answer, "100 Continue");
    CHECK_HAS_NO(ask(s, POST("/small") "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"),
                 "100 Continue");
    CHECK_HAS(s->answer, " 413 ");
    end_site(s);
}

RN_CORO_TEST(a_body_that_its_handler_does_not_read_is_passed_over_where_it_is_short)
{
    struct site *s = new_site(&(rn_http_server_options){.max_body_bytes = UINT64_MAX});

    CHECK_HAS(ask(s, POST("/ignore") "Content-Length: 5\r\n\r\nhello" GET_END), "[] 0\n");
    CHECK_HAS(ask(s, POST("/ignore") CHUNKED "5\r\nhello\r\n0\r\n\r\n" GET_END), "[] 0\n");
    CHECK_HAS_NO(ask(s, POST("/ignore") CHUNKED "5\r\nhellooo\r\n0\r\n\r\n" GET_END), "[] 0\n");
    CHECK_HAS(ask(s, POST("/ignore") "Content-Length: 10000000\r\n\r\nhello"),
              "Connection: close\r\n");
    CHECK_HAS(s->answer, "ignored\n");
    end_site(s);
}

RN_CORO_TEST(a_body_that_trickles_runs_out_of_time)
{
    struct site *s = new_site(&(rn_http_server_options){.body_ns = 50 * MS});

    say(s, POST("/") "Content-Length: 10\r\n\r\nabc");
    CHECK_HAS(hear(s, NULL), "ETIME");
    end_site(s);
}

/* ---- taking over ---- */

static void take_over(rn_http_response *w, rn_http_request *r, void *arg)
{
    rn_conn *conn = NULL, *again;
    char buf[64];
    ssize_t n;

    (void)arg;
    if (strcmp(rn_http_get_path(r), "/late") == 0) {
        rn_http_printf(w, "x");
        CHECK_EQ(rn_http_hijack(w, &conn), -EALREADY);
        return;
    }
    if (strcmp(rn_http_get_path(r), "/body") == 0) {
        CHECK_EQ(rn_http_read(r, buf, 1), 1);
        CHECK_EQ(rn_http_hijack(w, &conn), -EBUSY);
        rn_http_printf(w, "busy");
        return;
    }
    CHECK_STR(rn_http_get_header(r, "Upgrade"), "echo");
    CHECK_OK(rn_http_hijack(w, &conn));
    CHECK_EQ(rn_http_hijack(w, &again), -EALREADY);
    /* It is not this request's any more. */
    CHECK_EQ(rn_http_write(w, "x", 1), -EALREADY);
    CHECK_EQ(rn_http_flush(w), -EALREADY);
    CHECK_EQ(rn_http_read(r, buf, 1), -EALREADY);
    CHECK_OK(rn_write(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n", 36));
    while ((n = rn_read(conn, buf, sizeof buf)) > 0)
        CHECK_OK(rn_write(conn, buf, (size_t)n));
    rn_close(conn);
}

/* field.md 12: the first frame comes in one segment with the request, and answers before it are
 * sent before it. */
RN_CORO_TEST(who_takes_a_connection_over_gets_every_byte_already_read)
{
    struct site *s = calloc(1, sizeof *s);

    open_site(s, NULL, take_over, NULL);
    say(s,
        "GET /late HTTP/1.1\r\nHost: x\r\n\r\n"
        "GET /up HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nfirst frame");
    hear(s, "first frame");
    CHECK_HAS(s->answer, "\r\n\r\nxHTTP/1.1 101 Switching Protocols\r\n\r\nfirst frame");
    say(s, ", second");
    hear(s, ", second");
    close_client(s);
    connect_site(s);
    say(s, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab");
    CHECK_HAS(hear(s, NULL), "busy");
    close_site(s);
    free(s);
}

/* ---- taking over while the server ends ---- */

struct ending {
    rn_http_server_options options;
    rn_listener *ln;
    char address[128];
    bool closed, served, returned; /* in this order, but for the last two: returned before served */
};

static void close_and_go_on(rn_http_response *w, rn_http_request *r, void *arg)
{
    struct ending *e = arg;
    rn_conn *conn = NULL;

    (void)r;
    CHECK_OK(rn_http_hijack(w, &conn));
    rn_listener_cancel(e->ln);
    rn_close(conn);
    e->closed = true;
    CHECK_OK(rn_sleep(30 * MS));
    CHECK(!e->served);
    e->returned = true;
}

static int serve_until_cancelled(void *arg)
{
    struct ending *e = arg;

    CHECK_EQ(rn_http_serve("tcp", "127.0.0.1:0", &e->options, close_and_go_on, e), -ECANCELED);
    CHECK(e->returned);
    e->served = true;
    return 0;
}

/* Its connection is gone, and with it what the server waited for; the server is freed when it has
 * ended, so it must wait for the handler, too. */
RN_CORO_TEST_ON(a_server_does_not_end_before_a_handler_that_closed_what_it_took_over, 1)
{
    struct ending e = {.options = {.idle_ns = RN_SECOND}};
    rn_group g = {0};
    rn_conn *client;
    char buf[8];

    e.options.serve.listener = &e.ln;
    CHECK_OK(rn_group_go(&g, serve_until_cancelled, &e));
    while (e.ln == NULL)
        CHECK_OK(rn_sleep(MS));
    CHECK_OK(rn_listener_addr(e.ln, e.address, sizeof e.address));
    CHECK_OK(rn_dial("tcp", e.address, NULL, &client));
    rn_set_deadline(client, rn_after(15 * RN_SECOND));
    CHECK_OK(rn_write(client, GET_END, sizeof GET_END - 1));
    CHECK_EQ(rn_read(client, buf, sizeof buf), 0);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK(e.closed && e.served);
    rn_close(client);
}

/* ---- forms and cookies ---- */

static void tell_pair(rn_http_response *w, const char *name, const char *value)
{
    rn_http_printf(w, "%s=<%s>", name, value == NULL ? "none" : value);
}

static void tell_form(rn_http_response *w, rn_http_request *r, void *arg)
{
    ssize_t n;
    char byte;

    (void)arg;
    if (strcmp(rn_http_get_path(r), "/small") == 0)
        rn_http_set_max_body(r, 4);
    tell_pair(w, "a", rn_http_get_form(r, "a"));
    tell_pair(w, "b c", rn_http_get_form(r, "b c"));
    tell_pair(w, "zero", rn_http_get_form(r, "zero"));
    tell_pair(w, "id", rn_http_get_cookie(r, "id"));
    tell_pair(w, "q", rn_http_get_cookie(r, "q"));
    n = rn_http_read(r, &byte, 1);
    rn_http_printf(w, " %s\n", n < 0 ? rn_error_name((int)n) : n > 0 ? "more" : "end");
}

#define FORM "Content-Type: application/x-www-form-urlencoded"

RN_CORO_TEST_ON(a_form_is_its_pairs_decoded, 1)
{
    static const struct {
        const char *request, *want;
    } rows[] = {
        {POST("/") FORM "\r\nContent-Length: 15\r\n\r\na=1+2&b%20c=%26", "a=<1 2>b c=<&>"},
        {POST("/") FORM ";charset=utf-8\r\n" CHUNKED "3\r\na=x\r\n4\r\n&a=y\r\n0\r\n\r\n",
         "a=<x>b c=<none>zero=<none>id=<none>q=<none> end\n"},
        {POST("/") FORM "\r\nContent-Length: 8\r\n\r\na&zero=\x01", "a=<>b c=<none>zero=<\x01>"},
        {POST("/") FORM "\r\nContent-Length: 12\r\n\r\nzero=a%00b&a", "a=<>b c=<none>zero=<none>"},
        {POST("/") FORM "\r\nContent-Length: 0\r\n\r\n", "a=<none>"},
        /* another type is left to be read */
        {POST("/") "Content-Type: text/plain\r\nContent-Length: 3\r\n\r\na=1", "a=<none>"},
        {POST("/") FORM "x\r\nContent-Length: 3\r\n\r\na=1", "q=<none> more\n"},
        {POST("/") "Content-Length: 3\r\n\r\na=1", "q=<none> more\n"},
        {POST("/small") FORM "\r\nContent-Length: 5\r\n\r\na=123", "q=<none> EMSGSIZE\n"},
        {POST("/") FORM "\r\nContent-Length: 5\r\n\r\na=", "q=<none> RN_EPARTIAL\n"},
        /* RFC 6265 4.2 */
        {"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1; id=7; id=8; q=\"w=x\"\r\n\r\n",
         "id=<7>q=<w=x>"},
        {"GET / HTTP/1.1\r\nHost: x\r\nCookie: xid=1;id=\r\nCookie: q\r\n\r\n", "id=<>q=<>"},
        {"GET / HTTP/1.1\r\nHost: x\r\nCookie: ID=1; ; =\r\n\r\n", "id=<none>q=<none>"},
    };
    static char longest[20000 + 200];
    struct site *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    open_site(s, NULL, tell_form, NULL);
    for (size_t i = 0; i < RN_COUNT_OF(rows); i++)
        CHECK_HAS(ask(s, rows[i].request), rows[i].want);
    /* longer than what it begins with */
    snprintf(longest, sizeof longest, POST("/") FORM "\r\nContent-Length: 20002\r\n\r\na=");
    memset(longest + strlen(longest), 'y', 20000);
    CHECK_HAS(ask(s, longest), "yyy>");
    CHECK(s->len > 20000);
    for (unsigned nth = 1; nth < 6; nth++) {
        close_client(s);
        connect_site(s);
        say(s, longest);
        (void)rn_close_write(s->client);
        rn__mem_fail(nth, 1);
        hear(s, NULL);
        rn__mem_fail(0, 0);
        CHECK(s->len == 0 || strstr(s->answer, "a=<none>") != NULL ||
              strstr(s->answer, "yyy>") != NULL);
    }
    close_site(s);
    free(s);
}
