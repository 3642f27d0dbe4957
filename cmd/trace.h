/*
 * trace.h - what the files of `runnel trace` share
 *
 * trace.c reads the options, trace_bpf.c runs the loop, trace_load.c brings the programs into the
 * kernel and takes them out; trace_ptrace.c does without them. trace_call.c knows the calls' names
 * and their figures; then there is a file for each thing that can be shown. All of it runs on one
 * thread, and but for trace_ptrace.c in coroutines.
 */
#ifndef RN_CMD_TRACE_H
#define RN_CMD_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <linux/types.h>

#include "base/hist.h"
#include "cmd.h"
#include "../bpf/trace.h"

#define TRACE_MAX_PIDS 64

enum trace_mode { TRACE_SUMMARY, TRACE_LATENCY, TRACE_SLOW, TRACE_CONNECTIONS };

struct trace_options {
    enum trace_mode mode;
    pid_t pids[TRACE_MAX_PIDS];
    int n_pids;
    char **command; /* NULL: none */
    bool mode_given, follow, json, ptrace;
    rn_time limit_ns; /* 0: none */
    bool some;        /* only those calls that are in only */
    bool only[TRACE_CALLS];
    int latency_of;         /* a call's number */
    const char *prometheus; /* an address; NULL: none */
    const char *html;       /* a file for the timeline; NULL: none */
    const char *output;     /* where to print; NULL: standard output */
    rn_time slow_ns;        /* calls that take at least so long */
};

static inline bool trace_wants(const struct trace_options *o, uint32_t nr)
{
    return !o->some || (nr < TRACE_CALLS && o->only[nr]);
}

struct trace_kernel; /* the loaded programs */
struct trace_symbols;
struct trace_server;
struct trace_figures;

struct trace {
    struct trace_options options;
    struct trace_kernel *kernel;
    /* One call's figures, from wherever they are counted; false where there are none. */
    bool (*read_call)(struct trace *t, int nr, struct trace_figures *ret);
    struct trace_figures *by_stops; /* by ptrace: of each call */
    bool falls_back;                /* BPF cannot be had, and ptrace can do instead */
    FILE *html;                     /* of options.html; NULL: not open */
    uint64_t lost;                  /* at the end: calls and processes that found no room */
    int ends[TRACE_MAX_PIDS];       /* a descriptor for each process, readable when it has ended */
    int n_ends;
    pid_t child; /* runs the command; 0: none, or it was waited for */
    int go;      /* a byte written here, and the child executes the command */
    int child_status;
    int stopped; /* the signal that ends it */
    rn_time began, ended;
    unsigned under_way[TRACE_CALLS]; /* then: threads in each call */
    int n_under_way;
    struct trace_symbols *symbols;
    struct trace_conn *conns; /* that were told of, for the timeline */
    size_t n_conns;
    int n_drawn;       /* lines on the terminal that are to be drawn anew */
    rn_time next_draw; /* when */
};

/* One system call's figures, summed over the CPUs. */
struct trace_figures {
    int nr;
    uint64_t count, errors, total_ns, max_ns;
    struct rn__hist hist;
};

/* ---- trace_bpf.c ---- */

/* Traces, and shows. What cannot be is told. Returns an exit code, CMD_FAILED also where
 * t->falls_back has been set. */
int trace_by_bpf(struct trace *t);

/* ---- trace_ptrace.c ---- */

/* Likewise. */
int trace_by_ptrace(struct trace *t);

/* Can what is wanted be done by ptrace? */
bool trace_ptrace_can(const struct trace_options *o);

/* That BPF cannot be had has been told: what is done instead, or why nothing. */
void trace_fall_back(struct trace *t);

/* ---- trace_load.c ---- */

/* Brings the programs into the kernel; what they do not need for these options is left out. A
 * failure is told, with what to do about it. */
int trace_load(struct trace *t);
void trace_unload(struct trace_kernel *kernel);

/* Makes a process a target; state as in bpf/trace.h. */
int trace_add_target(struct trace_kernel *kernel, pid_t pid, uint32_t state);

/* From here on targets are seen. A failure is told. */
int trace_attach(struct trace *t);

/* How many targets there are: processes that have not ended. */
int trace_count_targets(const struct trace_kernel *kernel);

/* Calls that could not be noted for lack of room. */
uint64_t trace_lost(const struct trace_kernel *kernel);

/* Hands what has come through the ring buffer to trace_take; waits until the deadline for some.
 * 0, also when there was none; -ECANCELED. */
int trace_take_events(struct trace *t, rn_time deadline);

/* Tells where a process keeps its coroutines. */
void trace_set_layout(struct trace_kernel *kernel, pid_t pid, const struct trace_layout *layout);

/* The next thread that was in a call, beginning with *key 0; false: there are no more. */
bool trace_next_pending(const struct trace_kernel *kernel, uint64_t *key,
                        struct trace_pending *ret);

/* Takes one connection out that has not ended; false: there is none any more. */
bool trace_next_conn(struct trace_kernel *kernel, struct trace_conn *ret);

/* ---- trace_call.c ---- */

/* "read", or "syscall_999" in buf. */
const char *trace_call_name(int nr, char buf[static 24]);

/* -1: there is no such call. */
int trace_call_number(const char *name);

/*
 * The calls that were made so far, the one with the most time first.
 *   ret  the caller's to free; may be NULL where there are none
 * Returns how many; -ENOMEM.
 */
int trace_read_figures(struct trace *t, struct trace_figures **ret);

/* What a call does to a connection: enum trace_kind, for the kernel's side. */
void trace_fill_kinds(uint8_t kinds[static TRACE_CALLS]);

/* No control bytes for the terminal, no quotes for JSON and HTML, and UTF-8: in what others have
 * named. */
void trace_clean(char *text);

/* The share of calls (0 < share <= 1) that took at most so long. */
uint64_t trace_quantile(const struct trace_figures *f, double share);

/* ---- trace_under_way.c ---- */

typedef void trace_under_way_fn(struct trace *t, const struct trace_pending *p, void *arg);

/* Calls fn for each thread that is in a call that is asked for; when it began is not known. */
void trace_each_under_way(struct trace *t, trace_under_way_fn *fn, void *arg);

/* Into t->under_way. */
void trace_count_under_way(struct trace *t);

/* ---- what is shown ---- */

int trace_show_summary(struct trace *t);

/* Slow calls that have not returned; the others have been told as they came. */
int trace_show_slow(struct trace *t);

int trace_show_latency(struct trace *t);

/* The same, where that is wanted: once a second on a terminal, in place of what it drew before. */
void trace_draw_latency(struct trace *t);

/* A connection that has ended: shown, or kept for the timeline. */
void trace_take_conn(struct trace *t, const struct trace_conn *c);

/* Those that have not; and the timeline. */
int trace_show_conns(struct trace *t);

/* The text between "{" and "}" of JSON. */
void trace_print_conn(const struct trace *t, const struct trace_conn *c, FILE *out);

/* A page with nothing from elsewhere. */
int trace_open_html(struct trace *t);
int trace_write_html(struct trace *t);

/* Serves the figures until it is stopped. A failure to listen is told. */
int trace_start_server(struct trace *t, const char *address, struct trace_server **ret);
void trace_stop_server(struct trace_server *s);

/* One event. */
void trace_take(struct trace *t, const struct trace_event *event);

/* "1.2.3.4:80", or "[::1]:80": one end. */
void trace_address(const struct trace_ends *ends, bool local, char text[static 64]);

/* ---- trace_args.c ---- */

/* What a call's first arguments are, as in bpf/trace.h: for the kernel's side. */
void trace_fill_shapes(uint8_t shapes[static TRACE_CALLS]);

/* "7<127.0.0.1:80 - 127.0.0.1:40000>, 0x7f57b5cfeef0, 0x2": the three arguments. */
void trace_print_args(const struct trace_slow *e);

/* What they are of, as members of JSON with a comma after each. */
void trace_print_args_json(const struct trace_slow *e);

/* ---- trace_symbols.c ---- */

/* NULL: no memory. */
struct trace_symbols *trace_symbols_new(void);
void trace_symbols_free(struct trace_symbols *s);

/* Reads what the process has mapped, unless it has ended: then what was read before stays. */
void trace_symbols_read(struct trace_symbols *s, pid_t pid);

/* "write+0x17 in libc.so.6+0xf8c37", or as much of it as is known. */
void trace_symbols_name(struct trace_symbols *s, pid_t pid, uint64_t address, char *text,
                        size_t len);

/* Calls fn with each process that has rn__gdb_layout, and where it lies in its memory; once more
 * until it returns true, or the process maps code again. */
void trace_symbols_each_layout(struct trace_symbols *s,
                               bool (*fn)(pid_t pid, uint64_t address, void *arg), void *arg);

/* ---- trace_coros.c ---- */

/* Has the kernel's side find the coroutines of those processes that are on runnel. */
void trace_find_layouts(struct trace *t);

#endif
