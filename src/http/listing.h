/*
 * listing.h - what is in a directory, as a page or as JSON
 */
#ifndef RN_HTTP_LISTING_H
#define RN_HTTP_LISTING_H

#include "http/files.h"

#define RN__LISTING_MOST 10000 /* names; of more it says so */

/*
 * The listing of a directory below the root, sorted, directories first: those names that may be
 * asked for. *text is the caller's, to free by rn__free. Errors as rn__files_get. Blocks: for
 * rn_offload.
 */
int rn__listing_make(const struct rn__files_policy *policy, const char *name, bool json,
                     char **text, size_t *len);

#endif
