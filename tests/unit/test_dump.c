/*
 * test_dump.c - the list of all coroutines
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/sys.h"
#include "rntest_coro.h"
#include "task/dump.h"
#include "task/symbols.h"

#define MS RN_MILLISECOND

static char text[1 << 20];

/* What is dumped, by way of a file in memory. */
static void dump(void)
{
    int fd = memfd_create("dump", MFD_CLOEXEC);
    ssize_t n;

    CHECK_OK(fd);
    CHECK_OK(rn_dump(fd));
    n = pread(fd, text, sizeof text - 1, 0);
    CHECK_OK(n);
    text[n] = '\0';
    close(fd);
}

/* The line of a coroutine, by its name; "" where it has none. */
static const char *line_of(const char *name)
{
    static char line[600];
    char quoted[64];
    const char *at, *start, *end;

    snprintf(quoted, sizeof quoted, "\"%s\"", name);
    at = strstr(text, quoted);
    if (at == NULL)
        return "";
    for (start = at; start > text && start[-1] != '\n'; start--)
        ;
    end = strchr(start, '\n');
    snprintf(line, sizeof line, "%.*s", (int)(end - start), start);
    return line;
}

static void go_named(const char *name, int proc, void (*fn)(void *), void *arg)
{
    CHECK_OK(rn_go_with(&(rn_go_options){.name = name, .proc = proc}, fn, arg));
}

__attribute__((noinline)) static void deep_in_the_reader(void *conn)
{
    char c;

    (void)rn_read(conn, &c, 1);
    __asm__ volatile("" ::: "memory"); /* no tail call: a frame of its own */
}

static void reader(void *conn)
{
    deep_in_the_reader(conn);
    __asm__ volatile("" ::: "memory");
}

static void sleeper(void *arg)
{
    (void)rn_sleep(60 * RN_SECOND);
    (void)arg;
}

static void receiver(void *ch)
{
    int v;

    (void)rn_chan_recv(ch, &v);
}

static atomic_bool spin_on, spins;

static void spinner(void *arg)
{
    (void)arg;
    spins = true;
    while (spin_on)
        ;
}

RN_CORO_TEST(each_coroutine_is_listed_with_what_it_waits_for)
{
    rn_conn *a, *b;
    rn_chan *ch;
    char want[200], peer[128];

    rntest_pair(&a, &b);
    CHECK_OK(rn_chan_new(sizeof(int), 0, &ch));
    rn_set_read_deadline(a, rn_after(60 * RN_SECOND));
    go_named("reader", 1, reader, a);
    go_named("sleeper", 2, sleeper, NULL);
    go_named("receiver", 2, receiver, ch);
    rntest_until_all_wait();
    dump();
    CHECK(strstr(text, "4 coroutines on 2 Ps") != NULL);
    snprintf(want, sizeof want, "in read (fd %d, peer", rn_conn_fd(a));
    CHECK(strstr(line_of("reader"), want) != NULL);
    CHECK_OK(rn_remote_addr(a, peer, sizeof peer));
    snprintf(want, sizeof want, ", peer %s), for 5", peer); /* 59 s, or a little less */
    CHECK(strstr(line_of("reader"), want) != NULL);
    CHECK(strstr(line_of("reader"), "on P 1: parked for ") != NULL);
    CHECK(strstr(line_of("sleeper"), "on P 2: parked for ") != NULL);
    CHECK(strstr(line_of("sleeper"), "in sleep, for 5") != NULL);
    CHECK(strstr(line_of("sleeper"), " s more at most") != NULL);
    snprintf(want, sizeof want, "in receive (%p),", (void *)ch);
    CHECK(strstr(line_of("receiver"), want) != NULL);
    CHECK(strstr(line_of("main"), " running,") != NULL);
    CHECK(strstr(line_of("sleeper"), "started at 0x") != NULL);
    rn_chan_close(ch);
    rn_cancel(a);
    do { /* or the test's time is up */
        CHECK_OK(rn_sleep(MS));
        dump();
    } while (*line_of("reader") != '\0' || *line_of("receiver") != '\0');
    rn_close(a);
    rn_close(b);
    rn_chan_free(ch);
}

/* Of the reader's own frames only one is sure to have a symbol: those of the library. */
RN_CORO_TEST(a_parked_one_shows_its_backtrace)
{
    rn_conn *a, *b;
    const char *at, *next;
    int frames = 0;

    rntest_pair(&a, &b);
    go_named("reader", 1, reader, a);
    rntest_until_all_wait();
    dump();
    at = strstr(text, "\"reader\"");
    CHECK(at != NULL);
    next = strstr(at, "\ncoroutine ");
    for (const char *f = strstr(at, "    #"); f != NULL && (next == NULL || f < next);
         f = strstr(f + 1, "    #"))
        frames++;
    CHECK(frames >= 3);
    at = strstr(at, "rn_read");
    CHECK(at != NULL && (next == NULL || at < next));
    rn_cancel(a);
    rntest_until_all_wait();
    rn_close(a);
    rn_close(b);
}

static void *dump_from_thread(void *arg)
{
    (void)arg;
    dump();
    return NULL;
}

RN_CORO_TEST(a_stuck_proc_is_shown_too)
{
    pthread_t t;

    spin_on = true;
    go_named("spinner", rn_proc_id() == 1 ? 2 : 1, spinner, NULL);
    while (!spins)
        CHECK_OK(rn_sleep(MS));
    CHECK_OK(rn_sleep(30 * MS));
    CHECK_EQ(pthread_create(&t, NULL, dump_from_thread, NULL), 0);
    CHECK_EQ(pthread_join(t, NULL), 0);
    CHECK(strstr(line_of("spinner"), " running,") != NULL);
    CHECK(strstr(text, "awake, last looked around") != NULL);
    spin_on = false;
}

static int busy(void *arg)
{
    while (spin_on)
        CHECK_OK(rn_sleep(1));
    return arg == NULL ? 0 : -1;
}

RN_CORO_TEST(a_dump_harms_nobody_who_runs)
{
    rn_group g = RN_GROUP_INIT;

    spin_on = true;
    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_group_go(&g, busy, NULL));
    for (int i = 0; i < 20; i++) {
        dump();
        CHECK(strstr(text, " coroutines on 2 Ps") != NULL);
        CHECK_OK(rn_sleep(100 * RN_MICROSECOND));
    }
    spin_on = false;
    CHECK_OK(rn_group_wait(&g, 0));
}

static int quit_me(void *fds)
{
    char c[16];

    CHECK_EQ(raise(SIGQUIT), 0);
    CHECK_EQ(read(((int *)fds)[0], c, sizeof c), (int)sizeof c); /* and it goes on */
    CHECK_MEM(c, "runnel: 1 corout", 16);
    return 0;
}

RN_TEST(sigquit_dumps_where_that_was_asked_for)
{
    struct sigaction sa;
    int fds[2], err = dup(STDERR_FILENO);

    CHECK_OK(pipe2(fds, O_CLOEXEC));
    CHECK_OK(dup2(fds[1], STDERR_FILENO));
    CHECK_OK(rn_run(&(rn_run_options){.procs = 1, .dump_on_sigquit = true}, quit_me, fds));
    CHECK_OK(dup2(err, STDERR_FILENO));
    CHECK_OK(sigaction(SIGQUIT, NULL, &sa));
    CHECK(sa.sa_handler == SIG_DFL); /* as it was */
}

RN_CORO_TEST(what_cannot_be_written_is_told)
{
    CHECK_EQ(rn_dump(-1), -EBADF);
}

static void sleep_here(void *arg)
{
    (void)rn_sleep((rn_time)(uintptr_t)arg * RN_SECOND);
}

RN_CORO_TEST(groups_without_memory_or_room_are_told)
{
    int fd = memfd_create("groups", MFD_CLOEXEC);
    ssize_t n;

    CHECK_OK(fd);
    for (int i = 0; i < 20; i++)
        CHECK_OK(rn_go(sleep_here, (void *)1000));
    CHECK_OK(rn_go(sleep_here, (void *)1000));
    CHECK_OK(rn_go(sleep_here, (void *)1000));
    rn__mem_fail(1, 1);
    CHECK_EQ(rn__dump_groups(fd, 16), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK_EQ(rn__dump_groups(-1, 16), -EBADF);
    CHECK_OK(rn__dump_groups(fd, 2)); /* of at least three places, whoever has started by now */
    n = pread(fd, text, sizeof text - 1, 0);
    CHECK_OK(n);
    text[n] = '\0';
    CHECK(strstr(text, " coroutines at 2 places\n") != NULL);
    CHECK(strstr(text, " coroutines at other places\n") != NULL);
    close(fd);
}

/* What lies in a static function is named by the program's own table, and only that. */
RN_CORO_TEST(static_functions_have_names_once_they_were_loaded)
{
    size_t offset = 1;
    rn_conn *a, *b;

    rntest_pair(&a, &b);
    go_named("reader", 1, reader, a);
    do
        CHECK_OK(rn_sleep(5 * MS));
    while (dump(), strstr(line_of("reader"), "in read") == NULL);
    CHECK(strstr(text, "deep_in_the_reader+0x") == NULL);
    rn__symbols_load();
    dump();
    CHECK(strstr(text, " (deep_in_the_reader+0x") != NULL);
    CHECK(strcmp(rn__symbol((const char *)(uintptr_t)sleep_here, &offset), "sleep_here") == 0);
    CHECK_EQ(offset, 0);
    CHECK(rn__symbol(NULL, &offset) == NULL);
    CHECK(rn__symbol(text, &offset) == NULL);
    rn_cancel(a);
    CHECK_OK(rn_sleep(5 * MS));
    rn_close(a);
    rn_close(b);
}

/* What is no whole ELF file has no names, and harms nobody; nor does what fails. */
RN_TEST(a_file_without_functions_has_no_names)
{
    static const char *const calls[] = {"openat", "pread"};
    int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("part", 0);
    static char part[1 << 16];
    struct rn__symbols *s;
    char path[32];
    ssize_t n = pread(from, part, sizeof part, 0);

    CHECK(n > 4096 && to >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", to);
    CHECK(rn__symbols_read(path, 0) == NULL); /* empty */
    CHECK(rn__symbols_read("/dev/null", 0) == NULL);
    CHECK(rn__symbols_read("/none", 0) == NULL);
    for (int i = 0; i < 400; i++) { /* the head, with one byte of it wrong; and cut off */
        CHECK_EQ(ftruncate(to, 0), 0);
        CHECK_EQ(pwrite(to, part, (size_t)n, 0), n);
        if (i < 64)
            CHECK_EQ(pwrite(to, "\xff", 1, i), 1);
        else
            CHECK_EQ(ftruncate(to, (i - 64) * 16), 0);
        rn__symbols_free(rn__symbols_read(path, 0));
    }
    s = rn__symbols_read("/proc/self/exe", 0);
    CHECK(s != NULL);
    rn__symbols_free(s);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(rn__sys_fail(calls[i], EIO, 1, 1));
        CHECK(rn__symbols_read("/proc/self/exe", 0) == NULL);
        rn__sys_clear();
    }
    for (unsigned nth = 1; nth <= 3; nth++) {
        rn__mem_fail(nth, 1);
        CHECK(rn__symbols_read("/proc/self/exe", 0) == NULL);
        rn__mem_fail(0, 0);
    }
    rn__symbols_free(NULL);
    close(from);
    close(to);
}

RN_TEST(without_a_runtime_there_is_nothing_to_dump)
{
    CHECK_EQ(rn_dump(STDERR_FILENO), -EINVAL);
}

RN_CORO_TEST(each_kind_of_peer_is_written_as_it_is_dialled)
{
    static const char *const networks[] = {"tcp", "tcp6", "unix"};
    char want[200], peer[128];

    for (int i = 0; i < 3; i++) {
        rn_conn *a, *b;

        rntest_pair_on(networks[i], &a, &b);
        CHECK_OK(rn_remote_addr(a, peer, sizeof peer)); /* the listener's: not unnamed */
        go_named("reader", 1, reader, a);
        rntest_until_all_wait();
        dump();
        snprintf(want, sizeof want, ", peer %s)", peer);
        CHECK(strstr(line_of("reader"), want) != NULL);
        rn_cancel(a);
        rntest_until_all_wait();
        rn_close(a);
        rn_close(b);
    }
}

/* As deep as it gets, and back. */
__attribute__((noinline)) static void use_stack(size_t bytes)
{
    char page[4096];

    memset(page, 1, sizeof page);
    __asm__ volatile("" ::"r"(page) : "memory");
    if (bytes > sizeof page)
        use_stack(bytes - sizeof page);
    __asm__ volatile("" ::"r"(page) : "memory");
}

static void uses_little(void *arg)
{
    (void)arg;
}

static void uses_much(void *arg)
{
    use_stack(100 << 10);
    (void)arg;
}

/* KiB of the line whose site lies within this function. */
static long deepest(int nth)
{
    const char *at = text;

    for (int i = 0; at != NULL && i <= nth; i++)
        at = strstr(at + 1, "\nstack, at most: ");
    return at == NULL ? -1 : strtol(at + strlen("\nstack, at most: "), NULL, 10);
}

/* The second, on a stack that the first had used, is told apart: one in a thousand starts is. */
RN_CORO_TEST_ON(how_deep_stacks_get_is_told_by_where_they_began, 1)
{
    long most = 0, least = 1000;

    CHECK_OK(rn_go(uses_much, NULL));
    CHECK_OK(rn_sleep(MS));
    for (int i = 0; i < 3000; i++) {
        CHECK_OK(rn_go(uses_little, NULL));
        rn_yield();
    }
    dump();
    for (int i = 0; deepest(i) >= 0; i++) {
        most = deepest(i) > most ? deepest(i) : most;
        least = deepest(i) < least ? deepest(i) : least;
    }
    CHECK(most >= 100 && most <= 160);
#ifndef __SANITIZE_THREAD__
    CHECK(least <= 16);
#endif
}
