/*
 * main.c - `runnel`: which subcommand, and the small things they share
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd.h"

struct command {
    const char *name;
    const char *what;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"serve", "serve the files of a directory over HTTP", cmd_serve},
    {"echo", "send back what comes in, on TCP or unix sockets", cmd_echo},
    {"doctor", "find the limits of this machine that are in a server's way", cmd_doctor},
    {"bench", "measure what connections cost on this machine", cmd_bench},
    {"trace", "show the system calls of any process", cmd_trace},
};

#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void usage(FILE *out)
{
    fputs("Usage: runnel COMMAND [OPTION]...\n\nCommands:\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    fputs("\n`runnel COMMAND --help` tells more. `runnel --version` tells the version.\n"
          "Environment: RN_PROCS (threads), RN_POLLER (epoll, poll, select, io_uring), RN_WATCHDOG"
          " (ms).\n",
          out);
}

void cmd_error(const char *format, ...)
{
    va_list ap;

    fputs("runnel: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

int cmd_option(const char *command, int argc, char **argv, const char *shorts,
               const struct option *longs)
{
    char *program = argv[0], name[64];
    int c;

    (void)snprintf(name, sizeof name, "runnel: %s", command);
    argv[0] = name; /* getopt puts it before what it has to say */
    c = getopt_long(argc, argv, shorts, longs, NULL);
    argv[0] = program;
    if (c == '?')
        cmd_error("see runnel %s --help", command);
    return c;
}

bool cmd_number(const char *option, const char *text, long least, long most, long *ret)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < least || n > most) {
        cmd_error("%s wants a number from %ld to %ld, not \"%s\"", option, least, most, text);
        return false;
    }
    *ret = n;
    return true;
}

const char *cmd_span(uint64_t ns, char buf[static 16])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    double v = (double)ns;
    int unit = 0;

    while (unit < 3 && v >= 999.5) {
        v /= 1000;
        unit++;
    }
    snprintf(buf, 16, "%.*f %s", unit == 0 || v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2, v, units[unit]);
    return buf;
}

const char *cmd_network(const char *address)
{
    return *address == '@' || strchr(address, '/') != NULL ? "unix" : "tcp";
}

/* Whoever was killed has not removed its socket; who starts it again should not have to. */
static bool remove_left_behind(const char *path)
{
    struct stat st;
    rn_conn *conn;
    int r;

    if (*path == '@' || stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    r = rn_dial("unix", path, &(rn_dial_options){.deadline = rn_after(RN_SECOND)}, &conn);
    if (r == 0)
        rn_close(conn);
    return r == -ECONNREFUSED && unlink(path) == 0;
}

int cmd_listen(const char *address, const rn_listen_options *options, rn_listener **ret)
{
    const char *network = cmd_network(address);
    char why[512];
    int r = rn_listen(network, address, options, ret);

    if (r == -EADDRINUSE && *network == 'u' && remove_left_behind(address))
        r = rn_listen(network, address, options, ret);
    if (r < 0) {
        rn_listen_explain(network, address, r, why, sizeof why);
        cmd_error("cannot listen on %s", why);
    }
    return r;
}

/* ---- signals ---- */

static struct { /* there is one waiter */
    void (*fn)(int signo, void *arg);
    void *arg;
    rn_chan *arrived;
    rn_waitgroup waiter;
} signals;

void cmd_fill_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void cmd_block_signals(void)
{
    sigset_t set;

    cmd_fill_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void wait_for_signals(void *arg)
{
    int signo, seen = 0;

    (void)arg;
    while (rn_chan_recv(signals.arrived, &signo) == 0) {
        if (++seen > 1)
            _exit(128 + signo);
        signals.fn(signo, signals.arg);
    }
    rn_waitgroup_done(&signals.waiter);
}

int cmd_on_signal(void (*fn)(int signo, void *arg), void *arg)
{
    int r = rn_chan_new(sizeof(int), 4, &signals.arrived);

    if (r < 0)
        return r;
    signals.fn = fn;
    signals.arg = arg;
    rn_waitgroup_add(&signals.waiter, 1);
    r = rn_go_with(&(rn_go_options){.name = "signals"}, wait_for_signals, NULL);
    if (r < 0)
        rn_waitgroup_done(&signals.waiter);
    if (r == 0)
        r = rn_signal_notify(signals.arrived, SIGINT);
    if (r == 0)
        r = rn_signal_notify(signals.arrived, SIGTERM);
    if (r < 0)
        cmd_end_signals();
    return r;
}

void cmd_end_signals(void)
{
    if (signals.arrived == NULL)
        return;
    rn_signal_stop(signals.arrived);
    rn_chan_close(signals.arrived);
    while (rn_waitgroup_wait(&signals.waiter) < 0)
        rn_yield();
    rn_chan_free(signals.arrived);
    signals.arrived = NULL;
}

static int run_command(int argc, char **argv)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[0], commands[i].name) == 0)
            return commands[i].run(argc, argv);
    if (*argv[0] != '\0')
        cmd_error("there is no command \"%s\"", argv[0]);
    usage(stderr);
    return CMD_USAGE;
}

/* `runnel help COMMAND` is `runnel COMMAND --help`. */
static int help_of(int argc, char **argv)
{
    char option[] = "--help", *asked[4] = {NULL};
    int n = argc < 2 ? argc : 2; /* "bench connections" is two words */

    for (int i = 0; i < n; i++)
        asked[i] = argv[i];
    asked[n] = option;
    return run_command(n + 1, asked);
}

int main(int argc, char **argv)
{
    char none[] = "", *nothing[] = {none, NULL};
    const char *name = argc > 1 ? argv[1] : none;

    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("runnel %s\n", rn_version());
        return CMD_OK;
    }
    if (strcmp(name, "help") == 0 && argc > 2)
        return help_of(argc - 2, argv + 2);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return CMD_OK;
    }
    return argc > 1 ? run_command(argc - 1, argv + 1) : run_command(1, nothing);
}
