/*
 * netns.h - a network of its own for a test, whose body runs in a child process
 */
#ifndef RNTEST_NETNS_H
#define RNTEST_NETNS_H

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "rntest.h"

/* From here on the process has a network with nothing in it but a loopback that is down. Before
 * rn_run: threads that exist already stay outside. */
static inline void rntest_new_network(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        RN_TEST_SKIP("not permitted to make a network namespace");
}

static inline void rntest_loopback_up(void)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    CHECK_EQ(ioctl(fd, SIOCGIFFLAGS, &ifr), 0);
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
    CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &ifr), 0);
    close(fd);
}

/* Of the new network; skips where /proc/sys is read-only. */
static inline void rntest_write_sysctl(const char *path, const char *value)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        RN_TEST_SKIP("not permitted to write to /proc/sys");
    CHECK_EQ(write(fd, value, strlen(value)), (ssize_t)strlen(value));
    close(fd);
}

#endif
