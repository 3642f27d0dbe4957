/*
 * turns.c - sending files to many: what it costs to finish one before the next, and to take turns
 *
 *     turns [ROUNDS]       (9)
 *
 * A raw epoll server, pinned to CPU 0, sends a file of 1 MiB to each of some connections by
 * sendfile, again and again; the clients' thread asks for it by a byte, throws it away in the
 * kernel (MSG_TRUNC), and asks again. "greedy" repeats sendfile on a connection until its file or
 * its room ends; "turns" makes one call of so many bytes, then looks at the poller and at the other
 * connections. With the clients on CPU 1, both ends are at work at a time; with both on CPU 0 they
 * are not. Prints a line of JSON each, medians over the rounds: CPU seconds of the server's thread
 * per GB, and sendfile calls per MiB. docs/design/copy.md has what it shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pieces.h"

#define FILE_BYTES ((size_t)1 << 20)
#define CONNS_MOST 64
#define ROUNDS_MOST 51
#define RUN_NS 300000000L

struct policy {
    const char *name;
    size_t piece;
    bool greedy;
};

static const struct policy policies[] = {{"greedy", FILE_BYTES, true},
                                         {"turns of 64 KiB", 64 << 10, false},
                                         {"turns of 256 KiB", 256 << 10, false},
                                         {"turns of 1 MiB", FILE_BYTES, false}};
static const int conn_counts[] = {1, 4, 16, CONNS_MOST};

#define N_POLICIES (sizeof policies / sizeof policies[0])
#define N_COUNTS (sizeof conn_counts / sizeof conn_counts[0])

struct conn {
    int fd, peer;
    size_t left;     /* of the file that was asked for */
    size_t received; /* the client's */
    bool queued;
};

static int file;
static struct conn conns[CONNS_MOST];
static int n_conns;
static const struct policy *policy;
static int client_cpu;
static atomic_bool stop;
static uint64_t sent, calls; /* the server's, read when it has ended */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void pin(int cpu)
{
    if (!pieces_pin(cpu))
        die("turns: cannot pin");
}

static void watch(int poller, int fd, struct conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl");
}

/* ---- the server: a queue of those that have something to send, and room for it ---- */

static struct conn *queue[CONNS_MOST];
static unsigned head, tail; /* mod CONNS_MOST */

static void push(struct conn *c)
{
    if (c->queued || c->left == 0)
        return;
    c->queued = true;
    queue[tail++ % CONNS_MOST] = c;
}

static void send_some(struct conn *c)
{
    c->queued = false;
    do {
        size_t len = c->left < policy->piece ? c->left : policy->piece;
        off_t at = (off_t)(FILE_BYTES - c->left);
        ssize_t n = sendfile(c->fd, file, &at, len);

        calls++;
        if (n < 0 && errno == EAGAIN)
            return; /* an edge will tell of room */
        if (n <= 0)
            die("sendfile");
        sent += (uint64_t)n;
        c->left -= (size_t)n;
    } while (policy->greedy && c->left > 0);
    push(c);
}

static void *serve(void *arg)
{
    struct epoll_event events[CONNS_MOST];
    int poller = epoll_create1(EPOLL_CLOEXEC);
    char byte;

    pin(0);
    if (poller < 0)
        die("epoll_create1");
    for (int i = 0; i < n_conns; i++)
        watch(poller, conns[i].fd, &conns[i], EPOLLIN | EPOLLOUT | EPOLLET);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        int n = epoll_wait(poller, events, CONNS_MOST, head == tail ? 20 : 0);

        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;

            if (c->left == 0 && recv(c->fd, &byte, 1, 0) == 1)
                c->left = FILE_BYTES;
            push(c);
        }
        for (unsigned end = tail; head != end;)
            send_some(queue[head++ % CONNS_MOST]);
    }
    close(poller);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, arg);
    return NULL;
}

/* ---- the clients ---- */

static void *take(void *arg)
{
    struct epoll_event events[CONNS_MOST];
    int poller = epoll_create1(EPOLL_CLOEXEC);

    (void)arg;
    pin(client_cpu);
    if (poller < 0)
        die("epoll_create1");
    for (int i = 0; i < n_conns; i++) {
        watch(poller, conns[i].peer, &conns[i], EPOLLIN);
        if (send(conns[i].peer, "?", 1, 0) != 1)
            die("send");
    }
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        int n = epoll_wait(poller, events, CONNS_MOST, 20);

        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            ssize_t got = recv(c->peer, NULL, FILE_BYTES - c->received, MSG_TRUNC | MSG_DONTWAIT);

            c->received += got > 0 ? (size_t)got : 0;
            if (c->received == FILE_BYTES) {
                c->received = 0;
                if (send(c->peer, "?", 1, 0) != 1)
                    die("send");
            }
        }
    }
    close(poller);
    return NULL;
}

/* ---- a run ---- */

static void open_conn(int listener, struct conn *c)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof sa;
    int one = 1;

    *c = (struct conn){.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (c->peer < 0 || getsockname(listener, (struct sockaddr *)&sa, &len) < 0 ||
        connect(c->peer, (struct sockaddr *)&sa, len) < 0)
        die("connect");
    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        die("accept");
}

static int open_listener(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, CONNS_MOST) < 0)
        die("listen");
    return fd;
}

static void run(int listener, double *cpu_s_per_gb, double *calls_per_mib)
{
    struct timespec used, span = {.tv_nsec = RUN_NS};
    pthread_t server, client;

    for (int i = 0; i < n_conns; i++)
        open_conn(listener, &conns[i]);
    atomic_store(&stop, false);
    head = tail = 0;
    sent = calls = 0;
    if (pthread_create(&server, NULL, serve, &used) != 0 ||
        pthread_create(&client, NULL, take, NULL) != 0)
        die("pthread_create");
    nanosleep(&span, NULL);
    atomic_store(&stop, true);
    pthread_join(server, NULL);
    pthread_join(client, NULL);
    for (int i = 0; i < n_conns; i++) {
        close(conns[i].peer);
        close(conns[i].fd);
    }
    *cpu_s_per_gb = ((double)used.tv_sec * 1e9 + (double)used.tv_nsec) / (double)sent;
    *calls_per_mib = (double)calls * FILE_BYTES / (double)sent;
}

int main(int argc, char **argv)
{
    static double cpu[2][N_COUNTS][N_POLICIES][ROUNDS_MOST];
    static double made[2][N_COUNTS][N_POLICIES][ROUNDS_MOST];
    int rounds = argc > 1 ? atoi(argv[1]) : 9, listener = open_listener();

    if (rounds < 1 || rounds > ROUNDS_MOST || argc > 2) {
        fprintf(stderr, "usage: turns [ROUNDS], at most %d\n", ROUNDS_MOST);
        return 2;
    }
    file = memfd_create("turns", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, FILE_BYTES) < 0)
        die("memfd_create");
    for (int r = 0; r < rounds; r++)
        for (size_t i = 0; i < 2 * N_COUNTS * N_POLICIES; i++) {
            size_t p = i % N_POLICIES, c = i / N_POLICIES % N_COUNTS;

            client_cpu = i < N_COUNTS * N_POLICIES;
            n_conns = conn_counts[c];
            policy = &policies[p];
            run(listener, &cpu[client_cpu][c][p][r], &made[client_cpu][c][p][r]);
        }
    for (size_t i = 0; i < 2 * N_COUNTS * N_POLICIES; i++) {
        size_t p = i % N_POLICIES, c = i / N_POLICIES % N_COUNTS, two = i < N_COUNTS * N_POLICIES;

        printf("{\"connections\": %d, \"cpus\": %zu, \"policy\": \"%s\", \"cpu_s_per_gb\": %.4f, "
               "\"calls_per_mib\": %.2f}\n",
               conn_counts[c], two + 1, policies[p].name, pieces_median(cpu[two][c][p], rounds),
               pieces_median(made[two][c][p], rounds));
    }
    return 0;
}
