/*
 * test_resolve.c - names to addresses: numbers, /etc/hosts, a resolver of the user's, libc's
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <poll.h>
#include <sys/mount.h>

#include "base/sys.h"
#include "netns.h"
#include "rntest_coro.h"

#define MS RN_MILLISECOND

static void check_text(const rn_ip *ip, const char *want)
{
    char text[64];

    CHECK_OK(rn_ip_text(ip, text, sizeof text));
    CHECK_STR(text, want);
}

/* ---- numbers and /etc/hosts ---- */

RN_CORO_TEST(a_number_is_its_own_address)
{
    static const char *const numbers[] = {"192.0.2.7", "2001:db8::1", "::", "fe80::1%1"};
    rn_ip ip;

    for (int i = 0; i < 4; i++) {
        CHECK_EQ(rn_lookup_host(numbers[i], NULL, &ip, 1), 1);
        check_text(&ip, numbers[i]);
    }
    CHECK_EQ(ip.scope, 1);
    CHECK_EQ(rn_lookup_host("::1", &(rn_lookup_options){.family = 4}, &ip, 1), -RN_ENOHOST);
    CHECK_EQ(rn_lookup_host("127.0.0.1", &(rn_lookup_options){.family = 6}, &ip, 1), -RN_ENOHOST);
    check_text(&ip, "fe80::1%1"); /* untouched */
}

static int never_asked(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips, int n)
{
    (void)arg, (void)name, (void)family, (void)deadline, (void)ips, (void)n;
    CHECK(!"asked");
    return -RN_ENOHOST;
}

/* getaddrinfo would take these for 127.0.0.1. */
RN_CORO_TEST(what_looks_like_a_number_is_never_asked_for)
{
    static const char *const names[] = {"127.1", "0x7f.1", "2130706433", "0x7f000001",
                                        "1.2.3", "a.1",    "1.2.3.4.",   "1::2::3"};
    rn_ip ip;

    CHECK_OK(rn_resolver_set(&(rn_resolver){.lookup = never_asked}));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_EQ(rn_lookup_host(names[i], NULL, &ip, 1), -RN_ENOHOST);
    CHECK_EQ(rn_lookup_host("localhost", NULL, &ip, 1), 1); /* in /etc/hosts */
}

RN_CORO_TEST(bad_lookups_are_refused)
{
    char longest[300], text[64];
    rn_ip ip = {.family = 5};

    memset(longest, 'a', sizeof longest);
    longest[299] = '\0';
    CHECK_EQ(rn_lookup_host(NULL, NULL, &ip, 1), -RN_EADDRESS);
    CHECK_EQ(rn_lookup_host("", NULL, &ip, 1), -RN_EADDRESS);
    CHECK_EQ(rn_lookup_host(longest, NULL, &ip, 1), -RN_EADDRESS);
    CHECK_EQ(rn_lookup_host("::1", NULL, &ip, 0), -EINVAL);
    CHECK_EQ(rn_lookup_host("::1", &(rn_lookup_options){.family = 5}, &ip, 1), -EINVAL);
    CHECK_EQ(rn_lookup_host("::1", &(rn_lookup_options){.reserved = {1}}, &ip, 1), -EINVAL);
    CHECK_EQ(rn_ip_text(&ip, text, sizeof text), -EAFNOSUPPORT);
    CHECK_EQ(rn_lookup_host("::1", NULL, &ip, 1), 1);
    CHECK_EQ(rn_ip_text(&ip, text, 3), -ENOSPC);
    CHECK_OK(rn_ip_text(&ip, text, 4));
    CHECK_EQ(rn_resolver_set(&(rn_resolver){.arg = text}), -EINVAL);
    CHECK_EQ(rn_resolver_set(&(rn_resolver){.lookup = never_asked, .reserved = {1}}), -EINVAL);
}

RN_TEST(a_plain_thread_looks_nothing_up)
{
    rn_ip ip;

    CHECK_EQ(rn_lookup_host("::1", NULL, &ip, 1), -EDEADLK);
}

/* ---- a resolver of the user's ---- */

struct mine {
    rn_sem inside, may_return;
    atomic_int drops;
    int answer; /* how many, or an error */
};

static int lookup_mine(void *arg, const char *name, int family, rn_time deadline, rn_ip *ips, int n)
{
    struct mine *m = arg;
    int r;

    CHECK_STR(name, "some.test");
    rn_sem_release(&m->inside, 1);
    r = rn_sem_acquire(&m->may_return, 1, deadline);
    CHECK_EQ(atomic_load(&m->drops), 0);
    for (int i = 0; i < m->answer && i < n; i++)
        ips[i] = (rn_ip){.family = family == 4 || (family == 0 && i % 2) ? 4 : 6, .bytes = {1}};
    return r < 0 ? r : m->answer;
}

static void drop_mine(void *arg)
{
    struct mine *m = arg;

    atomic_fetch_add(&m->drops, 1);
}

struct lookup {
    rn_lookup_options o;
    int result;
    rn_ip ips[3];
};

static int look_up_some(void *arg)
{
    struct lookup *l = arg;

    l->result = rn_lookup_host("some.test", &l->o, l->ips, 3);
    return 0;
}

RN_CORO_TEST(a_resolver_is_dropped_once_when_replaced_and_its_last_lookup_has_returned)
{
    struct mine m = {.answer = 2};
    struct lookup l = {.o = {.family = 4}};
    rn_group g = {0};

    CHECK_OK(rn_resolver_set(&(rn_resolver){.lookup = lookup_mine, .drop = drop_mine, .arg = &m}));
    CHECK_OK(rn_group_go(&g, look_up_some, &l));
    CHECK_OK(rn_sem_acquire(&m.inside, 1, 0));
    CHECK_OK(rn_resolver_set(&(rn_resolver){.lookup = never_asked}));
    CHECK_EQ(atomic_load(&m.drops), 0);
    rn_sem_release(&m.may_return, 1);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(l.result, 2);
    check_text(&l.ips[1], "1.0.0.0");
    CHECK_EQ(atomic_load(&m.drops), 1);
    CHECK_OK(rn_resolver_set(NULL));
    CHECK_EQ(atomic_load(&m.drops), 1);
}

RN_CORO_TEST(what_a_resolver_answers_is_what_the_caller_gets)
{
    struct mine m = {.answer = 5};
    struct lookup l = {.result = 0};
    rn_conn *c;

    CHECK_OK(rn_resolver_set(&(rn_resolver){.lookup = lookup_mine, .arg = &m}));
    rn_sem_release(&m.may_return, 7);
    CHECK_EQ(look_up_some(&l), 0);
    CHECK_EQ(l.result, 3); /* there was room for no more */
    m.answer = 0;
    CHECK_EQ(look_up_some(&l), 0);
    CHECK_EQ(l.result, -RN_ENOHOST);
    m.answer = -RN_EDNS;
    CHECK_EQ(look_up_some(&l), 0);
    CHECK_EQ(l.result, -RN_EDNS);
    CHECK_STR(rn_error_name(l.result), "RN_EDNS");
    CHECK_EQ(rn_dial("tcp", "some.test:80", NULL, &c), -RN_EDNS);
    m.answer = 1; /* of IPv6, which tcp4 does not dial */
    CHECK_EQ(rn_lookup_host("some.test", NULL, l.ips, 3), 1);
    CHECK_EQ(l.ips[0].family, 6);
    /* Local addresses and listeners do not wait for a resolver. */
    CHECK_EQ(rn_dial("tcp", "127.0.0.1:9", &(rn_dial_options){.local = "some.test:0"}, &c),
             -RN_ENOHOST);
    rn_sem_release(&m.may_return, 1);
    CHECK_EQ(rn_dial("tcp", "some.test:80", &(rn_dial_options){.deadline = rn_now()}, &c), -ETIME);
}

static bool was_asked(struct mine *m)
{
    return rn_sem_acquire(&m->inside, 1, 1) == 0;
}

RN_CORO_TEST(deadline_and_cancel_reach_the_resolver)
{
    struct mine m = {.answer = 1};
    struct lookup l = {.result = 0};
    rn_dial_options o = {0};
    rn_group g = {0};
    rn_conn *c;

    CHECK_OK(rn_resolver_set(&(rn_resolver){.lookup = lookup_mine, .arg = &m}));
    /* On a slow machine the deadline has passed before anybody is asked: again, with more time. */
    for (rn_time span = 5 * MS; !was_asked(&m); span *= 2) {
        l.o.deadline = rn_after(span);
        CHECK_EQ(look_up_some(&l), 0);
        CHECK_EQ(l.result, -ETIME);
    }
    for (rn_time span = 5 * MS; !was_asked(&m); span *= 2) {
        o.deadline = rn_after(span);
        CHECK_EQ(rn_dial("tcp", "some.test:80", &o, &c), -ETIME);
    }
    l.o.deadline = 0;
    CHECK_OK(rn_group_go(&g, look_up_some, &l));
    CHECK_OK(rn_sem_acquire(&m.inside, 1, 0));
    rn_group_cancel(&g);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(l.result, -ECANCELED);
}

/* ---- libc's ---- */

RN_CORO_TEST_ON(without_a_resolver_libc_is_asked_on_a_thread_of_its_own, 1)
{
    rn_time deadlines[] = {0, rn_after(10 * RN_SECOND)};
    rn_ip ips[16];

    for (int i = 0; i < 2; i++) {
        CHECK_OK(rn__sys_fail("openat", ENOENT, 1, 1)); /* our look at /etc/hosts, not libc's */
        CHECK(rn_lookup_host("localhost", &(rn_lookup_options){.deadline = deadlines[i]}, ips, 16) >
              0);
        rn__sys_clear();
        CHECK(ips[0].family == 4 ? ips[0].bytes[0] == 127 : ips[0].bytes[15] == 1);
    }
}

static bool has_input(int fd)
{
    return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) == 1;
}

/* In a network where the only name server, which is ours, never answers, libc is busy for long. */
static int ask_a_silent_server(void *fd)
{
    struct lookup l = {.result = 0};
    rn_group g = {0};
    rn_conn *c;

    /* A call that no thread has come to when its time is up is not made: again, with more time. */
    for (rn_time span = 50 * MS; !has_input(*(int *)fd); span *= 2) {
        l.o.deadline = rn_after(span);
        CHECK_EQ(look_up_some(&l), 0);
        CHECK_EQ(l.result, -ETIME);
    }
    CHECK_EQ(rn_dial("tcp", "some.test:80", &(rn_dial_options){.deadline = rn_after(50 * MS)}, &c),
             -ETIME);
    l.o.deadline = 0;
    CHECK_OK(rn_group_go(&g, look_up_some, &l));
    CHECK_OK(rn_sleep(10 * MS));
    rn_group_cancel(&g);
    CHECK_OK(rn_group_wait(&g, 0));
    CHECK_EQ(l.result, -ECANCELED);
    return 0;
}

RN_TEST(a_dial_does_not_wait_for_libc_beyond_its_deadline_or_cancel)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(53)};
    char path[] = "/tmp/rntest-resolv-XXXXXX";
    static const char text[] = "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n";
    int file, fd;

    rntest_new_network();
    rntest_loopback_up();
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) < 0)
        RN_TEST_SKIP("not permitted to make a mount namespace");
    file = mkstemp(path);
    CHECK_EQ(write(file, text, sizeof text - 1), (ssize_t)sizeof text - 1);
    close(file);
    CHECK_EQ(mount(path, "/etc/resolv.conf", "none", MS_BIND, NULL), 0);
    unlink(path);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    CHECK_EQ(rn_run(&(rn_run_options){.procs = 1}, ask_a_silent_server, &fd), 0);
    CHECK(recv(fd, path, sizeof path, MSG_DONTWAIT | MSG_TRUNC) > 12);
    _exit(0); /* not at the end of libc's patience */
}
