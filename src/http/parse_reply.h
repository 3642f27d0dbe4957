/*
 * parse_reply.h - heads of HTTP/1 responses: bytes in, slices and framing facts out
 *
 * A pure function over the caller's bytes, as strict as that for requests (parse.h) and for the
 * same reason: who disagrees with the server on where a response ends takes the next one's bytes
 * for its own.
 *
 *     begin --> parse ==incomplete==> parse (same bytes and more) ==> complete
 *                 \____________________\___ refused: reason says why
 *
 * Both ends are sticky. An interim response (1xx) is a head like any other: the next one starts
 * with begin, behind it.
 */
#ifndef RN_HTTP_PARSE_REPLY_H
#define RN_HTTP_PARSE_REPLY_H

#include <sys/types.h>

#include "http/fieldline.h"

/* Where the body ends (RFC 9112 6.3). */
enum rn__reply_body {
    RN__REPLY_NO_BODY,
    RN__REPLY_LENGTH,
    RN__REPLY_CHUNKED,
    RN__REPLY_UNTIL_CLOSE
};

/* About 2.5 KiB. Fields point into the buffer of the last call; all are valid once it returned > 0.
 */
struct rn__reply_head {
    /* the parser's own; zero at begin */
    const char *base;
    uint32_t scanned; /* bytes never looked at again */
    struct rn__field_scan field;
    uint8_t state;
    uint8_t seen;

    /* the result */
    bool chunked; /* Transfer-Encoding is exactly "chunked" */
    bool has_content_length;
    bool keep_alive;    /* the server lets the connection be used again */
    bool too_long;      /* refused: for its length, or its number of fields */
    uint8_t minor;      /* HTTP/1.minor: 0 or 1 */
    int status;         /* 100..999 */
    const char *reason; /* refused: the rule broken, constant text; else NULL */
    uint64_t content_length;
    unsigned n_fields;
    struct rn__http_field fields[RN__HTTP_MAX_FIELDS]; /* first n_fields are set */
};

/* The table is left as it is, so this is cheap. */
static inline void rn__reply_begin(struct rn__reply_head *head)
{
    memset(head, 0, offsetof(struct rn__reply_head, fields));
}

/*
 * rn__reply_parse - parse the head of a response, as far as it is there
 *   head      begun; on later calls for the same response as the earlier calls left it
 *   buf, len  as for rn__http_parse
 *   max_len   bytes of the longest head that is taken; 0: 16 KiB
 * Returns bytes of the head including its empty line; RN__HTTP_INCOMPLETE, RN__HTTP_BAD. What
 * parse.h says of cuts and of work holds here too. Source: src/http/parse_reply.c
 */
ssize_t rn__reply_parse(struct rn__reply_head *head, const char *buf, size_t len, size_t max_len);

/* How the body of a complete head is framed. `head_only`: the request was a HEAD, or a CONNECT that
 * succeeded. */
enum rn__reply_body rn__reply_framing(const struct rn__reply_head *head, bool head_only);

#endif
