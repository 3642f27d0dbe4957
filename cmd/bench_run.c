/*
 * bench_run.c - the parent of `runnel bench connections`: starts, orders, watches and ends children
 *
 *      servers, clients start -> sample -> [a few alone] -> open all -> sample -> rest -> [active
 *      among them] -> who is still there
 *
 * Whatever happens (an error, a child that dies, a signal, memory that runs out) sets b->status,
 * with a line that says why; then all that is left is to end the children.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define SETTLE_NS (RN_SECOND / 2) /* the kernel frees some things later than it says so */
#define START_NS (RN_SECOND / 5)  /* until a child that is ready sleeps, too */
#define TICK_MS 100
#define DEATH_MS 500                 /* from the end of a process's connections to its own */
#define AVAILABLE_LEAST (192L << 20) /* or a 32nd: with less the machine begins to kill */
#define END_TRIES 2000               /* of 5 ms each, for a child to end */

/* ---- children ---- */

static void become_child(struct bench *b, struct bench_worker *w, int fd, pid_t parent)
{
    const char *name = w->is_server ? "bench-server" : "bench-client";
    char address[32];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    (void)prctl(PR_SET_NAME, name);
    /* The parent's ends: a child that held one would keep the others from seeing its end. */
    for (int i = 0; i < b->n_servers; i++)
        (void)close(b->servers[i].fd);
    for (int i = 0; i < b->n_clients; i++)
        (void)close(b->clients[i].fd);
    (void)close(b->signal_fd);
    w->fd = fd;
    if (w->is_server)
        bench_serve(b, w);
    if (b->options->server != NULL)
        bench_hold(b, w, b->options->server);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", b->servers[w->index].port);
    bench_hold(b, w, address);
}

static bool start_one(struct bench *b, bool is_server, int index)
{
    struct bench_worker *w = is_server ? &b->servers[index] : &b->clients[index];
    pid_t parent = getpid();
    int ends[2];

    *w = (struct bench_worker){.is_server = is_server, .busy = true, .index = index};
    w->share = bench_share(b->options->connections, b->plan.pairs, index);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        cmd_error("cannot make a socket pair for process %d: %s", index + 1, rn_strerror(errno));
        return false;
    }
    w->fd = ends[0];
    *(is_server ? &b->n_servers : &b->n_clients) += 1;
    w->pid = fork();
    if (w->pid == 0)
        become_child(b, w, ends[1], parent);
    (void)close(ends[1]);
    if (w->pid < 0)
        cmd_error("cannot start process %d: %s (ulimit -u, or pids.max of the control group)",
                  index + 1, rn_strerror(errno));
    return w->pid > 0;
}

static bool start(struct bench *b, bool servers)
{
    for (int i = 0; i < b->plan.pairs && b->status == CMD_OK; i++)
        if (!start_one(b, servers, i))
            b->status = CMD_FAILED;
    return b->status == CMD_OK;
}

/* It sees the end of its socket; who does not end is killed, at a second signal at once. */
static void end(struct bench *b, struct bench_worker *workers, int n)
{
    struct signalfd_siginfo again;

    for (int i = 0; i < n; i++)
        (void)close(workers[i].fd);
    for (int i = 0, tries = 0; i < n; i++) {
        if (workers[i].pid <= 0)
            continue;
        while (waitpid(workers[i].pid, NULL, WNOHANG) == 0) {
            if (++tries > END_TRIES || read(b->signal_fd, &again, sizeof again) > 0) {
                (void)kill(workers[i].pid, SIGKILL);
                tries = END_TRIES;
            }
            (void)usleep(5000);
        }
        workers[i].pid = -1;
    }
}

/* ---- watching ---- */

static void tell_death(struct bench *b, struct bench_worker *w)
{
    int status = 0;

    b->status = CMD_FAILED;
    (void)waitpid(w->pid, &status, 0);
    w->pid = -1;
    if (WIFSIGNALED(status))
        cmd_error("%s process %d was ended by signal %d (%s)%s", w->is_server ? "server" : "client",
                  w->index + 1, WTERMSIG(status), strsignal(WTERMSIG(status)),
                  WTERMSIG(status) == SIGKILL ? ": is the memory used up? see dmesg" : "");
    else
        cmd_error("%s process %d has ended by itself", w->is_server ? "server" : "client",
                  w->index + 1);
}

/* A client that is reset may say so before it is seen that its server has died. */
static bool is_server_dead(struct bench *b, const struct bench_worker *client)
{
    struct pollfd fd = {.events = POLLRDHUP};

    if (client->is_server || b->n_servers == 0)
        return false;
    fd.fd = b->servers[client->index].fd;
    if (poll(&fd, 1, DEATH_MS) <= 0)
        return false;
    tell_death(b, &b->servers[client->index]);
    return true;
}

/* The worker's messages that are there. */
static void hear(struct bench *b, struct bench_worker *w)
{
    struct bench_answer a;
    ssize_t n;

    while ((n = recv(w->fd, &a, sizeof a, MSG_DONTWAIT)) == (ssize_t)sizeof a) {
        if (a.error == 0) {
            w->last = a;
            w->busy &= !a.done;
            continue;
        }
        if (!is_server_dead(b, w))
            bench_explain(b, w, &a);
        b->status = CMD_FAILED;
        return;
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        tell_death(b, w);
}

static void hear_signal(struct bench *b)
{
    struct signalfd_siginfo info;

    if (read(b->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    cmd_error("bench: %s; nothing is reported", info.ssi_signo == SIGINT ? "interrupted" : "ended");
    b->status = 128 + (int)info.ssi_signo;
}

static long count_opened(const struct bench *b)
{
    long n = 0;

    for (int i = 0; i < b->n_clients; i++)
        n += b->clients[i].last.n;
    return n;
}

static bool is_busy(const struct bench *b)
{
    for (int i = 0; i < b->n_servers; i++)
        if (b->servers[i].busy)
            return true;
    for (int i = 0; i < b->n_clients; i++)
        if (b->clients[i].busy)
            return true;
    return false;
}

static void check_available(struct bench *b)
{
    long available = bench_available(&b->limits), least = bench_total(&b->limits) / 32;

    if (available < 0 || available >= (least < AVAILABLE_LEAST ? least : AVAILABLE_LEAST))
        return;
    cmd_error("stopped at %ld connections: only %ld MiB of memory are available", count_opened(b),
              available >> 20);
    b->status = CMD_FAILED;
}

/* One look at the signals and all children. True where any has said something. */
static bool look(struct bench *b)
{
    struct pollfd fds[2 * BENCH_PAIRS + 1];
    int n = 0;

    fds[n++] = (struct pollfd){.fd = b->signal_fd, .events = POLLIN};
    for (int i = 0; i < b->n_servers; i++)
        fds[n++] = (struct pollfd){.fd = b->servers[i].fd, .events = POLLIN};
    for (int i = 0; i < b->n_clients; i++)
        fds[n++] = (struct pollfd){.fd = b->clients[i].fd, .events = POLLIN};
    if (poll(fds, (nfds_t)n, TICK_MS) <= 0)
        return false;
    if (fds[0].revents != 0)
        hear_signal(b);
    for (int i = 1; i < n && b->status == CMD_OK; i++)
        if (fds[i].revents != 0)
            hear(b, i <= b->n_servers ? &b->servers[i - 1] : &b->clients[i - 1 - b->n_servers]);
    return true;
}

/* Until no child is busy and span_ns has passed. They have the span, and then some patience. */
static bool watch(struct bench *b, rn_time span_ns, const char *what)
{
    rn_time patience = b->options->timeout_s * RN_SECOND, begin = rn_now();
    rn_time news = begin + span_ns;
    bool tell = isatty(STDERR_FILENO) != 0;

    while (b->status == CMD_OK && (is_busy(b) || rn_now() < begin + span_ns)) {
        if (look(b) && rn_now() > news)
            news = rn_now();
        if (tell)
            fprintf(stderr, "\r\033[K%s: %ld", what, count_opened(b));
        check_available(b);
        if (b->status == CMD_OK && is_busy(b) && rn_now() > news + patience) {
            cmd_error("%s: nothing has happened for %ld s, with at least %ld of %ld connections "
                      "open: the server does not accept, or does not answer",
                      what, b->options->timeout_s, count_opened(b), b->options->connections);
            b->status = CMD_FAILED;
        }
    }
    if (tell)
        fputs("\r\033[K", stderr);
    return b->status == CMD_OK;
}

/* ---- orders ---- */

/* To each client its part of n. */
static bool order(struct bench *b, enum bench_kind kind, long n, rn_time span_ns, const char *what)
{
    for (int i = 0; i < b->n_clients; i++) {
        struct bench_order o = {
            .kind = kind, .n = bench_share(n, b->plan.pairs, i), .span_ns = span_ns};

        b->clients[i].busy = true;
        b->clients[i].last = (struct bench_answer){0};
        if (send(b->clients[i].fd, &o, sizeof o, MSG_NOSIGNAL) < 0) {
            tell_death(b, &b->clients[i]);
            return false;
        }
    }
    return watch(b, span_ns, what);
}

/* What has passed since `old`; -1 stays -1. */
static long since(long now, long old)
{
    return now < 0 || old < 0 ? -1 : now > old ? now - old : 0;
}

static struct bench_pace find_pace(struct bench *b, const struct bench_pace *old)
{
    struct bench_pace now;

    bench_take_pace(b, &now);
    return (struct bench_pace){.waited_ns = since(now.waited_ns, old->waited_ns),
                               .ticks = since(now.ticks, old->ticks),
                               .idle = since(now.idle, old->idle),
                               .softirq = since(now.softirq, old->softirq),
                               .probes = since(now.probes, old->probes)};
}

static bool exchange(struct bench *b, struct bench_times *ret)
{
    struct rn__hist sum = {0};
    struct bench_pace before;

    bench_take_pace(b, &before);
    if (!order(b, BENCH_EXCHANGE, b->options->active, b->options->seconds * RN_SECOND,
               "round trips"))
        return false;
    *ret = (struct bench_times){0};
    for (int i = 0; i < b->n_clients; i++) {
        const struct bench_answer *a = &b->clients[i].last;

        rn__hist_merge(&sum, &a->times);
        ret->max_ns = a->max_ns > ret->max_ns ? a->max_ns : ret->max_ns;
    }
    ret->pace = find_pace(b, &before);
    ret->n = rn__hist_count(&sum);
    ret->p50_ns = rn__hist_quantile(&sum, 0.5);
    ret->p99_ns = rn__hist_quantile(&sum, 0.99);
    if (ret->p99_ns > ret->max_ns) /* a bucket's upper bound may lie above */
        ret->p99_ns = ret->max_ns;
    return true;
}

static bool open_all(struct bench *b)
{
    rn_time began = rn_now();

    if (!order(b, BENCH_OPEN, b->options->connections, 0, "opening"))
        return false;
    b->result.open_ns = rn_now() - began;
    b->result.opened = count_opened(b);
    return watch(b, SETTLE_NS, "opening");
}

static bool rest(struct bench *b)
{
    struct bench_result *r = &b->result;
    rn_time server = bench_cpu(b, true), client = bench_cpu(b, false), began = rn_now();

    if (!watch(b, b->options->hold_s * RN_SECOND, "rest"))
        return false;
    r->rest_ns = rn_now() - began;
    r->server_cpu_ns = bench_cpu(b, true);
    r->client_cpu_ns = bench_cpu(b, false);
    r->server_cpu_ns = server < 0 || r->server_cpu_ns < 0 ? -1 : r->server_cpu_ns - server;
    r->client_cpu_ns = client < 0 || r->client_cpu_ns < 0 ? -1 : r->client_cpu_ns - client;
    return true;
}

/* ---- the whole ---- */

static bool start_all(struct bench *b)
{
    if (b->options->server == NULL && (!start(b, true) || !watch(b, 0, "servers")))
        return false;
    for (int i = 0; i < b->n_servers; i++) {
        b->servers[i].port = (int)b->servers[i].last.n;
        b->plan.threads = b->servers[i].last.threads;
    }
    return start(b, false) && watch(b, START_NS, "clients");
}

static void measure(struct bench *b)
{
    struct bench_result *r = &b->result;
    long active = b->options->active, overflows, dropped;

    (void)getloadavg(&r->load, 1);
    overflows = bench_overflows(&b->files);
    dropped = bench_dropped(&b->files);
    bench_take_sample(b, &r->before);
    if (active > 0 && (!order(b, BENCH_OPEN, active, 0, "opening") || !exchange(b, &r->alone) ||
                       !order(b, BENCH_CLOSE, 0, 0, "closing")))
        return;
    if (!open_all(b))
        return;
    r->addresses = bench_addresses(b);
    bench_take_sample(b, &r->after);
    if (!rest(b) || (active > 0 && !exchange(b, &r->among)) ||
        !order(b, BENCH_COUNT, 0, 0, "counting"))
        return;
    r->alive = count_opened(b);
    r->overflows = bench_overflows(&b->files) - overflows;
    r->dropped = bench_dropped(&b->files) - dropped;
}

static int open_signals(void)
{
    sigset_t set;

    cmd_block_signals(); /* the children, too, leave them to us */
    cmd_fill_signals(&set);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void bench_run(struct bench *b)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* as the runtime does in the children */
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    b->servers = calloc((size_t)b->plan.pairs, sizeof *b->servers);
    b->clients = calloc((size_t)b->plan.pairs, sizeof *b->clients);
    b->signal_fd = open_signals();
    if (b->servers == NULL || b->clients == NULL || b->signal_fd < 0) {
        cmd_error("bench: %s", rn_strerror(b->signal_fd < 0 ? errno : ENOMEM));
        b->status = CMD_FAILED;
    }
    if (b->status == CMD_OK && start_all(b))
        measure(b);
    end(b, b->clients, b->n_clients);
    end(b, b->servers, b->n_servers);
    if (b->signal_fd >= 0)
        (void)close(b->signal_fd);
    free(b->servers);
    free(b->clients);
}
