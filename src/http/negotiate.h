/*
 * negotiate.h - what a request would rather have (RFC 9110 12.5)
 *
 * Pure functions over a parsed head; any thread.
 */
#ifndef RN_HTTP_NEGOTIATE_H
#define RN_HTTP_NEGOTIATE_H

#include "http/parse.h"

/* Content codings, the one that we like best first. */
enum { RN__CODING_BR = 1, RN__CODING_ZSTD = 2, RN__CODING_GZIP = 4 };
#define RN__N_CODINGS 3

/* Of the codings in `there`, a set, the one that Accept-Encoding gives the most weight; 0: none. */
unsigned rn__http_choose_coding(const struct rn__http_request *head, unsigned there);

/* Does Accept name JSON, and HTML with no more weight? */
bool rn__http_likes_json(const struct rn__http_request *head);

/* The next member of a comma-separated list, without the space around it; false at its end. */
bool rn__http_next_member(struct rn__http_slice *rest, struct rn__http_slice *ret);

#endif
