/*
 * test_http_path.c - paths of requests as names of files: nothing gets out of the root
 */
#include "http/path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rntest.h"

struct path_case {
    const char *path;
    const char *name; /* NULL: -EINVAL */
    bool is_dir;
};

static const struct path_case cases[] = {
    {"", ".", true}, /* RFC 9112 3.2.2: absolute form without a path */
    {"/", ".", true},
    {"/a", "a", false},
    {"/a/", "a", true},
    {"/a/b.html", "a/b.html", false},
    {"/.hidden", ".hidden", false},
    {"/...", "...", false},
    {"/..a", "..a", false},
    {"/a..", "a..", false},
    {"/.a/..b/", ".a/..b", true},
    {"a", NULL, false},
    {"*", NULL, false},
    {"../a", NULL, false},
    /* RFC 3986 5.2.4: dot segments */
    {"/.", ".", true},
    {"/./", ".", true},
    {"/./a", "a", false},
    {"/a/.", "a", true},
    {"/a/./b", "a/b", false},
    {"/a/..", ".", true},
    {"/a/../", ".", true},
    {"/a/../b", "b", false},
    {"/a/b/..", "a", true},
    {"/a/b/../../c", "c", false},
    {"/a/b/c/./../../g", "a/g", false},
    {"/..", NULL, false},
    {"/../", NULL, false},
    {"/../a", NULL, false},
    {"/a/../..", NULL, false},
    {"/a/../../a", NULL, false},
    {"/./..", NULL, false},
    {"/a/b/../../../etc/passwd", NULL, false},
    /* RFC 3986 2.1, 6.2.2: percent-encoding, decoded once and before dots are looked for */
    {"/%61", "a", false},
    {"/a%20b", "a b", false},
    {"/%c3%A9", "\xc3\xa9", false},
    {"/%2e", ".", true},
    {"/a/%2E%2e/b", "b", false},
    {"/a/.%2e", ".", true},
    {"/%2e%2e/etc", NULL, false},
    {"/.%2E/etc", NULL, false},
    {"/%252e%252e/etc", "%2e%2e/etc", false},
    {"/%2500", "%00", false},
    {"/%25", "%", false},
    {"/a%3fb%23c", "a?b#c", false},
    {"/a%5c..%5cb", "a\\..\\b", false},
    {"/%2f", NULL, false},
    {"/a%2Fb", NULL, false},
    {"/..%2fetc", NULL, false},
    {"/%00", NULL, false},
    {"/a%00.html", NULL, false},
    {"/%", NULL, false},
    {"/%4", NULL, false},
    {"/%/41", NULL, false},
    {"/%4/1", NULL, false},
    {"/%4g", NULL, false},
    {"/%g4", NULL, false},
    {"/% 4", NULL, false},
    {"/%%41", NULL, false},
    {"/%u0041", NULL, false},
    {"/%-1", NULL, false},
    {"/%\x11\x11", NULL, false}, /* 0x11 | 0x20 is '1' */
    /* Empty segments: kept inside, never first (the name would be absolute) or last */
    {"/a//b", "a//b", false},
    {"/a///b", "a///b", false},
    {"//", ".", true},
    {"//a", "a", false},
    {"///etc/passwd", "etc/passwd", false},
    {"/a//", "a", true},
    {"/a/..//b", "b", false},
    {"/.//b", "b", false},
    {"//..", NULL, false},
    {"/a//../b", "a/b", false},
    {"/a//..//b", "a//b", false},
};

/* The last byte of the path lies before an unreadable page. */
static const char *edge_copy(const char *bytes, size_t len)
{
    static char *edge;

    if (edge == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0);

        if (room == MAP_FAILED || mprotect(room + page, page, PROT_NONE) != 0)
            abort();
        edge = room + page;
    }
    return len == 0 ? edge : memcpy(edge - len, bytes, len);
}

RN_TEST(http_path_cases)
{
    char out[256];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct path_case *t = &cases[i];
        size_t len = strlen(t->path);
        bool is_dir = !t->is_dir;
        ssize_t r = rn__http_path(edge_copy(t->path, len), len, out, sizeof out, &is_dir);

        if (t->name == NULL ? r != -EINVAL : r < 0 || strcmp(out, t->name) != 0)
            fprintf(stderr, "%s: got %zd %s\n", t->path, r, r > 0 ? out : "");
        if (t->name == NULL) {
            CHECK_EQ(r, -EINVAL);
            CHECK_EQ(is_dir, !t->is_dir); /* untouched on failure */
            continue;
        }
        CHECK_EQ(r, strlen(t->name));
        CHECK_STR(out, t->name);
        CHECK_EQ(is_dir, t->is_dir);
    }
}

RN_TEST(http_path_raw_nul_is_refused)
{
    char out[16];
    bool is_dir;

    CHECK_EQ(rn__http_path("/a\0b", 4, out, sizeof out, &is_dir), -EINVAL);
}

/* Exactly enough room works, one byte less does not, and nothing is written past it. */
RN_TEST(http_path_room)
{
    static const char path[] = "/ab/%63d/";
    char out[16];
    bool is_dir;

    for (size_t room = 0; room < sizeof out; room++) {
        ssize_t r;

        memset(out, '#', sizeof out);
        r = rn__http_path(path, strlen(path), out, room, &is_dir);
        CHECK_EQ(r, room > strlen("ab/cd/") ? (ssize_t)strlen("ab/cd") : -ENAMETOOLONG);
        for (size_t i = room; i < sizeof out; i++)
            CHECK_EQ(out[i], '#');
    }
    CHECK_EQ(rn__http_path("/", 1, out, 2, &is_dir), 1);
    CHECK_STR(out, ".");
    CHECK_EQ(rn__http_path("/", 1, out, 1, &is_dir), -ENAMETOOLONG);
    CHECK_EQ(rn__http_path("/", 1, out, 0, &is_dir), -ENAMETOOLONG);
}

/* All words over a nasty alphabet: whatever is accepted is relative and has no dot segments. */
RN_TEST(http_path_never_leaves_the_root)
{
    static const char *const pieces[] = {"/", ".", "%2e", "a", "..", "%2f", "%"};
    enum { N = sizeof pieces / sizeof *pieces, LENGTH = 6 };
    unsigned words = 1, accepted = 0;

    for (int i = 0; i < LENGTH; i++)
        words *= N;
    for (unsigned w = 0; w < words; w++) {
        char path[64] = "/", out[64], fenced[80];
        bool is_dir;
        unsigned v = w;

        for (int i = 0; i < LENGTH; i++, v /= N)
            strcat(path, pieces[v % N]);
        if (rn__http_path(path, strlen(path), out, sizeof out, &is_dir) < 0 ||
            strcmp(out, ".") == 0)
            continue;
        snprintf(fenced, sizeof fenced, "/%s/", out);
        CHECK(out[0] != '/' && out[0] != '\0' && out[strlen(out) - 1] != '/');
        CHECK(strstr(fenced, "/./") == NULL && strstr(fenced, "/../") == NULL);
        accepted++;
    }
    CHECK(accepted > words / 10); /* the loop did test something */
}
