/*
 * server.c - requests in, answers out
 *
 *      REST --readable--> READ HEAD --complete--> HANDLE --keep-alive, no more input--> REST
 *                          |   ^                   |  |
 *               incomplete |   |                   |  +--pipelined input--> READ HEAD
 *                          +---+                   +--close, error--> closed, or hijacked
 *
 * At rest a connection has neither coroutine nor buffer: an exchange (exchange.h), from a list kept
 * for each P, holds both buffers and the parsed request only while a request is under way.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/probe.h"
#include "http/exchange.h"
#include "task/log.h"
#include <runnel/task.h>

#define IDLE_TIME (75 * RN_SECOND)
#define HEAD_TIME (10 * RN_SECOND)
#define BODY_TIME (60 * RN_SECOND)
#define WRITE_TIME (60 * RN_SECOND)
#define HEAD_BYTES ((size_t)16 << 10)
#define HEAD_MOST ((size_t)1 << 20)
#define BODY_BYTES ((uint64_t)1 << 20)
#define SPARES 64

static void serve_conn(rn_conn *conn, rn_http_server *s, struct rn__conn_state *state, bool inside);

/* ---- the server ---- */

static int choose_span(rn_time asked, rn_time normal, rn_time *ret)
{
    if (asked < -1)
        return -EINVAL;
    *ret = asked == 0 ? normal : asked < 0 ? RN__NO_LIMIT : asked;
    return 0;
}

static int choose_limits(rn_http_server *s, const rn_http_server_options *o)
{
    size_t head = o->max_head_bytes == 0 ? HEAD_BYTES : o->max_head_bytes;

    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (head > HEAD_MOST || o->max_fields > RN__HTTP_MAX_FIELDS ||
        o->max_target_bytes > HEAD_MOST || choose_span(o->idle_ns, IDLE_TIME, &s->idle_ns) < 0 ||
        choose_span(o->head_ns, HEAD_TIME, &s->head_ns) < 0 ||
        choose_span(o->body_ns, BODY_TIME, &s->body_ns) < 0 ||
        choose_span(o->write_ns, WRITE_TIME, &s->write_ns) < 0)
        return -EINVAL;
    s->limits = (struct rn__http_limits){
        .max_target_len = o->max_target_bytes, .max_head_len = head, .max_fields = o->max_fields};
    s->in_room = head + RN__BODY_ROOM;
    if (o->max_body_bytes == 0)
        s->options.max_body_bytes = BODY_BYTES;
    return 0;
}

static int choose_name(rn_http_server *s, const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return -EINVAL;
    if (len + sizeof "Server: \r\n" > sizeof s->fixed)
        return -EINVAL;
    if (name == NULL || len > 0)
        s->fixed_len = (size_t)sprintf(s->fixed, "Server: %s\r\n", name == NULL ? "runnel" : name);
    return 0;
}

int rn_http_server_new(const rn_http_server_options *options, rn_http_handler fn, void *arg,
                       rn_http_server **ret)
{
    static const rn_http_server_options defaults;
    const rn_http_server_options *o = options == NULL ? &defaults : options;
    int n = rn_procs(), r;
    rn_http_server *s;

    if (rn__self() == NULL)
        return -EDEADLK;
    s = rn__calloc(1, sizeof *s + (size_t)n * sizeof s->places[0]);
    if (s == NULL)
        return -ENOMEM;
    s->fn = fn;
    s->arg = arg;
    s->options = *o;
    s->n_places = n;
    r = choose_limits(s, o);
    if (r == 0)
        r = choose_name(s, o->name);
    if (r < 0) {
        rn__free(s);
        return r;
    }
    s->options.serve.when_readable = true;
    s->options.serve.first_byte_ns = s->idle_ns;
    *ret = s;
    return 0;
}

static void free_exchange(struct rn__exchange *x)
{
    rn__free(x->w.stage);
    rn__free(x->w.fields);
    rn__free(x);
}

void rn_http_server_free(rn_http_server *server)
{
    if (server == NULL)
        return;
    for (int i = 0; i < server->n_places; i++) {
        struct rn__exchange *x;

        while ((x = server->places[i].spare) != NULL) {
            server->places[i].spare = x->next;
            free_exchange(x);
        }
    }
    rn__free(server);
}

int rn_http_serve_listener(rn_http_server *server, rn_listener *ln)
{
    return rn_serve_listener(ln, &server->options.serve, rn_http_serve_conn, server);
}

int rn_http_serve(const char *network, const char *address, const rn_http_server_options *options,
                  rn_http_handler fn, void *arg)
{
    rn_http_server *s;
    int r = rn_http_server_new(options, fn, arg, &s);

    if (r < 0)
        return r;
    r = rn_serve(network, address, &s->options.serve, rn_http_serve_conn, s);
    rn_http_server_free(s);
    return r;
}

/* ---- exchanges ---- */

static void begin_request(struct rn__exchange *x)
{
    x->began = rn__now_cached();
    rn__request_begin(&x->r);
    rn__response_begin(&x->w);
}

static struct rn__exchange *get_exchange(rn_http_server *s, rn_conn *conn)
{
    int proc = rn_proc_id() - 1;
    struct rn__http_place *place = &s->places[proc];
    struct rn__exchange *x = place->spare;

    if (x != NULL) {
        place->spare = x->next;
        place->n_spare--;
    } else {
        x = rn__malloc(sizeof *x + s->in_room);
        if (x == NULL)
            return NULL;
        memset(&x->w, 0, sizeof x->w);
    }
    x->server = s;
    x->conn = conn;
    x->place = place;
    x->proc = proc;
    x->state = NULL;
    rn__input_begin(&x->in, conn, x->input, s->in_room);
    x->start = x->out_len = 0;
    x->timed = x->close = x->hijacked = false;
    x->held = NULL;
    begin_request(x);
    return x;
}

static void put_exchange(struct rn__exchange *x)
{
    if (x->place->n_spare == SPARES) {
        free_exchange(x); /* of a burst that is over */
        return;
    }
    x->next = x->place->spare;
    x->place->spare = x;
    x->place->n_spare++;
}

/* ---- requests ---- */

static __attribute__((noinline, cold)) void probe_done(const rn_http_done *done)
{
    const char *method = done->request == NULL ? "" : rn_http_get_method(done->request);
    const char *target = done->request == NULL ? "" : rn_http_get_target(done->request);
    int fd = done->conn == NULL ? -1 : rn_conn_fd(done->conn);

    RN_PROBE(http_request_done, fd, method, target, done->status, rn_now() - done->began,
             done->body_bytes);
}

static void tell_done(struct rn__exchange *x, bool parsed)
{
    const rn_http_server_options *o = &x->server->options;
    rn_http_done done;

    if (o->done == NULL && !RN_PROBE_ON(http_request_done))
        return;
    done = (rn_http_done){.request = parsed ? &x->r : NULL,
                          .conn = x->hijacked ? NULL : x->conn,
                          .status = x->w.status,
                          .body_bytes = x->w.body_out,
                          .began = x->began,
                          .error = x->w.error};
    if (o->done != NULL)
        o->done(&done, o->done_arg);
    if (RN_PROBE_ON(http_request_done))
        probe_done(&done);
}

/* A request that is none: say so, and read no further. */
static void refuse(struct rn__exchange *x, int status, const char *reason)
{
    x->close = true;
    x->r.body_ended = true;
    rn__conn_linger(x->conn);
    (void)rn_http_error(&x->w, status, reason);
    rn__response_end(x);
    (void)rn__out_flush(x, 0);
    tell_done(x, false);
}

/* A body may need room behind the head for its framing, so the head moves to the front while
 * nobody points into it yet. */
static void make_room(struct rn__exchange *x, size_t head_len)
{
    if (x->start > 0 && rn__has_body(&x->r)) {
        memmove(x->in.buf, x->in.buf + x->start, x->in.len - x->start);
        x->in.len -= x->start;
        x->start = 0;
        (void)rn__http_parse(&x->r.head, x->in.buf, x->in.len,
                             &x->server->limits); /* moves its slices */
    }
    x->in.base = x->in.at = x->start + head_len;
}

/* What comes next may read, or close. */
static void go_outside(struct rn__exchange *x)
{
    if (x->inside)
        rn__conn_leave(x->conn, RN__GATE_READER);
    x->inside = false;
}

/* 0: on to the next request; -1: the connection is closed, or somebody else's. */
static int handle(struct rn__exchange *x, size_t head_len)
{
    go_outside(x);
    make_room(x, head_len);
    rn__body_begin(x);
    x->close = !x->r.head.keep_alive;
    x->server->fn(&x->w, &x->r, x->server->arg);
    if (!x->hijacked) {
        rn__response_end(x);
        x->close |= x->w.error != 0; /* half an answer */
        if (!x->r.body_ended) {
            bool ended = !x->close && rn__body_is_short(x) && rn__out_flush(x, 0) == 0 &&
                         rn__body_drain(x);

            x->close |= !ended;
            if (!ended) /* what the peer still sends would reset the answer away */
                rn__conn_linger(x->conn);
        }
    }
    tell_done(x, true);
    rn__request_end(&x->r);
    rn__input_free_trailers(&x->in);
    if (x->hijacked)
        return -1;
    x->start = x->in.at;
    if (x->close) {
        /* Where a write failed there is a hole, and nothing may follow it. */
        if (x->w.error == 0 || x->w.error == -RN_EPARTIAL)
            (void)rn__out_flush(x, 0);
        return -1;
    }
    x->timed = false;
    return 0;
}

/* All that is there are empty lines, which may stand before a request (RFC 9112 2.2): some clients
 * send one behind a body, and then perhaps nothing. */
static bool is_empty_lines(const struct rn__exchange *x)
{
    return x->r.head.empty_lines * 2U == x->in.len - x->start;
}

/* Parses and answers what is in the buffer. 1: all of it, 0: more is needed, -1: close. */
static int serve_input(struct rn__exchange *x)
{
    while (x->start < x->in.len) {
        ssize_t n = rn__http_parse(&x->r.head, x->in.buf + x->start, x->in.len - x->start,
                                   &x->server->limits);

        if (n == RN__HTTP_INCOMPLETE && !is_empty_lines(x))
            return 0;
        if (n == RN__HTTP_INCOMPLETE) { /* the next one is yet to begin, after a rest */
            x->start = x->in.len;
            break;
        }
        if (n < 0) {
            refuse(x, x->r.head.status, x->r.head.reason);
            return -1;
        }
        if (handle(x, (size_t)n) < 0)
            return -1;
        if (x->start < x->in.len)
            begin_request(x);
    }
    return rn__out_flush(x, 0) < 0 ? -1 : 1;
}

/* Room for more of the request under way. The parser's limit is met before the buffer is full. */
static int read_more(struct rn__exchange *x)
{
    ssize_t n;

    if (x->start > 0) {
        memmove(x->in.buf, x->in.buf + x->start, x->in.len - x->start);
        x->in.len -= x->start;
        x->start = 0;
    }
    /* From a request's first byte on the clock runs, whatever trickles in. */
    if (x->in.len > 0 && !x->timed) {
        x->timed = true;
        rn__http_clock(x->conn, RN__READ, x->server->head_ns);
    }
    if (x->in.len > 0 && rn__out_flush(x, 0) < 0)
        return -1;
    n = x->inside ? rn__conn_read_inside(x->conn, x->in.buf + x->in.len, x->in.room - x->in.len)
                  : rn_read(x->conn, x->in.buf + x->in.len, x->in.room - x->in.len);
    if (n == -ETIME && x->in.len > 0)
        refuse(x, 408, "The request took too long.");
    if (n <= 0)
        return -1;
    x->in.len += (size_t)n;
    return 0;
}

/* ---- connections ---- */

static void drop_state(struct rn__conn_state *state)
{
    if (state == NULL)
        return;
    if (state->drop != NULL)
        state->drop(state->value);
    rn__free(state);
}

static void serve_rested(rn_conn *conn, void *server)
{
    serve_conn(conn, server, NULL, true);
}

static void serve_rested_with_state(rn_conn *conn, void *arg)
{
    struct rn__conn_state *state = arg;

    serve_conn(conn, state->server, state, true);
}

static bool rest(rn_conn *conn, rn_http_server *s, struct rn__conn_state *state)
{
    if (rn__serve_draining(conn))
        return false;
    rn__http_clock(conn, RN__READ, s->idle_ns);
    return (state == NULL ? rn__conn_rest(conn, serve_rested, s)
                          : rn__conn_rest(conn, serve_rested_with_state, state)) == 0;
}

static void serve_conn(rn_conn *conn, rn_http_server *s, struct rn__conn_state *state, bool inside)
{
    struct rn__exchange *x = get_exchange(s, conn);
    struct serve *held;
    bool hijacked;
    int r = 0;

    if (x == NULL) {
        rn__log("http: %s: a connection is closed", rn_strerror(-ENOMEM));
        if (inside)
            rn__conn_leave(conn, RN__GATE_READER);
        drop_state(state);
        rn_close(conn);
        return;
    }
    x->state = state;
    x->inside = inside;
    while (r == 0) {
        r = read_more(x);
        if (r == 0)
            r = serve_input(x);
    }
    go_outside(x);
    hijacked = x->hijacked;
    held = x->held;
    state = x->state;
    if (!hijacked && x->start < x->in.len) /* pipelined, and not answered: more may be on its way */
        rn__conn_linger(conn);
    put_exchange(x);
    if (!hijacked && r > 0 && rest(conn, s, state))
        return;
    drop_state(state);
    if (!hijacked)
        rn_close(conn);
    rn__serve_release(held); /* from here on s may be gone */
}

void rn_http_serve_conn(rn_conn *conn, void *server)
{
    serve_conn(conn, server, NULL, false);
}
