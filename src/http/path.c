/*
 * path.c - percent-decoding and dot segments, in one pass
 *
 * Owns nothing. Invariant: out[0..n) is a list of decoded segments joined by '/', none of them "."
 * or "..", the first not empty; so the name is relative whatever comes in ("//etc/passwd" must not
 * become "/etc/passwd"), and ".." is a cut at the last '/'.
 *
 * Decoding comes before dots are looked for, so "%2e%2e" is "..", as RFC 3986 6.2.2.2 has it; it
 * happens once, so "%252e" is the name "%2e". An encoded '/' is refused, not decoded: "a%2Fb" is
 * one segment to whoever checked the path before us, and no file name can hold it. Empty segments
 * inside are kept ("a//b"): the kernel does not mind, and a tree of rewrite rules may.
 */
#include "http/path.h"

#include <errno.h>
#include <string.h>

#include "http/token.h"

struct name {
    char *out;
    size_t n;
    size_t room; /* without the NUL */
};

/* One byte of a segment at s, n bytes left: how many it took, or -EINVAL. */
static int decode_byte(const char *s, size_t n, char *byte)
{
    int high, low;

    if (*s != '%') {
        *byte = *s;
        return *s == '\0' ? -EINVAL : 1;
    }
    if (n < 3)
        return -EINVAL;
    high = rn__hex_value(s[1]);
    low = rn__hex_value(s[2]);
    if (high < 0 || low < 0)
        return -EINVAL;
    *byte = (char)(high << 4 | low);
    return *byte == '\0' || *byte == '/' ? -EINVAL : 3;
}

/* Appends the segment at s, as it is; dots come after. How long it was in the path. */
static ssize_t add_segment(struct name *name, const char *s, const char *end)
{
    const char *at = s;

    if (name->n > 0) {
        if (name->n == name->room)
            return -ENAMETOOLONG;
        name->out[name->n++] = '/';
    }
    while (at < end && *at != '/') {
        char byte;
        int r = decode_byte(at, (size_t)(end - at), &byte);

        if (r < 0)
            return r;
        if (name->n == name->room)
            return -ENAMETOOLONG;
        name->out[name->n++] = byte;
        at += r;
    }
    return at - s;
}

/* Drops the last segment; false if there is none. */
static bool drop_segment(struct name *name)
{
    if (name->n == 0)
        return false;
    while (name->n > 0 && name->out[name->n - 1] != '/')
        name->n--;
    if (name->n > 0)
        name->n--;
    return true;
}

/* The segment that was added at start: 0 if it is a name, 1 if it was dots and is resolved. */
static int resolve_dots(struct name *name, size_t start)
{
    size_t at = start == 0 ? 0 : start + 1, len = name->n - at;
    const char *segment = name->out + at;

    if (len == 0 || len > 2 || segment[0] != '.' || segment[len - 1] != '.')
        return 0;
    name->n = start;
    return len == 1 || drop_segment(name) ? 1 : -EINVAL;
}

/* Is it as it will be: nothing encoded, no segment empty or with a dot at its start? Nearly all. */
static bool is_plain(const char *s, const char *end)
{
    do {
        if (++s == end || *s == '.' || *s == '/') /* it was at the slash before a segment */
            return false;
        s = rn__skip_class(s, end, RN__CLASS_SEGMENT);
    } while (s < end && *s == '/');
    return s == end;
}

ssize_t rn__http_path(const char *path, size_t len, char *out, size_t out_len, bool *is_dir)
{
    struct name name = {out, 0, out_len - 1};
    const char *at = path, *end = path + len;
    bool dir = true;

    if (out_len < 2)
        return -ENAMETOOLONG;
    if (len > 0 && path[0] != '/')
        return -EINVAL;
    if (len > 1 && len <= name.room && is_plain(path, end)) {
        *(char *)mempcpy(out, path + 1, len - 1) = '\0';
        *is_dir = false;
        return (ssize_t)len - 1;
    }
    while (at < end) { /* at the '/' before a segment */
        size_t start = name.n;
        ssize_t n = add_segment(&name, at + 1, end);
        int r = n < 0 ? (int)n : resolve_dots(&name, start);

        if (r < 0)
            return r;
        dir = n == 0 || r == 1;
        at += n + 1;
    }
    while (name.n > 0 && out[name.n - 1] == '/')
        name.n--;
    if (name.n == 0)
        out[name.n++] = '.';
    out[name.n] = '\0';
    *is_dir = dir;
    return (ssize_t)name.n;
}
