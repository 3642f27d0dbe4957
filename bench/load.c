/*
 * load.c - the load generator of bench/run: one thread, epoll, closed loop, 127.0.0.1 only.
 *
 *   load echo|http|http-close|idle --port P [--path /x] [--conns C] [--pipeline D]
 *        [--seconds S [--warmup S] | --requests N] [--gate] [--pid PID]...
 *        [--server-softirqd PID] [--client-softirqd PID]
 *
 *   echo        C connections, each keeps one 64-byte message in flight and compares what returns
 *   http        C keep-alive connections, each keeps one GET in flight, or sends D at once and the
 *               next D when the last of them is answered
 *   http-close  C slots, each request on a new connection with "Connection: close"
 *   idle        C keep-alive connections, one GET on each (64 in flight), then holds all of them
 *               until stdin closes
 *
 * Prints one JSON line. --pid names the server's processes: their CPU time is read exactly when
 * the measured window opens and closes, which a parent script could not do. The kernel moves part
 * of the network's work to the thread ksoftirqd/N of the CPU that caused it: --server-softirqd and
 * --client-softirqd name these two, reported apart. --gate prints "ready" once connected, waits
 * for a line on stdin before the first request, and after the result holds the connections until
 * stdin closes: so a counter attached in between sees the requests, all of them and nothing else.
 *
 * Who closes first in http-close: the server, as "Connection: close" asks of it, so that its
 * usual close path is what is measured, and a server that forgets to close is caught. The client
 * waits for that end of stream, then closes with SO_LINGER 0: the reset takes the server's socket
 * out of FIN_WAIT2, and no TIME_WAIT is left to fill the table, make later rounds dearer than
 * earlier ones, or use up ports. Source addresses still go round 127.0.0.2..250, so that a server
 * that behaves otherwise cannot exhaust the ports either.
 *
 * Latency runs from just before the request is written (http-close: before socket()) until the
 * last byte of the answer (http-close: the end of stream) is read. One clock reading per answer
 * serves as its end and as the next request's start. What is left of a body when its head has been
 * read is counted and thrown away in the kernel (MSG_TRUNC): the client's CPU is the scarce one.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES = 64,
    BUF_BYTES = 2048,
    PIPELINE_MAX = 64,
    BATCH = 512,
    IDLE_INFLIGHT = 64,
    ERRORS_MAX = 100, /* more, and the result would describe a broken server */
    STALL_MS = 5000,
    RUN_SECONDS_MAX = 300,
    PIDS_MAX = 64,
    SUB_BITS = 6, /* histogram: 64 buckets per power of two, 1.6 % wide */
    BUCKETS = 64 << SUB_BITS
};

enum mode { ECHO, HTTP, HTTP_CLOSE, IDLE };
static const char *const mode_names[] = {"echo", "http", "http-close", "idle"};

enum state { CLOSED, CONNECTING, WAITING, EXPECT_EOF };

struct conn {
    int fd;
    enum state state;
    bool head_done;
    unsigned in_flight; /* answers to come */
    size_t len;         /* bytes of the answer in buf */
    uint64_t body_left; /* valid once head_done */
    int64_t start_ns;
    char buf[BUF_BYTES];
};

struct cpu {
    int64_t run_ns, wait_ns; /* on a CPU; runnable but waiting for one (-1: not known) */
};

struct sample {
    struct cpu server, client, server_softirqd, client_softirqd;
};

static struct {
    enum mode mode;
    uint16_t port;
    const char *path;
    unsigned conns, pipeline;
    double seconds, warmup;
    uint64_t requests;
    bool gate;
    pid_t pids[PIDS_MAX], server_softirqd, client_softirqd;
    unsigned n_pids;
} opt = {.path = "/", .conns = 64, .pipeline = 1};

static struct conn *conns;
static int poller;
static char request[PIPELINE_MAX * 1024];
static size_t request_len; /* of all that are sent at once */

static uint64_t issued, completed, errors;
static bool counting;
static uint64_t hist[BUCKETS], hist_n;
static int64_t latency_max_ns, window_start_ns, window_end_ns;
static struct sample window_start, window_end;

static _Noreturn void __attribute__((format(printf, 1, 2))) die(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "load: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static int64_t read_clock(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* ---- latency ---- */

static void record(int64_t ns)
{
    uint64_t v = ns < 0 ? 0 : (uint64_t)ns;
    unsigned shift = v >> (SUB_BITS + 1) ? 63 - SUB_BITS - (unsigned)__builtin_clzll(v) : 0;

    hist[(size_t)(shift << SUB_BITS) + (v >> shift)]++;
    hist_n++;
    if (ns > latency_max_ns)
        latency_max_ns = ns;
}

static double quantile_us(double q)
{
    uint64_t rank = (uint64_t)((double)hist_n * q), seen = 0;

    for (unsigned i = 0; i < BUCKETS; i++) {
        unsigned shift = i >> (SUB_BITS + 1) ? (i >> SUB_BITS) - 1 : 0;

        seen += hist[i];
        if (seen > rank)
            return ((double)((uint64_t)(i - (shift << SUB_BITS)) << shift) +
                    (double)(1ull << shift) / 2) /
                   1e3;
    }
    return (double)latency_max_ns / 1e3;
}

/* ---- CPU time of a process: the sum over its threads, ns ---- */

static void add_thread(const char *path, struct cpu *sum)
{
    FILE *f = fopen(path, "re");
    long long run, wait;

    if (f && fscanf(f, "%lld %lld", &run, &wait) == 2) {
        sum->run_ns += run;
        sum->wait_ns += wait;
    }
    if (f)
        fclose(f);
}

/* Where the kernel has no schedstat: clock ticks, 10 ms coarse. */
static void add_ticks(const char *pid, struct cpu *sum)
{
    char path[64], line[1024], *at;
    unsigned long user = 0, sys = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    f = fopen(path, "re");
    if (!f)
        return;
    if (fgets(line, sizeof line, f) && (at = strrchr(line, ')')) &&
        sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) == 2)
        sum->run_ns += (int64_t)(user + sys) * (1000000000 / sysconf(_SC_CLK_TCK));
    sum->wait_ns = -1;
    fclose(f);
}

static void add_process(const char *pid, struct cpu *sum)
{
    char path[320];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%s/schedstat", pid);
    if (access(path, R_OK) < 0) {
        add_ticks(pid, sum);
        return;
    }
    snprintf(path, sizeof path, "/proc/%s/task", pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid, entry->d_name);
        add_thread(path, sum);
    }
    if (dir)
        closedir(dir);
}

static struct cpu read_cpu(const pid_t *pids, unsigned n)
{
    struct cpu sum = {0, 0};
    char pid[16];

    for (unsigned i = 0; i < n; i++) {
        snprintf(pid, sizeof pid, "%d", (int)pids[i]);
        if (pids[i])
            add_process(pid, &sum);
    }
    return sum;
}

static void take_sample(struct sample *at)
{
    const pid_t self = getpid();

    at->client = read_cpu(&self, 1);
    at->server = read_cpu(opt.pids, opt.n_pids);
    at->server_softirqd = read_cpu(&opt.server_softirqd, 1);
    at->client_softirqd = read_cpu(&opt.client_softirqd, 1);
}

static void open_window(void)
{
    counting = true;
    take_sample(&window_start);
    window_start_ns = read_clock();
}

static void close_window(void)
{
    window_end_ns = read_clock();
    take_sample(&window_end);
    counting = false;
}

/* ---- connections ---- */

static int make_socket(int flags)
{
    static unsigned turn;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), one = 1;

    if (fd < 0)
        die("socket: %s", strerror(errno));
    from.sin_addr.s_addr = htonl(0x7f000002u + turn++ % 249);
    if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one) < 0 ||
        bind(fd, (struct sockaddr *)&from, sizeof from) < 0)
        die("bind to a source address: %s", strerror(errno));
    return fd;
}

static int connect_socket(int fd)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(opt.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    return connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0;
}

static void watch(struct conn *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(poller, op, c->fd, &ev) < 0)
        die("epoll_ctl: %s", strerror(errno));
}

/* A connection that stays: made while nothing is measured, so it may block. */
static void open_lasting(struct conn *c)
{
    struct timeval limit = {.tv_sec = 5};
    int one = 1, r;

    c->fd = make_socket(0);
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    r = connect_socket(c->fd);
    if (r < 0)
        die("connect to 127.0.0.1:%u: %s", opt.port, strerror(-r));
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
        die("fcntl: %s", strerror(errno));
    c->state = WAITING;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void start(struct conn *c, int64_t now);

static void fail(struct conn *c, const char *why)
{
    if (errors++ < 3)
        fprintf(stderr, "load: connection %zd: %s\n", c - conns, why);
    if (errors > ERRORS_MAX)
        die("more than %d errors, giving up", ERRORS_MAX);
    if (opt.mode == IDLE)
        die("an idle connection failed");
    close(c->fd);
    c->state = CLOSED;
    issued -= c->in_flight; /* a fixed number of requests means answered ones */
    c->in_flight = 0;
    if (opt.mode != HTTP_CLOSE)
        open_lasting(c);
    start(c, read_clock());
}

/* Returns 1 when sent, 0 to be tried again once writable. */
static int send_request(struct conn *c)
{
    ssize_t n;

    if (opt.mode == ECHO) /* each connection its own bytes, to notice a mix-up */
        memcpy(request, &(uint64_t){(uint64_t)(c - conns)}, sizeof(uint64_t));
    n = send(c->fd, request, request_len, MSG_NOSIGNAL);
    if (n == (ssize_t)request_len)
        return 1;
    if (n < 0 && errno == EAGAIN && c->state == CONNECTING)
        return 0;
    fail(c, n < 0 ? strerror(errno) : "short send");
    return -1;
}

/*
 * On loopback the handshake is done by the time connect() returns EINPROGRESS, so the request can
 * go out at once; only where it cannot does the connection wait for EPOLLOUT. After that it waits
 * for the end of stream alone: one wake-up and one read take answer and end together, as the
 * client's CPU is the scarce one here. Hence an answer must fit the receive buffer (64 KiB do).
 */
static void open_fleeting(struct conn *c)
{
    int r;

    c->fd = make_socket(SOCK_NONBLOCK);
    c->state = CONNECTING;
    r = connect_socket(c->fd);
    if (r < 0 && r != -EINPROGRESS) {
        fail(c, strerror(-r));
        return;
    }
    r = send_request(c);
    if (r < 0)
        return;
    if (r > 0)
        c->state = WAITING;
    watch(c, EPOLL_CTL_ADD, r ? EPOLLRDHUP : EPOLLOUT);
}

static void start(struct conn *c, int64_t now)
{
    if (opt.requests && issued >= opt.requests)
        return;
    issued += opt.pipeline;
    c->in_flight = opt.pipeline;
    c->head_done = false;
    c->len = 0;
    c->start_ns = now;
    if (opt.mode == HTTP_CLOSE)
        open_fleeting(c);
    else
        send_request(c);
}

static void finish(struct conn *c)
{
    int64_t now = read_clock();

    completed++;
    c->head_done = false;
    if (counting)
        record(now - c->start_ns);
    if (--c->in_flight)
        return;
    if (opt.mode == HTTP_CLOSE) {
        close(c->fd);
        c->state = CLOSED;
    }
    if (opt.mode == IDLE)
        c = &conns[issued % opt.conns]; /* the next one that had no request yet */
    start(c, now);
}

/* ---- answers ---- */

/* The header's lines lie in line..end; returns NULL, or what is wrong. */
static const char *parse_head(struct conn *c, const char *line, const char *end)
{
    bool have_length = false;

    if (end - line < 13 || memcmp(line, "HTTP/1.", 7) || memcmp(line + 8, " 200", 4))
        return "the status is not 200";
    while ((line = memchr(line, '\n', (size_t)(end - line))) && ++line < end) {
        if ((*line | 32) != 'c' || end - line < 17 || strncasecmp(line, "content-length:", 15))
            continue;
        c->body_left = 0;
        line += 15;
        line += strspn(line, " \t");
        have_length = *line >= '0' && *line <= '9';
        for (; *line >= '0' && *line <= '9'; line++) {
            if (c->body_left > 1ull << 40)
                return "Content-Length is absurd";
            c->body_left = c->body_left * 10 + (uint64_t)(*line - '0');
        }
    }
    return have_length ? NULL : "no Content-Length";
}

/* Takes what is in buf, answer by answer; returns NULL, or what is wrong. */
static const char *take_http(struct conn *c)
{
    size_t at = 0, n;

    while (at < c->len) {
        if (!c->head_done) {
            const char *end = memmem(c->buf + at, c->len - at, "\r\n\r\n", 4), *wrong;

            if (!end)
                break;
            wrong = parse_head(c, c->buf + at, end + 4);
            if (wrong)
                return wrong;
            c->head_done = true;
            at = (size_t)(end + 4 - c->buf);
        }
        n = c->len - at < c->body_left ? c->len - at : (size_t)c->body_left;
        c->body_left -= n;
        at += n;
        if (c->body_left)
            break;
        if (c->in_flight == 1) /* the rest is on_http's, as is the next request */
            return at < c->len ? "more bytes than Content-Length" : NULL;
        finish(c);
    }
    c->len -= at;
    memmove(c->buf, c->buf + at, c->len);
    return c->len == BUF_BYTES ? "the header is too long" : NULL;
}

/* The part of a body behind the head's read is only counted. Returns as recv. */
static ssize_t receive_http(struct conn *c, size_t room)
{
    ssize_t n;

    if (c->head_done && c->body_left) {
        n = recv(c->fd, NULL, c->body_left, MSG_TRUNC);
        if (n > 0)
            c->body_left -= (uint64_t)n;
        return n;
    }
    n = recv(c->fd, c->buf + c->len, room, 0);
    if (n > 0)
        c->len += (size_t)n;
    return n;
}

static void on_http(struct conn *c, uint32_t events)
{
    size_t room = BUF_BYTES - c->len;
    ssize_t n = receive_http(c, room);
    const char *wrong;

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            fail(c, strerror(errno));
        return;
    }
    if (n == 0) {
        if (c->state == EXPECT_EOF)
            finish(c);
        else
            fail(c, "closed by the server in the middle of an answer");
        return;
    }
    wrong = c->in_flight && c->state != EXPECT_EOF ? take_http(c) : "bytes nobody asked for";
    if (wrong) {
        fail(c, wrong);
        return;
    }
    if (!c->head_done || c->body_left)
        return;
    if (opt.mode != HTTP_CLOSE) {
        finish(c);
        return;
    }
    /* A short read with RDHUP set has reached the end: it saves the read that would return 0. */
    c->state = EXPECT_EOF;
    if ((events & EPOLLRDHUP) && !(events & (EPOLLERR | EPOLLHUP)) && (size_t)n < room)
        finish(c);
}

static void on_echo(struct conn *c)
{
    ssize_t n = recv(c->fd, c->buf + c->len, BUF_BYTES - c->len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        fail(c, n < 0 ? strerror(errno) : "closed by the server");
        return;
    }
    c->len += (size_t)n;
    if (c->len < MESSAGE_BYTES)
        return;
    memcpy(request, &(uint64_t){(uint64_t)(c - conns)}, sizeof(uint64_t));
    if (c->len > MESSAGE_BYTES || memcmp(c->buf, request, MESSAGE_BYTES)) {
        fail(c, "the echo differs");
        return;
    }
    finish(c);
}

static void on_ready(struct conn *c, uint32_t events)
{
    int r;

    if (c->state == CONNECTING) {
        r = send_request(c);
        if (r > 0) {
            c->state = WAITING;
            watch(c, EPOLL_CTL_MOD, EPOLLRDHUP);
        }
    } else if (opt.mode == ECHO) {
        on_echo(c);
    } else {
        on_http(c, events);
    }
}

/* ---- the run ---- */

static void run_requests(void)
{
    struct epoll_event events[BATCH];
    int64_t now = read_clock(), warm_ns = now + (int64_t)(opt.warmup * 1e9);
    int64_t end_ns = warm_ns + (int64_t)((opt.requests ? RUN_SECONDS_MAX : opt.seconds) * 1e9);
    unsigned first = opt.mode == IDLE && opt.conns > IDLE_INFLIGHT ? IDLE_INFLIGHT : opt.conns;

    if (opt.warmup <= 0)
        open_window();
    for (unsigned i = 0; i < first; i++)
        start(&conns[i], read_clock());
    while (now < end_ns && !(opt.requests && completed >= opt.requests)) {
        int n = epoll_wait(poller, events, BATCH, STALL_MS);

        if (n == 0)
            die("no answer for %d s after %llu requests", STALL_MS / 1000,
                (unsigned long long)completed);
        for (int i = 0; i < n; i++)
            on_ready(events[i].data.ptr, events[i].events);
        now = read_clock();
        if (!counting && now >= warm_ns)
            open_window();
    }
    close_window();
    if (opt.requests && completed < opt.requests)
        die("not done after %d s", RUN_SECONDS_MAX);
    /* Others may have gone on while these hung: not in the histogram, so counted as errors. */
    for (unsigned i = 0; i < opt.conns; i++)
        errors += conns[i].in_flight > 0 && now - conns[i].start_ns > 1000000000;
}

static void print_result(void)
{
    const struct sample *from = &window_start, *to = &window_end;
    double seconds = (double)(window_end_ns - window_start_ns) / 1e9;

    printf("{\"mode\":\"%s\",\"connections\":%u,\"requests\":%llu,\"seconds\":%.6f,\"rps\":%.1f,"
           "\"p50_us\":%.2f,\"p99_us\":%.2f,\"max_us\":%.2f,\"errors\":%llu,",
           mode_names[opt.mode], opt.conns, (unsigned long long)hist_n, seconds,
           (double)hist_n / seconds, quantile_us(0.50), quantile_us(0.99),
           (double)latency_max_ns / 1e3, (unsigned long long)errors);
    printf("\"server_cpu_ns\":%lld,\"server_wait_ns\":%lld,\"server_softirqd_ns\":%lld,"
           "\"client_cpu_ns\":%lld,\"client_wait_ns\":%lld,\"client_softirqd_ns\":%lld}\n",
           (long long)(to->server.run_ns - from->server.run_ns),
           (long long)(to->server.wait_ns - from->server.wait_ns),
           (long long)(to->server_softirqd.run_ns - from->server_softirqd.run_ns),
           (long long)(to->client.run_ns - from->client.run_ns),
           (long long)(to->client.wait_ns - from->client.wait_ns),
           (long long)(to->client_softirqd.run_ns - from->client_softirqd.run_ns));
    fflush(stdout);
}

static void count_alive(void)
{
    unsigned alive = 0;
    char byte;

    for (unsigned i = 0; i < opt.conns; i++)
        alive += recv(conns[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
    printf("{\"alive\":%u}\n", alive);
    fflush(stdout);
}

static void wait_for(bool end_of_input)
{
    int c;

    while ((c = getchar()) != EOF && (end_of_input || c != '\n'))
        ;
}

static void check_options(const char *mode)
{
    int m = 0;

    while (m < 4 && strcmp(mode, mode_names[m]) != 0)
        m++;
    opt.mode = (enum mode)m;
    if (opt.mode == IDLE)
        opt.requests = opt.conns;
    if (m == 4 || !opt.port || !opt.conns || (!opt.requests && opt.seconds <= 0) ||
        opt.seconds > RUN_SECONDS_MAX || strlen(opt.path) > 512 || !opt.pipeline ||
        opt.pipeline > PIPELINE_MAX || (opt.pipeline > 1 && opt.mode != HTTP))
        die("usage: load echo|http|http-close|idle --port P [--path /x] [--conns C] "
            "[--pipeline D] [--seconds S [--warmup S] | --requests N] [--gate] [--pid PID]... "
            "[--server-softirqd PID] [--client-softirqd PID]");
    if (opt.requests)
        opt.warmup = 0;
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", 1, NULL, 'p'},
        {"path", 1, NULL, 'u'},
        {"conns", 1, NULL, 'c'},
        {"pipeline", 1, NULL, 'd'},
        {"seconds", 1, NULL, 's'},
        {"warmup", 1, NULL, 'w'},
        {"requests", 1, NULL, 'n'},
        {"gate", 0, NULL, 'g'},
        {"pid", 1, NULL, 'P'},
        {"server-softirqd", 1, NULL, 'S'},
        {"client-softirqd", 1, NULL, 'C'},
        {NULL, 0, NULL, 0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (o) {
        case 'p':
            opt.port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'u':
            opt.path = optarg;
            break;
        case 'c':
            opt.conns = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'd':
            opt.pipeline = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            opt.seconds = strtod(optarg, NULL);
            break;
        case 'w':
            opt.warmup = strtod(optarg, NULL);
            break;
        case 'n':
            opt.requests = strtoull(optarg, NULL, 10);
            break;
        case 'g':
            opt.gate = true;
            break;
        case 'S':
            opt.server_softirqd = (pid_t)strtol(optarg, NULL, 10);
            break;
        case 'C':
            opt.client_softirqd = (pid_t)strtol(optarg, NULL, 10);
            break;
        case 'P':
            if (opt.n_pids == PIDS_MAX)
                die("more than %d --pid", PIDS_MAX);
            opt.pids[opt.n_pids++] = (pid_t)strtol(optarg, NULL, 10);
            break;
        default:
            exit(2);
        }
    }
    check_options(optind < argc ? argv[optind] : "");
}

static void set_up(void)
{
    struct rlimit nofile;

    if (!getrlimit(RLIMIT_NOFILE, &nofile)) {
        nofile.rlim_cur = nofile.rlim_max;
        setrlimit(RLIMIT_NOFILE, &nofile);
    }
    if (opt.mode == ECHO) {
        request_len = MESSAGE_BYTES;
        memset(request, 'x', request_len);
    } else {
        request_len = (size_t)snprintf(
            request, sizeof request,
            "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: load\r\n%s\r\n", opt.path,
            opt.port, opt.mode == HTTP_CLOSE ? "Connection: close\r\n" : "");
        for (unsigned i = 1; i < opt.pipeline; i++)
            memcpy(request + i * request_len, request, request_len);
        request_len *= opt.pipeline;
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    conns = calloc(opt.conns, sizeof *conns);
    if (poller < 0 || !conns)
        die("%s", strerror(errno));
    if (opt.mode == HTTP_CLOSE)
        return;
    for (unsigned i = 0; i < opt.conns; i++)
        open_lasting(&conns[i]);
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    set_up();
    if (opt.gate) {
        puts("ready");
        fflush(stdout);
        wait_for(false);
    }
    run_requests();
    print_result();
    if (opt.gate || opt.mode == IDLE)
        wait_for(true);
    if (opt.mode == IDLE)
        count_alive();
    return errors ? 1 : 0;
}
