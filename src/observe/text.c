/*
 * text.c - text that grows
 *
 * Not by the hooks of a runtime: a snapshot's text may outlive it.
 */
#include "observe/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include <runnel/stats.h>

#define ROOM_FIRST ((size_t)16 << 10)

/* Room for len bytes and a NUL. */
static bool reserve(struct rn__text *t, size_t len)
{
    size_t room = t->room == 0 ? ROOM_FIRST : t->room;
    char *more;

    if (t->failed)
        return false;
    if (t->room - t->len > len)
        return true;
    while (room - t->len <= len)
        room *= 2;
    more = rn__malloc_lasting(room);
    if (more == NULL) {
        t->failed = true;
        return false;
    }
    if (t->len > 0)
        memcpy(more, t->at, t->len);
    rn__free_lasting(t->at);
    t->at = more;
    t->room = room;
    return true;
}

void rn__text_put(struct rn__text *t, const char *text)
{
    size_t len = strlen(text);

    if (!reserve(t, len))
        return;
    memcpy(t->at + t->len, text, len + 1);
    t->len += len;
}

void rn__text_format(struct rn__text *t, const char *format, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    rn__text_put(t, line);
}

void rn__text_seconds(struct rn__text *t, uint64_t ns)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(ns / 1000000000),
                       (unsigned long long)(ns % 1000000000));

    while (text[len - 1] == '0' && text[len - 2] != '.')
        text[--len] = '\0';
    rn__text_put(t, text);
}

void rn__text_string(struct rn__text *t, const char *text)
{
    rn__text_put(t, "\"");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '<')
            rn__text_format(t, "\\u%04x", c);
        else
            rn__text_put(t, (const char[]){(char)c, '\0'});
    }
    rn__text_put(t, "\"");
}

int rn__text_take(struct rn__text *t, char **ret)
{
    if (!reserve(t, 0)) {
        rn__free_lasting(t->at);
        return -ENOMEM;
    }
    *ret = t->at;
    return 0;
}

void rn_stats_text_free(char *text)
{
    rn__free_lasting(text);
}
