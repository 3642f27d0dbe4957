/*
 * forward.c - what a TCP proxy costs: sender, receiver and stopwatch of `bench/run --only copy`
 *
 *   forward bulk|pingpong CONNS SECONDS one|two PROXY [ARGUMENT]...
 *
 * Starts the proxy on CPU 0, with two more arguments, LISTEN and TARGET, or what "@l" and "@t" in
 * its arguments stand for: ports of 127.0.0.1. It is the peer at both ends, on CPU 1 ("two"), or on
 * CPU 0 with the proxy as SCHED_BATCH ("one").
 *
 *   bulk      on each connection one thread writes and one throws away what comes out
 *   pingpong  each connection has one 64-byte message under way, to and fro, in one thread
 *
 * Prints one JSON line: units that went through in the measured time (bytes, or round trips), and
 * what the proxy's threads have spent meanwhile: CPU (ns), waiting for their CPU (ns), and context
 * switches. Before that it warms up, so that a proxy that adapts has done so.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pieces.h"

enum { CONNS_MAX = 1000, MESSAGE_BYTES = 64, PIECE = 256 << 10, BATCH = 256, ARGS_MAX = 32 };

#define WARMUP_S 0.5

struct spent {
    int64_t cpu_ns, wait_ns, switches;
};

static pid_t proxy;
static int near[CONNS_MAX], far[CONNS_MAX];
static _Atomic uint64_t units;

static void die(const char *what)
{
    fprintf(stderr, "forward: %s: %s\n", what, strerror(errno));
    if (proxy > 0)
        kill(-proxy, SIGKILL);
    exit(1);
}

static double seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_for(double seconds)
{
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    while (nanosleep(&t, &t) < 0 && errno == EINTR)
        ;
}

static void pin(int cpu)
{
    if (!pieces_pin(cpu))
        die("sched_setaffinity");
}

/* ---- what the proxy has spent ---- */

static void add_thread(const char *tid, struct spent *sum)
{
    char path[320], line[256];
    long cpu, wait, n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)proxy, tid);
    f = fopen(path, "re");
    if (f && fscanf(f, "%ld %ld", &cpu, &wait) == 2) {
        sum->cpu_ns += cpu;
        sum->wait_ns += wait;
    }
    if (f)
        fclose(f);
    snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)proxy, tid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "voluntary_ctxt_switches: %ld", &n) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %ld", &n) == 1)
            sum->switches += n;
    if (f)
        fclose(f);
}

static struct spent spent_so_far(void)
{
    struct spent sum = {0, 0, 0};
    struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)proxy);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            add_thread(entry->d_name, &sum);
    if (dir)
        closedir(dir);
    return sum;
}

/* ---- connections, through the proxy ---- */

static int open_listener(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    socklen_t len = sizeof a;

    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, CONNS_MAX) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        die("listen");
    *port = ntohs(a.sin_port);
    return fd;
}

static void start_proxy(char **argv, bool batch, uint16_t listen_port, uint16_t target_port)
{
    char *args[ARGS_MAX + 3], ports[2][32];
    int n = 0, named = 0;

    snprintf(ports[0], sizeof ports[0], "%u", listen_port);
    snprintf(ports[1], sizeof ports[1], "%u", target_port);
    for (; argv[n] && n < ARGS_MAX; n++)
        args[n] = argv[n];
    for (int i = 0; i < n; i++)
        if (args[i][0] == '@' && args[i][1] != '\0') {
            int which = args[i][1] == 't';

            memmove(ports[which] + 10, ports[which], 6);
            memcpy(ports[which], "127.0.0.1:", 10);
            args[i] = ports[which];
            named++;
        }
    if (named == 0) {
        args[n++] = ports[0];
        args[n++] = ports[1];
    }
    args[n] = NULL;
    proxy = fork();
    if (proxy < 0)
        die("fork");
    if (proxy > 0) {
        setpgid(proxy, proxy);
        return;
    }
    setpgid(0, 0); /* to be ended with what counts it: perf stat PROXY */
    pin(0);
    dup2(STDERR_FILENO, STDOUT_FILENO); /* ours is for the result */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (batch && sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) < 0)
        _exit(126);
    execv(args[0], args);
    _exit(127);
}

static int connect_patiently(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
            die("socket");
        if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
            return fd;
        close(fd);
        if (waitpid(proxy, NULL, WNOHANG) == proxy) {
            proxy = 0;
            die("the proxy ended");
        }
        sleep_for(0.01);
    }
    die("connect");
    return -1;
}

/* ---- the loads ---- */

static void *send_bulk(void *fd)
{
    static char zeros[PIECE];

    while (write(*(int *)fd, zeros, PIECE) > 0)
        ;
    return NULL;
}

static void *receive_bulk(void *fd)
{
    ssize_t n;

    /* With MSG_TRUNC TCP throws it away, uncopied. */
    while ((n = recv(*(int *)fd, NULL, 4 * PIECE, MSG_TRUNC)) > 0)
        atomic_fetch_add_explicit(&units, (uint64_t)n, memory_order_relaxed);
    return NULL;
}

static void run_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, fn, arg) != 0)
        die("pthread_create");
    pthread_detach(thread);
}

static void add(int poller, int fd, bool is_near)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = (uint64_t)is_near << 32 | (uint32_t)fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl");
}

static void *play_pingpong(void *conns)
{
    struct epoll_event events[BATCH];
    char message[MESSAGE_BYTES] = "ping";
    int poller = epoll_create1(EPOLL_CLOEXEC);

    for (int i = 0; i < *(int *)conns; i++) {
        add(poller, near[i], true);
        add(poller, far[i], false);
        if (write(near[i], message, sizeof message) != MESSAGE_BYTES)
            die("write");
    }
    for (;;) {
        int n = epoll_wait(poller, events, BATCH, -1);

        for (int i = 0; i < n; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;

            if (read(fd, message, sizeof message) != MESSAGE_BYTES ||
                write(fd, message, sizeof message) != MESSAGE_BYTES)
                return NULL;
            if (events[i].data.u64 >> 32)
                atomic_fetch_add_explicit(&units, 1, memory_order_relaxed);
        }
    }
}

static void measure(double seconds)
{
    struct spent before, after;
    uint64_t first, last;
    double start, took;

    sleep_for(WARMUP_S);
    before = spent_so_far();
    first = atomic_load(&units);
    start = seconds_now();
    sleep_for(seconds);
    after = spent_so_far();
    last = atomic_load(&units);
    took = seconds_now() - start;
    if (last == first)
        die("nothing came through");
    printf("{\"units\": %lu, \"all_units\": %lu, \"seconds\": %.6f, \"cpu_ns\": %ld, "
           "\"wait_ns\": %ld, \"switches\": %ld}\n",
           last - first, last, took, after.cpu_ns - before.cpu_ns, after.wait_ns - before.wait_ns,
           after.switches - before.switches);
}

static void stop_proxy(void)
{
    kill(-proxy, SIGINT);
    for (int i = 0; i < 300; i++) {
        if (waitpid(proxy, NULL, WNOHANG) == proxy)
            return;
        sleep_for(0.01);
    }
    kill(-proxy, SIGKILL);
    waitpid(proxy, NULL, 0);
}

int main(int argc, char **argv)
{
    uint16_t listen_port, target_port;
    int conns = argc > 2 ? atoi(argv[2]) : 0, backend, free_port;
    double seconds = argc > 3 ? atof(argv[3]) : 0;
    bool bulk, batch;

    if (argc < 6 || conns < 1 || conns > CONNS_MAX || !(seconds > 0 && seconds <= 60)) {
        fprintf(stderr, "usage: forward bulk|pingpong CONNS SECONDS one|two PROXY...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    bulk = strcmp(argv[1], "bulk") == 0;
    batch = strcmp(argv[4], "one") == 0;
    backend = open_listener(&target_port);
    free_port = open_listener(&listen_port);
    close(free_port);
    start_proxy(argv + 5, batch, listen_port, target_port);
    pin(batch ? 0 : 1);
    for (int i = 0; i < conns; i++) {
        near[i] = connect_patiently(listen_port);
        far[i] = accept4(backend, NULL, NULL, SOCK_CLOEXEC);
        if (far[i] < 0)
            die("accept");
    }
    for (int i = 0; bulk && i < conns; i++) {
        run_thread(receive_bulk, &far[i]);
        run_thread(send_bulk, &near[i]);
    }
    if (!bulk)
        run_thread(play_pingpong, &conns);
    measure(seconds);
    stop_proxy();
    return 0;
}
