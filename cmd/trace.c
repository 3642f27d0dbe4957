/*
 * trace.c - `runnel trace`: the system calls of any process, without stopping it
 *
 * A command is started before the runtime, by a plain fork; the child waits until it is a target of
 * the programs in the kernel, and they begin with its execve. The loop looks ten times a second
 * whether all has ended; nothing that is shown depends on when it looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define LOOK_NS (100 * RN_MILLISECOND)

static const char help[] =
    "Usage: runnel trace [OPTION]... -p PID\n"
    "       runnel trace [OPTION]... [--] COMMAND [ARG]...\n"
    "\n"
    "Shows the system calls of any process, of all its threads, while it runs at full speed: they\n"
    "are counted and timed in the kernel (BPF). Wants root, or CAP_BPF and CAP_PERFMON.\n"
    "\n"
    "  -S, --summary         what calls were made, how often, and how long they took (the "
    "default)\n"
    "\n"
    "      --prometheus ADDR and as http://ADDR/metrics, while it goes on\n"
    "  -l, --latency CALL    how long one call takes, as a histogram; live on a terminal\n"
    "  -s, --slow SPAN       each call that took at least so long (10ms, 1s, 500us), and its "
    "stack\n"
    "\n"
    "  -p, --pid PID         a process that runs; may be given up to 64 times\n"
    "  -f, --follow          processes that they start from now on, too\n"
    "  -e, --calls LIST      only these: read,write\n"
    "  -t, --seconds N       for so long (default: until Ctrl-C, or until they all have ended)\n"
    "  -j, --json            print JSON\n"
    "  -h, --help            this text\n"
    "\n"
    "Exits as COMMAND does, if that has ended.\n";

/* ---- the command ---- */

/* In the child: nothing but this between fork and exec. */
_Noreturn static void become(char **argv, const int gate[2], const sigset_t *signals)
{
    char go;

    close(gate[1]); /* or there is no end of file when the parent gives up */
    sigprocmask(SIG_SETMASK, signals, NULL);
    if (read(gate[0], &go, 1) == 1) {
        execvp(argv[0], argv);
        cmd_error("trace: cannot run %s: %s", argv[0], strerror(errno));
    }
    _exit(127);
}

static int start_command(struct trace *t, const sigset_t *signals)
{
    int gate[2], r;

    if (pipe2(gate, O_CLOEXEC) < 0)
        return -errno;
    t->child = fork();
    r = t->child < 0 ? -errno : 0;
    if (t->child == 0)
        become(t->options.command, gate, signals);
    close(gate[0]);
    if (r < 0) {
        t->child = 0;
        close(gate[1]);
        return r;
    }
    t->go = gate[1];
    return 0;
}

/* Ends a child that waits at its gate, too: what it reads there is an end of file. */
static void end_command(struct trace *t)
{
    int status;

    if (t->go >= 0)
        close(t->go);
    if (t->child != 0 && waitpid(t->child, &status, 0) == t->child)
        t->child_status = status;
    t->child = 0;
}

/* ---- the loop ---- */

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

static void draw(struct trace *t)
{
    if (t->options.mode != TRACE_LATENCY || t->options.json || !isatty(STDOUT_FILENO) ||
        rn_now() < t->next_draw)
        return;
    (void)trace_show_latency(t);
    t->next_draw = rn_after(RN_SECOND);
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
    case TRACE_SLOW: /* has been shown as it came */
        break;
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
        draw(t);
    }
    if (r == 0)
        r = trace_take_events(t, rn_now());
    t->ended = rn_now();
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
    if (r == 0 && trace_lost(t->kernel) > 0)
        cmd_error("trace: %llu calls or processes found no room and are not in it",
                  (unsigned long long)trace_lost(t->kernel));
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
    if (r == 0 && (r = cmd_on_signal(stop, t)) == 0) {
        r = watch_and_show(t);
        cmd_end_signals();
    }
    trace_unload(t->kernel);
    return r < 0 ? CMD_FAILED : CMD_OK;
}

/* ---- options ---- */

static bool parse_pid(struct trace_options *o)
{
    long n;

    if (!cmd_number("--pid", optarg, 1, INT32_MAX, &n))
        return false;
    if (o->n_pids == TRACE_MAX_PIDS) {
        cmd_error("trace takes at most %d --pid", TRACE_MAX_PIDS);
        return false;
    }
    o->pids[o->n_pids++] = (pid_t)n;
    return true;
}

/* "10ms", "1s", "500us", "250ns". */
static bool parse_span(const char *text, rn_time *ret)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    char *end;
    double n = strtod(text, &end);

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].name) == 0 && n * units[i].ns >= 1 && n * units[i].ns < 1e15) {
            *ret = (rn_time)(n * units[i].ns);
            return true;
        }
    }
    cmd_error("--slow wants a span of time such as 10ms, not \"%s\"", text);
    return false;
}

/* Names with commas between; *ret is the last one's number. */
static bool parse_calls(const char *option, char *list, struct trace_options *o, int *ret)
{
    char *rest;

    for (char *name = strtok_r(list, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        int nr = trace_call_number(name);

        if (nr < 0) {
            cmd_error("%s: there is no system call \"%s\"", option, name);
            return false;
        }
        o->only[nr] = o->some = true;
        *ret = nr;
    }
    return true;
}

static bool parse_option(int c, struct trace_options *o)
{
    long n;

    switch (c) {
    case 'S':
        o->mode = TRACE_SUMMARY;
        return true;
    case 'l':
        o->mode = TRACE_LATENCY;
        o->latency_of = -1;
        if (parse_calls("--latency", optarg, o, &o->latency_of) && o->latency_of < 0)
            cmd_error("--latency wants a system call");
        return o->latency_of >= 0;
    case 's':
        o->mode = TRACE_SLOW;
        return parse_span(optarg, &o->slow_ns);
    case 'c':
        o->mode = TRACE_CONNECTIONS;
        return true;
    case 'P':
        o->prometheus = optarg;
        return true;
    case 'H':
        o->mode = TRACE_CONNECTIONS;
        o->html = optarg;
        return true;
    case 'e':
        return parse_calls("--calls", optarg, o, &(int){0});
    case 'p':
        return parse_pid(o);
    case 'f':
        o->follow = true;
        return true;
    case 't':
        if (!cmd_number("--seconds", optarg, 1, 1000000, &n))
            return false;
        o->limit_ns = n * RN_SECOND;
        return true;
    case 'j':
        o->json = true;
        return true;
    default:
        return false;
    }
}

static int parse(int argc, char **argv, struct trace_options *o)
{
    static const struct option longs[] = {{"summary", no_argument, NULL, 'S'},
                                          {"latency", required_argument, NULL, 'l'},
                                          {"slow", required_argument, NULL, 's'},
                                          {"connections", no_argument, NULL, 'c'},
                                          {"html", required_argument, NULL, 'H'},
                                          {"prometheus", required_argument, NULL, 'P'},
                                          {"calls", required_argument, NULL, 'e'},
                                          {"pid", required_argument, NULL, 'p'},
                                          {"follow", no_argument, NULL, 'f'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int c;

    /* "+": the command's options are its own. */
    while ((c = getopt_long(argc, argv, "+Sl:s:ce:p:ft:jh", longs, NULL)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return 1;
        }
        if (!parse_option(c, o))
            return -EINVAL;
    }
    if (optind < argc)
        o->command = &argv[optind];
    if (o->prometheus != NULL && o->mode != TRACE_SUMMARY) {
        cmd_error("trace: --prometheus goes with --summary");
        return -EINVAL;
    }
    if (o->command == NULL && o->n_pids == 0) {
        cmd_error("trace wants a process (-p PID) or a command; see runnel trace --help");
        return -EINVAL;
    }
    return 0;
}

static int exit_code(const struct trace *t, int r)
{
    if (r != CMD_OK || t->options.command == NULL || t->stopped != 0)
        return r;
    if (WIFSIGNALED(t->child_status))
        return 128 + WTERMSIG(t->child_status);
    return WEXITSTATUS(t->child_status);
}

int cmd_trace(int argc, char **argv)
{
    struct trace t = {.go = -1};
    sigset_t signals;
    int r = parse(argc, argv, &t.options);

    if (r != 0)
        return r < 0 ? CMD_USAGE : CMD_OK;
    sigprocmask(SIG_SETMASK, NULL, &signals);
    cmd_block_signals();
    if (t.options.command != NULL && (r = start_command(&t, &signals)) < 0) {
        cmd_error("trace: cannot run %s: %s", t.options.command[0], rn_strerror(r));
        return CMD_FAILED;
    }
    t.symbols = trace_symbols_new();
    r = t.symbols == NULL ? -ENOMEM : rn_run(&(rn_run_options){.procs = 1}, run, &t);
    if (r < 0)
        cmd_error("cannot run: %s", rn_strerror(r));
    for (int i = 0; i < t.n_ends; i++)
        close(t.ends[i]);
    end_command(&t);
    free(t.conns);
    if (t.symbols != NULL)
        trace_symbols_free(t.symbols);
    return exit_code(&t, r < 0 ? CMD_FAILED : r);
}
