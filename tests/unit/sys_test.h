/*
 * sys_test.h - what the tests of the system-call table share
 */
#ifndef SYS_TEST_H
#define SYS_TEST_H

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"
#include "rntest.h"

/* The calling thread's counters from now on, all 0. */
static inline struct rn__sys_block *fresh_block(void)
{
    struct rn__sys_block *b = calloc(1, sizeof *b);

    CHECK(b != NULL);
    rn__sys_use_block(b);
    return b;
}

static inline void drop_block(struct rn__sys_block *b)
{
    rn__sys_use_block(NULL);
    free(b);
}

static inline uint64_t calls_of(struct rn__sys_block *b, enum rn__sys_row row)
{
    return atomic_load(&b->counts[row].calls);
}

static inline uint64_t errors_of(struct rn__sys_block *b, enum rn__sys_row row)
{
    return atomic_load(&b->rows[row].errors);
}

static inline uint64_t bytes_of(struct rn__sys_block *b, enum rn__sys_row row)
{
    return atomic_load(&b->counts[row].bytes);
}

static inline void open_pair(int fds[2])
{
    CHECK_OK(rn__sys_socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds));
}

static inline void close_pair(int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static inline bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static inline int any_fd(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static inline int listen_local(struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof *at;

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    CHECK_OK(bind(fd, (struct sockaddr *)at, sizeof *at));
    CHECK_OK(listen(fd, 64));
    CHECK_OK(getsockname(fd, (struct sockaddr *)at, &len));
    return fd;
}

/* A blocking socket: connected when it returns. */
static inline int connect_local(const struct sockaddr_in *at)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_OK(connect(fd, (const struct sockaddr *)at, sizeof *at));
    return fd;
}

#endif
