/*
 * proxy.c - the raw proxies: the least work an honest single-threaded TCP proxy does.
 *
 *   proxy copy|splice LISTEN TARGET      ports of 127.0.0.1
 *
 * copy reads and writes by a buffer of 64 KiB, splice moves by a pipe of 1 MiB for each direction.
 * Passes the end of each direction on, and closes both connections when both have ended; an error
 * ends both.
 *
 * Edge-triggered epoll, one EPOLL_CTL_ADD per descriptor. A read that came back short has emptied
 * the socket, and is not repeated unless the peer has hung up. A pipe is empty before a splice into
 * it, so that EAGAIN means that the socket is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 512, BUF_BYTES = 64 << 10, PIPE_BYTES = 1 << 20 };

struct flow {
    int src, dst, pipe[2];
    char *buf;
    size_t at, len; /* in buf or pipe, on its way */
    bool over;
};

struct end {
    int fd;
    unsigned hung_up; /* events that were seen, for good */
    struct pair *pair;
};

/* flow[0] is from end[0] to end[1], flow[1] the other way. */
struct pair {
    struct end end[2];
    struct flow flow[2];
    struct pair *next_dead;
};

static int poller, listener;
static bool splices;
static struct sockaddr_in target;
static struct pair *dead; /* freed after the batch, which may know them still */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in address_of(const char *port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)atoi(port)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* ---- one direction ---- */

static ssize_t fill(struct flow *f)
{
    if (splices)
        return splice(f->src, NULL, f->pipe[1], NULL, PIPE_BYTES,
                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return read(f->src, f->buf, BUF_BYTES);
}

static ssize_t drain(struct flow *f)
{
    if (splices)
        return splice(f->pipe[0], NULL, f->dst, NULL, f->len - f->at,
                      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    return write(f->dst, f->buf + f->at, f->len - f->at);
}

/* Until one end has enough. false: an error. */
static bool pump(struct flow *f, bool hung_up)
{
    bool emptied = false;
    ssize_t n;

    while (!f->over) {
        while (f->at < f->len) {
            n = drain(f);
            if (n < 0)
                return errno == EAGAIN;
            f->at += (size_t)n;
        }
        if (emptied)
            break;
        n = fill(f);
        if (n < 0)
            return errno == EAGAIN;
        f->over = n == 0;
        if (f->over && shutdown(f->dst, SHUT_WR) < 0)
            return false;
        f->at = 0;
        f->len = (size_t)n;
        emptied = !splices && n < BUF_BYTES && !hung_up;
    }
    return true;
}

/* ---- pairs ---- */

static void drop(struct pair *p)
{
    for (int i = 0; i < 2; i++) {
        close(p->end[i].fd);
        p->end[i].fd = -1;
        free(p->flow[i].buf);
        if (splices) {
            close(p->flow[i].pipe[0]);
            close(p->flow[i].pipe[1]);
        }
    }
    p->next_dead = dead;
    dead = p;
}

static void free_dead(void)
{
    while (dead) {
        struct pair *p = dead;

        dead = p->next_dead;
        free(p);
    }
}

static void on_event(struct end *e, unsigned events)
{
    struct pair *p = e->pair;
    int i = e == &p->end[1];
    bool good = true;

    if (e->fd < 0)
        return;
    e->hung_up |= events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    if (events & ~(unsigned)EPOLLOUT)
        good = pump(&p->flow[i], e->hung_up);
    if (good && p->flow[1 - i].at < p->flow[1 - i].len)
        good = pump(&p->flow[1 - i], p->end[1 - i].hung_up);
    if (!good || (p->flow[0].over && p->flow[1].over))
        drop(p);
}

static void start(int client)
{
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct pair *p = calloc(1, sizeof *p);

    if (!p || server < 0)
        die("a connection");
    if (connect(server, (struct sockaddr *)&target, sizeof target) < 0 ||
        setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        fcntl(server, F_SETFL, O_NONBLOCK) < 0) {
        close(server);
        close(client);
        free(p);
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct flow *f = &p->flow[i];
        struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = &p->end[i]};

        p->end[i] = (struct end){.fd = i ? server : client, .pair = p};
        f->src = i ? server : client;
        f->dst = i ? client : server;
        if (splices && (pipe2(f->pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
                        fcntl(f->pipe[1], F_SETPIPE_SZ, PIPE_BYTES) < 0))
            die("a pipe");
        if (!splices && !(f->buf = malloc(BUF_BYTES)))
            die("malloc");
        if (epoll_ctl(poller, EPOLL_CTL_ADD, f->src, &ev) < 0)
            die("epoll_ctl");
    }
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        start(fd);
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        die("accept4");
}

static void open_listener(const char *port)
{
    struct sockaddr_in sa = address_of(port);
    struct epoll_event ev = {.events = EPOLLIN};
    int one = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(listener, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(listener, 4096) < 0)
        die("the listener");
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, listener, &ev) < 0)
        die("epoll");
}

int main(int argc, char **argv)
{
    static struct epoll_event events[BATCH];

    if (argc != 4 || (strcmp(argv[1], "copy") != 0 && strcmp(argv[1], "splice") != 0)) {
        fprintf(stderr, "usage: proxy copy|splice LISTEN TARGET\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    splices = strcmp(argv[1], "splice") == 0;
    target = address_of(argv[3]);
    open_listener(argv[2]);
    for (;;) {
        int n = epoll_wait(poller, events, BATCH, -1);

        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                accept_all();
        }
        free_dead();
    }
}
