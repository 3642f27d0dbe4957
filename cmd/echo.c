/*
 * echo.c - `runnel echo ADDR`: a coroutine for each message, or for each connection
 */
#include <getopt.h>
#include <stdio.h>

#include "cmd.h"

struct echo {
    const char *address;
    rn_listener *listener;
    rn_serve_options options;
    long procs;
    int backlog; /* 0: the library's default */
};

static const char help[] =
    "Usage: runnel echo [OPTION]... ADDRESS\n"
    "\n"
    "Sends back what comes in. ADDRESS is host:port, :port, a path with a slash in it, or @name.\n"
    "\n"
    "  -p, --procs N       threads (default: the CPUs this process may use)\n"
    "  -m, --max-conns N   connections open at once (default: the descriptor limit less 64)\n"
    "      --backlog N     connections that wait to be accepted (default: 4096); no more than\n"
    "                      net.core.somaxconn\n"
    "  -b, --balance HOW   place, exclusive or one: how connections find their thread\n"
    "  -c, --coroutines    keep a coroutine, and its stack, for each connection, as "
    "examples/echo.c\n"
    "                      does; by default a connection that says nothing holds neither\n"
    "  -h, --help          this text\n"
    "\n"
    "Ctrl-C stops accepting and waits for the connections to end; twice ends at once.\n";

void cmd_echo_conn(rn_conn *conn, void *arg)
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    while ((n = rn_read(conn, buf, sizeof buf)) > 0)
        if (rn_write(conn, buf, (size_t)n) < 0)
            break;
    rn_close(conn);
}

void cmd_echo_once(rn_conn *conn, void *arg)
{
    char buf[4096];
    ssize_t n = rn_read(conn, buf, sizeof buf);

    if (n <= 0 || rn_write(conn, buf, (size_t)n) < 0 ||
        rn_go_when_readable(conn, cmd_echo_once, arg) < 0)
        rn_close(conn);
}

static void stop(int signo, void *arg)
{
    struct echo *e = arg;

    (void)signo;
    fputs("runnel: draining; a second signal ends it at once\n", stderr);
    rn_listener_cancel(e->listener);
}

static int run(void *arg)
{
    struct echo *e = arg;
    char text[128] = "";
    int r = cmd_listen(e->address, &(rn_listen_options){.backlog = e->backlog}, &e->listener);

    if (r < 0)
        return CMD_FAILED;
    (void)rn_listener_addr(e->listener, text, sizeof text);
    fprintf(stderr, "runnel: echo on %s, %d threads, poller %s\n", text, rn_procs(), rn_poller());
    r = cmd_on_signal(stop, e);
    if (r == 0)
        r = rn_serve_listener(e->listener, &e->options,
                              e->options.when_readable ? cmd_echo_once : cmd_echo_conn, NULL);
    if (r < 0 && r != -ECANCELED)
        cmd_error("echo: %s", rn_strerror(r));
    cmd_end_signals();
    rn_listener_close(e->listener);
    return r == -ECANCELED ? CMD_OK : CMD_FAILED;
}

static bool parse_balance(const char *text, enum rn_balance *ret)
{
    static const struct {
        const char *name;
        enum rn_balance value;
    } known[] = {
        {"place", RN_BALANCE_PLACE}, {"exclusive", RN_BALANCE_EXCLUSIVE}, {"one", RN_BALANCE_ONE}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (__builtin_strcmp(text, known[i].name) == 0) {
            *ret = known[i].value;
            return true;
        }
    }
    cmd_error("--balance wants place, exclusive or one, not \"%s\"", text);
    return false;
}

static bool parse_option(int c, struct echo *e)
{
    long n;

    switch (c) {
    case 'p':
        return cmd_number("--procs", optarg, 1, 256, &e->procs);
    case 'm':
        if (!cmd_number("--max-conns", optarg, 1, INT32_MAX, &n))
            return false;
        e->options.max_conns = (int)n;
        return true;
    case 'B':
        if (!cmd_number("--backlog", optarg, 1, INT32_MAX, &n))
            return false;
        e->backlog = (int)n;
        return true;
    case 'b':
        return parse_balance(optarg, &e->options.balance);
    case 'c':
        e->options.when_readable = false;
        return true;
    default:
        return false;
    }
}

int cmd_echo(int argc, char **argv)
{
    static const struct option longs[] = {{"procs", required_argument, NULL, 'p'},
                                          {"max-conns", required_argument, NULL, 'm'},
                                          {"backlog", required_argument, NULL, 'B'},
                                          {"balance", required_argument, NULL, 'b'},
                                          {"coroutines", no_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct echo e = {.options = {.when_readable = true}};
    int c, r;

    while ((c = cmd_option("echo", argc, argv, "p:m:b:ch", longs)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return CMD_OK;
        }
        if (!parse_option(c, &e))
            return CMD_USAGE;
    }
    if (optind != argc - 1) {
        cmd_error("echo wants one address; see runnel echo --help");
        return CMD_USAGE;
    }
    e.address = argv[optind];
    cmd_block_signals();
    r = rn_run(&(rn_run_options){.procs = (int)e.procs, .dump_on_sigquit = true}, run, &e);
    if (r < 0)
        cmd_error("cannot run: %s", rn_strerror(r));
    return r < 0 ? CMD_FAILED : r;
}
