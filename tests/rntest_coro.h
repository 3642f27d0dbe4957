/*
 * rntest_coro.h - tests whose body is a coroutine, and pairs of connections for them
 *
 * RN_CORO_TEST(name) runs its body by rn_run on two Ps; RN_CORO_TEST_ON(name, n) on n. The poller
 * is what RN_POLLER says, so the same tests run on each.
 */
#ifndef RNTEST_CORO_H
#define RNTEST_CORO_H

#include <dirent.h>
#include <errno.h>
#include <runnel/runnel.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rntest.h"

#define RN_CORO_TEST_ON(name, n_procs)                                                             \
    static int coro_##name(void *arg);                                                             \
    RN_TEST(name)                                                                                  \
    {                                                                                              \
        CHECK_EQ(rn_run(&(rn_run_options){.procs = (n_procs)}, coro_##name, NULL), 0);             \
    }                                                                                              \
    static void body_##name(void);                                                                 \
    static int coro_##name(void *arg)                                                              \
    {                                                                                              \
        (void)arg;                                                                                 \
        body_##name();                                                                             \
        return 0;                                                                                  \
    }                                                                                              \
    static void body_##name(void)

#define RN_CORO_TEST(name) RN_CORO_TEST_ON(name, 2)

/* Skips the test where the machine has none. */
static inline void rntest_need_ipv6(void)
{
    rn_listener *ln;
    int r = rn_listen("tcp6", "[::1]:0", NULL, &ln);

    if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
        RN_TEST_SKIP("no IPv6 here");
    CHECK_OK(r);
    rn_listener_close(ln);
}

/* Two ends of one connection over `network` ("tcp", "tcp6", "unix"). */
static inline void rntest_pair_on(const char *network, rn_conn **a, rn_conn **b)
{
    static int serial;
    char address[128];
    rn_listener *ln;

    if (strcmp(network, "unix") == 0)
        snprintf(address, sizeof address, "@rntest-%d-%d", getpid(), serial++);
    else
        strcpy(address, strcmp(network, "tcp6") == 0 ? "[::1]:0" : "127.0.0.1:0");
    if (strcmp(network, "tcp6") == 0)
        rntest_need_ipv6();
    CHECK_OK(rn_listen(network, address, NULL, &ln));
    CHECK_OK(rn_listener_addr(ln, address, sizeof address));
    CHECK_OK(rn_dial(network, address, NULL, a));
    CHECK_OK(rn_accept(ln, b));
    rn_listener_close(ln);
}

static inline void rntest_pair(rn_conn **a, rn_conn **b)
{
    rntest_pair_on("tcp", a, b);
}

/* Reads exactly len bytes, or fails. */
static inline void rntest_read_full(rn_conn *conn, void *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = rn_read(conn, (char *)buf + done, len - done);

        CHECK(n > 0);
        done += (size_t)n;
    }
}

/* Until each other coroutine waits for something, however long its P has had no CPU. One whose wake
 * is under way to its P counts as waiting. */
static inline void rntest_until_all_wait(void)
{
    bool all;

    do {
        rn_stats *s;

        CHECK_OK(rn_sleep(RN_MILLISECOND));
        CHECK_OK(rn_stats_get(&s));
        all = s->total.parked + 1 == s->total.coroutines_started - s->total.coroutines_ended;
        if (!s->counting) {
            CHECK_OK(rn_sleep(100 * RN_MILLISECOND));
            all = true;
        }
        rn_stats_free(s);
    } while (!all);
}

/* Does tests/meson.build run this under valgrind? */
static inline bool rntest_on_valgrind(void)
{
    return getenv("RNTEST_VALGRIND") != NULL;
}

/* Open descriptors of this process. */
static inline int rntest_count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

static inline bool rntest_on_epoll(void)
{
    const char *name = getenv("RN_POLLER");

    return name == NULL || strcmp(name, "epoll") == 0;
}

static inline bool rntest_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#else
    return false;
#endif
#else
    return false;
#endif
}

#endif
