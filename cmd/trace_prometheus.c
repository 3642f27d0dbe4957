/*
 * trace_prometheus.c - `runnel trace --prometheus ADDRESS`: the figures, for whoever collects them
 *
 * One histogram for all calls, with the call's name as its label: its _count is the number of
 * calls, its _sum their time. The bounds are powers of four, less one nanosecond, from 1 us to
 * 17 s: those of the kernel side's finer buckets that need no rounding.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/http.h>

#include "trace.h"

#define FIRST_BIT 10
#define LAST_BIT 34

struct trace_server {
    rn_listener *listener;
    rn_http_server *server;
    rn_waitgroup running;
};

static void write_histogram(rn_http_response *w, const struct trace_figures *f)
{
    uint64_t n = 0;
    unsigned next = 0;
    char buf[24];
    const char *name = trace_call_name(f->nr, buf);

    for (int bit = FIRST_BIT; bit <= LAST_BIT; bit += 2) {
        uint64_t bound = (1ULL << bit) - 1;

        for (; rn__hist_upper(next) <= bound; next++)
            n += f->hist.buckets[next];
        rn_http_printf(w,
                       "runnel_trace_syscall_duration_seconds_bucket{syscall=\"%s\",le=\"%.10g\"} "
                       "%" PRIu64 "\n",
                       name, (double)bound / 1e9, n);
    }
    rn_http_printf(
        w,
        "runnel_trace_syscall_duration_seconds_bucket{syscall=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
        "runnel_trace_syscall_duration_seconds_sum{syscall=\"%s\"} %.9f\n"
        "runnel_trace_syscall_duration_seconds_count{syscall=\"%s\"} %" PRIu64 "\n",
        name, f->count, name, (double)f->total_ns / 1e9, name, f->count);
}

static void answer(rn_http_response *w, rn_http_request *r, void *arg)
{
    struct trace *t = arg;
    struct trace_figures *all;
    char buf[24];
    int n;

    if (strcmp(rn_http_get_path(r), "/metrics") != 0) {
        rn_http_error(w, 404, NULL);
        return;
    }
    n = trace_read_figures(t, &all);
    if (n < 0) {
        rn_http_error(w, 500, rn_strerror(n));
        return;
    }
    rn_http_set_header(w, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    rn_http_printf(w,
                   "# HELP runnel_trace_syscall_duration_seconds System calls that have returned, "
                   "by how long they took.\n"
                   "# TYPE runnel_trace_syscall_duration_seconds histogram\n");
    for (int i = 0; i < n; i++)
        write_histogram(w, &all[i]);
    rn_http_printf(w,
                   "# HELP runnel_trace_syscall_errors_total System calls that returned an error, "
                   "EAGAIN too.\n"
                   "# TYPE runnel_trace_syscall_errors_total counter\n");
    for (int i = 0; i < n; i++)
        rn_http_printf(w, "runnel_trace_syscall_errors_total{syscall=\"%s\"} %" PRIu64 "\n",
                       trace_call_name(all[i].nr, buf), all[i].errors);
    rn_http_printf(w,
                   "# HELP runnel_trace_lost_total Calls and processes that found no room.\n"
                   "# TYPE runnel_trace_lost_total counter\n"
                   "runnel_trace_lost_total %" PRIu64 "\n"
                   "# HELP runnel_trace_processes Processes that are traced.\n"
                   "# TYPE runnel_trace_processes gauge\n"
                   "runnel_trace_processes %d\n",
                   trace_lost(t->kernel), trace_count_targets(t->kernel));
    free(all);
}

static void serve(void *arg)
{
    struct trace_server *s = arg;

    (void)rn_http_serve_listener(s->server, s->listener); /* -ECANCELED, when it is told to stop */
    rn_waitgroup_done(&s->running);
}

int trace_start_server(struct trace *t, const char *address, struct trace_server **ret)
{
    rn_http_server_options options = {.serve.drain_ns = RN_SECOND};
    struct trace_server *s = calloc(1, sizeof *s);
    char text[128] = "";
    int r;

    if (s == NULL)
        return -ENOMEM;
    r = rn_http_server_new(&options, answer, t, &s->server);
    if (r < 0)
        goto fail_free;
    r = cmd_listen(address, NULL, &s->listener);
    if (r < 0)
        goto fail_server;
    rn_waitgroup_add(&s->running, 1);
    r = rn_go(serve, s);
    if (r < 0)
        goto fail_listener;
    (void)rn_listener_addr(s->listener, text, sizeof text);
    fprintf(stderr, "runnel: metrics on http://%s/metrics\n", text);
    *ret = s;
    return 0;
fail_listener:
    rn_listener_close(s->listener);
fail_server:
    rn_http_server_free(s->server);
fail_free:
    free(s);
    return r;
}

void trace_stop_server(struct trace_server *s)
{
    rn_listener_cancel(s->listener);
    while (rn_waitgroup_wait(&s->running) < 0)
        rn_yield();
    rn_listener_close(s->listener);
    rn_http_server_free(s->server);
    free(s);
}
