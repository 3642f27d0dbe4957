/*
 * serve.c - `runnel serve DIR`: files over HTTP/1.1
 *
 *      run: open the sockets, the log --> give up rights, while there is one thread --> run: serve
 *
 * Two runs of the runtime, because landlock and seccomp are for the thread that asks for them and
 * for those that it starts.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"
#include "site.h"
#include "task/symbols.h"
#include <runnel/admin.h>
#include <runnel/http.h>

#define MAX_LISTEN 16

struct serve {
    const char *dir;
    const char *addresses[MAX_LISTEN];
    int sockets[MAX_LISTEN]; /* of the addresses, from the first run to the second */
    int n_sockets;
    rn_listener *listeners[MAX_LISTEN];
    int n_listeners;
    bool demo;
    long procs;
    int backlog;               /* 0: the library's default */
    const char *admin_address; /* NULL: none */
    bool admin_public;
    int admin_socket; /* from the first run to the second */
    struct cmd_admin *admin;
    rn_http_stats *stats; /* with an admin address only */
    rn_http_server_options options;
    struct site site;
    struct access_log *log;
    rn_http_files *files;
    rn_http_server *server;
    rn_chan *hangups;       /* SIGHUP */
    rn_waitgroup reopening; /* who listens to it */
    rn_waitgroup running;
    int result;
};

static const char help[] =
    "Usage: runnel serve [OPTION]... DIR\n"
    "\n"
    "Serves the files below DIR over HTTP/1.1: GET and HEAD, whole and in parts. Nothing outside\n"
    "of DIR can be had, whatever links say, and nothing by a name that starts with a dot.\n"
    "\n"
    "  -l, --listen ADDRESS  host:port, :port, a path with a slash in it, or @name; may be given\n"
    "                        up to 16 times (default: the sockets of socket activation, as\n"
    "                        systemd does it, if there are any, else 127.0.0.1:8080)\n"
    "  -p, --procs N         threads (default: the CPUs this process may use)\n"
    "  -m, --max-conns N     connections open at once, for each --listen (default: the descriptor\n"
    "                        limit less 64)\n"
    "      --backlog N       connections that wait to be accepted, for each --listen (default:\n"
    "                        4096); no more than net.core.somaxconn\n"
    "      --admin ADDRESS   metrics, a dashboard and health checks there; 127.0.0.1:PORT or a\n"
    "                        unix socket\n"
    "      --admin-public    let it be an address that other machines reach; nobody is asked who\n"
    "                        they are\n"
    "      --demo            print what to try\n"
    "  -h, --help            this text\n"
    "\n"
    "Ctrl-C, or SIGTERM, stops accepting, lets requests under way end, and exits with 0; a second\n"
    "one ends at once. SIGHUP looks DIR up anew, for who has exchanged it, or a link that it is.\n";

/* NULL where the address has no name in the file system. */
static const char *path_of(const char *address)
{
    return address != NULL && cmd_network(address)[0] == 'u' && address[0] != '@' ? address : NULL;
}

/* The unix sockets' names; before the sockets are closed: after that somebody else may own them. */
static void remove_paths(struct serve *s)
{
    for (int i = 0; i < s->n_sockets; i++)
        if (path_of(s->addresses[i]) != NULL)
            (void)unlink(s->addresses[i]);
    s->n_sockets = 0;
    if (s->admin_socket >= 0 && path_of(s->admin_address) != NULL)
        (void)unlink(s->admin_address);
    s->admin_socket = -1;
}

static void stop(int signo, void *arg)
{
    struct serve *s = arg;

    (void)signo;
    fputs("runnel: draining; a second signal ends it at once\n", stderr);
    cmd_admin_draining(s->admin);
    remove_paths(s);
    for (int i = 0; i < s->n_listeners; i++)
        rn_listener_cancel(s->listeners[i]);
}

struct serve_one {
    struct serve *serve;
    rn_listener *listener;
};

static void serve_one(void *arg)
{
    struct serve_one *one = arg;
    struct serve *s = one->serve;
    int r = rn_http_serve_listener(s->server, one->listener);

    if (r != -ECANCELED) {
        cmd_error("serve: %s", rn_strerror(r));
        s->result = r;
    }
    rn_waitgroup_done(&s->running);
}

static void announce(const struct serve *s, int i)
{
    char text[128] = "";
    const char *at = text;

    (void)rn_listener_addr(s->listeners[i], text, sizeof text);
    if (cmd_network(text)[0] == 'u') {
        fprintf(stderr, "runnel: serving %s on %s\n", s->dir, text);
        return;
    }
    if (strncmp(at, "[::]", 4) == 0)
        fprintf(stderr, "runnel: serving %s on http://localhost%s/\n", s->dir, at + 4);
    else
        fprintf(stderr, "runnel: serving %s on http://%s/\n", s->dir, at);
    if (s->demo && i == 0)
        fprintf(stderr,
                "\nTry:  curl -i http://%s/\n"
                "      curl -o /dev/null -w '%%{speed_download} B/s\\n' http://%s/big.bin\n"
                "      or open http://%s/ in a browser. Ctrl-C drains and ends.\n",
                at, at, at);
}

/* ---- DIR, exchanged ---- */

/* Until somebody listens to them they wait; and where nobody does (SIGUSR1 without a log) or at the
 * end, they end nothing, as what other servers are told by them is no end. */
static void prepare_signals(bool demo)
{
    sigset_t set;

    cmd_block_signals();
    (void)signal(SIGUSR1, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    if (!demo) { /* whose terminal takes it along when it is closed */
        (void)signal(SIGHUP, SIG_IGN);
        sigaddset(&set, SIGHUP);
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void reopen_on(void *arg)
{
    struct serve *s = arg;
    int signo;

    while (rn_chan_recv(s->hangups, &signo) == 0) {
        int r = rn_http_files_reopen(s->files, s->dir);

        if (r < 0)
            cmd_error("cannot serve %s anew: %s", s->dir, rn_strerror(r));
        else
            fprintf(stderr, "runnel: serving %s anew\n", s->dir);
    }
    rn_waitgroup_done(&s->reopening);
}

static int begin_reopening(struct serve *s)
{
    int r;

    if (s->demo)
        return 0;
    r = rn_chan_new(sizeof(int), 4, &s->hangups);
    if (r == 0)
        r = rn_signal_notify(s->hangups, SIGHUP);
    if (r < 0)
        return r;
    rn_waitgroup_add(&s->reopening, 1);
    r = rn_go_with(&(rn_go_options){.name = "hangups"}, reopen_on, s);
    if (r < 0)
        rn_waitgroup_done(&s->reopening);
    return r;
}

static void end_reopening(struct serve *s)
{
    if (s->hangups == NULL)
        return;
    rn_signal_stop(s->hangups);
    rn_chan_close(s->hangups);
    while (rn_waitgroup_wait(&s->reopening) < 0)
        rn_yield();
    rn_chan_free(s->hangups);
}

/* ---- the sockets ---- */

/* Its socket outlives this run. */
static int keep_socket(struct serve *s, rn_listener *ln)
{
    int fd = rn_listener_file(ln);

    rn_listener_close(ln);
    if (fd < 0) {
        cmd_error("cannot keep a socket: %s", rn_strerror(fd));
        return fd;
    }
    s->sockets[s->n_sockets++] = fd;
    return 0;
}

/* What the service manager has opened (LISTEN_FDS); may be nothing. */
static int open_inherited(struct serve *s)
{
    rn_listener *ln;
    int r = 0;

    for (int i = 0; r == 0 && i < MAX_LISTEN; i++) {
        r = rn_listen_inherited(NULL, i, &ln);
        if (r == 0)
            r = keep_socket(s, ln);
        else if (r != -ENOENT)
            cmd_error("cannot listen on inherited descriptor %d: %s", 3 + i, rn_strerror(r));
    }
    return r == -ENOENT ? 0 : r;
}

static int check_mime(const char *path)
{
    int r = path == NULL || *path == '\0' || access(path, R_OK) == 0 ? 0 : -errno;

    if (r < 0)
        cmd_error("cannot read %s: %s", path, rn_strerror(r));
    return r;
}

/* First of all a look at what is to be served, so that what cannot be is told before anything is
 * opened. */
static int open_all(void *arg)
{
    struct serve *s = arg;
    int n = s->n_listeners, r = check_mime(s->site.files.mime_file);

    s->n_listeners = 0;
    if (r < 0)
        return r;
    r = rn_http_files_new(s->dir, &s->site.files, &s->files);
    if (r < 0) {
        cmd_error("cannot serve %s: %s", s->dir, rn_strerror(r));
        return r;
    }
    rn_http_files_free(s->files); /* those that serve are of the other run */
    s->files = NULL;
    if (s->admin_address != NULL)
        r = cmd_admin_open(s->admin_address, s->admin_public, &s->admin_socket);
    if (r < 0)
        return r;
    if (n == 0) {
        r = open_inherited(s);
        if (r < 0 || s->n_sockets > 0)
            return r;
        s->addresses[n++] = "127.0.0.1:8080";
    }
    for (int i = 0; r == 0 && i < n; i++) {
        rn_listener *ln;

        r = cmd_listen(s->addresses[i], &(rn_listen_options){.backlog = s->backlog}, &ln);
        if (r == 0)
            r = keep_socket(s, ln);
    }
    return r;
}

/* In the run that serves. */
static int take_sockets(struct serve *s)
{
    for (int i = 0; i < s->n_sockets; i++) {
        int r = rn_listener_from_fd(s->sockets[i], &s->listeners[i]);

        if (r < 0) {
            cmd_error("cannot listen on a socket: %s", rn_strerror(r));
            return r;
        }
        s->n_listeners++;
        announce(s, i);
    }
    return 0;
}

/* With one thread, and all open that is not to be opened with fewer rights. */
static int give_up_rights(struct serve *s)
{
    const char *paths[MAX_LISTEN + 1] = {NULL};
    int r;

    rn__symbols_load(); /* from the program's own file, which it may not read afterwards */
    r = s->site.user == NULL ? 0 : rights_become(s->site.user);
    for (int i = 0; i < s->n_sockets; i++)
        paths[i] = path_of(s->addresses[i]);
    paths[MAX_LISTEN] = path_of(s->admin_address);
    if (r == 0 && !s->site.no_sandbox)
        r = rights_confine(s->dir, &s->site, paths, MAX_LISTEN + 1);
    if (r == 0 && s->site.seccomp != SECCOMP_OFF)
        r = rights_filter_calls(s->site.seccomp);
    return r;
}

/* ---- serving ---- */

/* With --header. */
static void answer(rn_http_response *w, rn_http_request *r, void *arg)
{
    const struct serve *s = arg;
    int e = 0;

    for (int i = 0; e == 0 && i < s->site.n_headers; i++)
        e = rn_http_add_header(w, s->site.headers[i].name, s->site.headers[i].value);
    if (e < 0)
        (void)rn_http_error(w, 503, rn_strerror(e));
    else
        rn_http_files_handler(w, r, s->files);
}

static void on_done(const rn_http_done *done, void *arg)
{
    struct serve *s = arg;

    if (s->log != NULL)
        access_log_done(done, s->log);
    if (s->stats != NULL)
        rn_http_stats_done(done, s->stats);
}

static int prepare(struct serve *s)
{
    int r = rn_http_files_new(s->dir, &s->site.files, &s->files);

    if (r == 0 && s->admin_socket >= 0)
        r = rn_http_stats_new("files", &s->stats);
    if (s->log != NULL || s->stats != NULL) {
        s->options.done = on_done;
        s->options.done_arg = s;
    }
    if (r == 0 && s->site.n_headers == 0)
        r = rn_http_server_new(&s->options, rn_http_files_handler, s->files, &s->server);
    else if (r == 0)
        r = rn_http_server_new(&s->options, answer, s, &s->server);
    if (r < 0) {
        cmd_error("cannot serve %s: %s", s->dir, rn_strerror(r));
        return r;
    }
    r = take_sockets(s);
    if (r == 0 && s->admin_socket >= 0)
        r = cmd_admin_begin(s->admin_socket, s->admin_public, &s->admin);
    if (r == 0 && s->log != NULL)
        r = access_log_begin(s->log);
    if (r == 0)
        r = begin_reopening(s);
    return r == 0 ? cmd_on_signal(stop, s) : r;
}

static int run(void *arg)
{
    struct serve *s = arg;
    struct serve_one ones[MAX_LISTEN];
    int r = prepare(s);

    for (int i = 0; r == 0 && i < s->n_listeners; i++) {
        ones[i] = (struct serve_one){.serve = s, .listener = s->listeners[i]};
        rn_waitgroup_add(&s->running, 1);
        r = rn_go_with(&(rn_go_options){.name = "serve"}, serve_one, &ones[i]);
        if (r < 0)
            rn_waitgroup_done(&s->running);
    }
    if (r < 0)
        stop(0, s);
    while (rn_waitgroup_wait(&s->running) < 0)
        rn_yield();
    cmd_end_signals();
    end_reopening(s);
    for (int i = 0; i < s->n_listeners; i++)
        rn_listener_close(s->listeners[i]);
    access_log_end(s->log);
    s->log = NULL;
    cmd_admin_end(s->admin);
    rn_http_server_free(s->server);
    rn_http_stats_free(s->stats);
    rn_http_files_free(s->files);
    return r < 0 || s->result < 0 ? CMD_FAILED : CMD_OK;
}

/* CMD_OK or CMD_FAILED; the failure has been told. */
static int serve(struct serve *s)
{
    int r;

    if (s->site.log_path != NULL &&
        access_log_open(s->site.log_path, s->site.log_json, s->site.log_peer, &s->log) < 0)
        return CMD_FAILED;
    r = rn_run(&(rn_run_options){.procs = 1}, open_all, s);
    if (r < 0 || give_up_rights(s) < 0) {
        remove_paths(s);
        access_log_end(s->log);
        return CMD_FAILED;
    }
    r = rn_run(&(rn_run_options){.procs = (int)s->procs, .dump_on_sigquit = true}, run, s);
    if (r < 0)
        cmd_error("cannot run: %s", rn_strerror(r));
    return r < 0 ? CMD_FAILED : r;
}

static bool parse_option(int c, struct serve *s)
{
    long n;

    switch (c) {
    case 'l':
        if (s->n_listeners == MAX_LISTEN) {
            cmd_error("--listen may be given %d times", MAX_LISTEN);
            return false;
        }
        s->addresses[s->n_listeners++] = optarg;
        return true;
    case 'p':
        return cmd_number("--procs", optarg, 1, 256, &s->procs);
    case 'm':
        if (!cmd_number("--max-conns", optarg, 1, INT32_MAX, &n))
            return false;
        s->options.serve.max_conns = (int)n;
        return true;
    case 'B':
        if (!cmd_number("--backlog", optarg, 1, INT32_MAX, &n))
            return false;
        s->backlog = (int)n;
        return true;
    case 'd':
        s->demo = true;
        return true;
    case 'a':
        s->admin_address = optarg;
        return true;
    case 'A':
        s->admin_public = true;
        return true;
    default:
        return site_option(&s->site, c, optarg);
    }
}

int cmd_serve(int argc, char **argv)
{
    static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
                                          {"procs", required_argument, NULL, 'p'},
                                          {"max-conns", required_argument, NULL, 'm'},
                                          {"backlog", required_argument, NULL, 'B'},
                                          {"demo", no_argument, NULL, 'd'},
                                          {"admin", required_argument, NULL, 'a'},
                                          {"admin-public", no_argument, NULL, 'A'},
                                          SITE_LONGS,
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct serve s = {.admin_socket = -1};
    int c;

    s.site.server = &s.options;
    while ((c = cmd_option("serve", argc, argv, "l:p:m:h", longs)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            fputs(site_help, stdout);
            return CMD_OK;
        }
        if (!parse_option(c, &s))
            return CMD_USAGE;
    }
    if (optind != argc - 1) {
        cmd_error("serve wants one directory; see runnel serve --help");
        return CMD_USAGE;
    }
    s.dir = argv[optind];
    prepare_signals(s.demo);
    return serve(&s);
}
