/*
 * test_http_mux.c - which pattern answers which path, and with what values
 */
#include "base/mem.h"
#include "http_test.h"

static const char *const patterns[] = {
    "GET /{$}",
    "GET /plain",
    "/any",
    "POST /any/post",
    "GET /dir/",
    "GET /dir/exact",
    "GET /items/{id}",
    "DELETE /items/{id}",
    "GET /items/{id}/parts/{part}",
    "GET /items/special",
    "GET /files/{path...}",
    "GET /mixed/{a}/end",
    "GET /mixed/b/{c}",
    "GET /slash/{$}",
    "GET other.test/plain",
    "GET other.test/",
    "PURGE /cache",
    "PROPPATCH /dav",
    "PATCH /dav",
    "all.test/",
};

/* Says which pattern it was, and all values. */
static void tell(rn_http_response *w, rn_http_request *r, void *arg)
{
    static const char *const names[] = {"id", "part", "path", "a", "c"};

    rn_http_printf(w, "[%s]", (const char *)arg);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = rn_http_get_path_value(r, names[i]);

        if (value != NULL)
            rn_http_printf(w, " %s=<%s>", names[i], value);
    }
}

static void open_mux(struct site *s, rn_http_mux **mux)
{
    CHECK_OK(rn_http_mux_new(mux));
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        CHECK_OK(rn_http_handle(*mux, patterns[i], tell, (void *)(uintptr_t)patterns[i]));
    open_site(s, NULL, rn_http_mux_handler, *mux);
}

static const struct {
    const char *line, *want; /* a part of the answer */
    const char *host;
} rows[] = {
    {"GET /", "[GET /{$}]", NULL},
    {"GET /nothing", " 404 ", NULL},
    {"GET /plain", "[GET /plain]", NULL},
    {"GET /plain?x=/y/", "[GET /plain]", NULL},
    {"GET /plain/", " 404 ", NULL},
    {"HEAD /plain", " 200 ", NULL},
    {"POST /plain", " 405 ", NULL},
    {"POST /plain", "Allow: GET, HEAD\r\n", NULL},
    {"POST /any", "[/any]", NULL},
    {"BREW /any", "[/any]", NULL},
    {"BREW /plain", " 501 ", NULL},
    {"PURGE /cache", "[PURGE /cache]", NULL},
    {"GET /cache", "Allow: PURGE\r\n", NULL},
    {"GET /any/post", "Allow: POST\r\n", NULL},
    {"GET /dir", " 301 ", NULL},
    {"GET /dir", "Location: /dir/\r\n", NULL},
    {"GET /dir?q=1", "Location: /dir/?q=1\r\n", NULL},
    {"GET /dir/", "[GET /dir/]", NULL},
    {"GET /dir/a/b", "[GET /dir/]", NULL},
    {"GET /dir/exact", "[GET /dir/exact]", NULL},
    {"GET /dir/exact/more", "[GET /dir/]", NULL},
    {"GET /items/7", "[GET /items/{id}] id=<7>", NULL},
    {"DELETE /items/7", "[DELETE /items/{id}] id=<7>", NULL},
    {"PUT /items/7", "Allow: DELETE, GET, HEAD\r\n", NULL},
    {"GET /items/a%20b", "id=<a b>", NULL},
    {"GET /items/a%2Fb", "id=<a%2Fb>", NULL},
    {"GET /items/a%00b", "id=<a%00b>", NULL},
    {"GET /items/%7", "id=<%7>", NULL},
    {"GET /items/%73pecial", "[GET /items/special]", NULL},
    {"GET /items/special", "[GET /items/special]", NULL},
    {"GET /items/", " 404 ", NULL},
    {"GET /items/7/parts/x", "id=<7> part=<x>", NULL},
    {"GET /items/special/parts/x", "id=<special> part=<x>", NULL},
    {"GET /files/", "[GET /files/{path...}] path=<>", NULL},
    {"GET /files/a/b%20c/", "path=<a/b c/>", NULL},
    {"GET /files", "Location: /files/\r\n", NULL},
    {"GET /mixed/b/end", "[GET /mixed/b/{c}] c=<end>", NULL},
    {"GET /mixed/x/end", "[GET /mixed/{a}/end] a=<x>", NULL},
    {"GET /mixed/x/other", " 404 ", NULL},
    {"GET /slash/", "[GET /slash/{$}]", NULL},
    {"GET /slash", "Location: /slash/\r\n", NULL},
    {"GET /slash/x", " 404 ", NULL},
    {"GET /plain", "[GET other.test/plain]", "OTHER.test:8080"},
    {"GET /what/ever", "[GET other.test/]", "other.test"},
    {"GET /any", "[GET other.test/]", "other.test"},
    {"POST /any", "[/any]", "other.test"},
    {"GET //plain", "Location: /plain\r\n", NULL},
    {"GET /x/../plain", "Location: /plain\r\n", NULL},
    {"GET /../../plain?q", "Location: /plain?q\r\n", NULL},
    {"GET /dir/./", "Location: /dir/\r\n", NULL},
    {"GET /dir/..", "Location: /\r\n", NULL},
    {"GET //evil.test//x", "Location: /evil.test/x\r\n", NULL},
    {"POST //any", " 308 ", NULL},
    {"GET /dir/%2e%2e/plain", " 400 ", NULL},
    {"OPTIONS *", " 204 ", NULL},
    {"GET http://example.test/plain", "[GET /plain]", NULL},
    {"GET http://example.test", "[GET /{$}]", NULL},
    {"CONNECT example.test:80", " 405 ", NULL},
    {"CONNECT all.test:80", "Connection: close\r\n", NULL}, /* RFC 9110 9.3.6: a tunnel by now */
    {"CONNECT all.test:80", "[all.test/]", NULL},
    {"GET /dav", "Allow: PATCH, PROPPATCH\r\n", NULL},
    {"GET /a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/a/b/c/d/e/f/g/h/i/j", " 404 ", NULL},
    {"GET /dir/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x/y/z/a/b/c/d/e/f/g/h/i/j",
     "[GET /dir/]", NULL},
};

RN_CORO_TEST(each_path_is_answered_by_the_closest_pattern)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_mux *mux;

    open_mux(s, &mux);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char request[512];

        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: %s\r\n\r\n", rows[i].line,
                 rows[i].host == NULL ? "example.test" : rows[i].host);
        if (strstr(ask(s, request), rows[i].want) == NULL)
            rntest_fail_at(__FILE__, __LINE__, "%s: no \"%s\" in \"%s\"", rows[i].line,
                           rows[i].want, s->answer);
    }
    close_site(s);
    rn_http_mux_free(mux);
    free(s);
}

static const struct {
    const char *pattern;
    int result;
} bad[] = {
    {"", -EINVAL},
    {"plain", -EINVAL},
    {"GET", -EINVAL},
    {"GET plain", -EINVAL},
    {" /x", -EINVAL},
    {"G(T /x", -EINVAL},
    {"GET /x//y", -EINVAL},
    {"GET /x/../y", -EINVAL},
    {"GET /x/./y", -EINVAL},
    {"GET /x/{}", -EINVAL},
    {"GET /x/{1}", -EINVAL},
    {"GET /x/{a", -EINVAL},
    {"GET /x/a}", -EINVAL},
    {"GET /x/b{a}", -EINVAL},
    {"GET /x/{a}b", -EINVAL},
    {"GET /x/{...}", -EINVAL},
    {"GET /x/{a...}/y", -EINVAL},
    {"GET /x/{$}/y", -EINVAL},
    {"GET /x/{a}/{a}", -EINVAL},
    {"GET ho st/x", -EINVAL},
    {"GET /items/{other}", -EEXIST},
    {"GET /dir/{other...}", -EEXIST},
    {"/any", -EEXIST},
};

RN_CORO_TEST(patterns_that_are_malformed_or_there_already_are_refused)
{
    rn_http_mux *mux;
    char deep[256] = "";

    CHECK_OK(rn_http_mux_new(&mux));
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        CHECK_OK(rn_http_handle(mux, patterns[i], tell, NULL));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int r = rn_http_handle(mux, bad[i].pattern, tell, NULL);

        if (r != bad[i].result)
            rntest_fail_at(__FILE__, __LINE__, "\"%s\": %d", bad[i].pattern, r);
    }
    for (int i = 0; i < 33; i++)
        strcat(deep, "/x");
    CHECK_EQ(rn_http_handle(mux, deep, tell, NULL), -EINVAL);
    rn_http_mux_free(mux);
    rn_http_mux_free(NULL);
}

/* Each allocation fails once. */
RN_CORO_TEST_ON(without_memory_a_route_is_refused_and_can_be_added_later, 1)
{
    int failed = 0;

    for (unsigned nth = 1; nth < 16; nth++) {
        rn_http_mux *mux = NULL;
        int r;

        rn__mem_fail(nth, 1);
        r = rn_http_mux_new(&mux);
        if (r == 0)
            r = rn_http_handle(mux, "GET host.test/a/{b}/c", tell, NULL);
        rn__mem_fail(0, 0);
        CHECK(r == 0 || r == -ENOMEM);
        failed += r < 0;
        if (r < 0 && mux != NULL)
            CHECK_OK(rn_http_handle(mux, "GET host.test/a/{b}/c", tell, NULL));
        rn_http_mux_free(mux);
    }
    CHECK_EQ(failed, 9);
}

RN_CORO_TEST_ON(without_memory_a_request_is_answered_503_or_its_connection_closed, 1)
{
    struct site *s = calloc(1, sizeof *s);
    int unavailable = 0;
    rn_http_mux *mux;

    open_mux(s, &mux);
    for (unsigned nth = 1; nth < 12; nth++) {
        close_client(s);
        connect_site(s);
        say(s, "GET /items/a%20b/parts/c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        rn__mem_fail(nth, 1);
        hear(s, NULL);
        rn__mem_fail(0, 0);
        unavailable += strstr(s->answer, " 503 ") != NULL;
        CHECK(s->len == 0 || strstr(s->answer, "id=<a b> part=<c>") != NULL ||
              strstr(s->answer, " 503 ") != NULL);
    }
    CHECK_HAS(s->answer, "id=<a b> part=<c>");
    CHECK(unavailable >= 3);
    close_site(s);
    rn_http_mux_free(mux);
    free(s);
}

/* RFC 9110 4.2.3: "http://host" asks for "/", of files below a mux, too. */
RN_CORO_TEST(a_target_without_a_path_is_the_root_of_files_in_a_mux)
{
    struct site *s = calloc(1, sizeof *s);
    char dir[] = "/tmp/rntest-mux-XXXXXX", path[64];
    rn_http_files *files;
    rn_http_mux *mux;
    FILE *f;

    CHECK(mkdtemp(dir) != NULL);
    snprintf(path, sizeof path, "%s/index.html", dir);
    f = fopen(path, "w");
    CHECK(f != NULL && fputs("the index", f) >= 0 && fclose(f) == 0);
    if (rn_http_files_new(dir, NULL, &files) == -ENOSYS)
        RN_TEST_SKIP("no openat2");
    CHECK_OK(rn_http_mux_new(&mux));
    CHECK_OK(rn_http_handle(mux, "/", rn_http_files_handler, files));
    open_site(s, NULL, rn_http_mux_handler, mux);
    CHECK_HAS(ask(s, "GET http://h.test HTTP/1.1\r\nHost: x\r\n\r\n"), "the index");
    CHECK_HAS(ask(s, "GET http://h.test?q HTTP/1.1\r\nHost: x\r\n\r\n"), "the index");
    CHECK_HAS(ask(s, "CONNECT h.test:80 HTTP/1.1\r\nHost: x\r\n\r\n"), " 405 ");
    close_site(s);
    rn_http_mux_free(mux);
    rn_http_files_free(files);
    unlink(path);
    rmdir(dir);
    free(s);
}
