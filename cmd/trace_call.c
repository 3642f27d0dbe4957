/*
 * trace_call.c - system calls: their names, and their figures
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

_Static_assert(sizeof(struct rn__hist) == sizeof((struct trace_call){0}.buckets),
               "bpf/trace.bpf.c counts into a struct rn__hist");

static const char *const names[TRACE_CALLS] = {
#include "syscalls.inc"
};

const char *trace_call_name(int nr, char buf[static 24])
{
    if (nr >= 0 && nr < TRACE_CALLS && names[nr] != NULL)
        return names[nr];
    snprintf(buf, 24, "syscall_%d", nr);
    return buf;
}

int trace_call_number(const char *name)
{
    for (int i = 0; i < TRACE_CALLS; i++)
        if (names[i] != NULL && strcmp(names[i], name) == 0)
            return i;
    return -1;
}

void trace_fill_kinds(uint8_t kinds[static TRACE_CALLS])
{
    static const struct {
        enum trace_kind kind;
        const char *names[12];
    } known[] = {
        {TRACE_CONNECT, {"connect"}},
        {TRACE_ACCEPT, {"accept", "accept4"}},
        {TRACE_READ, {"read", "readv", "recvfrom", "recvmsg"}},
        {TRACE_WRITE, {"write", "writev", "sendto", "sendmsg", "sendfile"}},
        {TRACE_SHUTDOWN, {"shutdown"}},
        {TRACE_CLOSE, {"close"}},
        {TRACE_SPLICE, {"splice"}},
        {TRACE_OTHER,
         {"setsockopt", "getsockopt", "getsockname", "getpeername", "ioctl", "fcntl", "recvmmsg",
          "sendmmsg"}},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (size_t j = 0; j < 12 && known[i].names[j] != NULL; j++) {
            int nr = trace_call_number(known[i].names[j]);

            if (nr >= 0)
                kinds[nr] = (uint8_t)known[i].kind;
        }
    }
}

/* Bytes of the character there, of UTF-8; 0: it is none, or not whole. */
static size_t character_len(const char *text)
{
    unsigned char first = (unsigned char)*text;
    size_t len = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if ((first >= 0x80 && first < 0xc2) || first > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

void trace_clean(char *text)
{
    for (size_t len; *text != '\0'; text += len == 0 ? 1 : len) {
        len = character_len(text);
        if (len == 0 || (unsigned char)*text < ' ' || strchr("\"\\<>&\177", *text) != NULL)
            *text = '?';
    }
}

/* ---- figures ---- */

static int by_time(const void *a, const void *b)
{
    const struct trace_figures *x = a, *y = b;

    if (x->total_ns != y->total_ns)
        return x->total_ns < y->total_ns ? 1 : -1;
    return x->nr - y->nr;
}

int trace_read_figures(struct trace *t, struct trace_figures **ret)
{
    struct trace_figures *all = NULL, one;
    int n = 0;

    for (int nr = 0; nr < TRACE_CALLS; nr++) {
        struct trace_figures *more;

        if (!t->read_call(t, nr, &one))
            continue;
        more = realloc(all, (size_t)(n + 1) * sizeof *all);
        if (more == NULL) {
            free(all);
            return -ENOMEM;
        }
        all = more;
        all[n++] = one;
    }
    if (n > 0)
        qsort(all, (size_t)n, sizeof *all, by_time);
    *ret = all;
    return n;
}

uint64_t trace_quantile(const struct trace_figures *f, double share)
{
    uint64_t ns = rn__hist_quantile(&f->hist, share);

    return ns < f->max_ns ? ns : f->max_ns; /* a bucket's upper bound may lie above */
}
