/*
 * floor.c - the floor: the least work an honest single-threaded epoll server does.
 *
 *   floor echo PORT          echoes what it reads
 *   floor http PORT FILE     answers every request with FILE, loaded once (at most 64 KiB)
 *
 * Every other server in bench/run is given as a ratio to this one. It is not a server to ship:
 * a write that falls short (a peer that does not read) closes the connection, no request is
 * ever timed out, and the HTTP side looks at nothing but the end of the headers and
 * "Connection: close".
 *
 * Level-triggered epoll, one EPOLL_CTL_ADD per connection, no DEL (close does it), one read and one
 * write per readiness. TCP_NODELAY is set on the listener, from which Linux hands it down.
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
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BATCH = 512, BUF_BYTES = 16384, BODY_MAX = 65536, FD_MAX = 65536, PIPELINE_MAX = 1024 };

/* The start of a request that did not come in one piece; NULL nearly always. */
struct rest {
    size_t len;
    char bytes[BUF_BYTES];
};

static int poller, listener;
static char buf[BUF_BYTES];
static struct rest *rests[FD_MAX];
static char reply_keep[BODY_MAX + 256], reply_close[BODY_MAX + 256];
static size_t reply_keep_len, reply_close_len;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void add(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl");
}

static void open_listener(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        die("socket");
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        die("setsockopt");
    if (bind(listener, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(listener, 4096) < 0)
        die("bind");
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1");
    add(listener);
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= FD_MAX)
            close(fd);
        else
            add(fd);
    }
    /* EMFILE would spin here, since the listener stays readable: a floor may end instead. */
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
        die("accept4");
}

static void drop(int fd)
{
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void echo_ready(int fd)
{
    ssize_t n = read(fd, buf, sizeof buf);

    if (n > 0 && write(fd, buf, (size_t)n) == n)
        return;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    drop(fd);
}

static bool wants_close(const char *head, size_t len)
{
    const char *end = head + len, *line = head;

    while ((line = memchr(line, '\n', (size_t)(end - line)))) {
        line++;
        if (end - line < 17)
            return false;
        if ((*line | 32) == 'c' && !strncasecmp(line, "connection:", 11)) {
            line += 11;
            line += strspn(line, " \t");
            return end - line >= 5 && !strncasecmp(line, "close", 5);
        }
    }
    return false;
}

/* Answers all whole requests in p[0..len) at once; returns the bytes used, or -1 to close. */
static ssize_t answer(int fd, const char *p, size_t len)
{
    struct iovec out[PIPELINE_MAX];
    size_t used = 0, len_out = 0;
    bool last = false;
    const char *end;
    int n = 0;

    while (used < len && n < PIPELINE_MAX && !last &&
           (end = memmem(p + used, len - used, "\r\n\r\n", 4))) {
        last = wants_close(p + used, (size_t)(end + 4 - (p + used)));
        out[n++] = (struct iovec){last ? reply_close : reply_keep,
                                  last ? reply_close_len : reply_keep_len};
        len_out += out[n - 1].iov_len;
        used = (size_t)(end + 4 - p);
    }
    if (n && (n == 1 ? write(fd, out->iov_base, len_out) : writev(fd, out, n)) != (ssize_t)len_out)
        return -1;
    return last ? -1 : (ssize_t)used;
}

static void http_ready(int fd)
{
    struct rest *rest = rests[fd];
    char *at = rest ? rest->bytes + rest->len : buf;
    size_t room = rest ? sizeof rest->bytes - rest->len : sizeof buf;
    ssize_t n = read(fd, at, room), used;
    size_t len;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        drop(fd);
        return;
    }
    len = (rest ? rest->len : 0) + (size_t)n;
    used = answer(fd, rest ? rest->bytes : buf, len);
    if (used < 0 || (used == 0 && len == BUF_BYTES)) {
        drop(fd);
        return;
    }
    len -= (size_t)used;
    if (len && !rest && !(rest = rests[fd] = malloc(sizeof *rest)))
        die("malloc");
    if (!rest)
        return;
    memmove(rest->bytes, (at == buf ? buf : rest->bytes) + used, len);
    rest->len = len;
    if (!len) {
        free(rest);
        rests[fd] = NULL;
    }
}

static void load_file(const char *path)
{
    static char body[BODY_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, body, sizeof body);
    static const char head[] = "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: text/plain\r\n"
                               "Content-Length: %zd\r\n%s\r\n";
    int head_len;

    if (n < 0)
        die(path);
    if (n > BODY_MAX) {
        fprintf(stderr, "floor: %s: larger than %d bytes\n", path, BODY_MAX);
        exit(1);
    }
    close(fd);
    head_len = snprintf(reply_keep, 256, head, n, "");
    memcpy(reply_keep + head_len, body, (size_t)n);
    reply_keep_len = (size_t)(head_len + n);
    head_len = snprintf(reply_close, 256, head, n, "Connection: close\r\n");
    memcpy(reply_close + head_len, body, (size_t)n);
    reply_close_len = (size_t)(head_len + n);
}

static void serve(void (*ready)(int fd))
{
    struct epoll_event events[BATCH];

    for (;;) {
        int n = epoll_wait(poller, events, BATCH, -1);

        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all();
            else
                ready(events[i].data.fd);
        }
    }
}

int main(int argc, char **argv)
{
    struct rlimit nofile;
    bool echo = argc == 3 && !strcmp(argv[1], "echo");
    bool http = argc == 4 && !strcmp(argv[1], "http");
    long port = argc >= 3 ? strtol(argv[2], NULL, 10) : 0;

    if ((!echo && !http) || port < 1 || port > 65535) {
        fprintf(stderr, "usage: floor echo PORT | floor http PORT FILE\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!getrlimit(RLIMIT_NOFILE, &nofile)) {
        nofile.rlim_cur = nofile.rlim_max;
        setrlimit(RLIMIT_NOFILE, &nofile);
    }
    if (http)
        load_file(argv[3]);
    open_listener((uint16_t)port);
    serve(http ? http_ready : echo_ready);
}
