/*
 * http_client.h - an HTTP/1.1 client that reads like Go's net/http
 *
 *     rn_http_client *client;
 *     rn_http_reply *reply;
 *
 *     r = rn_http_client_new(NULL, &client);
 *     ...
 *     r = rn_http_get(client, "http://example.org/", &reply);
 *     if (r == 0) {
 *         while ((n = rn_http_body_read(reply, buf, sizeof buf)) > 0)
 *             fwrite(buf, 1, (size_t)n, stdout);
 *         rn_http_reply_close(reply);
 *     }
 *
 * Any number of coroutines, on any Ps, may use a client at once. Connections whose response was
 * read to its end are kept and used again, by the P that used them last. A response of any status
 * is a success; errors are what kept it from coming.
 *
 * Time limits and limits of size are on by default. Responses are parsed strictly (RFC 9112).
 * There is no TLS yet: URLs of other schemes than http are refused, also in redirects.
 *
 * Calls belong in a coroutine (elsewhere: -EDEADLK), and text is terminated by a zero.
 */
#ifndef RUNNEL_HTTP_CLIENT_H
#define RUNNEL_HTTP_CLIENT_H

#include <runnel/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What makes requests: limits, and the connections that are kept. It has one owner. */
typedef struct rn_http_client rn_http_client;

/* A response whose head has come, and whose body can be read. It has one owner. */
typedef struct rn_http_reply rn_http_reply;

/* A field of a request. */
typedef struct rn_http_header {
    const char *name;  /* token; NULL: the end of the list */
    const char *value; /* no control bytes */
} rn_http_header;

/* How a client is set up. All zero is the default. Spans of time: 0 the default, -1 no limit. */
typedef struct rn_http_client_options {
    const char *proxy;     /* "http://host:port" that is asked instead; NULL: none. Not taken from
                            * the environment */
    const char *agent;     /* User-Agent; NULL: "runnel"; "": none */
    rn_dial_options dial;  /* of each connection, but for its deadline; its texts are not copied */
    rn_time dial_ns;       /* for a connection to be made; 30 s */
    rn_time head_ns;       /* from the end of the request to the end of the response's head; 60 s */
    rn_time whole_ns;      /* from the call to the end of the body, with redirects; 10 min */
    rn_time continue_ns;   /* to wait for a 100 where a request expects one; 1 s */
    rn_time idle_ns;       /* a connection that has rested longer is closed; 90 s */
    size_t max_head_bytes; /* of a response; 16 KiB, at most 1 MiB: -EMSGSIZE */
    /* These hold for each P. */
    unsigned max_idle;          /* connections kept; 0: 128 */
    unsigned max_idle_per_host; /* of these, to one host; 0: 32 */
    unsigned
        max_conns_per_host; /* open at once, idle ones too: who comes then waits; 0: no limit */
    int max_redirects;      /* followed; 0: 10; -1: none, a redirect is a reply as any */
    uint64_t reserved[4];   /* zero */
} rn_http_client_options;

/* A request. All zero, but for the URL, is a GET. Its body comes from one of four places; one that
 * can be had only once (read_body without rewind_body, body_conn) cannot be sent again, so a
 * redirect that asks for it (307, 308) becomes the reply. */
typedef struct rn_http_client_request {
    const char *method;            /* NULL: "GET" */
    const char *url;               /* "http://host[:port]/path?query" */
    const rn_http_header *headers; /* the last one has no name; NULL: none. Lengths and codings are
                                    * the client's, and so is Connection, but for "close" */
    const void *body;              /* body_length bytes, unchanged until the call returns */
    /* Gives the next 1..len bytes; 0: the end; a negative error ends the call, which returns it. */
    ssize_t (*read_body)(void *arg, void *buf, size_t len);
    /* Back to its begin: 0, or an error. NULL: that cannot be done. */
    int (*rewind_body)(void *arg);
    void *body_arg;       /* handed to both */
    rn_conn *body_conn;   /* what it reads, up to its end or body_length; stays open */
    bool body_is_file;    /* body_length bytes of a file, by sendfile */
    int body_fd;          /* of a regular file */
    off_t body_offset;    /* where they begin in it */
    int64_t body_length;  /* bytes; -1: as many as come (read_body, body_conn), in chunks */
    bool expect_continue; /* ask before a body is sent (RFC 9110 10.1.1): what is refused is not */
    rn_time deadline;     /* absolute, for all of it; 0: that of whole_ns. The earlier one holds */
    uint64_t reserved[4]; /* zero */
} rn_http_client_request;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_HTTP_CLIENT_OPTIONS_INIT RN_INIT
#define RN_HTTP_CLIENT_REQUEST_INIT RN_INIT

/* ---- clients ---- */

/*
 * rn_http_client_new - make a client
 *   options  NULL for the defaults; copied
 *   ret      the client; the caller's to free
 * Returns 0; -EINVAL a bad option; -RN_EURL, -RN_ESCHEME a bad proxy; -EDEADLK outside of a
 * coroutine; -ENOMEM. *ret is untouched on failure.
 * Effects: none. Source: src/http/client.c
 */
RN_API int rn_http_client_new(const rn_http_client_options *options, rn_http_client **ret);

/*
 * rn_http_client_free - free a client
 *   client  the owner's, once; no call is in it, and all replies are closed. NULL is allowed
 * Effects: switches coroutines; closes the connections that were kept, and ends the coroutine that
 * each P has for them while there are some. Source: src/http/client.c
 */
RN_API void rn_http_client_free(rn_http_client *client);

/* ---- requests ---- */

/*
 * rn_http_get - GET what a URL names
 *   client  client
 *   url     as in rn_http_client_request
 *   ret     the reply; the caller's to close
 * Returns as rn_http_do.
 * Effects: as rn_http_do. Source: src/http/client_call.c
 */
RN_API int rn_http_get(rn_http_client *client, const char *url, rn_http_reply **ret);

/*
 * rn_http_do - make a request, and wait for the head of its response
 *   client   client
 *   request  request; only read, and only during the call
 *   ret      the reply; the caller's to close
 * Redirects (301, 302, 303, 307, 308) are followed: a POST becomes a GET by the first two, all but
 * HEAD by 303. Authorization, Cookie and Host are not sent on to another host or port, nor is
 * Proxy-Authorization where the client has no proxy. A request whose connection was kept, and is
 * found closed before a byte of the answer, is repeated on a new one, where that does no harm: its
 * method is idempotent or it has an Idempotency-Key, or nothing of it was sent; and its body can be
 * had again.
 * Returns 0, whatever the status.
 *   -RN_EURL, -RN_ESCHEME the URL, or that of a redirect   -RN_EREDIRECTS too many of these
 *   -EINVAL a malformed method, field or body, or one that is the client's; CONNECT
 *   -RN_EHTTP the response is malformed   -EMSGSIZE its head is too long
 *   -RN_EPARTIAL the connection ended before the head did, or the body that was to be sent
 *   -ETIME a limit of time passed   -ECANCELED this coroutine was cancelled   -ENOMEM
 *   and the errors of rn_dial, rn_write, rn_send_file, rn_read, read_body and rewind_body
 * *ret is untouched on failure.
 * Effects: may switch coroutines. Source: src/http/client_call.c
 */
RN_API int rn_http_do(rn_http_client *client, const rn_http_client_request *request,
                      rn_http_reply **ret);

/*
 * rn_http_client_connect - a connection through the client's proxy
 *   client    client; without a proxy this is rn_dial
 *   address   "host:port"
 *   deadline  absolute; 0: that of whole_ns
 *   ret       the connection; the caller's to close, without deadlines
 * Returns 0; -RN_EPROXY the proxy refused; -RN_EADDRESS; otherwise as rn_http_do. *ret is untouched
 * on failure.
 * Effects: may switch coroutines. Source: src/http/client_call.c
 */
RN_API int rn_http_client_connect(rn_http_client *client, const char *address, rn_time deadline,
                                  rn_conn **ret);

/* ---- replies ---- */

/*
 * rn_http_reply_status - the status of a response
 *   reply  reply
 * Returns 200..999; what is above 599 means as much as 500 (RFC 9110 15).
 * Effects: none. Source: src/http/client_reply.c
 */
RN_API int rn_http_reply_status(const rn_http_reply *reply);

/*
 * rn_http_reply_url - whose response it is, after all redirects
 *   reply  reply
 *   text   room for the URL
 *   len    bytes of room
 * Returns the length of the URL, as snprintf: what does not fit is cut off.
 * Effects: none. Source: src/http/client_reply.c
 */
RN_API size_t rn_http_reply_url(const rn_http_reply *reply, char *text, size_t len);

/*
 * rn_http_reply_length - how long the body is
 *   reply  reply
 * Returns bytes that rn_http_body_read will give in all, 0 for no body; -1 where only its end will
 * tell.
 * Effects: none. Source: src/http/client_reply.c
 */
RN_API int64_t rn_http_reply_length(const rn_http_reply *reply);

/*
 * rn_http_reply_header - a header field
 *   reply  reply
 *   name   letters compare without case
 * Returns the value of the first such field, good until the reply is closed; NULL for none.
 * Effects: none. Source: src/http/client_reply.c
 */
RN_API const char *rn_http_reply_header(const rn_http_reply *reply, const char *name);

/*
 * rn_http_reply_header_at - the header fields, one after the other
 *   reply  reply
 *   i      which, from 0
 *   name   its name as sent
 *   value  its value
 * Returns true; false behind the last one, and then sets nothing.
 * Effects: none. Source: src/http/client_reply.c
 */
RN_API bool rn_http_reply_header_at(const rn_http_reply *reply, unsigned i, const char **name,
                                    const char **value);

/*
 * rn_http_body_read - read the body of a response
 *   reply  reply
 *   buf    room for len bytes
 *   len    bytes, 0..SSIZE_MAX
 * Returns bytes read, 1..len (short is normal); 0 at the end of the body, also on later calls.
 *   -RN_EHTTP malformed chunks   -RN_EPARTIAL the server ended it too soon
 *   -ETIME a limit of time passed   the errors of rn_read
 * An error is returned by every later call.
 * Effects: may switch coroutines. At the end of the body the connection goes back to the client.
 * Source: src/http/client_reply.c
 */
RN_API ssize_t rn_http_body_read(rn_http_reply *reply, void *buf, size_t len);

/*
 * rn_http_reply_trailer - a field that came after a chunked body
 *   reply  reply whose body was read to its end
 *   name   letters compare without case
 * Returns the value of the first such field; NULL for none.
 * Effects: none. Source: src/http/client_reply.c
 */
RN_API const char *rn_http_reply_trailer(const rn_http_reply *reply, const char *name);

/*
 * rn_http_reply_close - be done with a response
 *   reply  the owner's, once; not valid afterwards. NULL is allowed
 * A short rest of the body is read, for 50 ms at most, so that the connection can be used again;
 * else it is closed.
 * Effects: may switch coroutines. Source: src/http/client_reply.c
 */
RN_API void rn_http_reply_close(rn_http_reply *reply);

#ifdef __cplusplus
}
#endif

#endif
