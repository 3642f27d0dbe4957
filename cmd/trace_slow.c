/*
 * trace_slow.c - `runnel trace --slow 10ms`: each call that took longer, with its stack
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trace.h"

static int count_frames(const struct trace_slow *e)
{
    return e->stack_bytes < 0 ? 0 : (int)(e->stack_bytes / (int)sizeof e->stack[0]);
}

/* What a coroutine was named, or "". */
static void copy_coro_name(const struct trace_slow *e, char name[static 33])
{
    memcpy(name, e->coro_name, sizeof e->coro_name);
    name[sizeof e->coro_name] = '\0';
    trace_clean(name);
}

static void print_coro(struct trace *t, const struct trace_slow *e)
{
    char name[33], site[512];

    copy_coro_name(e, name);
    trace_symbols_name(t->symbols, (pid_t)e->event.pid, e->coro_site, site, sizeof site);
    trace_clean(site);
    printf(", in coroutine %" PRIu64, (uint64_t)e->coro);
    if (*name != '\0')
        printf(" \"%s\"", name);
    printf(" started at %s", site);
}

static void print_coro_json(struct trace *t, const struct trace_slow *e)
{
    char name[33], site[512];

    copy_coro_name(e, name);
    trace_symbols_name(t->symbols, (pid_t)e->event.pid, e->coro_site, site, sizeof site);
    trace_clean(site);
    printf("\"coroutine\": {\"id\": %" PRIu64 ", \"name\": \"%s\", \"started\": \"%s\"}, ",
           (uint64_t)e->coro, name, site);
}

static void print_json(struct trace *t, const struct trace_slow *e, const char *comm,
                       const char *call)
{
    char name[512];

    printf(
        "{\"process\": %u, \"thread\": %u, \"name\": \"%s\", \"call\": \"%s\", \"args\": [%" PRIu64
        ", %" PRIu64 ", %" PRIu64 "], \"ns\": %" PRIu64 ", ",
        e->event.pid, e->tid, comm, call, (uint64_t)e->args[0], (uint64_t)e->args[1],
        (uint64_t)e->args[2], (uint64_t)e->ns);
    if (e->event.kind == TRACE_EVENT_SLOW)
        printf("\"result\": %" PRId64 ", ", (int64_t)e->result);
    else
        fputs("\"result\": null, ", stdout);
    trace_print_args_json(e);
    if (e->coro != 0)
        print_coro_json(t, e);
    fputs("\"stack\": [", stdout);
    for (int i = 0; i < count_frames(e); i++) {
        trace_symbols_name(t->symbols, (pid_t)e->event.pid, e->stack[i], name, sizeof name);
        trace_clean(name);
        printf("%s\"%s\"", i == 0 ? "" : ", ", name);
    }
    puts("]}");
}

/* Results that the kernel keeps for itself: the call was interrupted, and is made again, or fails
 * with EINTR. */
static const char *restart_name(int64_t result)
{
    static const char *const names[] = {"ERESTARTSYS", "ERESTARTNOINTR", "ERESTARTNOHAND", NULL,
                                        "ERESTART_RESTARTBLOCK"};

    return result <= -512 && result >= -516 ? names[-result - 512] : NULL;
}

/* "3", "0x7f57b5cfe000", "-ENOENT". */
static void print_result(int64_t result)
{
    const char *name = restart_name(result);

    if (name == NULL && result < 0 && result > -RN_EBASE)
        name = rn_error_name((ssize_t)result);
    if (name != NULL)
        printf("-%s", name);
    else if (result >= 1LL << 36)
        printf("%#" PRIx64, (uint64_t)result);
    else
        printf("%" PRId64, result);
}

static void print_text(struct trace *t, const struct trace_slow *e, const char *comm,
                       const char *call)
{
    char name[512], span[16], at[16];
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    strftime(at, sizeof at, "%H:%M:%S", localtime_r(&now.tv_sec, &tm));
    printf("%s.%03ld %s[%u/%u] %s(", at, now.tv_nsec / 1000000, comm, e->event.pid, e->tid, call);
    trace_print_args(e);
    if (e->event.kind == TRACE_EVENT_SLOW) {
        fputs(") = ", stdout);
        print_result((int64_t)e->result);
        printf(", after %s", cmd_span(e->ns, span));
    } else {
        printf(") has not returned after %s", cmd_span(e->ns, span));
    }
    if (e->coro != 0)
        print_coro(t, e);
    putchar('\n');
    for (int i = 0; i < count_frames(e); i++) {
        trace_symbols_name(t->symbols, (pid_t)e->event.pid, e->stack[i], name, sizeof name);
        trace_clean(name);
        printf("    #%d %#" PRIx64 " %s\n", i, (uint64_t)e->stack[i], name);
    }
}

static void show_slow(struct trace *t, const struct trace_slow *e)
{
    char comm[sizeof e->comm], buf[24];
    const char *call = trace_call_name((int)e->nr, buf);

    memcpy(comm, e->comm, sizeof comm);
    comm[sizeof comm - 1] = '\0';
    trace_clean(comm);
    if (t->options.json)
        print_json(t, e, comm, call);
    else
        print_text(t, e, comm, call);
    fflush(stdout);
}

/* ---- at the end ---- */

/* Those whose begin was seen. */
struct seen {
    uint64_t *ids;
    size_t n;
};

static void show_pending(struct trace *t, const struct trace_pending *p, uint64_t ns)
{
    struct trace_slow e = {
        .event = {.kind = TRACE_EVENT_UNDER_WAY, .pid = (uint32_t)(p->ids >> 32)},
        .tid = (uint32_t)p->ids,
        .nr = p->nr,
        .args = {p->args[0], p->args[1], p->args[2]},
        .ns = ns};
    char path[64];
    FILE *f;

    (void)snprintf(path, sizeof path, "/proc/%u/task/%u/comm", e.event.pid, e.tid);
    f = fopen(path, "re");
    if (f != NULL) {
        (void)fread(e.comm, 1, sizeof e.comm - 1, f);
        fclose(f);
    }
    e.comm[strcspn(e.comm, "\n")] = '\0';
    show_slow(t, &e);
}

/* It began before the tracing did, unless it is among the seen. */
static void show_earlier(struct trace *t, const struct trace_pending *p, void *arg)
{
    const struct seen *seen = arg;

    for (size_t i = 0; i < seen->n; i++)
        if (seen->ids[i] == p->ids)
            return;
    if (t->ended - t->began >= t->options.slow_ns)
        show_pending(t, p, (uint64_t)(t->ended - t->began));
}

int trace_show_slow(struct trace *t)
{
    struct trace_pending p;
    struct seen seen = {0};
    uint64_t key = 0;
    int r = 0;

    while (r == 0 && trace_next_pending(t->kernel, &key, &p)) {
        uint64_t *more = realloc(seen.ids, (seen.n + 1) * sizeof *more);

        if (more == NULL) {
            r = -ENOMEM;
            break;
        }
        seen.ids = more;
        seen.ids[seen.n++] = p.ids;
        if (p.enter_ns != 0 && (uint64_t)t->ended >= p.enter_ns + (uint64_t)t->options.slow_ns &&
            trace_wants(&t->options, p.nr))
            show_pending(t, &p, (uint64_t)t->ended - p.enter_ns);
    }
    if (r == 0)
        trace_each_under_way(t, show_earlier, &seen);
    free(seen.ids);
    return r;
}

void trace_take(struct trace *t, const struct trace_event *event)
{
    switch (event->kind) {
    case TRACE_EVENT_MAPPED:
        trace_symbols_read(t->symbols, (pid_t)event->pid);
        break;
    case TRACE_EVENT_SLOW:
        show_slow(t, (const struct trace_slow *)event);
        break;
    case TRACE_EVENT_CONN:
        trace_take_conn(t, (const struct trace_conn *)event);
        break;
    }
}
