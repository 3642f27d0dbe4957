/*
 * trace_latency.c - `runnel trace --latency CALL`: the histogram of one call, while it changes
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define BAR 40

/* A row is a power of two: its buckets' sum. */
struct rows {
    uint64_t calls[64];
    int first, last;
    uint64_t most;
};

static struct rows sum_rows(const struct rn__hist *h)
{
    struct rows rows = {.first = 64, .last = -1};

    for (unsigned i = 0; i < RN__HIST_BUCKETS; i++) {
        uint64_t n = h->buckets[i];
        int row = 63 - __builtin_clzll(rn__hist_upper(i) | 1);

        if (n == 0)
            continue;
        rows.calls[row] += n;
        rows.first = row < rows.first ? row : rows.first;
        rows.last = row;
        if (rows.calls[row] > rows.most)
            rows.most = rows.calls[row];
    }
    return rows;
}

static int print_rows(const struct trace_figures *f)
{
    static const char bar[BAR + 1] = "########################################";
    struct rows rows = sum_rows(&f->hist);
    char from[16], to[16];

    for (int i = rows.first; i <= rows.last; i++) {
        int len = (int)(rows.calls[i] * BAR / rows.most);

        if (len == 0 && rows.calls[i] > 0)
            len = 1;
        printf("%9s to %9s %10" PRIu64 "%s%.*s\n", cmd_span(i == 0 ? 0 : 1ULL << i, from),
               cmd_span(2ULL << i, to), rows.calls[i], len == 0 ? "" : "  ", len, bar);
    }
    return rows.last < 0 ? 0 : rows.last - rows.first + 1;
}

static void print_json(const struct trace_figures *f, const char *name)
{
    const char *comma = "";

    printf("{\"name\": \"%s\", \"count\": %" PRIu64 ", \"errors\": %" PRIu64
           ", \"total_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64 ", \"buckets\": [",
           name, f->count, f->errors, f->total_ns, f->max_ns);
    for (unsigned i = 0; i < RN__HIST_BUCKETS; i++) {
        if (f->hist.buckets[i] == 0)
            continue;
        printf("%s{\"at_most_ns\": %" PRIu64 ", \"count\": %" PRIu32 "}", comma, rn__hist_upper(i),
               f->hist.buckets[i]);
        comma = ", ";
    }
    puts("]}");
}

int trace_show_latency(struct trace *t)
{
    struct trace_figures f = {.nr = t->options.latency_of};
    char buf[24], mean[16], p50[16], p99[16], max[16];
    const char *name = trace_call_name(f.nr, buf);

    (void)t->read_call(t, f.nr, &f);
    if (t->options.json) {
        print_json(&f, name);
        return 0;
    }
    if (t->n_drawn > 0)
        printf("\033[%dA\033[J", t->n_drawn);
    printf("%s: %" PRIu64 " calls, %" PRIu64 " errors, mean %s, p50 %s, p99 %s, max %s\n", name,
           f.count, f.errors, cmd_span(f.count == 0 ? 0 : f.total_ns / f.count, mean),
           cmd_span(trace_quantile(&f, 0.5), p50), cmd_span(trace_quantile(&f, 0.99), p99),
           cmd_span(f.max_ns, max));
    t->n_drawn = 1 + print_rows(&f);
    fflush(stdout);
    return 0;
}

void trace_draw_latency(struct trace *t)
{
    if (t->options.mode != TRACE_LATENCY || t->options.json || !isatty(STDOUT_FILENO) ||
        rn_now() < t->next_draw)
        return;
    (void)trace_show_latency(t);
    t->next_draw = rn_after(RN_SECOND);
}
