/*
 * trace_bpf.c - the loop of `runnel trace`, while programs in the kernel count
 *
 * It looks ten times a second whether all has ended; nothing that is shown depends on when it
 * looks.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define LOOK_NS (100 * RN_MILLISECOND)

static bool all_ended(struct trace *t)
{
    if (t->child != 0 && waitpid(t->child, &t->child_status, WNOHANG) == t->child)
        t->child = 0;
    /* Of processes that were followed to, only the kernel's side knows. */
    if (t->options.follow)
        return t->child == 0 && trace_count_targets(t->kernel) == 0;
    for (int i = 0; i < t->n_ends; i++) {
        struct pollfd p = {.fd = t->ends[i], .events = POLLIN};

        if (poll(&p, 1, 0) == 0)
            return false;
    }
    return t->child == 0;
}

static int add_pid(struct trace *t, pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), r = fd < 0 ? -errno : 0;

    if (r == 0) {
        t->ends[t->n_ends++] = fd;
        trace_symbols_read(t->symbols, pid);
        r = trace_add_target(t->kernel, pid, TRACE_COUNTS);
    }
    if (r == -EINVAL)
        cmd_error("trace: %d is a thread; give its process: ps -o pid= -L -q %d", (int)pid,
                  (int)pid);
    else if (r < 0)
        cmd_error("trace: cannot trace process %d: %s", (int)pid, rn_strerror(r));
    return r;
}

static int add_targets(struct trace *t)
{
    int r = 0;

    for (int i = 0; r == 0 && i < t->options.n_pids; i++)
        r = add_pid(t, t->options.pids[i]);
    if (r == 0 && t->child != 0)
        r = trace_add_target(t->kernel, t->child, TRACE_WAITS);
    return r;
}

static void stop(int signo, void *arg)
{
    struct trace *t = arg;

    if (t->child != 0)
        kill(t->child, signo);
    t->stopped = signo;
}

static int show(struct trace *t)
{
    switch (t->options.mode) {
    case TRACE_SUMMARY:
        return trace_show_summary(t);
    case TRACE_LATENCY:
        return trace_show_latency(t);
    case TRACE_CONNECTIONS:
        return trace_show_conns(t);
    case TRACE_SLOW:
        return trace_show_slow(t);
    }
    return 0;
}

static int watch(struct trace *t)
{
    int r = 0;

    t->began = rn_now();
    if (t->go >= 0 && write(t->go, "", 1) != 1)
        return -errno;
    trace_find_layouts(t);
    if (t->options.n_pids > 0)
        fputs("runnel: tracing, until Ctrl-C or the end\n", stderr);
    while (r == 0 && t->stopped == 0 && !all_ended(t)) {
        rn_time next = rn_after(LOOK_NS);

        if (t->options.limit_ns != 0 && next > t->began + t->options.limit_ns)
            next = t->began + t->options.limit_ns;
        if (next <= rn_now())
            break;
        trace_find_layouts(t);
        r = trace_take_events(t, next);
        trace_draw_latency(t);
    }
    if (r == 0)
        r = trace_take_events(t, rn_now());
    t->ended = rn_now();
    trace_count_under_way(t);
    t->lost = trace_lost(t->kernel);
    return r;
}

/* All has been attached: until it ends, and what there is to show then. */
static int watch_and_show(struct trace *t)
{
    struct trace_server *server = NULL;
    int r = 0;

    if (t->options.prometheus != NULL)
        r = trace_start_server(t, t->options.prometheus, &server);
    if (r == 0)
        r = watch(t);
    if (server != NULL)
        trace_stop_server(server);
    if (r == 0)
        r = show(t);
    if (r < 0)
        cmd_error("trace: %s", rn_strerror(r));
    if (r == 0 && t->lost > 0)
        cmd_error("trace: %llu calls or processes found no room and are not in it",
                  (unsigned long long)t->lost);
    return r;
}

static int run(void *arg)
{
    struct trace *t = arg;
    int r = trace_load(t);

    if (r < 0)
        return CMD_FAILED;
    r = add_targets(t);
    if (r == 0)
        r = trace_attach(t);
    if (r == 0 && t->options.html != NULL)
        r = trace_open_html(t);
    if (r == 0 && (r = cmd_on_signal(stop, t)) == 0) {
        r = watch_and_show(t);
        cmd_end_signals();
    }
    if (t->html != NULL)
        fclose(t->html);
    trace_unload(t->kernel);
    return r < 0 ? CMD_FAILED : CMD_OK;
}

int trace_by_bpf(struct trace *t)
{
    int r;

    t->symbols = trace_symbols_new();
    r = t->symbols == NULL ? -ENOMEM : rn_run(&(rn_run_options){.procs = 1}, run, t);
    if (r < 0)
        cmd_error("cannot run: %s", rn_strerror(r));
    for (int i = 0; i < t->n_ends; i++)
        close(t->ends[i]);
    free(t->conns);
    if (t->symbols != NULL)
        trace_symbols_free(t->symbols);
    return r < 0 ? CMD_FAILED : r;
}
