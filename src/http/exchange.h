/*
 * exchange.h - one connection with a request under way: what server.c and its kin share
 *
 * At rest a connection has none. An exchange has the input from the request's first byte on, the
 * parsed head, the answer under way, and the output buffer, in which the answers of a pipelined
 * batch collect so that they leave in one send.
 *
 *      in:   [ done | head | body as it came, not yet read | free ]      (input.h)
 *                   start  base                            len
 *
 * While a handler runs its head stays where it is: the text it was given points there.
 */
#ifndef RN_HTTP_EXCHANGE_H
#define RN_HTTP_EXCHANGE_H

#include <runnel/http.h>
#include <time.h>

#include "http/input.h"
#include "http/parse.h"
#include "http/text.h"
#include "net/net.h"

#define RN__OUT_ROOM ((size_t)16 << 10)
#define RN__STAGE_ROOM ((size_t)8 << 10) /* of a body whose length is not known yet */
#define RN__BODY_ROOM ((size_t)4 << 10)  /* input beyond the longest head, for framing */
#define RN__FIELDS_MOST ((size_t)12 << 10)
#define RN__WRITE_PIECE ((size_t)256 << 10)
#define RN__DRAIN_MOST ((size_t)256 << 10) /* of a body that its handler did not read */

struct rn__exchange;
struct rn__route; /* mux.c */

struct rn__arena_block {
    struct rn__arena_block *next;
    _Alignas(max_align_t) char bytes[];
};

struct rn_http_request {
    const char *path;              /* decoded; NULL: not yet */
    const struct rn__route *route; /* of the mux; NULL: none */
    const char **path_values;      /* one for each of its wildcards, in order */
    struct rn__http_slice rest;    /* what a last wildcard stands for, with the slash before it */
    void *value;
    struct rn__arena_block *arena;
    struct rn__http_slice form; /* the body, where it is one and was asked for as one */
    bool form_read;
    /* the body; all of it is set by rn__body_begin */
    uint64_t body_left;  /* with Content-Length */
    uint64_t body_taken; /* so far, for the limit and for the clock */
    uint64_t body_most;
    uint64_t body_clocked; /* body_taken when the deadline was set */
    int body_error;
    bool body_begun; /* a read was tried: the peer was asked to go on, the clock runs */
    bool body_ended;
    struct rn__http_request head;
};

enum rn__framing { RN__FRAME_NONE, RN__FRAME_LENGTH, RN__FRAME_CHUNKED, RN__FRAME_CLOSE };

struct rn_http_response {
    int status;      /* 0: none was set */
    int error;       /* sticky, of a write */
    bool head_out;   /* the head is in the output buffer, or sent */
    bool complete;   /* nothing is left to say */
    bool no_body;    /* HEAD, 204, 304: what is written counts and goes nowhere */
    bool has_length; /* length was said */
    bool has_date, has_server;
    enum rn__framing framing;
    uint64_t length;
    uint64_t said; /* bytes of body that were written */
    uint64_t body_out;
    size_t staged;     /* bytes in stage */
    size_t fields_len; /* bytes in fields, each line with CR LF */
    size_t fields_room;
    char *stage;  /* RN__STAGE_ROOM; made when first needed, and kept */
    char *fields; /* likewise, grown */
};

/* A value that is kept with a connection, while there is one. */
struct rn__conn_state {
    rn_http_server *server;
    void *value;
    void (*drop)(void *value);
};

#define RN__SERVER_LINE 128 /* room for the Server field, a line */
#define RN__OK_LINE "HTTP/1.1 200 OK\r\n"
#define RN__DATE_LINE (sizeof "Date: \r\n" - 1 + RN__HTTP_DATE_LEN)

/* What each P has for itself. */
struct rn__http_place {
    _Alignas(RN_CACHE_LINE) struct rn__exchange *spare;
    int n_spare;
    time_t second;   /* of the Date field below */
    rn_time renewed; /* when the wall clock was last read, by the P's */
    /* How nearly all answers begin: status line, Server and Date. */
    size_t start_len;
    char start[sizeof RN__OK_LINE + RN__SERVER_LINE + RN__DATE_LINE];
};

struct rn_http_server {
    rn_http_handler fn; /* [C] as all but the places */
    void *arg;
    rn_http_server_options options;
    struct rn__http_limits limits;
    rn_time idle_ns, head_ns, body_ns, write_ns; /* RN__NO_LIMIT: none */
    size_t in_room;
    char fixed[RN__SERVER_LINE]; /* the Server field, a line; or nothing */
    size_t fixed_len;
    int n_places;
    struct rn__http_place places[];
};

struct rn__exchange {
    struct rn__exchange *next; /* spare */
    rn_http_server *server;
    rn_conn *conn;
    struct rn__http_place *place;
    int proc;                     /* whose place that is; from 0 */
    struct rn__conn_state *state; /* NULL: no value was set */
    bool close;                   /* after this answer */
    bool timed;                   /* the head's time limit is set */
    bool hijacked;
    bool inside;        /* the reader of the connection since its rest: see rn__conn_rest */
    struct serve *held; /* hijacked: what must not end before the handler has returned */
    rn_time began;
    struct rn__input in; /* in.buf is `input`, below */
    size_t start;
    size_t out_len;
    rn_http_response w;
    rn_http_request r;
    char out[RN__OUT_ROOM];
    char input[];
};

static inline struct rn__exchange *rn__exchange_of_w(rn_http_response *w)
{
    return RN_CONTAINER(w, struct rn__exchange, w);
}

static inline struct rn__exchange *rn__exchange_of_r(const rn_http_request *r)
{
    return RN_CONTAINER((rn_http_request *)(uintptr_t)r, struct rn__exchange, r);
}

#define RN__NO_LIMIT ((rn_time)0)

/* Sets a deadline so far from now, or none. */
static inline void rn__http_clock(rn_conn *c, int dir, rn_time span_ns)
{
    if (span_ns != RN__NO_LIMIT)
        rn__iowait_deadline_after(&c->w, dir, span_ns);
    else
        rn__iowait_set_deadline(&c->w, dir, 0);
}

/* out.c: the output buffer. flags as for rn__conn_write. Each 0 or the error of the write, which is
 * remembered in w.error. */
int rn__out_flush(struct rn__exchange *x, int flags);
int rn__out_reserve(struct rn__exchange *x, size_t len); /* len <= RN__OUT_ROOM */
/* Through the buffer where it fits, else with what is in it by one call. */
int rn__out_write(struct rn__exchange *x, const void *buf, size_t len);
/* is_warm: all of it is in the page cache. */
int rn__out_file(struct rn__exchange *x, int fd, off_t offset, size_t len, bool is_warm);

/* Room is reserved. */
static inline void rn__out_put(struct rn__exchange *x, const char *text, size_t len)
{
    if (len > 0)
        memcpy(x->out + x->out_len, text, len);
    x->out_len += len;
}

static inline void rn__out_text(struct rn__exchange *x, const char *text)
{
    rn__out_put(x, text, strlen(text));
}

/* response.c: the status line, and the fields that every answer has; at most RN__HEAD_ROOM bytes,
 * which are reserved. The rest of the head, and its empty line, are the caller's. */
#define RN__HEAD_ROOM 512
void rn__response_start(struct rn__exchange *x, int status);
void rn__response_begin(rn_http_response *w);  /* a new one; its buffers stay */
void rn__response_end(struct rn__exchange *x); /* the handler has returned: say the rest */

/* request.c */
void rn__request_begin(rn_http_request *r);
void rn__request_free(rn_http_request *r); /* what rn_http_alloc gave */
static inline void rn__request_end(rn_http_request *r)
{
    if (RN_UNLIKELY(r->arena != NULL))
        rn__request_free(r);
}
/* A slice of the input, terminated in place: the byte behind it is only ever a separator. */
const char *rn__request_text(struct rn__http_slice s);
/* A copy with %XX decoded, but for an encoded slash or zero, which would change what a path says;
 * with `form` the slash too, and a plus is a space. NULL: no memory. */
const char *rn__request_decode(rn_http_request *r, struct rn__http_slice s, bool form);

/* The byte that is encoded at i, or -1. */
int rn__percent_at(struct rn__http_slice s, size_t i);

/* body.c */
static inline bool rn__has_body(const rn_http_request *r)
{
    return r->head.chunked || r->head.content_length > 0;
}
/* Before the handler runs. */
void rn__body_begin(struct rn__exchange *x);
/* Can what is left of the body be passed over at once, so that the connection can go on? */
bool rn__body_is_short(const struct rn__exchange *x);
/* Passes over it: true when its end was found. */
bool rn__body_drain(struct rn__exchange *x);

#endif
