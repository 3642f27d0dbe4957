/*
 * parse.h - HTTP/1 request heads: bytes in, slices and framing facts out
 *
 * A pure function over the caller's bytes: no allocation, no errno, no clock, libc headers only,
 * any thread. Strict by RFC 9112: whatever two parsers could read in two ways is refused, because a
 * server and the proxy before it that disagree on where a request ends are how requests are
 * smuggled. There is no lenient mode.
 *
 * Life of a struct rn__http_request:
 *
 *     begin --> parse ==incomplete==> parse (same bytes and more) ==> complete: consumed > 0
 *                 \____________________\___ refused: status and reason say why
 *
 * Both ends are sticky: parsing again returns the same result. The next request of a pipeline
 * starts with begin, at buf + consumed.
 */
#ifndef RN_HTTP_PARSE_H
#define RN_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "http/fieldline.h"

enum rn__http_method {
    RN__HTTP_OTHER, /* a well-formed token that is none of these */
    RN__HTTP_GET,
    RN__HTTP_HEAD,
    RN__HTTP_POST,
    RN__HTTP_PUT,
    RN__HTTP_DELETE,
    RN__HTTP_OPTIONS,
    RN__HTTP_CONNECT,
    RN__HTTP_TRACE,
    RN__HTTP_PATCH
};

enum rn__http_form {                      /* RFC 9112 3.2 */
                     RN__HTTP_ORIGIN = 1, /* /where?q=now */
                     RN__HTTP_ABSOLUTE,   /* http://host/where?q=now */
                     RN__HTTP_AUTHORITY,  /* host:port, CONNECT only */
                     RN__HTTP_ASTERISK    /* *, OPTIONS only */
};

/* Which of the fields that change how a file is answered a request has (conditional.h). */
enum {
    RN__ASK_RANGE = 1,
    RN__ASK_IF_MATCH = 2,
    RN__ASK_IF_RANGE = 4,
    RN__ASK_IF_NONE_MATCH = 8,
    RN__ASK_ACCEPT_ENCODING = 16,
    RN__ASK_IF_MODIFIED = 32,
    RN__ASK_IF_UNMODIFIED = 64
};

/* 0 is the default everywhere. */
struct rn__http_limits {
    size_t max_target_len; /* bytes of request-target; 8000 (RFC 9112 3 asks for that much): 414 */
    size_t max_head_len;   /* bytes from first to the empty line; 16 KiB: 431 */
    unsigned max_fields;   /* field lines; RN__HTTP_MAX_FIELDS: 431 */
};

/*
 * About 2.6 KiB: belongs to a connection, not on a coroutine's stack. Slices point into the buffer
 * of the last call and live as long as those bytes; they are all valid once parse returned > 0.
 */
struct rn__http_request {
    /* the parser's own; zero at begin */
    const char *base;  /* buffer of the last call: slices are moved when it moves */
    uint32_t scanned;  /* bytes never looked at again; when refused, where the culprit is */
    uint32_t mark;     /* where the present token starts */
    uint32_t question; /* where the target's first '?' is, or 0 */
    struct rn__field_scan field;
    uint8_t state;
    uint8_t empty_lines;
    uint8_t seen; /* which of the fields below occurred */

    /* the result */
    bool chunked; /* Transfer-Encoding is exactly "chunked" */
    bool has_content_length;
    bool keep_alive;         /* the client lets the connection be used again */
    bool expect_continue;    /* 1.1 and Expect: 100-continue */
    bool upgrade;            /* 1.1, an Upgrade field, and Connection names it */
    uint8_t minor;           /* HTTP/1.minor: 0 or 1 */
    uint8_t method;          /* enum rn__http_method */
    uint8_t form;            /* enum rn__http_form */
    uint8_t asks;            /* RN__ASK_… */
    unsigned n_fields;       /* in `fields`, at the end */
    int status;              /* refused: the status to answer with before closing; else 0 */
    const char *reason;      /* refused: the rule broken, constant text; else NULL */
    uint64_t content_length; /* 0 without the field */
    struct rn__http_slice method_name;
    struct rn__http_slice target; /* as sent */
    struct rn__http_slice path;   /* still encoded; may be empty in absolute form; else NULL */
    struct rn__http_slice query;  /* after the '?'; NULL without one */
    struct rn__http_slice host;   /* the target's, else Host (RFC 9112 3.3); in 1.0 maybe NULL */
    struct rn__http_field fields[RN__HTTP_MAX_FIELDS]; /* first n_fields are set */
};

/* Makes req ready for a new request; the table is left as it is, so this is cheap. In two steps,
 * each short enough for compilers to write it as a few stores. */
static inline void rn__http_begin(struct rn__http_request *req)
{
    memset(req, 0, offsetof(struct rn__http_request, method_name));
    req->method_name = req->target = req->path = req->query = req->host = (struct rn__http_slice){
        NULL, 0};
}

/*
 * rn__http_parse - parse the head of a request, as far as it is there
 *   req     begun; on later calls for the same request as the earlier calls left it
 *   buf     the request's bytes from its very first; may have moved since the last call
 *   len     bytes there are now, never fewer than last time; the earlier ones unchanged
 *   limits  NULL for the defaults; the same in each call for one request
 * Returns bytes of the head including its empty line, 1..len; the body, if any, comes after.
 *   RN__HTTP_INCOMPLETE  nothing wrong yet   RN__HTTP_BAD  refused: answer req->status and close
 * The result depends on the bytes alone, not on how they were cut into calls, and a bad byte is
 * refused as soon as it is seen. Work over all calls is O(bytes), plus O(fields) each time the
 * buffer moved. Source: src/http/parse.c
 */
ssize_t rn__http_parse(struct rn__http_request *req, const char *buf, size_t len,
                       const struct rn__http_limits *limits);

/*
 * rn__http_header - find a field by name
 *   req   complete
 *   name  NUL-terminated; letters compare without case
 * Returns the first such field, or NULL. Source: src/http/parse.c
 */
const struct rn__http_field *rn__http_header(const struct rn__http_request *req, const char *name);

#endif
