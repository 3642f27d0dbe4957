/*
 * url.h - URLs of the http scheme: where to connect, and what to ask for there
 *
 * Any thread. RFC 3986 for the syntax, RFC 9110 4.2 for the scheme.
 */
#ifndef RN_HTTP_URL_H
#define RN_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

#define RN__URL_MOST ((size_t)8000) /* bytes of a URL, and of what one is joined to */
#define RN__URL_HOST 264            /* room for a host, a colon and a port */

/* From rn__malloc. Texts are terminated; letters of the host are lower case. */
struct rn__url {
    char address[RN__URL_HOST]; /* "host:port", for rn_dial */
    char host[RN__URL_HOST];    /* the same without port 80: a Host field */
    size_t target_len;
    char target[]; /* "/path?query", never empty; what no target may have is encoded */
};

/*
 * rn__url_parse - take an absolute URL apart
 *   text, len  "http://host[:port][/path][?query][#fragment]"; the fragment is dropped
 *   ret        the URL; the caller's to rn__free
 * Returns 0; -RN_ESCHEME another scheme; -RN_EURL malformed, with a user, or longer than
 * RN__URL_MOST; -ENOMEM.
 */
int rn__url_parse(const char *text, size_t len, struct rn__url **ret);

/*
 * rn__url_join - what a reference means where it was found (RFC 3986 5)
 *   base       where
 *   text, len  a URL, or a part of one: "//host/path", "/path", "path", "?query", ""
 *   ret        as for rn__url_parse
 * Returns as rn__url_parse.
 */
int rn__url_join(const struct rn__url *base, const char *text, size_t len, struct rn__url **ret);

#endif
