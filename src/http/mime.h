/*
 * mime.h - the type of a file by the end of its name: the system's table, then one built in
 *
 * Read once, then only looked at: any thread.
 */
#ifndef RN_HTTP_MIME_H
#define RN_HTTP_MIME_H

#include <stddef.h>

#define RN__MIME_FILE "/etc/mime.types"
#define RN__MIME_LONGEST 100

struct rn__mime_row {
    const char *extension, *type;
};

struct rn__mime {
    char *text; /* of the file, cut up */
    struct rn__mime_row *rows;
    size_t n;
};

/* Reads a table, lines of "type extension…", up to 4 MiB of it: 0, or why it cannot be read. *m is
 * zero before, and after a failure. Blocks. */
int rn__mime_load(struct rn__mime *m, const char *path);
void rn__mime_free(struct rn__mime *m);

/* The type for a name, by its last extension; "application/octet-stream" without one that is
 * known. */
const char *rn__mime_type(const struct rn__mime *m, const char *name);

#endif
