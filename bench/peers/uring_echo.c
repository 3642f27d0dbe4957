/*
 * uring_echo.c - echo by raw io_uring, in the ways there are: what completions could be worth
 *
 *   uring_echo HOW PORT
 *
 *   poll-send    multishot poll, then recv and send as system calls: readiness
 *   multi-send   multishot receive into provided buffers, then send as a system call
 *   multi-op     the same, and the send an operation of the ring
 *   one-send     one receive at a time, into the connection's own buffer, then send as a call
 *   one-op       the same, and the send an operation of the ring
 *
 * As floor.c: the least work, not a server to ship. A short send ends the connection.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRIES = 2048, COMPLETIONS = 8192, BUFFERS = 2048, BUF_BYTES = 4096, FD_MAX = 65536 };
enum { ACCEPT = 1, READY, RECEIVED, SENT };

static bool by_poll, multishot, send_by_op;
static struct io_uring ring;
static struct io_uring_buf_ring *buf_ring;
static char *buffers, *own[FD_MAX];
static int listener;

static void die(const char *what, int r)
{
    fprintf(stderr, "uring_echo: %s: %s\n", what, strerror(r < 0 ? -r : r));
    exit(1);
}

static uint64_t data_of(int op, int fd, int buffer)
{
    return (uint64_t)(unsigned)op << 56 | (uint64_t)(unsigned)buffer << 32 | (unsigned)fd;
}

static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static void give_back(int buffer)
{
    io_uring_buf_ring_add(buf_ring, buffers + (size_t)buffer * BUF_BYTES, BUF_BYTES,
                          (unsigned short)buffer, BUFFERS - 1, 0);
    io_uring_buf_ring_advance(buf_ring, 1);
}

static void open_buffers(void)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFERS};
    int r;

    if (posix_memalign((void **)&buf_ring, 4096, BUFFERS * sizeof(struct io_uring_buf)) != 0 ||
        posix_memalign((void **)&buffers, 4096, (size_t)BUFFERS * BUF_BYTES) != 0)
        die("memory", 12);
    reg.ring_addr = (uint64_t)(uintptr_t)buf_ring;
    r = io_uring_register_buf_ring(&ring, &reg, 0);
    if (r < 0)
        die("io_uring_register_buf_ring", r);
    io_uring_buf_ring_init(buf_ring);
    for (int i = 0; i < BUFFERS; i++)
        give_back(i);
}

static void begin(int fd)
{
    struct io_uring_sqe *sqe = entry();

    if (by_poll) {
        io_uring_prep_poll_multishot(sqe, fd, POLLIN | POLLRDHUP);
        io_uring_sqe_set_data64(sqe, data_of(READY, fd, 0));
        return;
    }
    if (multishot) {
        io_uring_prep_recv(sqe, fd, NULL, 0, 0);
        sqe->ioprio |= IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
        sqe->flags |= IOSQE_BUFFER_SELECT;
    } else {
        if (own[fd] == NULL && (own[fd] = malloc(BUF_BYTES)) == NULL)
            die("memory", 12);
        io_uring_prep_recv(sqe, fd, own[fd], BUF_BYTES, 0);
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    }
    io_uring_sqe_set_data64(sqe, data_of(RECEIVED, fd, 0));
}

static void drop(int fd)
{
    shutdown(fd, SHUT_RDWR); /* what the ring still holds ends, too */
    close(fd);
}

/* What was received goes back: buffer is the provided one's number. */
static void answer(int fd, char *bytes, int len, int buffer)
{
    if (send_by_op) {
        struct io_uring_sqe *sqe = entry();

        io_uring_prep_send(sqe, fd, bytes, (size_t)len, MSG_NOSIGNAL | MSG_WAITALL);
        io_uring_sqe_set_data64(sqe, data_of(SENT, fd, buffer));
        return;
    }
    if (send(fd, bytes, (size_t)len, MSG_NOSIGNAL) != len)
        drop(fd);
    else if (!multishot && !by_poll)
        begin(fd);
    if (multishot)
        give_back(buffer);
}

static void received(const struct io_uring_cqe *cqe, int fd)
{
    int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

    if (cqe->res == -ENOBUFS) {
        begin(fd);
        return;
    }
    if (cqe->res <= 0) {
        drop(fd);
        return;
    }
    answer(fd, multishot ? buffers + (size_t)buffer * BUF_BYTES : own[fd], cqe->res, buffer);
    if (multishot && !(cqe->flags & IORING_CQE_F_MORE))
        begin(fd);
}

static void ready(const struct io_uring_cqe *cqe, int fd)
{
    static char buf[BUF_BYTES];
    ssize_t n = cqe->res < 0 ? 0 : recv(fd, buf, sizeof buf, MSG_DONTWAIT);

    if (n > 0)
        answer(fd, buf, (int)n, 0);
    else if (n == 0)
        drop(fd);
}

static void take(const struct io_uring_cqe *cqe)
{
    int fd = (int)(uint32_t)cqe->user_data, buffer = (int)(cqe->user_data >> 32 & 0xffff);

    switch (cqe->user_data >> 56) {
    case ACCEPT:
        if (cqe->res < 0 || cqe->res >= FD_MAX)
            die("accept", cqe->res);
        begin(cqe->res);
        break;
    case READY:
        ready(cqe, fd);
        break;
    case RECEIVED:
        received(cqe, fd);
        break;
    default:
        if (multishot)
            give_back(buffer);
        if (cqe->res <= 0)
            drop(fd);
        else if (!multishot)
            begin(fd);
    }
}

static void serve(void)
{
    struct io_uring_sqe *sqe = entry();

    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, data_of(ACCEPT, 0, 0));
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        int r = io_uring_submit_and_wait(&ring, 1);

        if (r < 0 && r != -EINTR)
            die("io_uring_enter", r);
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            take(cqe);
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}

static void open_listener(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        bind(listener, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(listener, 4096) < 0)
        die("listen", errno);
}

int main(int argc, char **argv)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    struct rlimit nofile;
    int r;

    if (argc != 3) {
        fprintf(stderr, "usage: uring_echo HOW PORT\n");
        return 2;
    }
    by_poll = strcmp(argv[1], "poll-send") == 0;
    multishot = strncmp(argv[1], "multi-", 6) == 0;
    send_by_op = strstr(argv[1], "-op") != NULL;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &nofile) == 0) {
        nofile.rlim_cur = nofile.rlim_max;
        setrlimit(RLIMIT_NOFILE, &nofile);
    }
    open_listener((uint16_t)atoi(argv[2]));
    r = io_uring_queue_init_params(ENTRIES, &ring, &params);
    if (r < 0)
        die("io_uring_queue_init", r);
    if (multishot)
        open_buffers();
    serve();
}
