/*
 * client_test.h - a client, a server made of http.h, and one that says what it is told to
 */
#ifndef CLIENT_TEST_H
#define CLIENT_TEST_H

#include <stdatomic.h>

#include "http_test.h"

#define WAIT (15 * RN_SECOND)

/* Answers each request, on whichever connection, by the next of its scripts. One that begins with
 * '!' ends the connection; with '?': it comes when the head is there, whatever the body; '#': both.
 */
struct fake {
    rn_listener *ln;
    char url[160];
    const char *const *scripts;
    int n_scripts;
    atomic_int next, conns, open;
    char seen[256 << 10]; /* everything that was sent to it */
    atomic_size_t seen_len;
};

struct fake_conn {
    struct fake *f;
    rn_conn *conn;
};

static inline size_t body_of(const char *head)
{
    const char *field = strstr(head, "Content-Length: ");

    return field == NULL ? 0 : strtoul(field + 16, NULL, 10);
}

/* False at the end of the stream. */
static inline bool take_request(struct fake *f, rn_conn *conn, bool with_body)
{
    size_t start = f->seen_len;
    char *head;

    for (;;) {
        ssize_t n;

        head = strstr(f->seen + start, "\r\n\r\n");
        if (head != NULL &&
            (!with_body || f->seen_len >= (size_t)(head + 4 - f->seen) + body_of(f->seen + start)))
            return true;
        n = rn_read(conn, f->seen + f->seen_len, sizeof f->seen - 1 - f->seen_len);
        if (n <= 0)
            return false;
        f->seen_len += (size_t)n;
    }
}

static inline void serve_fake(void *arg)
{
    struct fake_conn *c = arg;
    struct fake *f = c->f;
    rn_conn *conn = c->conn;
    bool open = true;
    char byte[4096];

    free(c);
    rn_set_deadline(conn, rn_after(WAIT));
    while (open && f->next < f->n_scripts) {
        const char *s = f->scripts[f->next];
        bool ends = s[0] == '!' || s[0] == '#', early = s[0] == '?' || s[0] == '#';

        if (!take_request(f, conn, !early))
            break;
        f->next++;
        s += ends || early;
        open = rn_write(conn, s, strlen(s)) >= 0 && !ends;
        if (ends) { /* an orderly end: what was not read would reset the answer away */
            rn_close_write(conn);
            while (s[0] != '\0' && rn_read(conn, byte, sizeof byte) > 0)
                continue;
        }
    }
    while (open && rn_read(conn, byte, sizeof byte) > 0)
        continue;
    rn_close(conn);
    f->open--;
}

static inline void accept_fake(void *arg)
{
    struct fake *f = arg;
    rn_conn *conn;

    while (rn_accept(f->ln, &conn) == 0) {
        struct fake_conn *c = malloc(sizeof *c);

        CHECK(c != NULL);
        *c = (struct fake_conn){f, conn};
        f->conns++;
        f->open++;
        CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1}, serve_fake, c));
    }
    f->open--;
}

static inline struct fake *new_fake(const char *const *scripts, int n)
{
    struct fake *f = calloc(1, sizeof *f);
    char address[128];

    CHECK(f != NULL);
    f->scripts = scripts;
    f->n_scripts = n;
    f->open = 1;
    CHECK_OK(rn_listen("tcp", "127.0.0.1:0", NULL, &f->ln));
    CHECK_OK(rn_listener_addr(f->ln, address, sizeof address));
    snprintf(f->url, sizeof f->url, "http://%s/", address);
    CHECK_OK(rn_go_with(&(rn_go_options){.proc = 1}, accept_fake, f));
    return f;
}

/* After the clients of it are freed. */
static inline void end_fake(struct fake *f)
{
    rn_listener_cancel(f->ln);
    for (int i = 0; f->open > 0; i++) {
        CHECK(i < 15000);
        CHECK_OK(rn_sleep(MS));
    }
    rn_listener_close(f->ln);
    free(f);
}

#define FAKE(...)                                                                                  \
    new_fake((const char *const[]){__VA_ARGS__},                                                   \
             (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static inline rn_http_client *new_client(const rn_http_client_options *o)
{
    rn_http_client *c;

    CHECK_OK(rn_http_client_new(o, &c));
    return c;
}

/* The whole body, terminated; *error is the result of the last read. */
static inline size_t read_all(rn_http_reply *reply, char *buf, size_t room, int *error)
{
    size_t len = 0;
    ssize_t n;

    while ((n = rn_http_body_read(reply, buf + len, room - 1 - len)) > 0)
        len += (size_t)n;
    CHECK_EQ(rn_http_body_read(reply, buf, 1), n); /* sticky */
    buf[len] = '\0';
    *error = (int)n;
    return len;
}

/* The body of an exchange that must succeed, in a static buffer. */
static inline const char *fetch(rn_http_client *c, const rn_http_client_request *q, int *status)
{
    static char body[256 << 10];
    rn_http_reply *reply;
    int error;

    CHECK_OK(rn_http_do(c, q, &reply));
    read_all(reply, body, sizeof body, &error);
    CHECK_EQ(error, 0);
    if (status != NULL)
        *status = rn_http_reply_status(reply);
    rn_http_reply_close(reply);
    return body;
}

/* GET, whatever comes of it: the error of the call, or that of the body. */
static inline int try_get(rn_http_client *c, const char *url)
{
    static char body[256 << 10];
    rn_http_reply *reply;
    int r = rn_http_get(c, url, &reply);

    if (r < 0)
        return r;
    read_all(reply, body, sizeof body, &r);
    rn_http_reply_close(reply);
    return r;
}

#endif
