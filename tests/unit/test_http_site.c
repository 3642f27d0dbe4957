/*
 * test_http_site.c - how a site is served: each option of rn_http_files_options
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"
#include "http_test.h"

static char dir[] = "/tmp/rntest-site-XXXXXX";

static void put_file(const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "w");
    CHECK(f != NULL);
    fputs(text, f);
    CHECK_EQ(fclose(f), 0);
}

static void put_folder(const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_EQ(mkdir(path, 0755), 0);
}

static void put_link(const char *to, const char *name)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_EQ(symlink(to, path), 0);
}

static void date_file(const char *name, time_t at)
{
    struct timespec times[2] = {{.tv_sec = at}, {.tv_sec = at}};
    char path[512];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_EQ(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void make_site(void)
{
    rn_http_files *probe;

    if (rn_http_files_new("/tmp", NULL, &probe) == -ENOSYS)
        RN_TEST_SKIP("no openat2"); /* under valgrind and qemu-user */
    rn_http_files_free(probe);
    CHECK(mkdtemp(dir) != NULL);
    put_file("site.css", "plain css");
    put_file("page.html", "<p>page");
    put_file("x.thing", "a thing");
    put_file("gone.html", "<p>gone");
    put_file("sorry.html", "<p>sorry");
    put_folder("sub");
    put_file("sub/start.htm", "<p>start");
    put_folder("list");
    put_file("list/b<&\">'.txt", "b");
    put_file("list/a b%.txt", "12345");
    put_file("list/bad\xff\xc3.txt", "");
    put_file("list/\xc3\xa4\"\\\n.txt", "");
    put_file("list/.hidden", "");
    put_folder("list/zoo");
    put_link("../site.css", "list/link.css");
    put_link("/etc/passwd", "list/outside");
    put_link("none", "list/dangling");
    put_folder(".well-known");
    put_file(".well-known/security.txt", "safe");
    put_file(".well-known/.hidden", "no");
    put_folder(".git");
    put_file(".git/config", "no");
    put_link("site.css", "link.css");
}

static void remove_site(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK_EQ(system(command), 0);
}

struct row {
    const char *line, *fields, *want, *want_not;
};

static void check_rows(const rn_http_files_options *o, const struct row *rows, size_t n)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;
    char request[512];

    CHECK_OK(rn_http_files_new(dir, o, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    for (size_t i = 0; i < n; i++) {
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", rows[i].line,
                 rows[i].fields == NULL ? "" : rows[i].fields);
        if (strstr(ask(s, request), rows[i].want) == NULL ||
            (rows[i].want_not != NULL && strstr(s->answer, rows[i].want_not) != NULL))
            rntest_fail_at(__FILE__, __LINE__, "%s: \"%s\" in \"%.2000s\"", rows[i].line,
                           rows[i].want, s->answer);
    }
    close_site(s);
    rn_http_files_free(files);
    free(s);
}

#define ROWS(...)                                                                                  \
    (const struct row[]){__VA_ARGS__},                                                             \
        sizeof((const struct row[]){__VA_ARGS__}) / sizeof(struct row)

RN_CORO_TEST(a_directory_has_the_page_that_is_named)
{
    const char *const index[] = {"start.htm", "page.html", NULL}, *const none[] = {NULL};

    make_site();
    check_rows(&(rn_http_files_options){.index = index},
               ROWS({"GET /sub/", NULL, "<p>start", NULL}, {"GET /", NULL, "<p>page", NULL},
                    {"GET /list/", NULL, " 404 ", NULL}));
    check_rows(&(rn_http_files_options){.index = none}, ROWS({"GET /sub/", NULL, " 404 ", NULL}));
    remove_site();
}

RN_CORO_TEST(a_directory_without_a_page_is_listed)
{
    make_site();
    check_rows(
        &(rn_http_files_options){.list = true},
        ROWS(
            /* sorted, directories first; what may not be asked for is not there */
            {"GET /list/", NULL,
             "<a href=\"../\">..</a><td><td>\n<tr><td><a href=\"./zoo/\">zoo/</a>", "hidden"},
            {"GET /list/", NULL, "Content-Type: text/html; charset=utf-8\r\n", "outside"},
            {"GET /list/", NULL, "<a href=\"./link.css\">link.css</a><td>9<td>", "dangling"},
            /* names are escaped, in addresses and in the page */
            {"GET /list/", NULL,
             "<a href=\"./b%3C%26%22%3E%27.txt\">b&lt;&amp;&quot;&gt;&#39;.txt</a>", "b<"},
            {"GET /list/", NULL, "<a href=\"./a%20b%25.txt\">a b%.txt</a><td>5<td>20", NULL},
            {"GET /list/", NULL, "Content-Security-Policy: default-src 'none'", NULL},
            {"GET /list/", NULL, "Vary: Accept\r\n", NULL},
            {"GET /", NULL, "<h1>/</h1>\n<table>\n<tr><td><a href=\"./list/\">", "../"},
            {"HEAD /list/", NULL, "Content-Type: text/html", "zoo"},
            {"GET /list", NULL, "Location: /list/\r\n", NULL}, {"GET /none/", NULL, " 404 ", NULL},
            {"GET /site.css/", NULL, " 404 ", NULL}, {"GET /.git/", NULL, " 404 ", "config"},
            {"GET /.well-known/", NULL, "security.txt", "hidden"},
            /* JSON is UTF-8, whatever the names are */
            {"GET /list/", "Accept: application/json\r\n",
             "{\"name\":\"bad\\ufffd\\ufffd.txt\",\"type\":\"file\",\"size\":0,\"modified\":\"20",
             "hidden"},
            {"GET /list/", "Accept: application/json\r\n",
             "{\"name\":\"\xc3\xa4\\\"\\\\\\u000a.txt\",\"type\":\"file\"", NULL},
            {"GET /list/", "Accept: application/json\r\n", "\"href\":\"./%C3%A4%22%5C%0A.txt\"}",
             NULL},
            {"GET /list/", "Accept: application/json\r\n",
             "\r\n\r\n[\n{\"name\":\"zoo\",\"type\":\"directory\",\"size\":0,", NULL},
            {"GET /list/zoo/", "Accept: application/json\r\n", "\r\n\r\n[\n]\n", NULL}));
    check_rows(
        &(rn_http_files_options){.dotfiles = true, .list = true},
        ROWS({"GET /list/", NULL, ".hidden</a>", NULL}, {"GET /.git/config", NULL, " 200 ", NULL}));
    check_rows(NULL, ROWS({"GET /list/", NULL, " 404 ", NULL}));
    remove_site();
}

RN_CORO_TEST(what_begins_with_a_dot_is_hidden_but_for_well_known)
{
    make_site();
    check_rows(NULL, ROWS({"GET /.well-known/security.txt", NULL, "safe", NULL},
                          {"GET /.well-known/.hidden", NULL, " 404 ", NULL},
                          {"GET /.git/config", NULL, " 404 ", NULL},
                          {"GET /.well-knownx", NULL, " 404 ", NULL},
                          {"GET /sub/.well-known/x", NULL, " 404 ", NULL}));
    remove_site();
}

RN_CORO_TEST(links_stay_inside_or_are_not_there)
{
    char inside[512];

    make_site();
    snprintf(inside, sizeof inside, "%s/site.css", dir);
    put_link(inside, "absolute.css"); /* by a way around outside */
    check_rows(NULL, ROWS({"GET /link.css", NULL, "plain css", NULL},
                          {"GET /absolute.css", NULL, " 404 ", NULL},
                          {"GET /list/link.css", NULL, "plain css", NULL},
                          {"GET /list/outside", NULL, " 404 ", NULL}));
    check_rows(&(rn_http_files_options){.no_links = true, .list = true},
               ROWS({"GET /link.css", NULL, " 404 ", NULL}, {"GET /site.css", NULL, " 200 ", NULL},
                    {"GET /list/", NULL, "zoo", "link"}));
    remove_site();
}

RN_CORO_TEST(a_compressed_neighbour_is_sent_to_who_takes_it)
{
    static const rn_http_files_options on = {.precompressed = true};

    make_site();
    put_file("site.css.gz", "gzipped");
    put_file("site.css.br", "brotlied");
    put_file("page.html.gz", "gzipped");
    date_file("site.css", 1000);
    date_file("site.css.gz", 1000);
    date_file("site.css.br", 2000);
    date_file("page.html", 2000);
    date_file("page.html.gz", 1000); /* of an older version */
    check_rows(
        &on,
        ROWS({"GET /site.css", NULL, "\r\n\r\nplain css", "Content-Encoding"},
             {"GET /site.css", NULL, "Vary: Accept-Encoding\r\n", NULL},
             {"GET /site.css", "Accept-Encoding: gzip, br\r\n", "\r\n\r\nbrotlied", NULL},
             {"GET /site.css", "Accept-Encoding: gzip, br\r\n", "Content-Encoding: br\r\n", NULL},
             {"GET /site.css", "Accept-Encoding: gzip\r\n", "Content-Encoding: gzip\r\n", NULL},
             {"GET /site.css", "Accept-Encoding: gzip\r\n",
              "Content-Type: text/css; charset=utf-8\r\nContent-Length: 7\r\n", NULL},
             {"GET /site.css", "Accept-Encoding: gzip\r\n", "Vary: Accept-Encoding\r\n", NULL},
             {"GET /site.css", "Accept-Encoding: gzip;q=0\r\n", "plain css", NULL},
             /* parts are parts of what is sent; a 304 says what varies */
             {"GET /site.css", "Accept-Encoding: br\r\nRange: bytes=0-1\r\n",
              "Content-Range: bytes 0-1/8\r\n", NULL},
             {"GET /site.css", "Accept-Encoding: br\r\nIf-None-Match: *\r\n",
              "Vary: Accept-Encoding\r\n", "Content-"},
             {"GET /page.html", "Accept-Encoding: gzip\r\n", "<p>page", "Vary"},
             {"GET /site.css.gz", NULL, "gzipped", "Content-Encoding"}));
    check_rows(NULL, ROWS({"GET /site.css", "Accept-Encoding: gzip\r\n", "plain css", "Vary"}));
    remove_site();
}

/* Each version and each coding has a tag of its own. */
RN_CORO_TEST(a_neighbour_that_comes_or_goes_is_noticed)
{
    static const rn_http_files_options on = {.precompressed = true};
    static const char request[] =
        "GET /site.css HTTP/1.1\r\nHost: x\r\nAccept-Encoding: br\r\n\r\n";
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;
    char path[512];
    rn_time end;

    make_site();
    CHECK_OK(rn_http_files_new(dir, &on, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    CHECK_HAS_NO(ask(s, request), "Vary");
    put_file("site.css.br", "brotlied");
    end = rn_after(15 * RN_SECOND);
    while (strstr(ask(s, request), "\r\nContent-Encoding: br\r\n") == NULL) {
        CHECK(rn_now() < end);
        CHECK_OK(rn_sleep(50 * MS));
    }
    snprintf(path, sizeof path, "%s/site.css.br", dir);
    CHECK_EQ(unlink(path), 0);
    end = rn_after(15 * RN_SECOND);
    while (strstr(ask(s, request), "plain css") == NULL) {
        CHECK(rn_now() < end);
        CHECK_OK(rn_sleep(50 * MS));
    }
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

RN_CORO_TEST(cache_control_goes_by_pattern)
{
    static const rn_http_cache_rule rules[] = {
        {"/sub/*", "no-store"}, {"*.css", "max-age=60"}, {"/*.html", "no-cache"}, {"*", "private"}};

    make_site();
    check_rows(
        &(rn_http_files_options){.cache_rules = rules, .n_cache_rules = 4},
        ROWS({"GET /site.css", NULL, "Cache-Control: max-age=60\r\n", NULL},
             {"GET /list/link.css", NULL, "Cache-Control: max-age=60\r\n", NULL},
             {"GET /sub/start.htm", NULL, "Cache-Control: no-store\r\n", NULL},
             {"GET /page.html", NULL, "Cache-Control: no-cache\r\n", NULL},
             {"GET /x.thing", NULL, "Cache-Control: private\r\n", NULL},
             {"GET /site.css", "If-None-Match: *\r\n", "Cache-Control: max-age=60\r\n", NULL},
             {"GET /none", NULL, " 404 ", "Cache-Control"}));
    remove_site();
}

/* For one page that shows many: whatever is asked for, it comes, and is told what it was by the
 * address. */
RN_CORO_TEST(a_page_is_sent_in_place_of_what_is_not_there)
{
    make_site();
    check_rows(&(rn_http_files_options){.fallback = "page.html"},
               ROWS({"GET /users/7", NULL, "HTTP/1.1 200 OK\r\n", NULL},
                    {"GET /users/7", NULL, "\r\n\r\n<p>page", NULL},
                    {"GET /users/", NULL, "\r\n\r\n<p>page", NULL},
                    {"GET /list/", NULL, "\r\n\r\n<p>page", NULL},
                    {"GET /users/7", "If-None-Match: *\r\n", "HTTP/1.1 304 ", NULL},
                    {"GET /users/7", "Range: bytes=0-1\r\n", "HTTP/1.1 206 ", NULL},
                    {"HEAD /users/7", NULL, "HTTP/1.1 200 OK\r\n", "<p>"},
                    {"GET /site.css", NULL, "plain css", NULL},
                    {"GET /.git/config", NULL, "<p>page", NULL},
                    {"GET /list", NULL, "Location: /list/\r\n", NULL},
                    {"POST /users/7", NULL, " 405 ", NULL}, {"GET /%00", NULL, " 400 ", NULL}));
    check_rows(&(rn_http_files_options){.fallback = "page.html", .list = true},
               ROWS({"GET /list/", NULL, "zoo/", NULL}, {"GET /none/", NULL, "<p>page", NULL}));
    check_rows(&(rn_http_files_options){.fallback = "none.html"},
               ROWS({"GET /users/7", NULL, " 404 ", NULL}));
    check_rows(&(rn_http_files_options){.fallback = "sub"},
               ROWS({"GET /users/7", NULL, " 404 ", NULL}, {"GET /x/", NULL, " 404 ", NULL}));
    remove_site();
}

RN_CORO_TEST(an_error_has_the_page_that_is_for_it)
{
    static const rn_http_error_page pages[] = {
        {404, "gone.html"}, {0, "sorry.html"}, {501, "none.html"}};

    make_site();
    check_rows(&(rn_http_files_options){.error_pages = pages, .n_error_pages = 3},
               ROWS({"GET /none", NULL, "HTTP/1.1 404 Not Found\r\n", NULL},
                    {"GET /none", NULL,
                     "\r\nContent-Type: text/html; charset=utf-8\r\n"
                     "Content-Length: 7\r\n\r\n<p>gone",
                     "ETag"},
                    {"HEAD /none", NULL, "Content-Length: 7\r\n", "<p>"},
                    {"GET /none", "If-None-Match: *\r\n", " 404 ", NULL},
                    {"GET /none", "Range: bytes=0-0\r\n", "<p>gone", NULL},
                    {"POST /", NULL, "HTTP/1.1 405 ", NULL}, {"POST /", NULL, "<p>sorry", NULL},
                    {"POST /", NULL, "Allow: GET, HEAD\r\n", NULL},
                    {"GET /%00", NULL, "<p>sorry", NULL},
                    {"GET /site.css", "Range: bytes=99-\r\n", "Content-Range: bytes */9\r\n", NULL},
                    {"GET /site.css", "Range: bytes=99-\r\n", "<p>sorry", NULL},
                    {"GET /site.css", "If-Match: \"x\"\r\n", "HTTP/1.1 412 ", "plain"},
                    /* a page that is not there is no reason to fail otherwise */
                    {"BREW /", NULL, "<h1>501 Not Implemented</h1>", NULL}));
    remove_site();
}

RN_CORO_TEST(types_come_from_a_table_of_ones_own)
{
    char path[512];

    make_site();
    put_file("types", "application/x-thing thing\n");
    snprintf(path, sizeof path, "%s/types", dir);
    check_rows(&(rn_http_files_options){.mime_file = path},
               ROWS({"GET /x.thing", NULL, "Content-Type: application/x-thing\r\n", NULL},
                    {"GET /site.css", NULL, "Content-Type: text/css; charset=utf-8\r\n", NULL}));
    check_rows(&(rn_http_files_options){.mime_file = ""},
               ROWS({"GET /x.thing", NULL, "Content-Type: application/octet-stream\r\n", NULL}));
    remove_site();
}

/* Fields that a handler has set before it hands on to the files go out with them. */
static void with_field(rn_http_response *w, rn_http_request *r, void *files)
{
    CHECK_OK(rn_http_set_header(w, "X-Own", "yes"));
    rn_http_files_handler(w, r, files);
}

RN_CORO_TEST(fields_set_before_go_with_the_file)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;

    make_site();
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
    open_site(s, NULL, with_field, files);
    CHECK_HAS(ask(s, "GET /site.css HTTP/1.1\r\nHost: x\r\n\r\n"), "X-Own: yes\r\n");
    CHECK_HAS(s->answer, "plain css");
    CHECK_HAS(ask(s, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"), "X-Own: yes\r\n");
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

RN_CORO_TEST(options_that_are_wrong_are_refused)
{
    const char *const slash[] = {"a/b", NULL}, *const empty[] = {"", NULL};
    static char longest[300];
    memset(longest, 'x', sizeof longest - 1);
    const char *const too_long[] = {longest, NULL};
    const rn_http_cache_rule split = {"*", "a\r\nb: c"}, wide = {"*", longest}, none = {NULL, "x"};
    const rn_http_error_page low = {200, "a"}, outside = {404, "/a"}, nameless = {404, NULL};
    const rn_http_files_options wrong[] = {
        {.reserved = {0, 0, 0, 1}},
        {.index = slash},
        {.index = empty},
        {.index = too_long},
        {.cache_rules = &split, .n_cache_rules = 1},
        {.cache_rules = &wide, .n_cache_rules = 1},
        {.cache_rules = &none, .n_cache_rules = 1},
        {.error_pages = &low, .n_error_pages = 1},
        {.error_pages = &outside, .n_error_pages = 1},
        {.error_pages = &nameless, .n_error_pages = 1},
        {.fallback = "/a"},
        {.fallback = ""},
    };
    rn_http_files *files = NULL;

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(rn_http_files_new("/tmp", &wrong[i], &files), -EINVAL);
    CHECK_EQ(rn_http_files_new("/tmp", &(rn_http_files_options){.mime_file = "/tmp/rntest-none"},
                               &files),
             -ENOENT);
    rn__mem_fail(1, 1);
    CHECK_EQ(rn_http_files_new("/tmp", NULL, &files), -ENOMEM);
    rn__mem_fail(0, 0);
    CHECK_OK(rn__sys_fail("openat2", ENOSYS, 1, 1));
    CHECK_EQ(rn_http_files_new("/tmp", NULL, &files), -ENOSYS);
    rn__sys_clear();
    CHECK(files == NULL);
}

/* openat2(2): EAGAIN where something was renamed on the way, though nobody knows what. */
RN_CORO_TEST(a_folder_that_never_stands_still_is_no_404)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;

    make_site();
    CHECK_OK(rn_http_files_new(dir, &(rn_http_files_options){.list = true}, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    CHECK_OK(rn__sys_fail("openat2", EAGAIN, 1, 1000));
    CHECK_HAS(ask(s, "GET /site.css HTTP/1.1\r\nHost: x\r\n\r\n"), " 503 ");
    CHECK_HAS(s->answer, "\r\nRetry-After: 1\r\n");
    CHECK_HAS(ask(s, "GET /list/ HTTP/1.1\r\nHost: x\r\n\r\n"), " 503 ");
    rn__sys_clear();
    CHECK_HAS(ask(s, "GET /site.css HTTP/1.1\r\nHost: x\r\n\r\n"), " 200 ");
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

/* No half page. */
RN_CORO_TEST(a_listing_that_cannot_be_made_is_an_error)
{
    static const char request[] = "GET /list/ HTTP/1.1\r\nHost: x\r\n\r\n";
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;

    make_site();
    CHECK_OK(rn_http_files_new(dir, &(rn_http_files_options){.list = true}, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    CHECK_OK(rn__sys_fail("getdents64", EIO, 1, 1));
    CHECK_HAS(ask(s, request), " 500 ");
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("getdents64", EACCES, 1, 1));
    CHECK_HAS(ask(s, request), " 403 ");
    rn__sys_clear();
    CHECK_HAS(ask(s, request), " 200 ");
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}
