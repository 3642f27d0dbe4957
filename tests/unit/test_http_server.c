/*
 * test_http_server.c - what a handler sees, says, and what becomes of it on the connection
 */
#include <fcntl.h>

#include "base/mem.h"
#include "base/sys.h"
#include "calls.h"
#include "http_test.h"
#include "task/proc.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: example.test\r\n\r\n"
#define LAST(path) "GET " path " HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"

static uint64_t sends(void)
{
    return calls_on_procs(RN__SYS_send) + calls_on_procs(RN__SYS_sendmsg);
}

static struct site *new_site(const rn_http_server_options *o, rn_http_handler fn, void *arg)
{
    struct site *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    open_site(s, o, fn, arg);
    return s;
}

static void end_site(struct site *s)
{
    close_site(s);
    free(s);
}

/* ---- requests ---- */

static void tell_request(rn_http_response *w, rn_http_request *r, void *arg)
{
    const char *name, *value;

    (void)arg;
    rn_http_printf(w, "%s|%s|%s|%s|%d|%lld\n", rn_http_get_method(r), rn_http_get_target(r),
                   rn_http_get_path(r), rn_http_get_host(r), rn_http_get_minor(r),
                   (long long)rn_http_get_content_length(r));
    for (unsigned i = 0; rn_http_header_at(r, i, &name, &value); i++)
        rn_http_printf(w, "%s=<%s>\n", name, value);
    value = rn_http_get_query(r, "a b");
    rn_http_printf(w, "query=<%s>\n", value == NULL ? "none" : value);
    CHECK(rn_http_get_header(r, "x-none") == NULL);
    CHECK(rn_http_get_header(r, "HOST") != NULL);
    CHECK(rn_http_get_path_value(r, "x") == NULL);
}

RN_CORO_TEST(a_handler_sees_its_request_and_the_answer_has_its_length)
{
    struct site *s = new_site(NULL, tell_request, NULL);

    say(s, "GET /a%20b/%2Fc?x=1&a+b=%26+%2B&a%20b=2 HTTP/1.1\r\nHost: h.test:80\r\nX-Y:  v w "
           "\r\n\r\n");
    hear(s, "query=<& +>\n");
    CHECK_HAS(s->answer, "HTTP/1.1 200 OK\r\n");
    CHECK_HAS(s->answer, "Server: runnel\r\n");
    CHECK_HAS(s->answer, "\r\nDate: ");
    CHECK_HAS(s->answer, "GET|/a%20b/%2Fc?x=1&a+b=%26+%2B&a%20b=2|/a b/%2Fc|h.test:80|1|0\n");
    CHECK_HAS(s->answer, "X-Y=<v w>\n");
    say(s, "GET http://u.test/p?a%20b HTTP/1.0\r\nHost: h.test\r\n\r\n");
    hear(s, NULL);
    CHECK_HAS(s->answer, "GET|http://u.test/p?a%20b|/p|u.test|0|0\n");
    CHECK_HAS(s->answer, "query=<>\n");
    CHECK_HAS(s->answer, "Connection: close\r\n");
    CHECK_HAS(ask(s, "GET /?a+b=x%00y HTTP/1.1\r\nHost: x\r\n\r\n"), "query=<none>\n");
    CHECK_HAS(ask(s, "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n"), "CONNECT|x:1||x:1|1|0\n");
    end_site(s);
}

/* By length, not known yet, more than is staged. */
static void answer_tunnel(rn_http_response *w, rn_http_request *r, void *arg)
{
    int port = atoi(strchr(rn_http_get_target(r), ':') + 1);

    (void)arg;
    if (port == 1)
        CHECK_OK(rn_http_set_length(w, 20000));
    for (int i = 0; i < (port == 2 ? 2 : 2000); i++)
        CHECK_EQ(rn_http_write(w, "0123456789", 10), 10);
}

/* RFC 9110 8.6 and RFC 9112 6.1: what follows is the tunnel's, and ends with the connection. */
RN_CORO_TEST(an_answer_that_opens_a_tunnel_says_no_length)
{
    static const size_t lens[] = {20000, 20, 20000};
    struct site *s = new_site(NULL, answer_tunnel, NULL);
    char request[64];

    for (int i = 0; i < 3; i++) {
        snprintf(request, sizeof request, "CONNECT x:%d HTTP/1.1\r\nHost: x\r\n\r\n", i + 1);
        CHECK_HAS(ask(s, request), " 200 OK\r\n");
        CHECK_HAS(s->answer, "Connection: close\r\n");
        CHECK_HAS_NO(s->answer, "Content-Length");
        CHECK_HAS_NO(s->answer, "Transfer-Encoding");
        CHECK_EQ(strlen(strstr(s->answer, "\r\n\r\n") + 4), lens[i]);
    }
    end_site(s);
}

static void remember(rn_http_response *w, rn_http_request *r, void *arg)
{
    int *drops = arg, *mine = rn_http_get_conn_value(r);

    CHECK(rn_http_get_value(r) == NULL);
    rn_http_set_value(r, w);
    CHECK(rn_http_get_value(r) == w);
    CHECK(rn_http_alloc(r, 100) != NULL);
    CHECK(rn_http_alloc(r, SIZE_MAX) == NULL);
    CHECK(rn_http_get_conn(r) != NULL);
    if (mine == NULL) {
        mine = calloc(1, sizeof *mine);
        CHECK_OK(rn_http_set_conn_value(r, mine, free));
    }
    rn_http_printf(w, "visit %d\n", ++*mine);
    (void)drops;
}

/* The value is freed by its drop: a leak checker tells. */
RN_CORO_TEST(values_stay_with_the_request_and_the_connection)
{
    struct site *s = new_site(NULL, remember, NULL);

    for (int i = 0; i < 3; i++) {
        char want[16];

        say(s, GET("/"));
        snprintf(want, sizeof want, "visit %d\n", i + 1);
        hear(s, want);
        CHECK_OK(rn_sleep(MS)); /* it rests in between */
    }
    CHECK_HAS(ask(s, LAST("/")), "visit 1\n");
    end_site(s);
}

/* ---- answers ---- */

static void answer_by_path(rn_http_response *w, rn_http_request *r, void *arg)
{
    const char *path = rn_http_get_path(r);

    (void)arg;
    if (strcmp(path, "/silent") == 0) {
        return;
    } else if (strcmp(path, "/status") == 0) {
        CHECK_EQ(rn_http_set_status(w, 100), -EINVAL);
        CHECK_EQ(rn_http_set_status(w, 1000), -EINVAL);
        CHECK_OK(rn_http_set_status(w, 299));
    } else if (strcmp(path, "/none") == 0) {
        CHECK_OK(rn_http_set_status(w, 204));
        CHECK_EQ(rn_http_write(w, "x", 1), -EMSGSIZE);
    } else if (strcmp(path, "/reset") == 0) {
        CHECK_OK(rn_http_set_status(w, 205));
        CHECK_EQ(rn_http_write(w, "x", 1), -EMSGSIZE);
    } else if (strcmp(path, "/empty") == 0) {
        CHECK_EQ(rn_http_write(w, "", 0), 0);
    } else if (strcmp(path, "/long") == 0) {
        for (int i = 0; i < 3000; i++)
            CHECK_EQ(rn_http_printf(w, "line %6d\n", i), 12);
    } else if (strcmp(path, "/flush") == 0) {
        CHECK_EQ(rn_http_write(w, "one,", 4), 4);
        CHECK_OK(rn_http_flush(w));
        CHECK_EQ(rn_http_set_status(w, 500), -EALREADY);
        CHECK_EQ(rn_http_set_header(w, "A", "b"), -EALREADY);
        CHECK_EQ(rn_http_set_length(w, 7), -EALREADY);
        CHECK_EQ(rn_http_write(w, "two", 3), 3);
    } else if (strcmp(path, "/known") == 0) {
        CHECK_OK(rn_http_set_length(w, 6));
        CHECK_EQ(rn_http_write(w, "abc", 3), 3);
        CHECK_EQ(rn_http_write(w, "defg", 4), -EMSGSIZE);
        CHECK_EQ(rn_http_write(w, "def", 3), 3);
    } else if (strcmp(path, "/short") == 0) {
        CHECK_OK(rn_http_set_header(w, "Content-Length", "10"));
        CHECK_EQ(rn_http_write(w, "abc", 3), 3);
    } else if (strcmp(path, "/late-length") == 0) { /* not less than what is there already */
        CHECK_EQ(rn_http_write(w, "abcdef", 6), 6);
        CHECK_EQ(rn_http_set_length(w, 0), -EMSGSIZE);
        CHECK_EQ(rn_http_set_length(w, 5), -EMSGSIZE);
        CHECK_EQ(rn_http_set_header(w, "Content-Length", "5"), -EMSGSIZE);
        CHECK_OK(rn_http_set_length(w, 6));
        CHECK_EQ(rn_http_write(w, "g", 1), -EMSGSIZE);
    } else if (strcmp(path, "/promised") == 0) {
        CHECK_OK(rn_http_set_length(w, 10));
    } else if (strcmp(path, "/close") == 0) {
        CHECK_OK(rn_http_set_header(w, "Connection", "close"));
        rn_http_printf(w, "%s", "bye");
    } else if (strcmp(path, "/big") == 0) {
        static char big[1 << 20];

        CHECK_OK(rn_http_set_length(w, sizeof big));
        CHECK_EQ(rn_http_write(w, big, sizeof big), sizeof big);
    } else {
        rn_http_printf(w, "this is %s\n", path);
    }
}

RN_CORO_TEST(a_handler_that_says_nothing_is_answered_for_by_a_500)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);

    say(s, GET("/silent"));
    CHECK_HAS(hear(s, "</html>\n"), "HTTP/1.1 500 Internal Server Error\r\n");
    say(s, GET("/promised"));
    CHECK_HAS(hear(s, "</html>\n"), "HTTP/1.1 500 Internal Server Error\r\n");
    say(s, LAST("/next")); /* the connection goes on */
    CHECK_HAS(hear(s, NULL), "this is /next\n");
    end_site(s);
}

RN_CORO_TEST(answers_have_a_length_or_chunks_or_an_end)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);

    CHECK_HAS(ask(s, LAST("/status")), "HTTP/1.1 299 ");
    CHECK_HAS(s->answer, "Content-Length: 0\r\n");
    CHECK_HAS(ask(s, LAST("/none")), "HTTP/1.1 204 No Content\r\n");
    CHECK_HAS_NO(s->answer, "Content-Length");
    CHECK_HAS(ask(s, LAST("/reset")), "HTTP/1.1 205 Reset Content\r\n");
    CHECK_HAS(s->answer, "Content-Length: 0\r\n");
    CHECK_HAS(ask(s, LAST("/empty")), "HTTP/1.1 200 OK\r\n");
    CHECK_HAS(s->answer, "Content-Length: 0\r\n");
    CHECK_HAS(ask(s, LAST("/flush")), "\r\n\r\n4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n");
    CHECK_HAS(s->answer, "Transfer-Encoding: chunked\r\n");
    CHECK_HAS(ask(s, "GET /flush HTTP/1.0\r\n\r\n"), "\r\n\r\none,two");
    CHECK_HAS_NO(s->answer, "chunked");
    CHECK_HAS(ask(s, LAST("/known")), "Content-Length: 6\r\n");
    CHECK_HAS(s->answer, "\r\n\r\nabcdef");
    CHECK_HAS(ask(s, LAST("/late-length")), "Content-Length: 6\r\n");
    CHECK_HAS(s->answer, "\r\n\r\nabcdef");
    CHECK_HAS(ask(s, LAST("/long")), "Transfer-Encoding: chunked\r\n");
    CHECK_HAS(s->answer, "line   2999\n\r\n0\r\n\r\n");
    CHECK_HAS(ask(s, GET("/close")), "Connection: close\r\n");
    end_site(s);
}

RN_CORO_TEST(a_head_request_is_answered_by_the_head_alone)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);

    say(s, "HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n" /* and the next answer follows at once */
           "HEAD /known HTTP/1.1\r\nHost: x\r\n\r\n"
           "HEAD /long HTTP/1.1\r\nHost: x\r\n\r\n"
           "HEAD /silent HTTP/1.1\r\nHost: x\r\n\r\n" LAST("/end"));
    hear(s, NULL);
    CHECK_HAS(s->answer, "Content-Length: 11\r\n\r\nHTTP/1.1 200 OK\r\n");
    CHECK_HAS(s->answer, "Content-Length: 6\r\n\r\nHTTP/1.1 200 OK\r\n");
    CHECK_HAS_NO(s->answer, "chunked");
    CHECK_HAS_NO(s->answer, "line");
    CHECK_HAS(s->answer, "HTTP/1.1 500 ");
    CHECK_HAS(s->answer, "\r\n\r\nthis is /end\n");
    end_site(s);
}

RN_CORO_TEST(a_body_that_is_shorter_than_its_length_ends_the_connection)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);

    say(s, GET("/short") GET("/next"));
    CHECK_HAS(hear(s, NULL), "\r\n\r\nabc");
    CHECK_HAS_NO(s->answer, "next");
    end_site(s);
}

RN_CORO_TEST(answers_of_a_batch_leave_in_one_send)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);
    char batch[2048] = "";
    uint64_t before;

    for (int i = 0; i < 15; i++)
        strcat(batch, GET("/x"));
    strcat(batch, LAST("/y"));
    before = sends();
    say(s, batch);
    CHECK_HAS(hear(s, NULL), "this is /y\n");
    CHECK_EQ(sends() - before, 2); /* ours, and the server's */
    end_site(s);
}

/* A close that lingers keeps its descriptor until the peer is done: only where more may come. */
RN_CORO_TEST(a_connection_whose_last_request_was_read_whole_does_not_linger)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);
    uint64_t before = calls_on_procs(RN__SYS_shutdown);

    say(s, GET("/x") LAST("/y"));
    CHECK_HAS(hear(s, NULL), "this is /y\n");
    CHECK_EQ(calls_on_procs(RN__SYS_shutdown) - before, 0);
    close_client(s);
    connect_site(s);
    before = calls_on_procs(RN__SYS_shutdown);
    say(s, LAST("/x") GET("/y"));
    CHECK_HAS(hear(s, NULL), "this is /x\n");
    CHECK_EQ(calls_on_procs(RN__SYS_shutdown) - before, 1);
    end_site(s);
}

static void refuse_upload(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)arg;
    (void)r;
    CHECK_OK(rn_http_error(w, 413, "no"));
}

/* A reset would lose the answer to who sends on: its writes fail before it has looked. Instead its
 * window closes, and it has 2 s. On some try in time, however busy the machine. */
RN_CORO_TEST(an_upload_that_is_refused_is_not_reset_while_its_answer_is_read)
{
    static char body[32 << 20]; /* more than any buffers hold */
    struct site *s = new_site(NULL, refuse_upload, NULL);
    bool good = false;

    for (int i = 0; i < 5 && !good; i++) {
        say(s, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999\r\n\r\n");
        rn_set_write_deadline(s->client, rn_after(300 * MS));
        good = rn_write(s->client, body, sizeof body) == -ETIME;
        CHECK_HAS(hear(s, NULL), "HTTP/1.1 413 ");
        close_client(s);
        connect_site(s);
    }
    CHECK(good);
    end_site(s);
}

static void set_headers(rn_http_response *w, rn_http_request *r, void *arg)
{
    (void)arg;
    (void)r;
    CHECK_OK(rn_http_set_header(w, "X-One", "1"));
    CHECK_OK(rn_http_add_header(w, "x-one", "2"));
    CHECK_OK(rn_http_set_header(w, "X-Two", "2"));
    CHECK_OK(rn_http_set_header(w, "X-One", "3"));
    CHECK_OK(rn_http_set_header(w, "X-Two", NULL));
    CHECK_OK(rn_http_set_header(w, "X-Two", NULL));
    CHECK_OK(rn_http_set_header(w, "X-Empty", ""));
    CHECK_OK(rn_http_set_header(w, "Server", "mine"));
    CHECK_OK(rn_http_set_header(w, "Date", "then"));
    /* What would end the line, or the head. */
    CHECK_EQ(rn_http_set_header(w, "X-Bad", "a\r\nb: c"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "X-Bad", "a\nb"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "X-Bad", "a\x7f"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "X Bad", "a"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "X-Bad:", "a"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "", "a"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "Transfer-Encoding", "gzip"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "Connection", "keep-alive"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "Content-Length", "-1"), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "Content-Length", ""), -EINVAL);
    CHECK_EQ(rn_http_set_header(w, "Content-Length", "99999999999999999999"), -EINVAL);
    CHECK_OK(rn_http_set_header(w, "Content-Length", "1"));
    CHECK_OK(rn_http_set_header(w, "Content-Length", NULL));
    rn_http_printf(w, "done");
}

static void set_too_many(rn_http_response *w, rn_http_request *r, void *arg)
{
    int n = 0, last = 0;

    (void)arg;
    (void)r;
    while (last == 0) {
        last = rn_http_add_header(w, "X-Long", "0123456789012345678901234567890123456789");
        n++;
    }
    CHECK_EQ(last, -EMSGSIZE);
    CHECK(n > 200);
    rn_http_printf(w, "done");
}

RN_CORO_TEST(header_fields_are_set_added_removed_and_checked)
{
    struct site *s = new_site(&(rn_http_server_options){.name = ""}, set_headers, NULL);

    CHECK_HAS(ask(s, LAST("/")), "\r\nX-One: 3\r\nX-Empty: \r\n");
    CHECK_HAS(s->answer, "\r\nServer: mine\r\n");
    CHECK_HAS(s->answer, "\r\nDate: then\r\n");
    CHECK_HAS(s->answer, "\r\nContent-Length: 4\r\n");
    CHECK_HAS_NO(s->answer, "x-one");
    CHECK_HAS_NO(s->answer, "X-Two");
    end_site(s);
    s = new_site(&(rn_http_server_options){.name = ""}, set_too_many, NULL);
    CHECK_HAS(ask(s, LAST("/")), "\r\n\r\ndone");
    CHECK_HAS_NO(s->answer, "Server");
    end_site(s);
}

static void fail_late(rn_http_response *w, rn_http_request *r, void *arg)
{
    const char *path = rn_http_get_path(r);

    (void)arg;
    CHECK_OK(rn_http_set_header(w, "ETag", "\"x\""));
    CHECK_OK(rn_http_set_header(w, "X-Keep", "1"));
    rn_http_printf(w, "half of it");
    if (strcmp(path, "/late") == 0) {
        CHECK_OK(rn_http_flush(w));
        CHECK_EQ(rn_http_error(w, 500, "<no>"), -EALREADY);
        CHECK(rn_http_write(w, "x", 1) < 0);
    } else if (strcmp(path, "/away") == 0) {
        CHECK_EQ(rn_http_redirect(w, 302, "/a\r\nb"), -EINVAL);
        CHECK_OK(rn_http_redirect(w, 302, "/else?where"));
    } else {
        CHECK_OK(rn_http_error(w, 418, "<no> & \"never\""));
    }
}

RN_CORO_TEST(an_error_takes_back_what_was_not_sent_and_else_ends_the_connection)
{
    struct site *s = new_site(NULL, fail_late, NULL);

    CHECK_HAS(ask(s, LAST("/early")), "HTTP/1.1 418 I'm a teapot\r\n");
    CHECK_HAS(s->answer, "&lt;no&gt; &amp; &quot;never&quot;");
    CHECK_HAS(s->answer, "X-Keep: 1\r\n");
    CHECK_HAS_NO(s->answer, "ETag");
    CHECK_HAS_NO(s->answer, "half");
    CHECK_HAS(ask(s, LAST("/away")), "HTTP/1.1 302 Found\r\n");
    CHECK_HAS(s->answer, "Location: /else?where\r\n");
    say(s, ""); /* the chunked body has no end, so nobody takes it for whole */
    CHECK_HAS(ask(s, GET("/late") GET("/early")), "\r\n\r\na\r\nhalf of it\r\n");
    CHECK_HAS_NO(s->answer, "0\r\n\r\n");
    CHECK_HAS_NO(s->answer, "418");
    end_site(s);
}

static void send_middle(rn_http_response *w, rn_http_request *r, void *arg)
{
    int fd = *(int *)arg;

    if (strcmp(rn_http_get_path(r), "/framed") == 0) {
        CHECK_OK(rn_http_set_length(w, 9));
        CHECK_EQ(rn_http_write(w, "<<", 2), 2);
        CHECK_EQ(rn_http_send_file(w, fd, 2, 5), 5);
        CHECK_EQ(rn_http_send_file(w, fd, 2, 5), -EMSGSIZE);
        CHECK_EQ(rn_http_write(w, ">>", 2), 2);
    } else if (strcmp(rn_http_get_path(r), "/short") == 0) {
        CHECK(rn_http_send_file(w, fd, 5, 50) < 0);
    } else {
        CHECK_EQ(rn_http_send_file(w, fd, 0, 10), 10);
    }
}

RN_CORO_TEST(pieces_of_files_are_sent)
{
    char path[] = "/tmp/rntest-http-XXXXXX";
    int fd = mkstemp(path);
    struct site *s = new_site(NULL, send_middle, &fd);

    unlink(path);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_HAS(ask(s, LAST("/all")), "Content-Length: 10\r\n");
    CHECK_HAS(s->answer, "\r\n\r\n0123456789");
    CHECK_HAS(ask(s, LAST("/framed")), "\r\n\r\n<<23456>>");
    CHECK_HAS(ask(s, GET("/short") GET("/all")), "\r\n\r\n56789");
    CHECK_HAS_NO(s->answer, "0123456789");
    CHECK_HAS(ask(s, "HEAD /all HTTP/1.1\r\nHost: x\r\n\r\n"), "Content-Length: 10\r\n\r\n");
    end_site(s);
    close(fd);
}

/* ---- the server ---- */

static void note_done(const rn_http_done *done, void *arg)
{
    rn_http_done *last = arg;

    *last = *done;
    if (done->request != NULL)
        CHECK(rn_http_get_target(done->request)[0] == '/');
}

RN_CORO_TEST(what_was_answered_is_told)
{
    rn_http_done last = {0};
    struct site *s = new_site(&(rn_http_server_options){.done = note_done, .done_arg = &last},
                              answer_by_path, NULL);

    ask(s, LAST("/x"));
    CHECK_EQ(last.status, 200);
    CHECK_EQ(last.body_bytes, 11);
    CHECK(last.began > 0 && last.request != NULL && last.conn != NULL && last.error == 0);
    ask(s, "HEAD /x HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_EQ(last.body_bytes, 0);
    ask(s, GET("/short"));
    CHECK_EQ(last.error, -RN_EPARTIAL);
    ask(s, "GET / HTTP/1.1\r\n\r\n");
    CHECK_EQ(last.status, 400);
    CHECK(last.request == NULL);
    end_site(s);
}

RN_CORO_TEST(limits_of_heads_are_options)
{
    rn_http_server_options o = {
        .max_head_bytes = 256, .max_target_bytes = 64, .max_fields = 3, .name = "tight"};
    struct site *s = new_site(&o, answer_by_path, NULL);
    char request[1024];

    CHECK_HAS(ask(s, LAST("/x")), "Server: tight\r\n");
    snprintf(request, sizeof request, "GET /%0100d HTTP/1.1\r\n\r\n", 1);
    CHECK_HAS(ask(s, request), " 414 ");
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: x\r\nX: %0300d\r\n\r\n", 1);
    CHECK_HAS(ask(s, request), " 431 ");
    CHECK_HAS(ask(s, "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nA: b\r\nA: b\r\n\r\n"), " 431 ");
    end_site(s);
}

RN_CORO_TEST(options_that_do_not_fit_are_refused)
{
    static const rn_http_server_options bad[] = {
        {.max_head_bytes = (1 << 20) + 1},
        {.max_fields = 101},
        {.idle_ns = -2},
        {.head_ns = -2},
        {.body_ns = -2},
        {.write_ns = -2},
        {.name = "a\r\nb"},
        {.reserved = {1}},
    };
    rn_http_server *s = NULL;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_EQ(rn_http_server_new(&bad[i], answer_by_path, NULL, &s), -EINVAL);
    CHECK(s == NULL);
    CHECK_EQ(rn_http_serve("tcp", "127.0.0.1:0", &bad[0], answer_by_path, NULL), -EINVAL);
    rn_http_server_free(NULL);
}

RN_TEST(a_server_is_made_in_a_coroutine)
{
    rn_http_server *s;

    CHECK_EQ(rn_http_server_new(NULL, answer_by_path, NULL, &s), -EDEADLK);
}

RN_CORO_TEST(a_slow_head_is_answered_408_and_an_idle_connection_closed)
{
    rn_http_server_options o = {.head_ns = 400 * MS, .idle_ns = 200 * MS};
    struct site *s = new_site(&o, answer_by_path, NULL);

    say(s, "GET / HT");
    CHECK_HAS(hear(s, NULL), " 408 ");
    close_client(s);
    connect_site(s);
    say(s, GET("/x"));
    CHECK_HAS(hear(s, NULL), "this is /x\n"); /* and then it is closed by the server */
    end_site(s);
}

/* RFC 9112 2.2: it may be behind the last body, of a client that has nothing more to ask. */
RN_CORO_TEST(an_empty_line_between_requests_starts_no_clock)
{
    rn_http_server_options o = {.head_ns = 400 * MS};
    struct site *s = new_site(&o, answer_by_path, NULL);

    say(s, "\r\n" GET("/x") "\r\n");
    hear(s, "this is /x\n");
    rn_sleep(500 * MS);
    say(s, "\r");
    rn_yield();
    say(s, "\n");
    rn_sleep(500 * MS);
    say(s, GET("/y"));
    CHECK_HAS(hear(s, "this is /y\n"), " 200 ");
    say(s, "\r\n\r\n\r\n");
    CHECK_HAS(hear(s, NULL), " 400 ");
    end_site(s);
}

struct far_conn {
    rn_conn *conn;
    rn_http_server *server;
    rn_waitgroup done;
};

static void serve_far(void *arg)
{
    struct far_conn *far = arg;

    rn_http_serve_conn(far->conn, far->server); /* until it rests first */
}

static void let_others_end(void *arg)
{
    struct far_conn *far = arg;

    for (int i = 0; i < 20; i++)
        rn_yield();
    rn_waitgroup_done(&far->done);
}

/* Its P slept meanwhile, longer than a head may take. */
RN_CORO_TEST(a_head_in_two_pieces_has_all_of_its_time_after_a_long_rest)
{
    rn_go_options there = {.proc = 3 - rn_proc_id()};
    rn_http_server_options o = {.head_ns = 3 * RN_SECOND};
    struct site s = {.len = 0};
    struct far_conn far = {.conn = NULL};

    CHECK_OK(rn_http_server_new(&o, answer_by_path, NULL, &far.server));
    rntest_pair(&s.client, &far.conn);
    rn_set_deadline(s.client, rn_after(15 * RN_SECOND));
    CHECK_OK(rn_go_with(&there, serve_far, &far));
    say(&s, GET("/one"));
    hear(&s, "this is /one\n");
    rn_sleep(3200 * MS);
    say(&s, "GET /two HTTP/1.1\r\n");
    rn_sleep(10 * MS);
    say(&s, "Host: x\r\nConnection: close\r\n\r\n");
    CHECK_HAS(hear(&s, NULL), "this is /two\n");
    rn_close(s.client);
    rn_waitgroup_add(&far.done, 1); /* the exchange has still to return */
    CHECK_OK(rn_go_with(&there, let_others_end, &far));
    CHECK_OK(rn_waitgroup_wait(&far.done));
    rn_http_server_free(far.server);
}

static void write_without_end(rn_http_response *w, rn_http_request *r, void *arg)
{
    static const char some[64 << 10];
    ssize_t n = 0;

    (void)r;
    for (int i = 0; i < 1024 && n >= 0; i++) /* more than any socket's buffer */
        n = rn_http_write(w, some, sizeof some);
    CHECK_EQ(n, -ETIME);
    CHECK_EQ(rn_http_write(w, some, 1), -ETIME);
    CHECK_EQ(rn_http_flush(w), -ETIME);
    *(bool *)arg = true;
}

RN_CORO_TEST(a_peer_that_does_not_read_is_not_waited_for)
{
    bool timed_out = false;
    rn_http_done last = {0};
    rn_http_server_options o = {.write_ns = 50 * MS, .done = note_done, .done_arg = &last};
    struct site *s = new_site(&o, write_without_end, &timed_out);

    say(s, GET("/x") GET("/y"));
    while (last.status == 0)
        CHECK_OK(rn_sleep(MS));
    CHECK(timed_out);
    CHECK_EQ(last.error, -ETIME);
    end_site(s);
}

/* Whatever allocation fails, there is an answer, or the connection is closed. */
RN_CORO_TEST_ON(without_memory_connections_end_and_nothing_is_lost, 1)
{
    struct site *s = new_site(NULL, answer_by_path, NULL);

    for (unsigned nth = 1; nth < 8; nth++) {
        close_client(s);
        connect_site(s);
        say(s, LAST("/some"));
        rn__mem_fail(nth, 1);
        hear(s, NULL);
        rn__mem_fail(0, 0);
        CHECK(s->len == 0 || strstr(s->answer, "HTTP/1.1 ") == s->answer);
    }
    CHECK_HAS(s->answer, "this is /some\n");
    for (unsigned nth = 1; nth < 3; nth++) {
        rn_http_server *none = NULL;

        rn__mem_fail(nth, 1);
        CHECK(rn_http_server_new(NULL, answer_by_path, NULL, &none) == (nth == 1 ? -ENOMEM : 0));
        rn__mem_fail(0, 0);
        rn_http_server_free(none);
    }
    end_site(s);
}

/* The page that stands for a handler's silence cannot be staged, and goes out by itself. Each time
 * on a new server: what an exchange has allocated it keeps. */
RN_CORO_TEST_ON(without_memory_there_is_still_one_head, 1)
{
    bool answered = false;

    for (unsigned nth = 1; nth < 8; nth++) {
        struct site *s = new_site(NULL, answer_by_path, NULL);
        const char *first;

        say(s, LAST("/silent"));
        rn__mem_fail(nth, 1);
        first = strstr(hear(s, NULL), "HTTP/1.1 ");
        rn__mem_fail(0, 0);
        CHECK(first == NULL || strstr(first + 1, "HTTP/1.1 ") == NULL);
        answered |= first != NULL;
        end_site(s);
    }
    CHECK(answered);
}

struct serving {
    rn_http_server *server;
    rn_listener *ln;
    int result;
};

static int serve_some(void *arg)
{
    struct serving *v = arg;

    v->result = rn_http_serve_listener(v->server, v->ln);
    return 0;
}

RN_CORO_TEST(a_server_drains_when_its_listener_is_cancelled)
{
    struct serving v = {.result = 0};
    struct site *s = calloc(1, sizeof *s);
    rn_group g = {0};
    char address[128];

    CHECK_OK(rn_http_server_new(NULL, answer_by_path, NULL, &v.server));
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &v.ln));
    CHECK_OK(rn_group_go(&g, serve_some, &v));
    CHECK_OK(rn_listener_addr(v.ln, address, sizeof address));
    CHECK_OK(rn_dial("tcp", address, NULL, &s->client));
    rn_set_deadline(s->client, rn_after(15 * RN_SECOND));
    say(s, GET("/x"));
    CHECK_HAS(hear(s, "this is /x\n"), " 200 ");
    rn_listener_cancel(v.ln);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(v.result, -ECANCELED);
    CHECK_EQ(strlen(hear(s, NULL)), 0);
    rn_close(s->client);
    rn_listener_close(v.ln);
    rn_http_server_free(v.server);
    free(s);
}
