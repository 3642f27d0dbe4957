/*
 * line.h - text built in a signal handler: no allocation, no lock, no stdio
 */
#ifndef RN_TASK_LINE_H
#define RN_TASK_LINE_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#include "task/symbols.h"

struct rn__line {
    char text[512];
    size_t len;
};

/* What has no room is left out. */
static inline void rn__line_text(struct rn__line *l, const char *s)
{
    while (*s != '\0' && l->len < sizeof l->text - 1)
        l->text[l->len++] = *s++;
}

static inline void rn__line_number(struct rn__line *l, uint64_t n, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;

    digits[--at] = '\0';
    do
        digits[--at] = "0123456789abcdef"[n % base];
    while ((n /= base) != 0);
    rn__line_text(l, digits + at);
}

/* An address of code; dladdr only reads the loader's lists, and knows what is exported. */
static inline void rn__line_site(struct rn__line *l, const void *site)
{
    size_t offset = 0;
    Dl_info info;

    rn__line_text(l, "0x");
    rn__line_number(l, (uintptr_t)site, 16);
    if (dladdr(site, &info) == 0)
        return;
    if (info.dli_sname != NULL)
        offset = (size_t)((uintptr_t)site - (uintptr_t)info.dli_saddr);
    else
        info.dli_sname = rn__symbol(site, &offset);
    rn__line_text(l, " (");
    if (info.dli_sname != NULL) {
        rn__line_text(l, info.dli_sname);
        rn__line_text(l, "+0x");
        rn__line_number(l, offset, 16);
        rn__line_text(l, " in ");
    }
    rn__line_text(l, info.dli_fname == NULL ? "?" : info.dli_fname);
    rn__line_text(l, "+0x");
    rn__line_number(l, (uintptr_t)site - (uintptr_t)info.dli_fbase, 16);
    rn__line_text(l, ")");
}

/* "12 ms", "12 s". */
static inline void rn__line_duration(struct rn__line *l, int64_t ns)
{
    uint64_t ms = ns < 0 ? 0 : (uint64_t)(ns / 1000000);

    rn__line_number(l, ms < 10000 ? ms : ms / 1000, 10);
    rn__line_text(l, ms < 10000 ? " ms" : " s");
}

/* Of a backtrace. */
static inline void rn__line_frame(struct rn__line *l, int i, const void *pc)
{
    rn__line_text(l, "    #");
    rn__line_number(l, (uint64_t)i, 10);
    rn__line_text(l, " ");
    rn__line_site(l, pc);
}

#endif
