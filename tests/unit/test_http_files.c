/*
 * test_http_files.c - the cache of open files
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sys.h"
#include "http/files.h"
#include "http/text.h"
#include "rntest.h"

static char folder[] = "/tmp/rntest-files-XXXXXX";
static int root;
static struct rn__files_policy policy;
static struct rn__files files;

static void write_file(const char *name, size_t len)
{
    int fd = openat(root, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    CHECK_OK(fd);
    CHECK_OK(ftruncate(fd, (off_t)len));
    close(fd);
}

static void name_of(char *name, int i)
{
    snprintf(name, 16, "f%d", i);
}

static void open_files(int n, size_t len)
{
    char name[16];

    CHECK(mkdtemp(folder) != NULL);
    root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(root);
    policy.root = root;
    /* qemu-user 7.2 and valgrind 3.19 do not know openat2. */
    if (rn__files_open(&policy, ".", O_PATH | O_DIRECTORY) == -ENOSYS) {
        CHECK_OK(rmdir(folder));
        RN_TEST_SKIP("no openat2 here");
    }
    for (int i = 0; i < n; i++) {
        name_of(name, i);
        write_file(name, len);
    }
    rn__files_init(&files, &policy);
}

static void close_files(int n)
{
    char name[16];

    rn__files_free(&files);
    for (int i = 0; i < n; i++) {
        name_of(name, i);
        CHECK_OK(unlinkat(root, name, 0));
    }
    close(root);
    CHECK_OK(rmdir(folder));
}

static struct rn__file *get(int i, rn_time now)
{
    struct rn__file *f = NULL;
    char name[16];

    name_of(name, i);
    CHECK_OK(rn__files_get(&files, name, 0, now, &f));
    return f;
}

static long size_of(int i, rn_time now)
{
    struct rn__file *f = get(i, now);
    long size = (long)f->st.st_size;

    rn__files_put(f);
    return size;
}

/* It is then the first to be evicted for the entry that replaces it. */
RN_TEST(the_oldest_of_a_full_cache_may_have_changed)
{
    rn_time now = RN_SECOND;

    open_files(600, 10);
    for (int i = 0; i < 600; i++) /* more than the cache holds */
        CHECK_EQ(size_of(i, now), 10);
    for (int i = 88; i < 600; i++) {
        char name[16];

        name_of(name, i);
        write_file(name, 20);
        CHECK_EQ(size_of(i, now + 2 * RN_SECOND), 20);
    }
    close_files(600);
}

static void expect_kept(int i, bool kept)
{
    struct rn__file *f = get(i, RN_SECOND);

    CHECK_EQ(f->fd < 0, kept);
    CHECK_EQ(f->bytes != NULL, kept);
    rn__files_put(f);
}

/* 8 MiB of them; then those above 8 KiB keep their descriptor instead. */
RN_TEST(the_bytes_of_medium_files_are_kept_as_long_as_they_are_few)
{
    enum { N = 300, FULL = 256 };

    open_files(N, 32 << 10);
    write_file("f0", (32 << 10) + 1);
    expect_kept(0, false);
    for (int i = 1; i <= FULL; i++)
        expect_kept(i, true);
    CHECK_EQ(files.kept, 8 << 20);
    write_file("f257", (8 << 10) + 1);
    write_file("f258", 8 << 10);
    expect_kept(257, false);
    expect_kept(258, true);
    CHECK_EQ(files.kept, (8 << 20) + (8 << 10));
    write_file("f1", 0);
    rn__files_put(get(1, 3 * RN_SECOND)); /* replaced: its bytes no longer count */
    CHECK_EQ(files.kept, (8 << 20) - (24 << 10));
    expect_kept(259, true);
    close_files(N);
    CHECK_EQ(files.kept, 0);
}

RN_TEST(who_still_sends_a_replaced_file_keeps_it)
{
    rn_time now = RN_SECOND;
    struct rn__file *old;

    open_files(1, 100000);
    old = get(0, now);
    write_file("f0", 50000);
    CHECK_EQ(size_of(0, now), 100000); /* not looked up yet */
    CHECK_EQ(size_of(0, now + 2 * RN_SECOND), 50000);
    CHECK_EQ(old->st.st_size, 100000);
    CHECK(fcntl(old->fd, F_GETFD) >= 0);
    rn__files_put(old);
    close_files(1);
}

/* The number may have been given to another file. */
static bool is_open(int fd, ino_t inode)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_ino == inode;
}

RN_TEST(what_nobody_asks_for_is_closed)
{
    rn_time now = RN_SECOND;
    struct rn__file *f;
    ino_t inode;
    int fd;

    open_files(2, 100000);
    f = get(0, now);
    fd = f->fd;
    inode = f->st.st_ino;
    rn__files_put(f);
    CHECK(is_open(fd, inode));
    CHECK_EQ(size_of(1, now + 30 * RN_SECOND), 100000);
    CHECK(is_open(fd, inode));
    CHECK_EQ(size_of(1, now + 90 * RN_SECOND), 100000);
    CHECK(!is_open(fd, inode));
    close_files(2);
}

static void fill(const char *name, char byte, size_t len)
{
    char text[64];
    int fd = openat(root, name, O_WRONLY | O_CLOEXEC);

    memset(text, byte, sizeof text);
    CHECK_OK(fd);
    CHECK_EQ(pwrite(fd, text, len, 0), len);
    close(fd);
}

/* The clock of files moves in steps: the second change may leave the time of the first. */
RN_TEST(a_change_within_the_tick_of_the_last_is_noticed)
{
    rn_time now = RN_SECOND;
    struct rn__file *f;

    open_files(1, 10);
    for (int i = 0; i < 50; i++) {
        fill("f0", 'a', 10);
        f = get(0, now += 2 * RN_SECOND);
        CHECK_EQ(f->bytes[9], 'a');
        CHECK(!f->unsettled || strncmp(f->validators.etag, "W/\"", 3) == 0);
        rn__files_put(f);
        fill("f0", 'b', 10);
        f = get(0, now += 2 * RN_SECOND);
        CHECK_EQ(f->bytes[9], 'b');
        rn__files_put(f);
    }
    do { /* and what has not changed for a while is known by a strong tag, and kept */
        f = get(0, now += 2 * RN_SECOND);
        rn__files_put(f);
    } while (f->unsettled);
    CHECK_EQ(f->validators.etag[0], '"');
    CHECK(get(0, now + 2 * RN_SECOND) == f);
    rn__files_put(f);
    close_files(1);
}

/* Where times move in steps, a change may leave the times, and so the hash of them, as they were;
 * who had the version before would be told that it is good: the weak comparison passes over W/. */
RN_TEST(a_weak_tag_is_not_given_twice)
{
    rn_time now = RN_SECOND;
    int pairs = 0;

    open_files(1, 10);
    for (int i = 0; i < 1000 && pairs < 10; i++) {
        struct rn__file *one, *other;

        fill("f0", 'a', 10);
        one = get(0, now += 2 * RN_SECOND);
        other = get(0, now += 2 * RN_SECOND);
        if (one->unsettled && other->unsettled) {
            CHECK(memcmp(one->validators.etag, other->validators.etag, one->validators.etag_len) !=
                  0);
            pairs++;
        }
        rn__files_put(one);
        rn__files_put(other);
    }
    CHECK(pairs > 0); /* unless a look takes 20 ms a thousand times */
    close_files(1);
}

/* By the step in which its file system counts; the clock of a server of files may be ahead. */
RN_TEST(a_file_is_unsettled_until_the_next_change_shows)
{
    static const struct {
        long changed_s, changed_ns, now_s, now_ns;
        bool unsettled, by_second;
    } rows[] = {
        {100, 5, 100, 5, true, false},         {100, 5, 100, 20000004, true, false},
        {100, 5, 100, 20000005, false, false}, {100, 999999999, 101, 0, true, false},
        {100, 5, 99, 0, true, false},          {100, 0, 100, 20000005, true, false},
        {100, 0, 102, 19999999, true, false},  {100, 0, 102, 20000000, false, false},
        {100, 5, 102, 20000004, true, true},   {100, 5, 102, 20000005, false, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct stat st = {.st_ctim = {rows[i].changed_s, rows[i].changed_ns}};
        struct timespec now = {rows[i].now_s, rows[i].now_ns};

        if (rn__is_unsettled(&st, &now, rows[i].by_second) != rows[i].unsettled)
            rntest_fail_at(__FILE__, __LINE__, "row %zu", i);
    }
}

static size_t tag_of(char *tag, size_t room)
{
    static rn_time now = RN_SECOND;
    struct rn__file *f;

    do {
        f = get(0, now += 2 * RN_SECOND);
        CHECK(f->validators.etag_len < room);
        memcpy(tag, f->validators.etag, f->validators.etag_len);
        rn__files_put(f);
    } while (f->unsettled);
    return f->validators.etag_len;
}

/* Not by bytes of the same number, put there under the old date. */
RN_TEST(a_tag_says_one_version)
{
    struct timespec times[2];
    char one[64], other[64];
    struct stat st;
    size_t len;

    open_files(1, 10);
    CHECK_OK(fstatat(root, "f0", &st, 0));
    times[0] = times[1] = st.st_mtim;
    len = tag_of(one, sizeof one);
    CHECK_EQ(tag_of(other, sizeof other), len);
    CHECK_EQ(memcmp(one, other, len), 0);
    fill("f0", 'b', 10);
    CHECK_OK(utimensat(root, "f0", times, 0));
    len = tag_of(other, sizeof other);
    CHECK(memcmp(one, other, len) != 0);
    close_files(1);
}

static void date_file(const char *name, time_t s, long ns)
{
    struct timespec times[2] = {{.tv_sec = s, .tv_nsec = ns}, {.tv_sec = s, .tv_nsec = ns}};

    CHECK_OK(utimensat(root, name, times, 0));
}

static void expect_tags(int i, int j, bool alike)
{
    static rn_time now = RN_SECOND;
    struct rn__file *one, *other;

    do {
        one = get(i, now += 2 * RN_SECOND);
        other = get(j, now);
        rn__files_put(one);
        rn__files_put(other);
    } while (one->unsettled || other->unsettled); /* they are in the cache */
    CHECK_EQ(one->validators.etag_len == other->validators.etag_len &&
                 memcmp(one->validators.etag, other->validators.etag, one->validators.etag_len) ==
                     0,
             alike);
}

/* As other machines have them, and the next version of a container has what did not change. */
RN_TEST(copies_of_a_file_share_a_tag_if_they_are_to)
{
    policy.shared_tags = true;
    open_files(4, 10);
    write_file("f3", 11);
    date_file("f0", 1000, 5);
    date_file("f1", 1000, 0); /* a copy that keeps seconds only */
    date_file("f2", 1001, 5);
    date_file("f3", 1000, 5);
    expect_tags(0, 1, true);
    expect_tags(0, 2, false);
    expect_tags(0, 3, false);
    policy.shared_tags = false;
    date_file("f0", 1000, 5); /* as changed, and looked at anew */
    date_file("f1", 1000, 5);
    expect_tags(0, 1, false);
    close_files(4);
}

/* RFC 9110 8.8.2.1: else who asks by that date would never see the next version. */
RN_TEST(a_file_of_tomorrow_is_of_now)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) + 86400}, {.tv_sec = time(NULL) + 86400}};
    char line[64] = "Last-Modified: ";
    struct rn__file *f;

    open_files(1, 10);
    CHECK_OK(utimensat(root, "f0", times, 0));
    f = get(0, RN_SECOND);
    CHECK(f->validators.modified <= time(NULL));
    CHECK(f->validators.modified > time(NULL) - 20);
    rn__http_date(f->validators.modified, line + strlen(line));
    CHECK(memmem(f->head, f->head_len, line, strlen(line)) != NULL);
    rn__files_put(f);
    close_files(1);
}

RN_TEST(a_file_that_is_written_while_it_is_sent_is_found_out)
{
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct rn__file *f;

    open_files(1, 100000);
    CHECK_OK(utimensat(root, "f0", times, 0)); /* else the next change might be in the same tick */
    f = get(0, RN_SECOND);
    CHECK_OK(rn__files_check(f));
    write_file("f0", 200000);
    CHECK_OK(rn__files_check(f)); /* longer: what was promised is there */
    write_file("f0", 100000);
    CHECK_EQ(rn__files_check(f), -RN_ETRUNCATED);
    write_file("f0", 50000);
    CHECK_EQ(rn__files_check(f), -RN_ETRUNCATED);
    CHECK_OK(rn__sys_fail("fstat", EIO, 1, 1));
    CHECK_EQ(rn__files_check(f), -EIO);
    rn__files_put(f);
    close_files(1);
}

/* What is known is better than nothing, until a look can be had again. */
RN_TEST(a_file_that_cannot_be_looked_up_anew_is_as_it_was)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM};
    rn_time now = RN_SECOND;

    open_files(1, 100000);
    CHECK_EQ(size_of(0, now), 100000);
    write_file("f0", 50000);
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        now += 2 * RN_SECOND;
        CHECK_OK(rn__sys_fail("openat2", errors[i], 1, 100));
        CHECK_EQ(size_of(0, now), 100000);
        rn__sys_clear();
    }
    CHECK_EQ(size_of(0, now), 100000); /* its second is not over */
    CHECK_EQ(size_of(0, now + 2 * RN_SECOND), 50000);
    close_files(1);
}

RN_TEST(without_descriptors_the_oldest_make_room)
{
    struct rlimit lim = {.rlim_cur = 40, .rlim_max = 40};

    open_files(100, 100000);
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &lim));
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++)
            CHECK_EQ(size_of(i, RN_SECOND), 100000);
    close_files(100);
}
