/*
 * main.c - `runnel`: which subcommand, and the small things they share
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
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
};

#define N_COMMANDS (sizeof commands / sizeof commands[0])

static void usage(FILE *out)
{
    fputs("Usage: runnel COMMAND [OPTION]...\n\nCommands:\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].what);
    fputs("\n`runnel COMMAND --help` tells more. `runnel --version` tells the version.\n"
          "Environment: RN_PROCS (threads), RN_POLLER (epoll or poll), RN_WATCHDOG (ms).\n",
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

const char *cmd_network(const char *address)
{
    return *address == '@' || strchr(address, '/') != NULL ? "unix" : "tcp";
}

/* ---- signals ---- */

struct on_signal {
    void (*fn)(int signo, void *arg);
    void *arg;
};

static struct on_signal on_signal; /* there is one waiter */

static void fill_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

void cmd_block_signals(void)
{
    sigset_t set;

    fill_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void wait_for_signals(void *arg)
{
    struct signalfd_siginfo info;
    sigset_t set;
    int fd, seen = 0;

    (void)arg;
    fill_signals(&set);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    while (fd >= 0 && rn_wait_fd(fd, RN_READABLE, 0) > 0) {
        if (read(fd, &info, sizeof info) != sizeof info)
            continue;
        if (++seen > 1)
            _exit(128 + (int)info.ssi_signo);
        on_signal.fn((int)info.ssi_signo, on_signal.arg);
    }
    if (fd >= 0)
        close(fd);
}

int cmd_on_signal(void (*fn)(int signo, void *arg), void *arg)
{
    on_signal = (struct on_signal){.fn = fn, .arg = arg};
    return rn_go_with(&(rn_go_options){.name = "signals"}, wait_for_signals, NULL);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("runnel %s\n", rn_version());
        return CMD_OK;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        usage(stdout);
        return CMD_OK;
    }
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (*name != '\0')
        cmd_error("there is no command \"%s\"", name);
    usage(stderr);
    return CMD_USAGE;
}
