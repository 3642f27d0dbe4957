/*
 * test_http_client_bad.c - the client against servers that close, lie, stall and babble
 */
#include "base/sys.h"
#include "client_test.h"

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"

static int get_from(const char *script, const rn_http_client_options *o)
{
    struct fake *f = new_fake(&script, 1);
    rn_http_client *c = new_client(o);
    int r = try_get(c, f->url);

    rn_http_client_free(c);
    end_fake(f);
    return r;
}

RN_CORO_TEST(malformed_and_broken_responses_are_errors)
{
    static const struct {
        const char *script;
        int error;
    } t[] = {
        {"!", -RN_EPARTIAL},
        {"!HTTP/1.1 200 OK\r\nA: b", -RN_EPARTIAL},
        {"!HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoo", -RN_EPARTIAL},
        {"!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngoo", -RN_EPARTIAL},
        {"!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n", -RN_EPARTIAL},
        {"!HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", -RN_EPARTIAL},
        {"?HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngoodbye", -RN_EHTTP},
        {"?HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx", -RN_EHTTP},
        {"?HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na b\r\n", -RN_EHTTP},
        {"?HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", -RN_EHTTP},
        {"?SSH-2.0-OpenSSH_9.2\r\n", -RN_EHTTP},
        {"?HTTP/1.1 101 Switching Protocols\r\n\r\n", -RN_EHTTP},
        {"?HTTP/1.1 200 OK\nA: b\n\n", -RN_EHTTP},
        {"!HTTP/1.1 200 OK\r\n\r\nuntil the end", 0},
        {"!HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ngood", 0},
        {"?HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" GOOD, 0},
    };

    for (size_t i = 0; i < sizeof t / sizeof *t; i++)
        CHECK_EQ(get_from(t[i].script, NULL), t[i].error);
}

RN_CORO_TEST(long_heads_and_floods_of_interim_responses_are_refused)
{
    static char text[64 << 10];
    rn_http_client_options o = {.max_head_bytes = 1000};
    char *at = stpcpy(text, "?HTTP/1.1 200 OK\r\nA: ");

    memset(at, 'x', 20000);
    CHECK_EQ(get_from(text, NULL), -EMSGSIZE);
    at[1000] = '\0';
    CHECK_EQ(get_from(text, &o), -EMSGSIZE);
    strcpy(at + 900, "\r\nContent-Length: 0\r\n\r\n");
    CHECK_EQ(get_from(text, &o), 0);
    at = stpcpy(text, "?");
    for (int i = 0; i < 16; i++)
        at = stpcpy(at, "HTTP/1.1 102 Processing\r\n\r\n");
    strcpy(at, GOOD);
    CHECK_EQ(get_from(text, NULL), 0);
    strcpy(at, "HTTP/1.1 102 Processing\r\n\r\n" GOOD);
    CHECK_EQ(get_from(text, NULL), -RN_EHTTP);
    /* Extensions and trailers have a limit below the room there is. */
    at = stpcpy(text, "?HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ");
    memset(at, 'x', 30000);
    at[30000] = '\0';
    CHECK_EQ(get_from(text, NULL), -RN_EHTTP);
}

RN_CORO_TEST(trailers_are_told_but_for_those_that_could_mislead)
{
    struct fake *f = FAKE(
        "?HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2;x=y\r\nab\r\n0\r\nX-Sum: 1 2 \r\nContent-Length: 9\r\nX-Sum: 3\r\n\r\n");
    rn_http_client *c = new_client(NULL);
    rn_http_reply *reply;
    char body[16];
    int error;

    CHECK_OK(rn_http_get(c, f->url, &reply));
    CHECK_EQ(rn_http_reply_length(reply), -1);
    CHECK_EQ(read_all(reply, body, sizeof body, &error), 2);
    CHECK_EQ(error, 0);
    CHECK_STR(rn_http_reply_trailer(reply, "x-sum"), "1 2");
    CHECK(rn_http_reply_trailer(reply, "content-length") == NULL);
    rn_http_reply_close(reply);
    rn_http_client_free(c);
    end_fake(f);
}

RN_CORO_TEST(time_limits_end_a_call_and_its_body)
{
    rn_http_client_options head = {.head_ns = 10 * MS}, whole = {.whole_ns = 10 * MS};
    rn_http_client_options none = {
        .dial_ns = -1, .head_ns = -1, .whole_ns = -1, .continue_ns = -1, .idle_ns = -1};
    struct fake *f = FAKE("?HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo");
    rn_http_client *c = new_client(NULL);
    rn_http_client_request q = {.url = f->url, .deadline = rn_after(10 * MS)};
    rn_http_reply *reply;
    int r;

    CHECK_EQ(get_from("?", &head), -ETIME);
    CHECK_EQ(get_from("?HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 ", &head), -ETIME);
    CHECK_EQ(get_from("?", &whole), -ETIME);
    CHECK_EQ(get_from("?HTTP/1.1 200 OK\r\n\r\nfor ever", &whole), -ETIME);
    CHECK_EQ(get_from("?" GOOD, &none), 0);
    r = rn_http_do(c, &q, &reply);
    if (r == 0) { /* the head may have been in time */
        char body[8];

        read_all(reply, body, sizeof body, &r);
        rn_http_reply_close(reply);
    }
    CHECK_EQ(r, -ETIME);
    rn_http_client_free(c);
    end_fake(f);
}

static int get_silence(void *arg)
{
    void **a = arg;

    return try_get(a[0], a[1]);
}

RN_CORO_TEST(a_cancel_ends_a_call)
{
    struct fake *f = FAKE("?", GOOD);
    rn_http_client *c = new_client(NULL);
    rn_group g = RN_GROUP_INIT;
    void *arg[] = {c, f->url};

    CHECK_OK(rn_group_go(&g, get_silence, arg));
    for (int i = 0; f->next == 0; i++) {
        CHECK(i < 15000);
        CHECK_OK(rn_sleep(MS));
    }
    rn_group_cancel(&g);
    CHECK_EQ(rn_group_wait(&g, 0), -ECANCELED);
    CHECK_EQ(try_get(c, f->url), 0);
    rn_http_client_free(c);
    end_fake(f);
}

/* ---- kept connections ---- */

RN_CORO_TEST(bytes_behind_a_response_are_nobodys_answer)
{
    struct fake *f = FAKE("?" GOOD "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", GOOD,
                          "?HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\n", GOOD, GOOD);
    rn_http_client *c = new_client(NULL);

    for (int i = 0; i < 5; i++) {
        const char *body = fetch(c, &(rn_http_client_request){.url = f->url}, NULL);

        CHECK_STR(body, i == 2 ? "" : "good");
    }
    CHECK_EQ(f->conns, 3);
    rn_http_client_free(c);
    end_fake(f);
}

/* Closed while it rests, or with something that nobody asked for: seen before it is used. */
RN_CORO_TEST(a_connection_that_was_closed_at_rest_is_not_used)
{
    struct fake *f = FAKE("!" GOOD, "!" GOOD, "!" GOOD);
    rn_http_client *c = new_client(&(rn_http_client_options){.max_conns_per_host = 1});
    rn_http_client_request q = {.method = "POST", .url = f->url, .body = "x", .body_length = 1};

    for (int i = 0; i < 3; i++) {
        CHECK_STR(fetch(c, &q, NULL), "good");
        for (int k = 0; k < 20; k++)
            CHECK_OK(rn_sleep(MS)); /* its end arrives */
    }
    CHECK_EQ(f->conns, 3);
    rn_http_client_free(c);
    end_fake(f);
}

/* The server answers once, and closes when the second request comes: the client cannot know. */
static int ask_stale(const rn_http_client_request *asked, int *conns)
{
    struct fake *f = FAKE(GOOD, "!", GOOD);
    rn_http_client *c = new_client(NULL);
    rn_http_client_request q = *asked;
    rn_http_reply *reply;
    int r;

    CHECK_EQ(try_get(c, f->url), 0);
    q.url = f->url;
    r = rn_http_do(c, &q, &reply);
    if (r == 0)
        rn_http_reply_close(reply);
    *conns = f->conns;
    rn_http_client_free(c);
    end_fake(f);
    return r;
}

static ssize_t read_once(void *arg, void *buf, size_t len)
{
    int *left = arg;

    (void)len;
    if (*left == 0)
        return 0;
    (*left)--;
    *(char *)buf = 'x';
    return 1;
}

static int rewind_once(void *arg)
{
    *(int *)arg = 1;
    return 0;
}

RN_CORO_TEST(what_a_stale_connection_swallowed_is_repeated_only_where_that_is_harmless)
{
    static const rn_http_header key[] = {{"Idempotency-Key", "1"}, {0}};
    int left = 1, r, conns;
    rn_http_client_request post = {.method = "POST", .body = "x", .body_length = 1};
    rn_http_client_request put = {
        .method = "PUT", .read_body = read_once, .body_arg = &left, .body_length = 1};

    CHECK_EQ(ask_stale(&(rn_http_client_request){.method = "GET"}, &conns), 0);
    CHECK_EQ(conns, 2);
    CHECK_EQ(ask_stale(&(rn_http_client_request){.method = "DELETE"}, &conns), 0);
    r = ask_stale(&post, &conns);
    CHECK(r == -RN_EPARTIAL || r == -ECONNRESET);
    CHECK_EQ(conns, 1);
    post.headers = key;
    CHECK_EQ(ask_stale(&post, &conns), 0);
    put.rewind_body = rewind_once;
    CHECK_EQ(ask_stale(&put, &conns), 0);
    left = 1;
    put.rewind_body = NULL;
    r = ask_stale(&put, &conns);
    CHECK(r == -RN_EPARTIAL || r == -ECONNRESET || r == -EPIPE);
    CHECK_EQ(conns, 1);
}

/* A send that fails as a whole has sent nothing: then any method may be repeated. */
RN_CORO_TEST(a_post_of_which_nothing_was_sent_is_repeated)
{
    struct fake *f = FAKE(GOOD, GOOD, GOOD);
    rn_http_client *c = new_client(NULL);
    rn_http_client_request q = {.method = "POST", .url = f->url};
    rn_http_reply *reply;

    CHECK_STR(fetch(c, &q, NULL), "good");
    CHECK_EQ(rn__sys_fail("send", EPIPE, 1, 1), 0);
    CHECK_STR(fetch(c, &q, NULL), "good");
    CHECK_EQ(f->conns, 2);
    /* But not where the connection was new: then its server is broken. */
    rn__sys_clear();
    rn_http_client_free(c);
    c = new_client(NULL);
    CHECK_EQ(rn__sys_fail("send", EPIPE, 1, 1), 0);
    CHECK_EQ(rn_http_do(c, &q, &reply), -EPIPE);
    rn__sys_clear();
    rn_http_client_free(c);
    end_fake(f);
}

RN_CORO_TEST(a_new_connection_that_is_closed_unanswered_is_not_tried_again)
{
    struct fake *f = FAKE("!", GOOD);
    rn_http_client *c = new_client(NULL);

    CHECK_EQ(try_get(c, f->url), -RN_EPARTIAL);
    CHECK_EQ(f->conns, 1);
    rn_http_client_free(c);
    end_fake(f);
}

RN_CORO_TEST(a_long_rest_of_a_body_costs_the_connection)
{
    struct fake *f = FAKE("?HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n", GOOD,
                          "?HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", GOOD);
    rn_http_client *c = new_client(NULL);
    rn_http_reply *reply;

    for (int i = 0; i < 2; i++) { /* too long; and one that does not come */
        CHECK_OK(rn_http_get(c, f->url, &reply));
        rn_http_reply_close(reply);
        CHECK_EQ(try_get(c, f->url), 0);
        CHECK_EQ(f->conns, 2 + i);
    }
    rn_http_client_free(c);
    end_fake(f);
}

/* ---- answers before the end of the request ---- */

RN_CORO_TEST(a_body_is_not_sent_to_a_server_that_refuses_it)
{
    struct fake *f = FAKE("?HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n",
                          "?HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too much\r\n\r\n");
    rn_http_client *c = new_client(NULL);
    rn_http_client_request q = {.method = "POST",
                                .url = f->url,
                                .body = "secret",
                                .body_length = 6,
                                .expect_continue = true};
    int status;

    (void)fetch(c, &q, &status);
    CHECK_EQ(status, 417);
    CHECK_HAS_NO(f->seen, "secret");
    CHECK_HAS(f->seen, "Expect: 100-continue\r\n");
    rn_http_client_free(c);
    end_fake(f);
}

RN_CORO_TEST(a_server_that_knows_no_100_gets_the_body_after_a_while)
{
    struct fake *f = FAKE(GOOD);
    rn_http_client *c = new_client(&(rn_http_client_options){.continue_ns = 5 * MS});
    rn_http_client_request q = {
        .method = "POST", .url = f->url, .body = "x", .body_length = 1, .expect_continue = true};

    CHECK_STR(fetch(c, &q, NULL), "good");
    rn_http_client_free(c);
    end_fake(f);
}

/* A server that answers at once, and reads no further: the answer is what counts. */
RN_CORO_TEST(an_early_answer_ends_the_sending)
{
    static char big[8 << 20];
    struct fake *f = FAKE("#HTTP/1.1 413 Too much\r\nContent-Length: 4\r\n\r\ngood", GOOD);
    rn_http_client *c = new_client(NULL);
    rn_http_client_request q = {
        .method = "POST", .url = f->url, .body = big, .body_length = sizeof big};
    int status;

    CHECK_STR(fetch(c, &q, &status), "good");
    CHECK_EQ(status, 413);
    CHECK_EQ(try_get(c, f->url), 0);
    CHECK_EQ(f->conns, 2);
    rn_http_client_free(c);
    end_fake(f);
}

RN_CORO_TEST(a_redirect_elsewhere_than_http_is_an_error)
{
    CHECK_EQ(
        get_from("?HTTP/1.1 301 Moved\r\nLocation: https://h/\r\nContent-Length: 0\r\n\r\n", NULL),
        -RN_ESCHEME);
    CHECK_EQ(get_from("?HTTP/1.1 301 Moved\r\nLocation: //u@h/\r\nContent-Length: 0\r\n\r\n", NULL),
             -RN_EURL);
    CHECK_EQ(get_from("?HTTP/1.1 301 Moved\r\nContent-Length: 0\r\n\r\n", NULL), 0);
}

RN_CORO_TEST(nobody_at_home_is_the_error_of_dial)
{
    struct fake *f = FAKE("!");
    rn_http_client *c = new_client(NULL);
    char url[160];

    strcpy(url, f->url);
    end_fake(f);
    CHECK_EQ(try_get(c, url), -ECONNREFUSED);
    rn_http_client_free(c);
}
