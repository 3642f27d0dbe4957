/*
 * conditional.h - requests for a file on conditions (RFC 9110 13), and for parts of it (14)
 *
 * Pure functions over a parsed head: no allocation, no clock, any thread.
 */
#ifndef RN_HTTP_CONDITIONAL_H
#define RN_HTTP_CONDITIONAL_H

#include <time.h>

#include "http/parse.h"

/* Of a request's `asks`. */
#define RN__ASK_IF                                                                                 \
    (RN__ASK_IF_MATCH | RN__ASK_IF_NONE_MATCH | RN__ASK_IF_MODIFIED | RN__ASK_IF_UNMODIFIED)

/* What tells one version of a file from another (RFC 9110 8.8). */
struct rn__validators {
    const char *etag; /* with its quotes, and with W/ where it is weak */
    size_t etag_len;
    time_t modified;
};

/* Steps 1 to 4 of RFC 9110 13.2.2, for GET and HEAD: 0 go on, 304, or 412. `now` dates years of two
 * digits. */
int rn__http_precondition(const struct rn__http_request *head, const struct rn__validators *v,
                          time_t now);

/* Step 5: does the Range field count? */
bool rn__http_range_counts(const struct rn__http_request *head, const struct rn__validators *v,
                           time_t now);

#define RN__RANGES_MOST 16

struct rn__range {
    uint64_t first, len; /* len > 0 */
};

/*
 * The ranges of a Range field (RFC 9110 14.2) that a file of `size` bytes has, in the order in
 * which they were asked for: how many; 0 to answer with all of the file, as though there were no
 * such field (malformed, another unit, more than RN__RANGES_MOST of them, or together longer than
 * the file); -1 when it has none of them: 416.
 */
int rn__http_ranges(struct rn__http_slice value, uint64_t size,
                    struct rn__range ranges[RN__RANGES_MOST]);

#endif
