/*
 * http_test.h - a server on one end of a connection, and raw bytes on the other
 */
#ifndef HTTP_TEST_H
#define HTTP_TEST_H

#include <stdarg.h>
#include <strings.h>

#include "rntest_coro.h"

#define MS RN_MILLISECOND

struct site {
    rn_http_server *server;
    rn_conn *client;
    char answer[65536];
    size_t len; /* of answer */
};

static inline void serve_end(void *arg)
{
    void **pair = arg;
    rn_conn *conn = pair[0];
    rn_http_server *server = pair[1];

    free(pair);
    rn_http_serve_conn(conn, server);
}

/* A new connection to the server. */
static inline void connect_site(struct site *s)
{
    void **pair = malloc(2 * sizeof *pair);
    rn_conn *conn;

    rntest_pair(&s->client, &conn);
    rn_set_deadline(s->client, rn_after(15 * RN_SECOND));
    pair[0] = conn;
    pair[1] = s->server;
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = rn_proc_id()}, serve_end, pair));
    s->len = 0;
}

static inline void open_site(struct site *s, const rn_http_server_options *o, rn_http_handler fn,
                             void *arg)
{
    CHECK_OK(rn_http_server_new(o, fn, arg, &s->server));
    connect_site(s);
}

/* The other end may rest in the poller; it is closed when it has seen ours close. */
static inline void close_client(struct site *s)
{
    char rest[256];

    (void)rn_close_write(s->client);
    while (rn_read(s->client, rest, sizeof rest) > 0)
        continue;
    rn_close(s->client);
}

static inline void close_site(struct site *s)
{
    close_client(s);
    for (int i = 0; i < 20; i++)
        rn_yield();
    rn_http_server_free(s->server);
}

static inline void say(struct site *s, const char *text)
{
    CHECK_OK(rn_write(s->client, text, strlen(text)));
}

/* Reads until the answer ends in `end`; NULL: until the connection does. */
static inline const char *hear(struct site *s, const char *end)
{
    size_t len = end == NULL ? 0 : strlen(end);

    s->len = 0;
    for (;;) {
        ssize_t n;

        s->answer[s->len] = '\0';
        if (end != NULL && s->len >= len && strcmp(s->answer + s->len - len, end) == 0)
            return s->answer;
        n = rn_read(s->client, s->answer + s->len, sizeof s->answer - 1 - s->len);
        if (n <= 0 && end == NULL)
            return s->answer;
        if (n <= 0)
            rntest_fail_at(__FILE__, __LINE__, "%zd after \"%s\"", n, s->answer);
        s->len += (size_t)n;
    }
}

static inline void check_has(const char *answer, const char *part, bool want, const char *file,
                             int line)
{
    if ((strstr(answer, part) != NULL) != want)
        rntest_fail_at(file, line, "%s \"%s\" in \"%s\"", want ? "no" : "a", part, answer);
}

#define CHECK_HAS(answer, part) check_has(answer, part, true, __FILE__, __LINE__)
#define CHECK_HAS_NO(answer, part) check_has(answer, part, false, __FILE__, __LINE__)

/* One request and the answer to it, on a connection of its own. */
static inline const char *ask(struct site *s, const char *request)
{
    close_client(s);
    connect_site(s);
    say(s, request);
    (void)rn_close_write(s->client);
    return hear(s, NULL);
}

#endif
