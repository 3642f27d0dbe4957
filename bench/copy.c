/*
 * copy.c - what it costs to send a file that is in the page cache, in the ways there are
 *
 *     copy [ROUNDS] [GIB]       (5, 2)
 *
 * One TCP connection over loopback: the sender is pinned to CPU 0, the reader, which copies what
 * comes into 256 KiB and forgets it, to CPU 1. The raw loops are as short as they can be, with
 * blocking sockets; rn_send_file runs on one P. In each round every way sends GIB GiB, and prints a
 * line of JSON: GB per second, and per GB the sending thread's seconds of CPU (on loopback it does
 * the reader's half of TCP as well), system calls and context switches. `bench/run --only copy`
 * makes a table of them.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "pieces.h"
#include "task/proc.h"

#define FILE_BYTES ((size_t)256 << 20)
#define PIECE ((size_t)1 << 20)
#define BUFFER ((size_t)64 << 10)
#define MOST_ROUNDS 50

static int file;
static char *map;
static char buffer[BUFFER];

static void die(const char *what, ssize_t r)
{
    fprintf(stderr, "copy: %s: %s\n", what, rn_strerror(r));
    exit(1);
}

static void pin(int cpu)
{
    if (!pieces_pin(cpu))
        fprintf(stderr, "copy: cannot pin to CPU %d\n", cpu);
}

static void *read_all(void *arg)
{
    static char drain[256 << 10];

    pin(1);
    while (read(*(int *)arg, drain, sizeof drain) > 0)
        ;
    return NULL;
}

/* ---- the ways: each sends the file once ---- */

static void write_all(int fd, const char *buf, size_t len)
{
    while (len > 0) {
        ssize_t n = rn__sys_write(fd, buf, len);

        if (n < 0)
            die("write", n);
        buf += n;
        len -= (size_t)n;
    }
}

static void by_read_write(int fd)
{
    for (size_t at = 0; at < FILE_BYTES; at += BUFFER) {
        if (rn__sys_pread(file, buffer, BUFFER, (off_t)at) != (ssize_t)BUFFER)
            die("read", -EIO);
        write_all(fd, buffer, BUFFER);
    }
}

static void by_mmap_write(int fd)
{
    for (size_t at = 0; at < FILE_BYTES; at += PIECE)
        write_all(fd, map + at, PIECE);
}

static void by_sendfile(int fd)
{
    off_t at = 0;

    while (at < (off_t)FILE_BYTES) {
        ssize_t n = rn__sys_sendfile(fd, file, &at, PIECE);

        if (n <= 0)
            die("sendfile", n);
    }
}

static void by_splice(int fd)
{
    static int pipe_fds[2] = {-1, -1};

    if (pipe_fds[0] < 0) {
        if (pipe(pipe_fds) < 0)
            die("pipe", -EMFILE);
        (void)fcntl(pipe_fds[1], F_SETPIPE_SZ, PIECE);
    }
    (void)lseek(file, 0, SEEK_SET);
    for (size_t left = FILE_BYTES; left > 0;) {
        ssize_t n = rn__sys_splice(file, pipe_fds[1], PIECE, SPLICE_F_MOVE);

        if (n <= 0)
            die("splice", n);
        left -= (size_t)n;
        while (n > 0) {
            ssize_t sent = rn__sys_splice(pipe_fds[0], fd, (size_t)n, SPLICE_F_MOVE);

            if (sent <= 0)
                die("splice", sent);
            n -= sent;
        }
    }
}

static void reap_completions(int fd)
{
    char control[256];
    struct msghdr m = {.msg_control = control, .msg_controllen = sizeof control};

    while (rn__sys_recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
        m.msg_controllen = sizeof control;
}

static void by_zerocopy(int fd)
{
    for (size_t at = 0; at < FILE_BYTES;) {
        ssize_t n = rn__sys_send(fd, map + at, PIECE - at % PIECE, MSG_ZEROCOPY);

        reap_completions(fd);
        if (n < 0 && n != -ENOBUFS)
            die("send", n);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* ---- one measurement ---- */

struct result {
    double gb_s, cpu, calls, switches; /* per second, and the others per GB */
};

struct way {
    const char *name;
    void (*raw)(int fd);  /* NULL: rn_send_file */
    struct result result; /* of this round */
};

static struct way ways[] = {
    {.name = "read+write", .raw = by_read_write}, {.name = "mmap+write", .raw = by_mmap_write},
    {.name = "sendfile", .raw = by_sendfile},     {.name = "splice", .raw = by_splice},
    {.name = "MSG_ZEROCOPY", .raw = by_zerocopy}, {.name = "rn_send_file"}};

#define WAYS RN_COUNT_OF(ways)

struct sending {
    struct way *way;
    int fd, times;
    struct result result;
};

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double calls_in(const struct rn__sys_block *b)
{
    uint64_t sum = 0;

    for (int i = 0; i < RN__SYS_COUNT; i++)
        sum += atomic_load(&b->counts[i].calls);
    return (double)sum;
}

static double switches_so_far(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_THREAD, &u);
    return (double)(u.ru_nvcsw + u.ru_nivcsw);
}

static void take(struct result *r, const struct rn__sys_block *b, double sign)
{
    r->gb_s += sign * seconds_of(CLOCK_MONOTONIC);
    r->cpu += sign * seconds_of(CLOCK_THREAD_CPUTIME_ID);
    r->calls += sign * calls_in(b);
    r->switches += sign * switches_so_far();
}

static int send_with_runnel(void *arg)
{
    struct sending *s = arg;
    struct rn__sys_block *b = &atomic_load(&rn__runtime)->procs[0]->counters;
    rn_conn *conn;
    int r = rn_conn_from_fd(s->fd, &conn);

    if (r < 0)
        die("rn_conn_from_fd", r);
    take(&s->result, b, -1);
    for (int i = 0; i < s->times; i++) {
        ssize_t n = rn_send_file(conn, file, 0, FILE_BYTES);

        if (n < 0)
            die("rn_send_file", n);
    }
    take(&s->result, b, 1);
    rn_close(conn);
    return 0;
}

static void *send_all(void *arg)
{
    struct sending *s = arg;
    static struct rn__sys_block own;

    pin(0);
    if (s->way->raw == NULL) {
        if (rn_run(&(rn_run_options){.procs = 1}, send_with_runnel, s) < 0)
            die("rn_run", -EIO);
        return NULL;
    }
    rn__sys_use_block(&own);
    take(&s->result, &own, -1);
    for (int i = 0; i < s->times; i++)
        s->way->raw(s->fd);
    take(&s->result, &own, 1);
    rn__sys_use_block(NULL);
    (void)close(s->fd);
    return NULL;
}

static void connect_pair(int fds[2])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int ln = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    socklen_t len = sizeof a;

    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(ln, (struct sockaddr *)&a, len) < 0 || listen(ln, 1) < 0 ||
        getsockname(ln, (struct sockaddr *)&a, &len) < 0 ||
        connect(fds[0], (struct sockaddr *)&a, len) < 0 || (fds[1] = accept(ln, NULL, NULL)) < 0)
        die("a pair of sockets", -EIO);
    (void)setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fds[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one);
    (void)close(ln);
}

static struct result measure(struct way *way, int times)
{
    struct sending s = {.way = way, .times = times};
    double gb = (double)times * (double)FILE_BYTES / 1e9;
    pthread_t sender, reader;
    int fds[2];

    connect_pair(fds);
    s.fd = fds[0];
    if (pthread_create(&reader, NULL, read_all, &fds[1]) != 0 ||
        pthread_create(&sender, NULL, send_all, &s) != 0)
        die("a thread", -EAGAIN);
    (void)pthread_join(sender, NULL);
    (void)pthread_join(reader, NULL);
    (void)close(fds[1]);
    return (struct result){.gb_s = gb / s.result.gb_s,
                           .cpu = s.result.cpu / gb,
                           .calls = s.result.calls / gb,
                           .switches = s.result.switches / gb};
}

/* ---- what is printed ---- */

static void print_round(const struct way *w, int round)
{
    const struct result *r = &w->result;

    printf("{\"way\": \"%s\", \"round\": %d, \"gb_s\": %.4f, \"cpu\": %.5f, \"calls\": %.0f, "
           "\"switches\": %.0f}\n",
           w->name, round, r->gb_s, r->cpu, r->calls, r->switches);
    (void)fflush(stdout);
}

static void make_file(void)
{
    char name[] = "/tmp/runnel-bench-XXXXXX";

    file = mkstemp(name);
    if (file < 0)
        die(name, -EACCES);
    (void)unlink(name);
    memset(buffer, 'x', sizeof buffer);
    for (size_t at = 0; at < FILE_BYTES; at += BUFFER)
        write_all(file, buffer, BUFFER);
    map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
    if (map == MAP_FAILED)
        die("mmap", -ENOMEM);
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 5, times = (argc > 2 ? atoi(argv[2]) : 2) * 4;

    if (rounds < 1 || rounds > MOST_ROUNDS || times < 1)
        die("ROUNDS, GIB", -EINVAL);
    make_file();
    (void)measure(&ways[0], 1);
    for (int r = 1; r <= rounds; r++)
        for (size_t i = 0; i < WAYS; i++) {
            struct way *w = &ways[(i + (size_t)r) % WAYS];

            w->result = measure(w, times);
            print_round(w, r);
        }
    return 0;
}
