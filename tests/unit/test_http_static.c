/*
 * test_http_static.c - files below a directory, at the root and in a mux
 */
#include <sys/stat.h>

#include "http_test.h"

static char dir[] = "/tmp/rntest-site-XXXXXX";

static void put_file(const char *name, const char *text, size_t times)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    CHECK(f != NULL);
    while (times-- > 0)
        fputs(text, f);
    CHECK_EQ(fclose(f), 0);
}

static void make_site(void)
{
    char path[256];

    CHECK(mkdtemp(dir) != NULL);
    put_file("index.html", "<p>home", 1);
    put_file("small.txt", "0123456789", 10);
    put_file("large.bin", "0123456789", 5000);
    put_file(".hidden", "no", 1);
    snprintf(path, sizeof path, "%s/sub", dir);
    CHECK_EQ(mkdir(path, 0755), 0);
    put_file("sub/index.html", "<p>sub", 1);
}

static void remove_site(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_EQ(system(command), 0);
}

static const struct {
    const char *line, *want;
} rows[] = {
    {"GET /", "\r\n\r\n<p>home"},
    {"GET /small.txt", "Content-Length: 100\r\n"},
    {"GET /small.txt", "Content-Type: text/plain"},
    {"GET /large.bin", "Content-Length: 50000\r\n"},
    {"GET /sub", "Location: /sub/\r\n"},
    {"GET /sub?a", "Location: /sub/?a\r\n"},
    {"GET /sub/", "\r\n\r\n<p>sub"},
    {"GET /none", " 404 "},
    {"GET /.hidden", " 404 "},
    {"GET /sub/../small.txt", " 200 "},
    {"GET /../small.txt", " 400 "},
    {"GET /%2e%2e/%2e%2e/etc/passwd", " 400 "},
    {"POST /small.txt", "Allow: GET, HEAD\r\n"},
    {"BREW /small.txt", " 501 "},
};

RN_CORO_TEST(files_below_a_directory_are_served_and_nothing_else)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files = NULL;
    char request[256];

    make_site();
    CHECK_EQ(rn_http_files_new("/tmp/rntest-none", &files), -ENOENT);
    CHECK_EQ(rn_http_files_new("/etc/passwd", &files), -ENOTDIR);
    CHECK(files == NULL);
    if (rn_http_files_new(dir, &files) == -ENOSYS)
        RN_TEST_SKIP("no openat2");
    open_site(s, NULL, rn_http_files_handler, files);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: x\r\n\r\n", rows[i].line);
        if (strstr(ask(s, request), rows[i].want) == NULL)
            rntest_fail_at(__FILE__, __LINE__, "%s: no \"%s\" in \"%.200s\"", rows[i].line,
                           rows[i].want, s->answer);
    }
    CHECK_EQ(strlen(strstr(ask(s, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n"), "\r\n\r\n") + 4),
             50000);
    CHECK_EQ(strlen(strstr(ask(s, "HEAD /large.bin HTTP/1.1\r\nHost: x\r\n\r\n"), "\r\n\r\n") + 4),
             0);
    CHECK_HAS(ask(s, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                     "GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
              "Content-Length: 100\r\n");
    close_site(s);
    rn_http_files_free(files);
    rn_http_files_free(NULL);
    remove_site();
    free(s);
}

RN_CORO_TEST(in_a_mux_the_wildcard_names_the_file)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;
    rn_http_mux *mux;

    make_site();
    if (rn_http_files_new(dir, &files) == -ENOSYS)
        RN_TEST_SKIP("no openat2");
    CHECK_OK(rn_http_mux_new(&mux));
    CHECK_OK(rn_http_handle(mux, "/static/{path...}", rn_http_files_handler, files));
    CHECK_OK(rn_http_handle(mux, "/all/", rn_http_files_handler, files));
    open_site(s, NULL, rn_http_mux_handler, mux);
    CHECK_HAS(ask(s, "GET /static/small.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
              "Content-Length: 100\r\n");
    CHECK_HAS(ask(s, "GET /static/ HTTP/1.1\r\nHost: x\r\n\r\n"), "<p>home");
    CHECK_HAS(ask(s, "GET /static/sub HTTP/1.1\r\nHost: x\r\n\r\n"), "Location: /static/sub/\r\n");
    CHECK_HAS(ask(s, "GET /all/sub/ HTTP/1.1\r\nHost: x\r\n\r\n"), "<p>sub");
    CHECK_HAS(ask(s, "GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"), " 404 ");
    close_site(s);
    rn_http_mux_free(mux);
    rn_http_files_free(files);
    remove_site();
    free(s);
}
