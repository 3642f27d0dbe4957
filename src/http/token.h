/*
 * token.h - classes of bytes in HTTP, and letters and digits whatever the locale
 *
 * Libc headers only, any thread.
 */
#ifndef RN_HTTP_TOKEN_H
#define RN_HTTP_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * TOKEN is tchar (RFC 9110 5.6.2). PATH is pchar and '/' (RFC 3986 3.3) and four bytes that
 * browsers leave raw in paths ("[]^|"); QUERY adds the ones they leave raw there (WHATWG URL, query
 * percent-encode set). '%' is not looked behind here: the path is decoded by path.c, which is
 * strict, and queries with a lone '%' are common and harmless. HOST is reg-name (RFC 3986 3.2.2)
 * without ',', which only ever comes from two Host lines joined. LITERAL and SEGMENT are HOST and
 * PATH without what needs another look: '%', and '/'. VALUE is what a field's value is made of: all
 * but control bytes, of which it has HTAB (RFC 9110 5.5; bytes above 127 are obs-text).
 */
enum {
    RN__CLASS_TOKEN = 1,
    RN__CLASS_PATH = 2,
    RN__CLASS_QUERY = 4,
    RN__CLASS_HOST = 8,
    RN__CLASS_LITERAL = 16,
    RN__CLASS_SEGMENT = 32,
    RN__CLASS_VALUE = 64
};

extern __attribute__((visibility("hidden"))) const uint8_t rn__byte_classes[256];

static inline bool rn__is_class(char c, unsigned mask)
{
    return (rn__byte_classes[(unsigned char)c] & mask) != 0;
}

/* The first byte at or after s that is not of the class, or end. By four, so that a byte costs a
 * load and a test. */
static inline const char *rn__skip_class(const char *s, const char *end, unsigned mask)
{
    if (end - s >= 4) {
        const char *last = end - 4;

        do {
            if (!rn__is_class(s[0], mask))
                return s;
            if (!rn__is_class(s[1], mask))
                return s + 1;
            if (!rn__is_class(s[2], mask))
                return s + 2;
            if (!rn__is_class(s[3], mask))
                return s + 3;
            s += 4;
        } while (s <= last);
    }
    while (s < end && rn__is_class(*s, mask))
        s++;
    return s;
}

static inline bool rn__is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool rn__is_space(char c)
{
    return c == ' ' || c == '\t';
}

static inline char rn__lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* 0..15, or -1. */
static inline int rn__hex_value(char c)
{
    char l = rn__lower(c);

    if (rn__is_digit(c))
        return c - '0';
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

#endif
