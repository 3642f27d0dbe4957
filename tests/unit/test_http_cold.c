/*
 * test_http_cold.c - files that are not in memory: another thread waits for the disk
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/sys.h"
#include "calls.h"
#include "http/files.h"
#include "http/negotiate.h"
#include "rntest_coro.h"
#include "task/proc.h"

#define N_FILES 600 /* more than the cache holds */
#define LARGE 100000

static char folder[] = "/tmp/rntest-cold-XXXXXX";
static struct rn__files_policy policy;
static struct rn__files files;

static void write_file(const char *name, const char *text, size_t len)
{
    int fd = openat(policy.root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    CHECK_OK(fd);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    CHECK_OK(ftruncate(fd, (off_t)len));
    close(fd);
}

static const char *name_of(int i)
{
    static char name[16];

    snprintf(name, sizeof name, "f%d", i);
    return name;
}

static void open_folder(int n)
{
    CHECK(mkdtemp(folder) != NULL);
    policy.root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(policy.root);
    if (rn__files_open(&policy, ".", O_PATH | O_DIRECTORY) == -ENOSYS) {
        CHECK_OK(rmdir(folder));
        RN_TEST_SKIP("no openat2 here"); /* qemu-user 7.2 */
    }
    for (int i = 0; i < n; i++)
        write_file(name_of(i), "small", 5);
    write_file("large", "large", LARGE);
    rn__files_init(&files, &policy);
}

static void close_folder(void)
{
    char command[64];

    rn__sys_clear();
    rn__files_free(&files);
    close(policy.root);
    snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
}

static struct rn__file *get(const char *name, rn_time now)
{
    struct rn__file *f = NULL;

    CHECK_OK(rn__files_get(&files, name, 0, now, &f));
    return f;
}

static void expect(const char *name, const char *bytes, rn_time now)
{
    struct rn__file *f = get(name, now);

    CHECK_EQ(f->st.st_size, strlen(bytes));
    CHECK_EQ(memcmp(f->bytes, bytes, strlen(bytes)), 0);
    rn__files_put(f);
}

RN_CORO_TEST(what_is_in_memory_is_read_by_the_p)
{
    struct rn__file *f;
    uint64_t elsewhere;
    char byte;
    int fd;

    open_folder(1);
    fd = openat(policy.root, "f0", O_RDONLY | O_CLOEXEC);
    if (preadv2(fd, &(struct iovec){&byte, 1}, 1, 0, RWF_NOWAIT) != 1) {
        close_folder();
        RN_TEST_SKIP("this file system cannot tell what is in memory");
    }
    close(fd);
    elsewhere = calls_elsewhere(RN__SYS_openat2);
    expect("f0", "small", 1);
    f = get("large", 1);
    rn__files_put(f);
    CHECK_EQ(calls_on_procs(RN__SYS_openat2), 2 + 1);
    CHECK_EQ(calls_on_procs(RN__SYS_preadv2), 1);
    expect("f0", "small", 2); /* remembered: no call at all */
    CHECK_EQ(calls_on_procs(RN__SYS_openat2), 2 + 1);
    CHECK_EQ(calls_elsewhere(RN__SYS_openat2), elsewhere);
    close_folder();
}

/* Not in memory, or nobody can tell. */
static const struct {
    const char *row;
    int error;
} colds[] = {
    {"openat2", EAGAIN}, {"openat2", EINVAL}, /* before Linux 5.12 */
    {"preadv2", EAGAIN}, {"preadv2", EOPNOTSUPP}, {"preadv2", ENOSYS},
};

RN_CORO_TEST(what_is_cold_is_opened_and_read_by_another_thread)
{
    int fds;

    open_folder(8);
    fds = rntest_count_fds();
    for (int i = 0; i < 5; i++) {
        uint64_t opens = calls_elsewhere(RN__SYS_openat2), reads = calls_elsewhere(RN__SYS_pread);

        CHECK_OK(rn__sys_fail(colds[i].row, colds[i].error, 1, 1));
        expect(name_of(i), "small", 1);
        rn__sys_clear();
        CHECK_EQ(calls_elsewhere(RN__SYS_openat2) - opens, 1);
        CHECK_EQ(calls_elsewhere(RN__SYS_pread) - reads, 1);
    }
    CHECK_OK(rn__sys_short("preadv2", 2, 1, 1)); /* a file of which one page is there */
    CHECK_OK(rn__sys_fail("preadv2", EAGAIN, 2, 1));
    expect("f5", "small", 1);
    CHECK_EQ(calls_on_procs(RN__SYS_pread), 0);
    CHECK_EQ(rntest_count_fds(), fds);
    close_folder();
}

RN_CORO_TEST(of_a_large_file_only_the_name_is_looked_for)
{
    struct rn__file *f;
    uint64_t opens;

    open_folder(0);
    opens = calls_elsewhere(RN__SYS_openat2);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
    f = get("large", 1);
    CHECK(f->fd >= 0);
    CHECK_EQ(f->st.st_size, LARGE);
    rn__files_put(f);
    CHECK_EQ(calls_elsewhere(RN__SYS_openat2) - opens, 1);
    CHECK_EQ(calls_on_procs(RN__SYS_preadv2), 0);
    close_folder();
}

/* That it has no neighbour must be known, not taken for granted. */
RN_CORO_TEST(neighbours_are_looked_for_by_another_thread)
{
    struct rn__file *f;

    open_folder(1);
    policy.precompressed = true;
    write_file("f0.gz", "gzip", 4);
    for (unsigned nth = 2; nth <= 4; nth++) { /* .br, .zst, .gz */
        uint64_t opens = calls_elsewhere(RN__SYS_openat2);

        CHECK_OK(rn__sys_fail("openat2", EAGAIN, nth, 1));
        f = get("f0", nth * 2 * RN_SECOND);
        CHECK_EQ(f->codings, RN__CODING_GZIP);
        CHECK_EQ(calls_elsewhere(RN__SYS_openat2) - opens, 4);
        rn__files_put(f);
        rn__sys_clear();
    }
    close_folder();
}

RN_CORO_TEST(an_error_that_another_thread_meets_is_told)
{
    struct rn__file *f = NULL;

    open_folder(1);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
    CHECK_EQ(rn__files_get(&files, "none", 0, 1, &f), -ENOENT);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
    CHECK_OK(rn__sys_fail("fstat", EIO, 1, 1));
    CHECK_EQ(rn__files_get(&files, "f0", 0, 1, &f), -EIO);
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("preadv2", EAGAIN, 1, 1));
    CHECK_OK(rn__sys_fail("pread", EIO, 1, 1));
    CHECK_EQ(rn__files_get(&files, "f0", 0, 1, &f), -EIO);
    CHECK(f == NULL);
    close_folder();
}

/* Its writer has cut it off after the look at its length, and goes on. */
RN_CORO_TEST(a_file_that_shrinks_while_it_is_read_is_read_anew)
{
    struct rn__file *f = NULL;

    open_folder(1);
    CHECK_OK(rn__sys_short("preadv2", 0, 1, 1));
    expect("f0", "small", 1);
    write_file("f0", "small", 5); /* else it may be taken for what is known */
    CHECK_OK(rn__sys_short("preadv2", 0, 1, 1000));
    CHECK_EQ(rn__files_get(&files, "f0", 0, 1 + 2 * RN_SECOND, &f), -EBUSY);
    CHECK(f == NULL);
    rn__sys_clear();
    expect("f0", "small", 1 + 2 * RN_SECOND);
    close_folder();
}

RN_CORO_TEST(where_no_thread_can_be_had_the_p_waits)
{
    open_folder(1);
    CHECK_OK(rn__sys_fail("clone", EAGAIN, 1, 100));
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
    expect("f0", "small", 1);
    CHECK_EQ(calls_on_procs(RN__SYS_pread), 1);
    close_folder();
}

RN_CORO_TEST(without_memory_to_tell_others_each_looks_for_himself)
{
    open_folder(1);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
    rn__mem_fail(1, 1);
    expect("f0", "small", 1);
    CHECK_EQ(rn__mem_failures(), 1);
    rn__mem_fail(0, 0);
    close_folder();
}

/* ---- while another thread looks ---- */

static atomic_bool may_go_on;

static int occupy(void *arg)
{
    while (!may_go_on)
        usleep(100);
    return arg == NULL ? 0 : -1;
}

/* The pool's only thread is busy, so each look that needs one waits until it is let go. */
static int occupy_pool(void *arg)
{
    return rn_offload(occupy, arg, NULL);
}

static int get_f0(void *now)
{
    expect("f0", "small", *(rn_time *)now);
    return 0;
}

static void begin_looks(rn_group *g, rn_time *now, int n)
{
    may_go_on = false;
    CHECK_OK(rn_group_go(g, occupy_pool, NULL));
    rn_yield();
    for (int i = 0; i < n; i++) {
        CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
        CHECK_OK(rn_group_go(g, get_f0, now));
        rn_yield();
        CHECK_EQ(rn__sys_hits(), 1);
        rn__sys_clear();
    }
}

static void end_looks(rn_group *g)
{
    may_go_on = true;
    CHECK_OK(rn_group_wait(g, 0));
}

static int on_one_thread(int (*fn)(void *arg))
{
    return rn_run(&(rn_run_options){.procs = 1, .offload_threads = 1}, fn, NULL);
}

/* One P: if it waited for the disk nobody would go on. */
static int others_go_on(void *arg)
{
    rn_group g = RN_GROUP_INIT;
    rn_time now = 1;

    (void)arg;
    open_folder(2);
    begin_looks(&g, &now, 2);
    expect("f1", "small", 1);
    expect("f0", "small", 1); /* the same one: two came for it, a third finds it in memory */
    end_looks(&g);
    CHECK_EQ(files.n, 2);
    expect("f0", "small", 1);
    close_folder();
    return 0;
}

RN_TEST(others_are_served_while_a_thread_waits_for_the_disk)
{
    CHECK_OK(on_one_thread(others_go_on));
}

static int get_nothing(void *now)
{
    struct rn__file *f;

    CHECK_EQ(rn__files_get(&files, "none", 0, *(rn_time *)now, &f), -ENOENT);
    return 0;
}

/* Many come at once for a file that nobody had asked for yet, as when its link was published. */
static int one_looks_for_all(void *arg)
{
    int (*const what[])(void *) = {get_f0, get_nothing};
    rn_time now = 1;
    uint64_t jobs;

    (void)arg;
    open_folder(1);
    for (int i = 0; i < 2; i++) {
        rn_group g = RN_GROUP_INIT;

        begin_looks(&g, &now, 0);
        CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 100)); /* none of it is in memory */
        jobs = calls_elsewhere(RN__SYS_openat2);
        for (int n = 0; n < 100; n++)
            CHECK_OK(rn_group_go(&g, what[i], &now));
        for (int n = 0; n < 300 && rn__sys_hits() < 100; n++)
            rn_yield();
        CHECK_EQ(rn__sys_hits(), 100);
        rn__sys_clear();
        end_looks(&g);
        CHECK_EQ(calls_elsewhere(RN__SYS_openat2) - jobs, 1);
    }
    CHECK_EQ(files.n, 1);
    for (size_t i = 0; i < RN_COUNT_OF(files.flights); i++)
        CHECK(files.flights[i] == NULL);
    close_folder();
    return 0;
}

RN_TEST(of_many_who_would_wait_for_the_disk_one_has_a_thread)
{
    CHECK_OK(on_one_thread(one_looks_for_all));
}

static int get_f0_in_vain(void *now)
{
    expect("f0", "small", *(rn_time *)now); /* though it is cancelled */
    return -ECANCELED;
}

/* Who is cancelled while he waits for another looks for himself, on his P. */
static int one_is_cancelled(void *arg)
{
    rn_group g = RN_GROUP_INIT, cancelled = RN_GROUP_INIT;
    rn_time now = 1;

    (void)arg;
    open_folder(1);
    begin_looks(&g, &now, 1);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1));
    CHECK_OK(rn_group_go(&cancelled, get_f0_in_vain, &now));
    rn_yield();
    CHECK_EQ(rn__sys_hits(), 1);
    rn__sys_clear();
    rn_group_cancel(&cancelled);
    CHECK_EQ(rn_group_wait(&cancelled, 0), -ECANCELED);
    end_looks(&g);
    CHECK_EQ(files.n, 1);
    for (size_t i = 0; i < RN_COUNT_OF(files.flights); i++)
        CHECK(files.flights[i] == NULL);
    close_folder();
    return 0;
}

RN_TEST(who_is_cancelled_while_another_looks_looks_for_himself)
{
    CHECK_OK(on_one_thread(one_is_cancelled));
}

/* Of many who come for a file whose second is over one looks. */
static int one_looks(void *arg)
{
    rn_group g = RN_GROUP_INIT;
    rn_time now = RN_SECOND;
    uint64_t opens;

    (void)arg;
    open_folder(1);
    expect("f0", "small", now);
    now += 2 * RN_SECOND;
    begin_looks(&g, &now, 1);
    opens = calls_on_procs(RN__SYS_openat2);
    for (int i = 0; i < 100; i++)
        expect("f0", "small", now);
    CHECK_EQ(calls_on_procs(RN__SYS_openat2), opens);
    end_looks(&g);
    CHECK_EQ(files.n, 1);
    close_folder();
    return 0;
}

RN_TEST(what_was_known_is_good_enough_while_one_looks)
{
    CHECK_OK(on_one_thread(one_looks));
}

/* Changed or not, or gone: what the look began with may be in the cache no longer. */
static int old_is_evicted(void *arg)
{
    rn_group g = RN_GROUP_INIT;
    rn_time now = RN_SECOND;
    struct rn__file *f;

    (void)arg;
    open_folder(N_FILES);
    for (int way = 0; way < 4; way++) {
        do {
            f = get("f0", now += 2 * RN_SECOND);
            rn__files_put(f);
        } while (way >= 2 && f->unsettled);
        now += 2 * RN_SECOND;
        if (way < 2)
            write_file("f0", "small", 5);
        begin_looks(&g, &now, 1);
        for (int i = 1; i < N_FILES; i++)
            expect(name_of(i), "small", now);
        if (way % 2 == 0) /* and there is another one */
            expect("f0", "small", now);
        end_looks(&g);
        expect("f0", "small", now);
    }
    now += 2 * RN_SECOND;
    begin_looks(&g, &now, 1);
    CHECK_OK(unlinkat(policy.root, "f0", 0)); /* the look that waits finds nothing */
    CHECK_EQ(rn__files_get(&files, "f0", 0, now + 2 * RN_SECOND, &f), -ENOENT);
    write_file("f0", "small", 5);
    end_looks(&g);
    close_folder();
    return 0;
}

RN_TEST(an_entry_may_be_evicted_while_it_is_looked_up_again)
{
    CHECK_OK(on_one_thread(old_is_evicted));
}

/* ---- renames ---- */

RN_CORO_TEST(an_open_that_a_rename_disturbs_is_tried_again)
{
    struct rn__file *f = NULL;

    open_folder(1);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1 + 31)); /* once on the P */
    expect("f0", "small", 1);
    CHECK_EQ(rn__sys_hits(), 32);
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1000)); /* not for ever */
    CHECK_EQ(rn__files_get(&files, "f0", 0, 1 + 2 * RN_SECOND, &f), -EBUSY);
    CHECK_EQ(rn__sys_hits(), 1 + 32);
    close_folder();
}

static atomic_bool renamed_enough;

static void *rename_about(void *arg)
{
    while (!renamed_enough) {
        CHECK_OK(renameat(policy.root, "other", policy.root, "another"));
        CHECK_OK(renameat(policy.root, "another", policy.root, "other"));
    }
    return arg;
}

/* Without a second try one in ten is refused. */
RN_TEST(a_link_is_followed_while_others_rename)
{
    pthread_t thread;

    open_folder(1);
    CHECK_OK(mkdirat(policy.root, "sub", 0755));
    CHECK_OK(mkdirat(policy.root, "other", 0755));
    CHECK_OK(symlinkat("sub/../sub/../sub/../sub/../sub/../f0", policy.root, "link"));
    CHECK_EQ(pthread_create(&thread, NULL, rename_about, NULL), 0);
    for (int i = 0; i < 2000; i++) {
        int fd = rn__files_open(&policy, "link", O_PATH);

        CHECK_OK(fd);
        close(fd);
    }
    renamed_enough = true;
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close_folder();
}
