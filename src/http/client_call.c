/*
 * client_call.c - a call: an exchange, repeated where its connection was stale, and redirects
 *
 *      exchange --redirect--> exchange ... --any other response--> reply
 *         |  ^
 *         +--+ a connection from the pool failed before a byte of the answer, and once more does no
 *              harm: on a new connection
 */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/client.h"
#include "http/token.h"

#define REFUSED_TIME (50 * RN_MILLISECOND)

/* RFC 9110 9.2.2, and the field by which a server knows a repeated request (as Go takes it). */
static bool is_idempotent(const struct rn__call *call)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
    const rn_http_header *h = call->request->headers;

    for (size_t i = 0; i < RN_COUNT_OF(methods); i++)
        if (strcmp(call->method, methods[i]) == 0)
            return true;
    for (; h != NULL && h->name != NULL; h++)
        if (strcasecmp(h->name, "idempotency-key") == 0)
            return true;
    return false;
}

/* It failed: on a connection that its server had closed, or was about to? */
static bool may_repeat(struct rn__call *call, int error)
{
    const rn_http_reply *x = call->reply;

    if (!x->link->reused || x->now.answered)
        return false;
    if (error != -RN_EPARTIAL && error != -ECONNRESET && error != -EPIPE)
        return false;
    return !x->now.sent || is_idempotent(call);
}

/* Where the server has reset what we sent, what it had said before is there already. */
static int await_head(rn_http_reply *x)
{
    rn_time span_ns = x->now.refused != 0 ? REFUSED_TIME : x->client->head_ns;
    int r = 0;

    rn_set_read_deadline(x->link->conn, rn__earlier(x->deadline, span_ns));
    while (r == 0 && !x->now.complete)
        r = rn__reply_wait(x);
    return r < 0 && x->now.refused != 0 ? x->now.refused : r;
}

static int exchange_once(struct rn__call *call)
{
    rn_http_reply *x = call->reply;
    int r;

    rn__exchange_begin(x, strcmp(call->method, "HEAD") == 0);
    r = rn__call_head(call);
    if (r == 0)
        r = rn__call_send(call);
    if (r == 0)
        r = await_head(x);
    if (r == 0)
        rn__reply_start(x);
    return r;
}

/* Until a response is there, or an error that stays. */
static int exchange(struct rn__call *call)
{
    rn_http_reply *x = call->reply;
    bool fresh = false;

    for (;;) {
        bool again;
        int r = rn__link_get(x, fresh);

        if (r < 0)
            return r;
        r = exchange_once(call);
        if (r == 0)
            return 0;
        again = may_repeat(call, r);
        rn__link_drop(x->link);
        x->link = NULL;
        if (!again || rn__call_rewind(call) < 0)
            return r;
        fresh = true;
    }
}

/* ---- redirects ---- */

/* RFC 9110 15.4: what becomes of the method. Where the old one stays, so does the body. */
static void change_method(struct rn__call *call, int status)
{
    bool is_post = strcmp(call->method, "POST") == 0;

    if (((status == 301 || status == 302) && is_post) ||
        (status == 303 && strcmp(call->method, "HEAD") != 0)) {
        call->method = "GET";
        call->has_body = false;
    }
}

/* 1: another exchange, with x->url set anew; 0: the response is the reply; or an error. */
static int follow(struct rn__call *call)
{
    rn_http_reply *x = call->reply;
    int status = x->head.status, most = x->client->options.max_redirects, r;
    const struct rn__http_field *f = rn__fields_find(x->head.fields, x->head.n_fields, "location");
    bool redirect = status == 301 || status == 302 || status == 303 || status == 307 ||
                    status == 308;
    struct rn__url *url;

    if (!redirect || f == NULL || most == 0)
        return 0;
    change_method(call, status);
    if (call->has_body && call->body_begun && call->request->rewind_body == NULL)
        return 0; /* as Go does: who asked may do better */
    if (call->redirects == most)
        return -RN_EREDIRECTS;
    r = rn__url_join(x->url, f->value, f->value_len, &url);
    if (r == 0)
        rn__reply_let_go(x);
    if (r == 0)
        call->away |= strcmp(url->address, x->url->address) != 0;
    if (r < 0)
        return r;
    rn__free(x->url);
    x->url = url;
    call->redirects++;
    r = rn__call_rewind(call);
    return r < 0 ? r : 1;
}

static void drop_reply(rn_http_reply *x)
{
    if (x->link != NULL)
        rn__link_drop(x->link);
    x->link = NULL;
    rn__reply_free(x);
}

int rn_http_do(rn_http_client *client, const rn_http_client_request *request, rn_http_reply **ret)
{
    struct rn__call call = {.request = request,
                            .method = request->method == NULL ? "GET" : request->method,
                            .has_body = request->body != NULL || request->read_body != NULL ||
                                        request->body_conn != NULL || request->body_is_file};
    int r = rn__self() == NULL ? -EDEADLK : rn__call_check(request);

    if (r < 0)
        return r;
    call.reply = rn__reply_new(client);
    if (call.reply == NULL)
        return -ENOMEM;
    call.reply->deadline = rn__earlier(request->deadline, client->whole_ns);
    r = rn__url_parse(request->url, strlen(request->url), &call.reply->url);
    while (r == 0) {
        r = exchange(&call);
        if (r == 0)
            r = follow(&call);
        if (r == 0) {
            *ret = call.reply;
            return 0;
        }
        r = r > 0 ? 0 : r;
    }
    drop_reply(call.reply);
    return r;
}

int rn_http_get(rn_http_client *client, const char *url, rn_http_reply **ret)
{
    return rn_http_do(client, &(rn_http_client_request){.url = url}, ret);
}

/* ---- tunnels ---- */

/* RFC 9110 9.3.6. What came behind the head of the answer is the other end's already. */
static int open_tunnel(rn_http_reply *x, const char *address, rn_conn **ret)
{
    static const rn_http_client_request request = {.url = ""};
    struct rn__call call = {.request = &request, .method = "CONNECT", .reply = x};
    int r = rn__link_get(x, true);

    if (r < 0)
        return r;
    rn__exchange_begin(x, true);
    x->out_len = 0;
    r = rn__out_format(x, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", address, address);
    if (r == 0)
        r = rn__call_send(&call);
    if (r == 0)
        r = await_head(x);
    if (r == 0 && x->head.status >= 300)
        r = -RN_EPROXY;
    if (r == 0)
        r = rn_unread(x->link->conn, x->in.buf + x->in.at, x->in.len - x->in.at);
    if (r < 0)
        return r;
    rn_set_deadline(x->link->conn, 0);
    *ret = rn__link_detach(x->link);
    x->link = NULL;
    return 0;
}

int rn_http_client_connect(rn_http_client *client, const char *address, rn_time deadline,
                           rn_conn **ret)
{
    const char *colon = strrchr(address, ':');
    rn_dial_options o = client->options.dial;
    rn_http_reply *x;
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    o.deadline = rn__earlier(rn__earlier(deadline, client->whole_ns), client->dial_ns);
    if (client->proxy == NULL)
        return rn_dial("tcp", address, &o, ret);
    for (const char *s = address; *s != '\0'; s++)
        if (!rn__is_class(*s, RN__CLASS_HOST) && strchr("[]:", *s) == NULL)
            return -RN_EADDRESS;
    if (colon == NULL || colon == address || colon[1] == '\0')
        return -RN_EADDRESS;
    x = rn__reply_new(client);
    if (x == NULL)
        return -ENOMEM;
    x->deadline = rn__earlier(deadline, client->whole_ns);
    r = open_tunnel(x, address, ret);
    drop_reply(x);
    return r;
}
