/*
 * url.c - URLs of the http scheme, strictly where a host is named, leniently where it only matters
 * to the server
 *
 * Numbers in comments are sections of RFC 3986 unless another RFC is named.
 */
#include "http/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "base/mem.h"
#include "http/fields.h"

#define PREFIX "http://"
#define PREFIX_LEN (sizeof PREFIX - 1)

/* 3.1: the length of "scheme:", or 0. */
static size_t scheme_len(const char *s, size_t len)
{
    size_t i = 0;

    if (len == 0 || rn__lower(s[0]) < 'a' || rn__lower(s[0]) > 'z')
        return 0;
    while (i < len && (rn__is_digit(s[i]) || (rn__lower(s[i]) >= 'a' && rn__lower(s[i]) <= 'z') ||
                       s[i] == '+' || s[i] == '-' || s[i] == '.'))
        i++;
    return i < len && s[i] == ':' ? i + 1 : 0;
}

/* 3.2.2: an address in brackets, or a name; no percent-encoding there: resolvers know none. The
 * bytes of the host, or 0. */
static size_t host_len(const char *s, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *close = len > 0 && s[0] == '[' ? memchr(s, ']', len) : NULL;
    size_t n = 0;

    if (close == NULL) {
        while (n < len && s[n] != '%' && rn__is_class(s[n], RN__CLASS_HOST))
            n++;
        return n;
    }
    n = (size_t)(close - s) - 1;
    if (n >= sizeof text || memchr(s, '\0', len) != NULL)
        return 0;
    memcpy(text, s + 1, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? n + 2 : 0;
}

/* 3.2: host [ ":" port ]. */
static int take_authority(struct rn__url *u, const char *s, size_t len)
{
    size_t n = host_len(s, len), i = n;
    unsigned port = 0;

    if (n == 0 || n + sizeof ":65535" > RN__URL_HOST)
        return -RN_EURL;
    if (i < len && s[i++] != ':') /* a '@', too: RFC 9110 4.2.4 */
        return -RN_EURL;
    for (; i < len; i++) {
        if (!rn__is_digit(s[i]))
            return -RN_EURL;
        port = port * 10 + (unsigned)(s[i] - '0');
        if (port > 65535)
            return -RN_EURL;
    }
    if (len > n + 1 && port == 0)
        return -RN_EURL;
    for (i = 0; i < n; i++)
        u->host[i] = rn__lower(s[i]);
    u->host[n] = '\0';
    port = port == 0 ? 80 : port;
    (void)snprintf(u->address, sizeof u->address, "%.*s:%u", (int)n, u->host, port);
    if (port != 80)
        memcpy(u->host, u->address, sizeof u->host);
    return 0;
}

/* Into room for three times len: people and servers write spaces, quotes and UTF-8 as they are. */
static int take_target(struct rn__url *u, const char *s, size_t len)
{
    char *out = u->target;
    unsigned class = RN__CLASS_PATH;

    if (len == 0 || s[0] != '/')
        *out++ = '/'; /* RFC 9110 4.2.3: an empty path is "/" */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c < 0x20 || c == 0x7f)
            return -RN_EURL;
        class = c == '?' ? RN__CLASS_QUERY : class;
        if (rn__is_class(s[i], class))
            *out++ = s[i];
        else
            out += sprintf(out, "%%%02X", c);
    }
    *out = '\0';
    u->target_len = (size_t)(out - u->target);
    return 0;
}

/* "host[:port][/path][?query]", no fragment. */
static int parse_rest(const char *s, size_t len, struct rn__url **ret)
{
    struct rn__url *u = rn__malloc(sizeof *u + 3 * len + 2);
    size_t n = 0;
    int r;

    if (u == NULL)
        return -ENOMEM;
    while (n < len && s[n] != '/' && s[n] != '?')
        n++;
    r = take_authority(u, s, n);
    if (r == 0)
        r = take_target(u, s + n, len - n);
    if (r < 0)
        rn__free(u);
    else
        *ret = u;
    return r;
}

static size_t without_fragment(const char *text, size_t len)
{
    const char *hash = memchr(text, '#', len);

    return hash == NULL ? len : (size_t)(hash - text);
}

int rn__url_parse(const char *text, size_t len, struct rn__url **ret)
{
    size_t scheme = scheme_len(text, len);

    if (len > RN__URL_MOST || scheme == 0)
        return -RN_EURL;
    if (scheme != 5 || !rn__is_word(text, "http:", 5))
        return -RN_ESCHEME;
    len = without_fragment(text, len);
    if (len < PREFIX_LEN || memcmp(text + 5, "//", 2) != 0)
        return -RN_EURL;
    return parse_rest(text + PREFIX_LEN, len - PREFIX_LEN, ret);
}

/* 5.2.4, on a path that starts with a slash, in place. Its new length. */
static size_t remove_dots(char *path, size_t len)
{
    size_t out = 0, at = 0;

    while (at < len) { /* at a slash */
        const char *next = memchr(path + at + 1, '/', len - at - 1);
        size_t n = next == NULL ? len - at : (size_t)(next - path) - at;
        bool up = n == 3 && memcmp(path + at, "/..", 3) == 0;
        bool dot = up || (n == 2 && path[at + 1] == '.');

        while (up && out > 0 && path[--out] != '/')
            continue;
        if (!dot) {
            memmove(path + out, path + at, n);
            out += n;
        } else if (next == NULL) {
            path[out++] = '/';
        }
        at += n;
    }
    return out;
}

/* 5.2.3: what is there of the base before the reference. */
static size_t base_len(const struct rn__url *base, const char *text, size_t len)
{
    size_t path = strcspn(base->target, "?");

    if (len == 0)
        return base->target_len;
    if (text[0] == '?')
        return path;
    while (text[0] != '/' && base->target[path - 1] != '/')
        path--;
    return text[0] == '/' ? 0 : path;
}

int rn__url_join(const struct rn__url *base, const char *text, size_t len, struct rn__url **ret)
{
    size_t host = strlen(base->host), from, n, path;
    char *whole, *end;
    int r;

    if (len > RN__URL_MOST)
        return -RN_EURL;
    if (scheme_len(text, len) > 0)
        return rn__url_parse(text, len, ret);
    len = without_fragment(text, len);
    if (len >= 2 && memcmp(text, "//", 2) == 0)
        return parse_rest(text + 2, len - 2, ret);
    from = base_len(base, text, len);
    whole = rn__malloc(host + from + len);
    if (whole == NULL)
        return -ENOMEM;
    end = mempcpy(whole, base->host, host);
    end = mempcpy(end, base->target, from);
    end = mempcpy(end, text, len);
    n = (size_t)(end - whole) - host;
    end = memchr(whole + host, '?', n);
    path = end == NULL ? n : (size_t)(end - whole) - host;
    from = remove_dots(whole + host, path);
    memmove(whole + host + from, whole + host + path, n - path);
    r = n - path + from > RN__URL_MOST ? -RN_EURL : parse_rest(whole, host + from + n - path, ret);
    rn__free(whole);
    return r;
}
