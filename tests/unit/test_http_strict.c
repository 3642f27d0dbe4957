/*
 * test_http_strict.c - what is refused, by which rule, and that nothing behind it is answered
 *
 * Each row of http_strict_rows.h is sent as it stands, with one more request behind it in the same
 * write. What two recipients could read in two ways must end the connection: the answer to the
 * request behind it tells.
 */
#include "http_strict_rows.h"
#include "http_test.h"

/* Says what it was asked, and how much of a body there was. */
static void tell(rn_http_response *w, rn_http_request *r, void *arg)
{
    char body[64];
    ssize_t n = 0, sum = 0;

    (void)arg;
    if (strcmp(rn_http_get_path(r), "/skip") != 0)
        while ((n = rn_http_read(r, body, sizeof body)) > 0)
            sum += n;
    if (n < 0)
        CHECK_OK(rn_http_error(w, n == -EMSGSIZE ? 413 : 400, rn_error_name((int)n)));
    else
        rn_http_printf(w, "[%s %s %s %zd]", rn_http_get_method(r), rn_http_get_path(r),
                       rn_http_get_host(r), sum);
}

static void fail_row(const struct row *row, size_t cut, const char *why, const char *answer)
{
    rntest_fail_at(__FILE__, __LINE__, "%s: \"%s\" cut at %zu: %s in \"%s\"", row->section,
                   row->bytes, cut, why, answer);
}

/* The row and NEXT, in two writes. */
static const char *send_row(struct site *s, const char *bytes, size_t len, size_t cut)
{
    char all[1024];

    CHECK(len + sizeof NEXT <= sizeof all);
    memcpy(all, bytes, len);
    memcpy(all + len, NEXT, sizeof NEXT - 1);
    len += sizeof NEXT - 1;
    close_client(s);
    connect_site(s);
    if (cut > 0) {
        CHECK_OK(rn_write(s->client, all, cut));
        CHECK_OK(rn_sleep(10 * RN_MICROSECOND));
    }
    /* It may have been refused, and the connection closed, by what has come so far. */
    (void)rn_write(s->client, all + cut, len - cut);
    return hear(s, NULL);
}

static void check_row(struct site *s, const struct row *row, size_t cut)
{
    const char *answer = send_row(s, row->bytes, row->len, cut);
    bool next = strstr(answer, "[GET /next n 0]") != NULL;
    int status = 0;

    if (sscanf(answer, "HTTP/1.1 %d ", &status) != 1 || status != row->status)
        fail_row(row, cut, "another status", answer);
    if (next != ((row->flags & GOES_ON) != 0))
        fail_row(row, cut, next ? "an answer to what follows" : "no answer to what follows",
                 answer);
    if (!next && strstr(answer, "\r\nConnection: close\r\n") == NULL)
        fail_row(row, cut, "no \"Connection: close\"", answer);
    if (row->has != NULL && strstr(answer, row->has) == NULL)
        fail_row(row, cut, row->has, answer);
}

/* A body that its handler does not read is framed as strictly. */
static void check_skipped(struct site *s, const struct row *row)
{
    char bytes[512];
    const char *answer;
    bool next;

    CHECK(row->len <= sizeof bytes);
    memcpy(bytes, row->bytes, row->len);
    memcpy(memmem(bytes, row->len, "/read", 5), "/skip", 5);
    answer = send_row(s, bytes, row->len, 0);
    next = strstr(answer, "[GET /next n 0]") != NULL;
    if (next != ((row->flags & GOES_ON) != 0))
        fail_row(row, 0, "the wrong end when it is skipped", answer);
}

static struct site *new_site(rn_http_mux **mux)
{
    struct site *s = calloc(1, sizeof *s);

    CHECK(s != NULL);
    CHECK_OK(rn_http_mux_new(mux));
    CHECK_OK(rn_http_handle(*mux, "GET /{rest...}", tell, NULL));
    CHECK_OK(rn_http_handle(*mux, "POST /{rest...}", tell, NULL));
    open_site(s, NULL, rn_http_mux_handler, *mux);
    return s;
}

static void check_table(const struct row *rows, size_t n)
{
    rn_http_mux *mux;
    struct site *s = new_site(&mux);

    for (size_t i = 0; i < n; i++) {
        check_row(s, &rows[i], 0);
        if (rows == chunks)
            check_skipped(s, &rows[i]);
        for (size_t cut = 1; (rows[i].flags & CUT) && cut <= rows[i].len; cut++)
            check_row(s, &rows[i], cut);
    }
    close_site(s);
    rn_http_mux_free(mux);
    free(s);
}

#define TABLE(name, rows)                                                                          \
    RN_CORO_TEST(name)                                                                             \
    {                                                                                              \
        check_table(rows, sizeof rows / sizeof *rows);                                             \
    }

TABLE(request_lines_are_read_strictly, lines)
TABLE(targets_are_read_strictly, targets)
TABLE(fields_are_read_strictly, fields)
TABLE(framing_is_read_strictly, framing)
TABLE(chunks_are_read_strictly, chunks)

/* RFC 9112 3 and RFC 6585 5: too long is said as such, and ends the connection. */
RN_CORO_TEST(what_is_too_long_is_refused_as_that)
{
    rn_http_mux *mux;
    struct site *s = new_site(&mux);
    char *request = malloc(64 << 10), *at;

    at = stpcpy(request, "GET /");
    memset(at, 'a', 7999);
    strcpy(at + 7999, " HTTP/1.1\r\n" HOST "\r\n" NEXT);
    CHECK_HAS(ask(s, request), "[GET /next n 0]");
    memset(at, 'a', 8000);
    strcpy(at + 8000, " HTTP/1.1\r\n" HOST "\r\n" NEXT);
    CHECK_HAS(ask(s, request), "HTTP/1.1 414 ");
    CHECK_HAS_NO(s->answer, "/next");
    at = stpcpy(request, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 99; i++)
        at = stpcpy(at, "A: b\r\n");
    strcpy(at, "\r\n" NEXT);
    CHECK_HAS(ask(s, request), "[GET /next n 0]");
    strcpy(at, "A: b\r\n\r\n" NEXT);
    CHECK_HAS(ask(s, request), "HTTP/1.1 431 ");
    CHECK_HAS_NO(s->answer, "/next");
    at = stpcpy(request, "GET / HTTP/1.1\r\n" HOST "A: ");
    memset(at, 'a', 16 << 10);
    strcpy(at + (16 << 10), "\r\n\r\n" NEXT);
    CHECK_HAS(ask(s, request), "HTTP/1.1 431 ");
    CHECK_HAS_NO(s->answer, "/next");
    /* Extensions and trailers, 16 KiB of them (RFC 9112 7.1.1). */
    at = stpcpy(request, CODED "1;a=");
    memset(at, 'a', 17 << 10);
    strcpy(at + (17 << 10), "\r\nx\r\n0\r\n\r\n" NEXT);
    CHECK_HAS(ask(s, request), "HTTP/1.1 400 ");
    CHECK_HAS_NO(s->answer, "/next");
    at = stpcpy(request, CODED "0\r\n");
    for (int i = 0; i < 3000; i++)
        at = stpcpy(at, "A: b\r\n");
    strcpy(at, "\r\n" NEXT);
    CHECK_HAS(ask(s, request), "HTTP/1.1 400 ");
    CHECK_HAS_NO(s->answer, "/next");
    free(request);
    close_site(s);
    rn_http_mux_free(mux);
    free(s);
}
