/*
 * trace_summary.c - `runnel trace --summary`: what calls were made, and how long they took
 */
#include <inttypes.h>
#include <stdlib.h>

#include "trace.h"

static void print_row(const struct trace_figures *f, uint64_t all_ns)
{
    char name[24], total[16], mean[16], p50[16], p99[16], max[16], errors[24] = "";

    if (f->errors > 0)
        snprintf(errors, sizeof errors, "%" PRIu64, f->errors);
    printf("%5.1f %% %9s %9s %9s %9s %9s %9" PRIu64 " %9s  %s\n",
           all_ns == 0 ? 0 : 100.0 * (double)f->total_ns / (double)all_ns,
           cmd_span(f->total_ns, total), cmd_span(f->total_ns / f->count, mean),
           cmd_span(trace_quantile(f, 0.5), p50), cmd_span(trace_quantile(f, 0.99), p99),
           cmd_span(f->max_ns, max), f->count, errors, trace_call_name(f->nr, name));
}

static void print_text(const struct trace *t, const struct trace_figures *all, int n,
                       const struct trace_figures *sum)
{
    char span[16];

    printf("%7s %9s %9s %9s %9s %9s %9s %9s  %s\n", "time", "total", "mean", "p50", "p99", "max",
           "calls", "errors", "call");
    for (int i = 0; i < n; i++)
        print_row(&all[i], sum->total_ns);
    printf("%7s %9s %9s %9s %9s %9s %9" PRIu64 " %9" PRIu64 "  total, in %s\n", "",
           cmd_span(sum->total_ns, span), "", "", "", "", sum->count, sum->errors,
           cmd_span((uint64_t)(t->ended - t->began), (char[16]){0}));
}

static void print_json(const struct trace *t, const struct trace_figures *all, int n,
                       const struct trace_figures *sum)
{
    char name[24];

    printf("{\"seconds\": %.6f, \"by\": \"%s\", \"count\": %" PRIu64 ", \"errors\": %" PRIu64
           ", \"lost\": %" PRIu64 ", \"calls\": [",
           (double)(t->ended - t->began) / 1e9, t->by_stops != NULL ? "ptrace" : "bpf", sum->count,
           sum->errors, t->lost);
    for (int i = 0; i < n; i++) {
        const struct trace_figures *f = &all[i];

        printf("%s\n  {\"name\": \"%s\", \"nr\": %d, \"count\": %" PRIu64 ", \"errors\": %" PRIu64
               ", \"total_ns\": %" PRIu64 ", \"mean_ns\": %" PRIu64 ", \"p50_ns\": %" PRIu64
               ", \"p99_ns\": %" PRIu64 ", \"max_ns\": %" PRIu64 "}",
               i == 0 ? "" : ",", trace_call_name(f->nr, name), f->nr, f->count, f->errors,
               f->total_ns, f->total_ns / f->count, trace_quantile(f, 0.5), trace_quantile(f, 0.99),
               f->max_ns);
    }
    fputs("\n]", stdout);
}

static void print_under_way(const struct trace *t)
{
    const char *comma = "";
    char name[24];

    fputs(t->options.json ? ", \"under_way\": {" : "under way, by threads: ", stdout);
    for (int nr = 0; nr < TRACE_CALLS; nr++) {
        if (t->under_way[nr] == 0)
            continue;
        printf(t->options.json ? "%s\"%s\": %u" : "%s%s %u", comma, trace_call_name(nr, name),
               t->under_way[nr]);
        comma = ", ";
    }
    puts(t->options.json ? "}}" : "");
}

int trace_show_summary(struct trace *t)
{
    struct trace_figures *all, sum = {0};
    int n = trace_read_figures(t, &all);

    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        sum.count += all[i].count;
        sum.errors += all[i].errors;
        sum.total_ns += all[i].total_ns;
    }
    if (t->options.json)
        print_json(t, all, n, &sum);
    else if (n > 0 || t->options.n_pids > 0 || t->options.some) /* else it could not be run */
        print_text(t, all, n, &sum);
    if (t->options.json || t->n_under_way > 0)
        print_under_way(t);
    free(all);
    return 0;
}
