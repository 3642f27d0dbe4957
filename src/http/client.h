/*
 * client.h - what the files of the HTTP client share
 *
 *      call   a request of the user's under way: client_call.c repeats and redirects it
 *      link   a connection, and whose it is in the pool: client.c
 *      reply  the response, and the buffers of the exchange: client_reply.c
 *
 * A call and its reply belong to one coroutine. A link belongs to a reply, or rests in the pool of
 * the P that used it last. No lock is taken but where connections are counted (max_conns_per_host).
 */
#ifndef RN_HTTP_CLIENT_INSIDE_H
#define RN_HTTP_CLIENT_INSIDE_H

#include <runnel/http_client.h>

#include "base/list.h"
#include "http/exchange.h"
#include "http/parse_reply.h"
#include "http/url.h"
#include "net/net.h"

struct rn__gate;

/* A connection that the client has made. */
struct rn__link {
    struct rn__list node; /* in its place's idle list */
    rn_conn *conn;
    struct rn__gate *gate; /* that counts it; NULL: none does */
    rn_time idle_since;
    bool reused; /* the present request is not its first */
    char address[RN__URL_HOST];
};

/* How many connections there are to a host, and who waits for one. */
struct rn__gate {
    struct rn__gate *next;
    struct rn__client_place *place; /* [C] */
    unsigned n;                     /* [L] connections, idle ones too */
    unsigned waiting;               /* [L] */
    rn_cond cond;                   /* signalled once for each connection that comes free */
    char address[RN__URL_HOST];     /* [C] */
};

/* What each P has for itself. */
struct rn__client_place {
    _Alignas(RN_CACHE_LINE) struct rn__list idle; /* [P] of links, the latest last */
    unsigned n_idle;                              /* [P] */
    bool watched;                                 /* [P] a coroutine looks after the idle ones */
    rn_sem stop;                                  /* ends it */
    rn_http_client *client;                       /* [C] */
    rn_http_reply *spare;                         /* [P] */
    int n_spare;                                  /* [P] */
    rn_mutex lock;          /* for the gates, and with them for the idle list */
    struct rn__gate *gates; /* [L] */
};

struct rn_http_client {
    rn_http_client_options options; /* [C] as all but the places; its texts are not valid */
    struct rn__url *proxy;          /* NULL: none */
    char *agent;                    /* NULL: none */
    rn_time dial_ns, head_ns, whole_ns, idle_ns, continue_ns; /* 0: no limit */
    size_t in_room;
    rn_waitgroup watchers;
    int n_places;
    struct rn__client_place places[];
};

struct rn_http_reply {
    rn_http_reply *next; /* spare */
    rn_http_client *client;
    struct rn__link *link; /* NULL: closed, or in the pool */
    struct rn__url *url;
    rn_time deadline; /* of the whole call; 0: none */
    char *out;        /* the request's head; kept with the spare ones */
    size_t out_len, out_room;
    /* of one exchange: zero at its begin */
    struct {
        bool sent;      /* some of the request may have reached the server */
        bool answered;  /* bytes of a response came */
        bool complete;  /* its head is there */
        bool continued; /* a 100 came */
        bool close;     /* the connection is not to be used again */
        int refused;    /* the error of a write, after which an answer may still be read */
        bool head_only; /* the response has no body whatever it says: HEAD, CONNECT */
        uint8_t interim;
        /* the body */
        bool ended;
        int error; /* sticky */
        enum rn__reply_body framing;
        uint64_t left; /* by length */
    } now;
    struct rn__input in; /* in.buf is `input`, below */
    struct rn__reply_head head;
    char input[];
};

/* A request on its way, and what redirects have made of it. */
struct rn__call {
    const rn_http_client_request *request;
    const char *method;
    rn_http_reply *reply;
    bool has_body;
    bool body_begun; /* of a body that is had by reading, some was */
    bool away;       /* redirected to another host: secrets stay here */
    int redirects;
};

/* client.c */
rn_http_reply *rn__reply_new(rn_http_client *client);
void rn__reply_free(rn_http_reply *x);
/* A connection for x->url, from the pool unless `fresh`, into x->link. 0, or the errors of dial. */
int rn__link_get(rn_http_reply *x, bool fresh);
void rn__link_put(struct rn__link *link, rn_http_client *client); /* into the pool, or closed */
void rn__link_drop(struct rn__link *link);                        /* closed */
rn_conn *rn__link_detach(struct rn__link *link);                  /* not the client's any more */
rn_time rn__earlier(rn_time deadline, rn_time span_ns); /* deadline, or now + span: 0 is none */

/* client_send.c */
int rn__call_check(const rn_http_client_request *request);
int rn__call_head(struct rn__call *call); /* builds x->out */
/* The request, over x->link. 0 also where the server has answered before its end. */
int rn__call_send(struct rn__call *call);
int rn__call_rewind(struct rn__call *call); /* 0: the body can be sent (again) */
int rn__out_format(rn_http_reply *x, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* client_reply.c */
void rn__exchange_begin(rn_http_reply *x, bool head_only);
/* Reads until the head is there, no longer than the read deadline. 0, or an error. */
int rn__reply_wait(rn_http_reply *x);
/* What is there already, without waiting: 1 the head is complete; 0 not yet, or nothing came; or an
 * error. */
int rn__reply_look(rn_http_reply *x);
/* The head is complete: what follows? */
void rn__reply_start(rn_http_reply *x);
void rn__reply_let_go(rn_http_reply *x); /* of the connection, reading a short rest of the body */

#endif
