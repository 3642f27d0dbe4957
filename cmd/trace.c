/*
 * trace.c - `runnel trace`: the system calls of any process, without stopping it
 *
 * A command is started before the runtime, by a plain fork; the child waits until it is traced, and
 * that begins with its execve. Calls are counted in the kernel (trace_bpf.c), or else, where that
 * cannot be, by stopping at each (trace_ptrace.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

static const char help[] =
    "Usage: runnel trace [OPTION]... -p PID\n"
    "       runnel trace [OPTION]... [--] COMMAND [ARG]...\n"
    "\n"
    "Shows the system calls of any process, of all its threads, while it runs at full speed: they\n"
    "are counted and timed in the kernel (BPF). Wants root, or CAP_BPF and CAP_PERFMON. Without\n"
    "that there are --summary and --latency, by ptrace, which slows the process down.\n"
    "\n"
    "  -S, --summary         what calls were made, how often, and how long they took (the "
    "default)\n"
    "      --prometheus ADDR and as http://ADDR/metrics, while it goes on\n"
    "  -l, --latency CALL    how long one call takes, as a histogram; live on a terminal\n"
    "  -s, --slow SPAN       each call that took at least so long (10ms, 1s, 500us), and its "
    "stack\n"
    "  -c, --connections     the life of each TCP connection: states, calls, who closed it first\n"
    "      --html FILE       and as a timeline, a page for a browser\n"
    "\n"
    "  -p, --pid PID         a process that runs, or several: -p \"$(pidof nginx)\"; up to 64\n"
    "  -f, --follow          processes that they start from now on, too\n"
    "  -e, --calls LIST      only these (read,write), of all but --connections\n"
    "  -t, --seconds N       for so long (default: until Ctrl-C, or until they all have ended)\n"
    "  -j, --json            print JSON\n"
    "  -o, --output FILE     there, rather than among what COMMAND prints\n"
    "      --ptrace          by ptrace, though BPF may be had\n"
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

/* ---- options ---- */

static bool parse_pid(const char *text, struct trace_options *o)
{
    long n;

    if (!cmd_number("--pid", text, 1, INT32_MAX, &n))
        return false;
    if (o->n_pids == TRACE_MAX_PIDS) {
        cmd_error("trace takes at most %d processes", TRACE_MAX_PIDS);
        return false;
    }
    o->pids[o->n_pids++] = (pid_t)n;
    return true;
}

/* "12", "12,13", or as pidof has it: "12 13". */
static bool parse_pids(struct trace_options *o)
{
    char *rest, *first = strtok_r(optarg, ", \n", &rest);

    if (first == NULL)
        return parse_pid("", o);
    for (char *text = first; text != NULL; text = strtok_r(NULL, ", \n", &rest))
        if (!parse_pid(text, o))
            return false;
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

static bool choose_mode(struct trace_options *o, enum trace_mode mode)
{
    if (o->mode_given && o->mode != mode) {
        cmd_error("trace: one of --summary, --latency, --slow and --connections at a time");
        return false;
    }
    o->mode = mode;
    o->mode_given = true;
    return true;
}

static bool parse_latency(struct trace_options *o)
{
    o->latency_of = -1;
    if (parse_calls("--latency", optarg, o, &o->latency_of) && o->latency_of < 0)
        cmd_error("--latency wants a system call");
    return o->latency_of >= 0;
}

static bool parse_option(int c, struct trace_options *o)
{
    long n;

    switch (c) {
    case 'S':
        return choose_mode(o, TRACE_SUMMARY);
    case 'l':
        return choose_mode(o, TRACE_LATENCY) && parse_latency(o);
    case 's':
        return choose_mode(o, TRACE_SLOW) && parse_span(optarg, &o->slow_ns);
    case 'c':
        return choose_mode(o, TRACE_CONNECTIONS);
    case 'P':
        o->prometheus = optarg;
        return true;
    case 'H':
        o->html = optarg;
        return choose_mode(o, TRACE_CONNECTIONS);
    case 'e':
        return parse_calls("--calls", optarg, o, &(int){0});
    case 'p':
        return parse_pids(o);
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
    case 'o':
        o->output = optarg;
        return true;
    case 'T':
        o->ptrace = true;
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
                                          {"output", required_argument, NULL, 'o'},
                                          {"ptrace", no_argument, NULL, 'T'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int c;

    /* "+": the command's options are its own. */
    while ((c = cmd_option("trace", argc, argv, "+Sl:s:ce:p:ft:jo:h", longs)) != -1) {
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
    if (o->ptrace && !trace_ptrace_can(o)) {
        cmd_error("trace: --ptrace goes with --summary and --latency");
        return -EINVAL;
    }
    if (o->command == NULL && o->n_pids == 0) {
        cmd_error("trace wants a process (-p PID) or a command; see runnel trace --help");
        return -EINVAL;
    }
    return 0;
}

/* Before the command runs, so that what cannot be written is told then; -1: a failure, told. */
static int open_output(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        cmd_error("trace: cannot write %s: %s", path, rn_strerror(-errno));
    return fd;
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
    int r = parse(argc, argv, &t.options), out = -1;

    if (r != 0)
        return r < 0 ? CMD_USAGE : CMD_OK;
    if (t.options.output != NULL && (out = open_output(t.options.output)) < 0)
        return CMD_FAILED;
    sigprocmask(SIG_SETMASK, NULL, &signals);
    cmd_block_signals();
    if (t.options.command != NULL && (r = start_command(&t, &signals)) < 0) {
        cmd_error("trace: cannot run %s: %s", t.options.command[0], rn_strerror(r));
        return CMD_FAILED;
    }
    if (out >= 0) { /* the command has the one before */
        (void)dup2(out, STDOUT_FILENO);
        (void)close(out);
    }
    if (!t.options.ptrace)
        r = trace_by_bpf(&t);
    if (t.options.ptrace || t.falls_back)
        r = trace_by_ptrace(&t);
    end_command(&t);
    return exit_code(&t, r);
}
