/*
 * path.h - from the path of a request to the name of a file
 *
 * Pure, libc headers only, any thread.
 */
#ifndef RN_HTTP_PATH_H
#define RN_HTTP_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * rn__http_path - decode and normalise a request's path into a relative file name
 *   path      still percent-encoded, without query; starts with '/', or is empty, which means "/"
 *   len       its bytes
 *   out       room for out_len bytes; gets a NUL-terminated name
 *   is_dir    true if the path can only mean a directory: it ends in "/", "/." or "/.."
 * Returns strlen(out), at least 1. The name does not start or end with '/', has no segment "." or
 * ".." but for the root itself, which is ".", and is for openat(root, out). Links are the file
 * system's matter: use RESOLVE_BENEATH against those.
 *   -EINVAL  malformed '%', an encoded NUL or '/', or ".." above the root: answer 400
 *   -ENAMETOOLONG  out is too small: answer 414
 * On failure out's contents are undefined and is_dir is untouched. Source: src/http/path.c
 */
ssize_t rn__http_path(const char *path, size_t len, char *out, size_t out_len, bool *is_dir);

#endif
