/*
 * client_send.c - a request, and its body, on their way out
 *
 * Before each piece of a body the other direction is looked at: a server that has answered already
 * (with a 413, say) may read no further. Then the rest is not sent, and the connection not used
 * again.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/token.h"

#define PIECE ((size_t)256 << 10)
#define SCRATCH ((size_t)16 << 10)

/* ---- what may be asked for ---- */

static bool is_safe(const rn_http_header *h)
{
    static const char *const ours[] = {
        "content-length", "transfer-encoding", "te", "trailer", "expect", "upgrade"};

    if (h->value == NULL || !rn__is_token_text(h->name) || !rn__is_value_text(h->value))
        return false;
    for (size_t i = 0; i < RN_COUNT_OF(ours); i++)
        if (strcasecmp(h->name, ours[i]) == 0)
            return false;
    return strcasecmp(h->name, "connection") != 0 || strcasecmp(h->value, "close") == 0;
}

int rn__call_check(const rn_http_client_request *q)
{
    int sources = (q->body != NULL) + (q->read_body != NULL) + (q->body_conn != NULL) +
                  q->body_is_file;

    for (size_t i = 0; i < RN_COUNT_OF(q->reserved); i++)
        if (q->reserved[i] != 0)
            return -EINVAL;
    if (q->url == NULL || sources > 1 || q->body_length < -1 ||
        (sources == 0 && q->body_length != 0) ||
        (q->body_length < 0 && q->read_body == NULL && q->body_conn == NULL))
        return -EINVAL;
    if (q->method != NULL && (!rn__is_token_text(q->method) || strcmp(q->method, "CONNECT") == 0))
        return -EINVAL;
    for (const rn_http_header *h = q->headers; h != NULL && h->name != NULL; h++)
        if (!is_safe(h))
            return -EINVAL;
    return 0;
}

/* ---- the head ---- */

int rn__out_format(rn_http_reply *x, const char *format, ...)
{
    va_list args;
    int n;

    for (;;) {
        size_t room = x->out_room - x->out_len;
        char *grown;

        va_start(args, format);
        n = vsnprintf(room == 0 ? NULL : x->out + x->out_len, room, format, args);
        va_end(args);
        if (n < 0)
            return -EINVAL;
        if ((size_t)n < room)
            break;
        room = 2 * x->out_room + (size_t)n + 1024;
        grown = rn__realloc(x->out, room);
        if (grown == NULL)
            return -ENOMEM;
        x->out = grown;
        x->out_room = room;
    }
    x->out_len += (size_t)n;
    return 0;
}

/* Is this field of the request still to be sent, after redirects? What is for a proxy is for the
 * next host where there is none. */
static bool is_kept(const struct rn__call *call, const char *name)
{
    static const char *const secrets[] = {"authorization", "cookie", "cookie2", "host",
                                          "www-authenticate"};
    bool direct = call->reply->client->proxy == NULL;

    if (call->redirects > 0 && !call->has_body && strncasecmp(name, "content-", 8) == 0)
        return false;
    if (call->away && direct && strcasecmp(name, "proxy-authorization") == 0)
        return false;
    for (size_t i = 0; call->away && i < RN_COUNT_OF(secrets); i++)
        if (strcasecmp(name, secrets[i]) == 0)
            return false;
    return true;
}

static bool has_header(const struct rn__call *call, const char *name)
{
    const rn_http_header *h = call->request->headers;

    for (; h != NULL && h->name != NULL; h++)
        if (strcasecmp(h->name, name) == 0)
            return is_kept(call, name);
    return false;
}

static int put_headers(struct rn__call *call)
{
    rn_http_reply *x = call->reply;
    int r = 0;

    for (const rn_http_header *h = call->request->headers; h != NULL && h->name != NULL && r == 0;
         h++) {
        x->now.close |= strcasecmp(h->name, "connection") == 0;
        if (is_kept(call, h->name))
            r = rn__out_format(x, "%s: %s\r\n", h->name, h->value);
    }
    return r;
}

/* RFC 9110 8.6: a method that has a body in general says so even where there is none. */
static int put_framing(struct rn__call *call)
{
    static const char *const with_body[] = {"POST", "PUT", "PATCH"};
    const rn_http_client_request *q = call->request;
    rn_http_reply *x = call->reply;
    bool wants = call->has_body;
    int r = 0;

    for (size_t i = 0; i < RN_COUNT_OF(with_body); i++)
        wants |= strcmp(call->method, with_body[i]) == 0;
    if (call->has_body && q->body_length < 0)
        r = rn__out_format(x, "Transfer-Encoding: chunked\r\n");
    else if (wants)
        r = rn__out_format(x, "Content-Length: %lld\r\n",
                           call->has_body ? (long long)q->body_length : 0);
    if (r == 0 && call->has_body && q->expect_continue)
        r = rn__out_format(x, "Expect: 100-continue\r\n");
    return r;
}

int rn__call_head(struct rn__call *call)
{
    rn_http_reply *x = call->reply;
    bool proxied = x->client->proxy != NULL;
    int r;

    x->out_len = 0;
    r = rn__out_format(x, "%s %s%s%s HTTP/1.1\r\n", call->method, proxied ? "http://" : "",
                       proxied ? x->url->host : "", x->url->target);
    if (r == 0 && !has_header(call, "host"))
        r = rn__out_format(x, "Host: %s\r\n", x->url->host);
    if (r == 0 && x->client->agent != NULL && !has_header(call, "user-agent"))
        r = rn__out_format(x, "User-Agent: %s\r\n", x->client->agent);
    if (r == 0)
        r = put_headers(call);
    if (r == 0)
        r = put_framing(call);
    return r < 0 ? r : rn__out_format(x, "\r\n");
}

/* ---- sending ---- */

/* 0; 1: the server has ended the connection, or its input: what it said may still be read. */
static int take_written(rn_http_reply *x, ssize_t r)
{
    x->now.sent |= r > 0 || x->link->conn->write_error != 0;
    if (r >= 0)
        return 0;
    x->now.close = true;
    if ((r != -EPIPE && r != -ECONNRESET) || !x->now.sent)
        return (int)r;
    x->now.refused = (int)r;
    return 1;
}

static int write_all(rn_http_reply *x, const struct iovec *iov, int n)
{
    return take_written(x, rn__conn_write(x->link->conn, iov, n, 0));
}

/* Has the server answered? 1, and no more is sent; 0; or an error. */
static int look(rn_http_reply *x)
{
    int r = x->now.complete ? 1 : rn__reply_look(x);

    x->now.close |= r != 0;
    return r;
}

static int send_buffer(rn_http_reply *x, const char *at, size_t len)
{
    int r = 0;

    while (r == 0 && len > 0) {
        size_t piece = len < PIECE ? len : PIECE;
        struct iovec iov = {.iov_base = (void *)(uintptr_t)at, .iov_len = piece};

        r = look(x);
        if (r == 0)
            r = write_all(x, &iov, 1);
        at += piece;
        len -= piece;
    }
    return r;
}

static int send_file(rn_http_reply *x, const rn_http_client_request *q)
{
    off_t at = q->body_offset;
    uint64_t left = (uint64_t)q->body_length;
    int r = 0;

    while (r == 0 && left > 0) {
        size_t piece = left < PIECE ? (size_t)left : PIECE;

        r = look(x);
        if (r == 0)
            r = take_written(x, rn_send_file(x->link->conn, q->body_fd, at, piece));
        at += (off_t)piece;
        left -= piece;
    }
    return r;
}

static ssize_t next_piece(struct rn__call *call, char *buf, size_t len)
{
    const rn_http_client_request *q = call->request;

    call->body_begun = true;
    return q->read_body != NULL ? q->read_body(q->body_arg, buf, len)
                                : rn_read(q->body_conn, buf, len);
}

static int send_piece(rn_http_reply *x, char *buf, size_t len, bool chunked)
{
    char size[24];
    struct iovec iov[3] = {{.iov_base = size},
                           {.iov_base = buf, .iov_len = len},
                           {.iov_base = (char[]){'\r', '\n'}, .iov_len = 2}};

    if (!chunked)
        return write_all(x, iov + 1, 1);
    iov[0].iov_len = (size_t)snprintf(size, sizeof size, "%zx\r\n", len);
    return write_all(x, iov, 3);
}

/* A body that is had by reading: for its length, or to its end. */
static int send_stream(struct rn__call *call, char *scratch)
{
    static const char last[] = "0\r\n\r\n";
    struct iovec end = {.iov_base = (void *)(uintptr_t)last, .iov_len = sizeof last - 1};
    rn_http_reply *x = call->reply;
    bool chunked = call->request->body_length < 0;
    uint64_t left = chunked ? UINT64_MAX : (uint64_t)call->request->body_length;
    int r = 0;

    while (r == 0 && left > 0) {
        ssize_t n;

        r = look(x);
        if (r != 0)
            break;
        n = next_piece(call, scratch, left < SCRATCH ? (size_t)left : SCRATCH);
        if (n <= 0) {
            if (n == 0 && chunked)
                return write_all(x, &end, 1);
            x->now.close = true;
            return n == 0 ? -RN_EPARTIAL : (int)n;
        }
        r = send_piece(x, scratch, (size_t)n, chunked);
        left -= (uint64_t)n;
    }
    return r;
}

/* Until the server says go on, or something else, or has said nothing for a while, as it does where
 * it knows no 100 (RFC 9110 10.1.1). 0: send the body. 1: it has answered instead. */
static int await_continue(rn_http_reply *x)
{
    rn_time until = rn__earlier(x->deadline, x->client->continue_ns);
    int r;

    rn_set_read_deadline(x->link->conn, until);
    r = rn__reply_wait(x);
    rn_set_read_deadline(x->link->conn, x->deadline);
    if (r == 0 && x->now.complete) {
        x->now.close = true; /* it waits for a body that will not come */
        return 1;
    }
    return r == -ETIME && until != x->deadline ? 0 : r;
}

static int send_body(struct rn__call *call)
{
    const rn_http_client_request *q = call->request;
    rn_http_reply *x = call->reply;
    char *scratch;
    int r;

    if (q->body != NULL)
        return send_buffer(x, q->body, (size_t)q->body_length);
    if (q->body_is_file)
        return send_file(x, q);
    scratch = rn__malloc(SCRATCH);
    if (scratch == NULL)
        return -ENOMEM;
    r = send_stream(call, scratch);
    rn__free(scratch);
    return r;
}

int rn__call_send(struct rn__call *call)
{
    const rn_http_client_request *q = call->request;
    rn_http_reply *x = call->reply;
    bool waits = call->has_body && q->expect_continue;
    bool together = call->has_body && q->body != NULL && !waits &&
                    (uint64_t)q->body_length <= PIECE;
    struct iovec iov[2] = {{.iov_base = x->out, .iov_len = x->out_len},
                           {.iov_base = (void *)(uintptr_t)q->body}};
    int r;

    iov[1].iov_len = together ? (size_t)q->body_length : 0;
    rn_set_deadline(x->link->conn, x->deadline);
    r = write_all(x, iov, iov[1].iov_len > 0 ? 2 : 1);
    if (r == 0 && waits)
        r = await_continue(x);
    if (r == 0 && call->has_body && !together)
        r = send_body(call);
    return r < 0 ? r : 0;
}

int rn__call_rewind(struct rn__call *call)
{
    const rn_http_client_request *q = call->request;
    int r = 0;

    if (!call->has_body || !call->body_begun)
        return 0;
    if (q->rewind_body == NULL)
        return -ENOTSUP;
    r = q->rewind_body(q->body_arg);
    call->body_begun = r < 0;
    return r;
}
