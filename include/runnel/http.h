/*
 * http.h - an HTTP/1.1 server that reads like Go's net/http
 *
 *     static void hello(rn_http_response *w, rn_http_request *r, void *arg)
 *     {
 *         rn_http_printf(w, "Hello, %s!\n", rn_http_get_path_value(r, "name"));
 *     }
 *     ...
 *     rn_http_handle(mux, "GET /hello/{name}", hello, NULL);
 *     rn_http_serve("tcp", ":8080", NULL, rn_http_mux_handler, mux);
 *
 * A handler runs in the coroutine of its connection. Both its objects, and all text that these
 * calls return, are good until it returns. What it writes is sent when it returns, or when there is
 * more than a few KiB of it; then with Content-Length where that is known by then, else chunked. A
 * handler that returns without having said anything is answered for: 500.
 *
 * Time limits and limits of size are on by default. Requests are parsed strictly (RFC 9112); what
 * could be read in two ways is refused before a handler sees it.
 *
 * Unless said otherwise a call belongs into the handler, does not switch coroutines, and text is
 * terminated by a zero.
 */
#ifndef RUNNEL_HTTP_H
#define RUNNEL_HTTP_H

#include <runnel/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What serves connections: a handler, with limits. It has one owner. */
typedef struct rn_http_server rn_http_server;

/* A request as its handler sees it. */
typedef struct rn_http_request rn_http_request;

/* The answer under way. */
typedef struct rn_http_response rn_http_response;

/* What answers a request. Any number run at once, on all Ps. */
typedef void (*rn_http_handler)(rn_http_response *w, rn_http_request *r, void *arg);

/* A request that was answered, or refused, for logs and statistics. */
typedef struct rn_http_done {
    const rn_http_request *request; /* NULL: there was none that could be parsed */
    rn_conn *conn;                  /* for its addresses */
    int status;                     /* as sent; 0: nothing was */
    uint64_t body_bytes;            /* of the answer, as they went to the connection */
    rn_time began;                  /* the request's first byte, or the end of the one before */
    int error;                      /* 0, or why the answer could not be sent whole */
    uint64_t reserved[4];           /* zero */
} rn_http_done;

/* How a server is set up. All zero is the default. Spans of time: 0 the default, -1 no limit; none
 * ends early, each may end 1/64 late. */
typedef struct rn_http_server_options {
    rn_serve_options serve;  /* when_readable and first_byte_ns are set by the server */
    rn_time idle_ns;         /* until a connection's first byte, and between requests; 75 s */
    rn_time head_ns;         /* from a request's first byte to the end of its head; 10 s: 408 */
    rn_time body_ns;         /* for each 64 KiB of a request's body; 60 s */
    rn_time write_ns;        /* for the peer to take each 256 KiB of an answer; 60 s */
    size_t max_head_bytes;   /* of a request; 16 KiB, at most 1 MiB: 431 */
    size_t max_target_bytes; /* of the request's target; 8000: 414 */
    unsigned max_fields;     /* header fields; 100, which is the most: 431 */
    uint64_t max_body_bytes; /* 1 MiB; all ones: no limit. See rn_http_set_max_body: 413 */
    const char *name;        /* Server field; NULL: "runnel"; "": none. Not copied */
    /* Called in the coroutine of the connection when an answer is complete; must not write to it.
     * NULL: none. */
    void (*done)(const rn_http_done *done, void *arg);
    void *done_arg;       /* handed to done */
    uint64_t reserved[4]; /* zero */
} rn_http_server_options;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_HTTP_SERVER_OPTIONS_INIT RN_INIT

/* ---- serving ---- */

/*
 * rn_http_serve - listen, and answer each request by a handler, on all Ps
 *   network, address  as for rn_listen
 *   options           NULL for the defaults
 *   fn, arg           the handler: one's own, rn_http_mux_handler, rn_http_files_handler
 * Returns only when the listener (options->serve.listener) or the caller is cancelled, after a
 * drain: requests under way are answered, connections at rest closed.
 *   -ECANCELED cancelled, all of that done   -EINVAL a bad option   the errors of rn_serve
 * Effects: may switch coroutines. Source: src/http/server.c
 */
RN_API int rn_http_serve(const char *network, const char *address,
                         const rn_http_server_options *options, rn_http_handler fn, void *arg);

/*
 * rn_http_server_new - make a server, for listeners of one's own
 *   options  NULL for the defaults; of .serve only what rn_serve_listener uses
 *   fn, arg  the handler
 *   ret      the server; the caller's to free
 * Returns 0; -EINVAL a bad option; -EDEADLK outside of a coroutine; -ENOMEM. *ret is untouched on
 * failure.
 * Effects: none. Source: src/http/server.c
 */
RN_API int rn_http_server_new(const rn_http_server_options *options, rn_http_handler fn, void *arg,
                              rn_http_server **ret);

/*
 * rn_http_server_free - free a server
 *   server  the owner's, once; serves no connection any more. NULL is allowed
 * Effects: none. Source: src/http/server.c
 */
RN_API void rn_http_server_free(rn_http_server *server);

/*
 * rn_http_serve_listener - answer the requests of those who connect to a listener
 *   server  server; may serve any number of listeners at once
 *   ln      listener; stays the caller's, to cancel and, after the return, to close
 * Returns only when the listener or the caller is cancelled, as rn_serve_listener, after a drain.
 * Effects: may switch coroutines. Source: src/http/server.c
 */
RN_API int rn_http_serve_listener(rn_http_server *server, rn_listener *ln);

/*
 * rn_http_serve_conn - answer the requests of one connection, until it is closed
 *   conn    connection; belongs to the server from here on
 *   server  a rn_http_server, as rn_handler has it
 * Effects: may switch coroutines, and returns when the connection rests, too.
 * Source: src/http/server.c
 */
RN_API void rn_http_serve_conn(rn_conn *conn, void *server);

/* ---- requests ---- */

/*
 * rn_http_get_method - the method of a request
 *   r  request
 * Returns "GET" or such.
 * Effects: none. Source: src/http/request.c
 */
RN_API const char *rn_http_get_method(const rn_http_request *r);

/*
 * rn_http_get_target - what was asked for, as it was sent
 *   r  request
 * Returns "/a%20b?c=d", "http://host/a", "host:port" of a CONNECT, or "*" of an OPTIONS.
 * Effects: none. Source: src/http/request.c
 */
RN_API const char *rn_http_get_target(const rn_http_request *r);

/*
 * rn_http_get_path - the path of a request, decoded
 *   r  request
 * Returns "/a b"; "" where the target has none. An encoded slash or zero stays encoded.
 * Effects: none. Source: src/http/request.c
 */
RN_API const char *rn_http_get_path(rn_http_request *r);

/*
 * rn_http_get_host - which host was asked
 *   r  request
 * Returns the target's host, else the Host field, port included where there is one; "" for neither,
 * which only HTTP/1.0 allows.
 * Effects: none. Source: src/http/request.c
 */
RN_API const char *rn_http_get_host(const rn_http_request *r);

/*
 * rn_http_get_minor - the version of a request
 *   r  request
 * Returns 1 for HTTP/1.1, 0 for HTTP/1.0.
 * Effects: none. Source: src/http/request.c
 */
RN_API int rn_http_get_minor(const rn_http_request *r);

/*
 * rn_http_get_header - a header field
 *   r     request
 *   name  letters compare without case
 * Returns the value of the first such field, without white space around it; NULL for none.
 * Effects: none. Source: src/http/request.c
 */
RN_API const char *rn_http_get_header(const rn_http_request *r, const char *name);

/*
 * rn_http_header_at - the header fields, one after the other
 *   r      request
 *   i      which, from 0
 *   name   its name as sent
 *   value  its value
 * Returns true; false behind the last one, and then sets nothing.
 * Effects: none. Source: src/http/request.c
 */
RN_API bool rn_http_header_at(const rn_http_request *r, unsigned i, const char **name,
                              const char **value);

/*
 * rn_http_get_query - a parameter of the query, decoded
 *   r     request
 *   name  parameter; letters compare with case
 * Returns the value of the first such parameter, "" where it has none; NULL: no such parameter, no
 * memory, or a value with an encoded zero. '+' is a space.
 * Effects: none. Source: src/http/form.c
 */
RN_API const char *rn_http_get_query(rn_http_request *r, const char *name);

/*
 * rn_http_get_form - a value of a form that was sent, decoded
 *   r     request, with a body of type application/x-www-form-urlencoded
 *   name  of the value; letters compare with case
 * Returns as rn_http_get_query; NULL also where the body is no such form, or could not be read:
 * then rn_http_read says why.
 * Effects: may switch coroutines; the first call reads the body, to its end.
 * Source: src/http/form.c
 */
RN_API const char *rn_http_get_form(rn_http_request *r, const char *name);

/*
 * rn_http_get_cookie - a cookie
 *   r     request
 *   name  letters compare with case
 * Returns the value of the first such cookie, without quotes around it; NULL for none, or no
 * memory. To set one is a field "Set-Cookie" of the answer (rn_http_add_header).
 * Effects: none. Source: src/http/form.c
 */
RN_API const char *rn_http_get_cookie(rn_http_request *r, const char *name);

/*
 * rn_http_get_path_value - what stands in the path for a pattern's wildcard
 *   r     request that came by a mux
 *   name  of the wildcard
 * Returns the decoded value; NULL for no such wildcard.
 * Effects: none. Source: src/http/mux.c
 */
RN_API const char *rn_http_get_path_value(rn_http_request *r, const char *name);

/*
 * rn_http_get_content_length - how long a request's body is
 *   r  request
 * Returns bytes, 0 for no body; -1 where only its end will tell (chunked).
 * Effects: none. Source: src/http/request.c
 */
RN_API int64_t rn_http_get_content_length(const rn_http_request *r);

/*
 * rn_http_read - read the body of a request
 *   r    request
 *   buf  room for len bytes
 *   len  bytes, 0..SSIZE_MAX
 * Returns bytes read, 1..len (short is normal); 0 at the end of the body, also on later calls.
 *   -EMSGSIZE longer than allowed: answer 413   -RN_EHTTP malformed chunks: answer 400
 *   -RN_EPARTIAL the peer ended it too soon   -ETIME body_ns passed   the errors of rn_read
 * An error is returned by every later call, and the connection is closed after the answer.
 * Effects: may switch coroutines; the first call asks a peer that waits for it to go on (100
 * Continue). Source: src/http/body.c
 */
RN_API ssize_t rn_http_read(rn_http_request *r, void *buf, size_t len);

/*
 * rn_http_set_max_body - another limit for this request's body
 *   r      request
 *   bytes  all ones: no limit
 * Effects: none. Source: src/http/body.c
 */
RN_API void rn_http_set_max_body(rn_http_request *r, uint64_t bytes);

/*
 * rn_http_get_trailer - a field that came after a chunked body
 *   r     request whose body was read to its end
 *   name  letters compare without case
 * Returns the value of the first such field; NULL for none.
 * Effects: none. Source: src/http/body.c
 */
RN_API const char *rn_http_get_trailer(const rn_http_request *r, const char *name);

/*
 * rn_http_get_conn - the connection below a request
 *   r  request
 * Returns it, for rn_remote_addr and its like: not to read, write or close.
 * Effects: none. Source: src/http/request.c
 */
RN_API rn_conn *rn_http_get_conn(rn_http_request *r);

/*
 * rn_http_alloc - memory that lives as long as the request
 *   r    request
 *   len  bytes
 * Returns memory for any type, which is not to be freed; NULL where there is none.
 * Effects: none. Source: src/http/request.c
 */
RN_API void *rn_http_alloc(rn_http_request *r, size_t len);

/*
 * rn_http_set_value - something to remember with a request, from one handler to the next
 *   r      request
 *   value  NULL at first
 * Effects: none. Source: src/http/request.c
 */
RN_API void rn_http_set_value(rn_http_request *r, void *value);

/*
 * rn_http_get_value - what rn_http_set_value set
 *   r  request
 * Returns the value.
 * Effects: none. Source: src/http/request.c
 */
RN_API void *rn_http_get_value(const rn_http_request *r);

/*
 * rn_http_set_conn_value - something to remember with a connection, from one request to the next
 *   r      request on that connection
 *   value  NULL at first
 *   drop   called with value when the connection is closed, or another value is set; NULL: not
 * Returns 0; -ENOMEM, and nothing has changed.
 * Effects: calls the drop of the value before. Source: src/http/request.c
 */
RN_API int rn_http_set_conn_value(rn_http_request *r, void *value, void (*drop)(void *value));

/*
 * rn_http_get_conn_value - what rn_http_set_conn_value set
 *   r  request
 * Returns the value.
 * Effects: none. Source: src/http/request.c
 */
RN_API void *rn_http_get_conn_value(const rn_http_request *r);

/* ---- answers ---- */

/*
 * rn_http_set_status - the status of the answer
 *   w       answer
 *   status  200..999; 200 where it is not called but something is written
 * Returns 0; -EINVAL another status; -EALREADY the head has been sent.
 * Effects: none. Source: src/http/response.c
 */
RN_API int rn_http_set_status(rn_http_response *w, int status);

/*
 * rn_http_set_header - set a header field
 *   w      answer
 *   name   token
 *   value  no control bytes; NULL removes the field
 * Replaces all fields of that name. Content-Length sets the length as rn_http_set_length does;
 * Transfer-Encoding and Connection are the server's, but for "Connection: close". Date and Server
 * are set by the server where they are not set here.
 * Returns 0; -EINVAL a malformed name or value, or one that is the server's; -EALREADY the head has
 * been sent; -EMSGSIZE more than 12 KiB of them, or less than was written; -ENOMEM.
 * Effects: none. Source: src/http/response.c
 */
RN_API int rn_http_set_header(rn_http_response *w, const char *name, const char *value);

/*
 * rn_http_add_header - one more header field of a name
 *   w, name, value  as for rn_http_set_header, value not NULL
 * Returns as rn_http_set_header.
 * Effects: none. Source: src/http/response.c
 */
RN_API int rn_http_add_header(rn_http_response *w, const char *name, const char *value);

/*
 * rn_http_set_length - say how long the body will be, so that it needs no chunks
 *   w    answer
 *   len  bytes; exactly so many are written, or the connection is closed
 * Returns 0; -EALREADY the head has been sent; -EMSGSIZE more than that has been written.
 * Effects: none. Source: src/http/response.c
 */
RN_API int rn_http_set_length(rn_http_response *w, uint64_t len);

/*
 * rn_http_write - write some of the body
 *   w    answer
 *   buf  len bytes
 *   len  0..SSIZE_MAX
 * Returns len, also where the body is not sent because the method is HEAD. -EMSGSIZE more than
 * rn_http_set_length said, or a status that has no body (204, 205, 304): none of it is sent;
 * -ENOMEM; the errors of rn_write, the first of which every later call returns.
 * Effects: may switch coroutines. Source: src/http/response.c
 */
RN_API ssize_t rn_http_write(rn_http_response *w, const void *buf, size_t len);

/*
 * rn_http_printf - write some of the body, formatted
 *   w       answer
 *   format  as for printf(3)
 *   ...     what the format wants
 * Returns bytes written; the errors of rn_http_write.
 * Effects: may switch coroutines. Source: src/http/response.c
 */
RN_API ssize_t rn_http_printf(rn_http_response *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * rn_http_send_file - a piece of a file as (part of) the body, without copying it
 *   w       answer; the length of its body is known: by rn_http_set_length, or else this is all
 *   fd      regular file
 *   offset  where it begins
 *   len     bytes, which the file must have
 * Returns len. -RN_ETRUNCATED the file was shorter; -EMSGSIZE, and errors as rn_http_write.
 * Effects: may switch coroutines. Source: src/http/response.c
 */
RN_API ssize_t rn_http_send_file(rn_http_response *w, int fd, off_t offset, size_t len);

/*
 * rn_http_flush - send what was written so far
 *   w  answer
 * Returns 0; the errors of rn_http_write.
 * Effects: may switch coroutines. The head goes out, so the body is chunked where its length has
 * not been said. Source: src/http/response.c
 */
RN_API int rn_http_flush(rn_http_response *w);

/*
 * rn_http_error - answer by a short page in place of anything written before
 *   w       answer whose head has not been sent
 *   status  400..599 or such
 *   text    a sentence for people, escaped here; NULL: the name of the status
 * Returns 0; -EALREADY, and the connection is closed at the handler's return: the peer must not
 * take half an answer for a whole one; -ENOMEM.
 * Effects: removes the header fields that were about the body. Source: src/http/response.c
 */
RN_API int rn_http_error(rn_http_response *w, int status, const char *text);

/*
 * rn_http_redirect - send the peer elsewhere
 *   w       answer
 *   status  301, 302, 303, 307, 308
 *   url     where to, encoded
 * Returns as rn_http_error, and as rn_http_set_header of a Location.
 * Effects: as rn_http_error. Source: src/http/response.c
 */
RN_API int rn_http_redirect(rn_http_response *w, int status, const char *url);

/*
 * rn_http_hijack - take the connection over, for another protocol
 *   w    answer of which nothing has been sent
 *   ret  the connection; the caller's to close, also after the handler's return. What the peer has
 *        sent behind the request's head is what rn_read returns first. It has no deadlines
 * Returns 0; -EALREADY something was sent; -EBUSY the request's body has been read in part;
 * -ENOMEM; the errors of rn_write, of answers before this one. *ret is untouched on failure.
 * Effects: may switch coroutines. Nothing is sent for this request: "101 Switching Protocols" is
 * the caller's to write. Source: src/http/response.c
 */
RN_API int rn_http_hijack(rn_http_response *w, rn_conn **ret);

/* ---- routes ---- */

/* Which handler for which request. It has one owner. */
typedef struct rn_http_mux rn_http_mux;

/*
 * rn_http_mux_new - make a mux without routes
 *   ret  the mux; the caller's to free
 * Returns 0; -ENOMEM. *ret is untouched on failure.
 * Effects: none; any thread. Source: src/http/mux.c
 */
RN_API int rn_http_mux_new(rn_http_mux **ret);

/*
 * rn_http_mux_free - free a mux
 *   mux  the owner's, once; no request is in it any more. NULL is allowed
 * Effects: none; any thread. Source: src/http/mux.c
 */
RN_API void rn_http_mux_free(rn_http_mux *mux);

/*
 * rn_http_handle - add a route
 *   mux      mux that serves nothing yet
 *   pattern  "[METHOD ][HOST]/PATH", as Go's: a segment "{name}" stands for any one segment, a last
 *            one "{name...}" for all that follow; a path that ends in a slash stands for all below
 *            it, one that ends in "/{$}" only for itself. GET is for HEAD too
 *   fn, arg  the handler
 * Of several patterns that fit, the one with a plain segment where the others have a wildcard is
 * taken, looking from the left; one with a host before one without, with a method before one
 * without. A path that fits, but for the method, is answered 405 with Allow; none, 404; "/dir"
 * where only "/dir/" is known by a redirect to it, and so is a path with "//", "." or "..".
 * Returns 0; -EINVAL a malformed pattern; -EEXIST there is one that says the same; -ENOMEM.
 * Effects: none; any thread. Source: src/http/mux.c
 */
RN_API int rn_http_handle(rn_http_mux *mux, const char *pattern, rn_http_handler fn, void *arg);

/*
 * rn_http_mux_handler - the handler that finds the handler
 *   w, r  as a handler gets them
 *   mux   a rn_http_mux
 * Effects: as those of the handler found. Source: src/http/mux.c
 */
RN_API void rn_http_mux_handler(rn_http_response *w, rn_http_request *r, void *mux);

/* ---- files ---- */

/* A directory whose files are served. It has one owner. */
typedef struct rn_http_files rn_http_files;

/* Cache-Control for files whose path fits a pattern of fnmatch(3), in which '*' is for slashes too:
 * one with a slash is for the path from the directory, "/css/site.css", another for the last
 * name alone. */
typedef struct rn_http_cache_rule {
    const char *pattern; /* "*.css" */
    const char *value;   /* at most 200 bytes */
} rn_http_cache_rule;

/* A file that is sent in place of the short page that goes with a status. */
typedef struct rn_http_error_page {
    int status;       /* 400..599; 0: all those that no other page is for */
    const char *name; /* below the directory, "errors/404.html" */
} rn_http_error_page;

/* How files are served. All zero is the default. What it points to is not copied, and stays until
 * rn_http_files_free. */
typedef struct rn_http_files_options {
    const char *const *index; /* names of a directory's page, NULL behind the last; index.html */
    bool list;                /* a directory without such a page by its names: HTML, or JSON for who
                               * would rather have that by Accept */
    bool precompressed; /* "x.br", "x.zst", "x.gz" beside "x", and no older, for who takes them by
                               * Accept-Encoding */
    bool dotfiles;      /* also what begins with a dot, which else only .well-known may */
    bool no_links;      /* no symbolic links; else those that stay inside by a relative path */
    bool shared_tags; /* entity tags by length and date alone, in seconds, so that several machines
                         * with copies of the same files agree on them; else they are of this very
                         * file, and no change goes unnoticed */
    const char *mime_file; /* types by extension, before those known here; NULL: /etc/mime.types,
                               * where there is one; "": none */
    const rn_http_cache_rule *cache_rules; /* the first that fits */
    size_t n_cache_rules;                  /* how many there are */
    const rn_http_error_page *error_pages; /* of several for a status the first */
    size_t n_error_pages;                  /* how many there are */
    const char *fallback; /* a file below the directory that is sent, with 200, in place of what is
                               * not there: the page of an application that shows its own addresses.
                               * NULL: none */
    uint64_t reserved[4]; /* zero */
} rn_http_files_options;

/* All zero, in C and in C++. */
#define RN_HTTP_FILES_OPTIONS_INIT RN_INIT

/*
 * rn_http_files_new - serve the files below a directory
 *   dir      directory; nothing outside of it can be had, whatever links say
 *   options  NULL for the defaults
 *   ret      the files; the caller's to free
 * Returns 0; -EINVAL a bad option; -ENOENT, -ENOTDIR, -EACCES as open(2) says, of the mime_file
 * too; -ENOSYS no openat2 (before Linux 5.6, or filtered); -EDEADLK outside of a coroutine;
 * -ENOMEM. *ret is untouched on failure.
 * Effects: none. Source: src/http/static.c
 */
RN_API int rn_http_files_new(const char *dir, const rn_http_files_options *options,
                             rn_http_files **ret);

/*
 * rn_http_files_reopen - serve another directory from now on, or what its name leads to now
 *   files  that serve; requests may be under way
 *   dir    as for rn_http_files_new
 * Files that are being sent are sent to their end; within a second all are those of the new one.
 * Returns 0; the errors of open(2) and dup3(2) as rn_http_files_new has them, and what was served
 * is served on.
 * Effects: none; any thread. Source: src/http/static.c
 */
RN_API int rn_http_files_reopen(rn_http_files *files, const char *dir);

/*
 * rn_http_files_free - stop serving files
 *   files  the owner's, once; no request is in it any more. NULL is allowed
 * Effects: none. Source: src/http/static.c
 */
RN_API void rn_http_files_free(rn_http_files *files);

/*
 * rn_http_files_handler - the handler that answers with a file
 *   w, r   as a handler gets them; in a mux under "/some/{path...}", the wildcard's value is the
 *          file's name, else the request's path
 *   files  a rn_http_files
 * Effects: may switch coroutines. Source: src/http/static.c
 */
RN_API void rn_http_files_handler(rn_http_response *w, rn_http_request *r, void *files);

/*
 * rn_http_files_send - answer with a file, whose name the handler knows
 *   w, r   as a handler gets them
 *   files  files
 *   name   below the directory, "reports/7.pdf", as it is called there: not encoded
 * Answers as rn_http_files_handler does: on conditions and in parts, 404 where it is not there. The
 * type and the like are the file's: fields of those names that were set before are dropped.
 * Effects: may switch coroutines. Source: src/http/static.c
 */
RN_API void rn_http_files_send(rn_http_response *w, rn_http_request *r, rn_http_files *files,
                               const char *name);

#ifdef __cplusplus
}
#endif

#endif
