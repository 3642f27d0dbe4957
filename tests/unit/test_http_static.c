/*
 * test_http_static.c - files below a directory, at the root and in a mux
 */
#include <sys/stat.h>

#include "calls.h"
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
    rn_http_files *probe;

    if (rn_http_files_new("/tmp", NULL, &probe) == -ENOSYS)
        RN_TEST_SKIP("no openat2"); /* under valgrind and qemu-user */
    rn_http_files_free(probe);
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
    CHECK_EQ(rn_http_files_new("/tmp/rntest-none", NULL, &files), -ENOENT);
    CHECK_EQ(rn_http_files_new("/etc/passwd", NULL, &files), -ENOTDIR);
    CHECK(files == NULL);
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
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

/* Its pages were there a moment ago; the next look at the file is the next probe. */
RN_CORO_TEST(a_file_that_was_just_sent_is_not_probed_again)
{
    struct site *s = calloc(1, sizeof *s);
    uint64_t probes, looks;
    rn_http_files *files;

    make_site();
    CHECK_OK(rn_sleep(50 * MS)); /* so that it is settled, and one look is enough for a second */
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    probes = calls_on_procs(RN__SYS_preadv2);
    looks = calls_on_procs(RN__SYS_openat2);
    for (int i = 0; i < 50; i++)
        CHECK_HAS(ask(s, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n"),
                  "Content-Length: 50000\r\n");
    looks = calls_on_procs(RN__SYS_openat2) - looks;
    probes = calls_on_procs(RN__SYS_preadv2) - probes;
    CHECK(probes > 0);
    CHECK(probes <= looks);
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

/* For who has exchanged it, or a link that it is: a file that is being sent is sent to its end. */
RN_CORO_TEST(another_directory_takes_the_place_of_one_that_is_served)
{
    static const char get[] = "GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n";
    struct site *s = calloc(1, sizeof *s);
    char sub[64];
    rn_http_files *files;
    int fds;

    make_site();
    put_file("sub/small.txt", "of the other", 1);
    snprintf(sub, sizeof sub, "%s/sub", dir);
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    CHECK_HAS(ask(s, get), "\r\n\r\n01234567890123456789");
    fds = rntest_count_fds();
    CHECK_EQ(rn_http_files_reopen(files, "/tmp/rntest-none"), -ENOENT);
    CHECK_EQ(rn_http_files_reopen(files, "/etc/passwd"), -ENOTDIR);
    CHECK_OK(rn__sys_fail("openat2", EACCES, 1, 1)); /* it may not be read */
    CHECK_EQ(rn_http_files_reopen(files, sub), -EACCES);
    CHECK_OK(rn__sys_fail("dup3", EBUSY, 1, 1));
    CHECK_EQ(rn_http_files_reopen(files, sub), -EBUSY);
    CHECK_OK(rn_sleep(RN_SECOND)); /* what is remembered is good for so long */
    CHECK_HAS(ask(s, get), "\r\n\r\n01234567890123456789");
    CHECK_OK(rn_http_files_reopen(files, sub));
    CHECK_EQ(rntest_count_fds(), fds);
    CHECK_OK(rn_sleep(RN_SECOND + 10 * MS));
    CHECK_HAS(ask(s, get), "\r\n\r\nof the other");
    CHECK_HAS(ask(s, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n"), " 404 ");
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

/* ---- conditions and parts: RFC 9110 13 and 14; the rules alone are in test_http_range.c ---- */

struct row {
    const char *line, *fields, *want, *want_not; /* want_not: NULL is nothing */
};

static void check_row(struct site *s, const struct row *row)
{
    char request[256];

    snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", row->line, row->fields);
    if (strstr(ask(s, request), row->want) == NULL ||
        (row->want_not != NULL && strstr(s->answer, row->want_not) != NULL))
        rntest_fail_at(__FILE__, __LINE__, "%s, %s: \"%s\" and \"%s\" in \"%.900s\"", row->line,
                       row->fields, row->want, row->want_not == NULL ? "" : row->want_not,
                       s->answer);
}

static const struct row parts[] = {
    {"GET /small.txt", "", "Accept-Ranges: bytes\r\n", NULL},
    {"GET /small.txt", "", "ETag: \"", NULL},
    {"HEAD /small.txt", "", "ETag: \"", NULL},
    /* 15.4.5: a 304 has the validators, and nothing of the body */
    {"GET /small.txt", "If-None-Match: *\r\n", " 304 Not Modified\r\n", "Content-"},
    {"GET /small.txt", "If-None-Match: *\r\n", "ETag: \"", "0123456789"},
    {"GET /large.bin", "If-None-Match: *\r\n", " 304 ", "0123456789"},
    {"HEAD /small.txt", "If-None-Match: *\r\n", " 304 ", NULL},
    {"GET /", "If-None-Match: *\r\n", " 304 ", NULL},
    {"GET /none", "If-None-Match: *\r\n", " 404 ", NULL}, /* 13.2.1 */
    {"GET /none", "If-Match: *\r\n", " 404 ", NULL},
    {"GET /small.txt", "If-Match: \"x\"\r\n", " 412 ", "0123456789"},
    /* 14.4, 15.3.7.1 */
    {"GET /small.txt", "Range: bytes=3-5\r\n", " 206 Partial Content\r\n", NULL},
    {"GET /small.txt", "Range: bytes=3-5\r\n", "Content-Range: bytes 3-5/100\r\n", NULL},
    {"GET /small.txt", "Range: bytes=3-5\r\n", "Content-Length: 3\r\n\r\n345", "\r\n\r\n3456"},
    {"GET /small.txt", "Range: bytes=-2\r\n", "Content-Length: 2\r\n\r\n89", NULL},
    {"GET /large.bin", "Range: bytes=49998-\r\n", "Content-Length: 2\r\n\r\n89", NULL},
    {"GET /large.bin", "Range: bytes=49998-\r\n", "Content-Range: bytes 49998-49999/50000\r\n",
     "Content-Length: 50000"},
    {"GET /large.bin", "Range: bytes=1-3\r\n", "Content-Length: 3\r\n\r\n123", "\r\n\r\n1234"},
    {"GET /", "Range: bytes=3-\r\n", "\r\n\r\nhome", "<p>home"},
    /* 14.2: for GET alone */
    {"HEAD /small.txt", "Range: bytes=3-5\r\n", "Content-Length: 100\r\n", " 206 "},
    {"GET /small.txt", "Range: lines=3-5\r\n", " 200 OK\r\n", "Content-Range"},
    {"GET /small.txt", "Range: bytes=3-5\r\nIf-Range: \"x\"\r\n", " 200 OK\r\n", "Content-Range"},
    /* 15.5.17 */
    {"GET /small.txt", "Range: bytes=100-\r\n", " 416 Range Not Satisfiable\r\n", NULL},
    {"GET /small.txt", "Range: bytes=100-\r\n", "Content-Range: bytes */100\r\n", "ETag"},
    /* 15.3.7.2: several parts */
    {"GET /small.txt", "Range: bytes=0-1,-2\r\n", " 206 ",
     "Content-Type: text/plain; charset=utf-8"
     "\r\nContent-Length"},
    {"GET /small.txt", "Range: bytes=0-1,-2\r\n",
     "Content-Type: multipart/byteranges; boundary=", NULL},
    {"GET /small.txt", "Range: bytes=0-1,-2\r\n",
     "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-1/100\r\n\r\n01\r\n--",
     NULL},
    {"GET /small.txt", "Range: bytes=0-1,-2\r\n", "Content-Range: bytes 98-99/100\r\n\r\n89\r\n--",
     NULL},
    {"GET /large.bin", "Range: bytes=9-10,20000-20002\r\n",
     "Content-Range: bytes 20000-20002/50000\r\n\r\n012\r\n--", NULL},
    {"GET /small.txt", "Range: bytes=0-1,200-\r\n", "Content-Range: bytes 0-1/100\r\n",
     "multipart"},
    {"GET /small.txt", "Range: bytes=0-,0-\r\n", " 200 OK\r\n", "Content-Range"},
};

/* What was promised is what came: a length that is wrong would garble the next answer. */
static void check_length(const char *answer, const char *line)
{
    const char *said = strstr(answer, "Content-Length: "), *body = strstr(answer, "\r\n\r\n");

    CHECK(body != NULL);
    if (said != NULL && said < body && strncmp(line, "HEAD", 4) != 0)
        CHECK_EQ(strtol(said + 16, NULL, 10), strlen(body + 4));
}

RN_CORO_TEST(a_file_is_answered_on_conditions_and_in_parts)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;

    make_site();
    CHECK_OK(rn_sleep(50 * MS)); /* so that they are not of this moment: that makes weak tags */
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        check_row(s, &parts[i]);
        check_length(s->answer, parts[i].line);
    }
    CHECK_HAS(ask(s, "GET /small.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1,-2\r\n\r\n"
                     "GET /large.bin HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n"
                     "GET /small.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=9-10\r\n\r\n"),
              "Content-Length: 2\r\n\r\n90");
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

/* The tag and the date that came with a file are what asks for it again. */
RN_CORO_TEST(what_a_file_says_of_itself_matches_it)
{
    struct site *s = calloc(1, sizeof *s);
    char request[512], tag[64], date[64];
    rn_http_files *files;

    make_site();
    CHECK_OK(rn_sleep(50 * MS));
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
    open_site(s, NULL, rn_http_files_handler, files);
    (void)ask(s, "GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_EQ(sscanf(strstr(s->answer, "ETag: "), "ETag: %63[^\r]", tag), 1);
    CHECK_EQ(sscanf(strstr(s->answer, "Last-Modified: "), "Last-Modified: %63[^\r]", date), 1);
    snprintf(request, sizeof request,
             "GET /large.bin HTTP/1.1\r\nHost: x\r\nIf-None-Match: %s\r\n\r\n", tag);
    CHECK_HAS(ask(s, request), " 304 ");
    CHECK_HAS(s->answer, tag);
    snprintf(request, sizeof request,
             "GET /large.bin HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: %s\r\n\r\n", date);
    CHECK_HAS(ask(s, request), " 304 ");
    snprintf(request, sizeof request,
             "GET /large.bin HTTP/1.1\r\nHost: x\r\nIf-Range: %s\r\nRange: bytes=0-1\r\n\r\n", tag);
    CHECK_HAS(ask(s, request), " 206 ");
    snprintf(request, sizeof request, "GET /large.bin HTTP/1.1\r\nHost: x\r\nIf-Match: %s\r\n\r\n",
             tag);
    CHECK_HAS(ask(s, request), " 200 ");
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}

RN_CORO_TEST(in_a_mux_the_wildcard_names_the_file)
{
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;
    rn_http_mux *mux;

    make_site();
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
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

static void send_named(rn_http_response *w, rn_http_request *r, void *files)
{
    const char *name = rn_http_get_query(r, "name");

    CHECK_OK(rn_http_set_header(w, "Content-Disposition", "attachment"));
    CHECK_OK(rn_http_set_header(w, "Content-Type", "text/wrong"));
    CHECK_OK(rn_http_set_header(w, "ETag", "\"wrong\""));
    CHECK_OK(rn_http_set_header(w, "Cache-Control", "private"));
    if (rn_http_get_query(r, "late") != NULL)
        CHECK_OK(rn_http_flush(w));
    rn_http_files_send(w, r, files, name == NULL ? "sub/small file.txt" : name);
}

/* As Go's ServeFile: with all that a file is asked for. */
RN_CORO_TEST(a_handler_names_the_file)
{
    static const struct row named[] = {
        {"GET /report", "", "\r\n\r\nof the other", "wrong"},
        {"GET /report", "", "Content-Disposition: attachment\r\n", "wrong"},
        {"GET /report", "", "Cache-Control: private\r\n", NULL},
        {"GET /report", "Range: bytes=3-5\r\n", "\r\n\r\nthe", "other"},
        {"GET /report", "If-None-Match: *\r\n", "HTTP/1.1 304 ", "wrong"},
        {"HEAD /report", "", "Content-Length: 12\r\n", "other"},
        {"POST /report", "", "Allow: GET, HEAD\r\n", NULL},
        {"GET /report?name=none", "", "HTTP/1.1 404 ", NULL},
        {"GET /report?name=sub", "", "HTTP/1.1 404 ", NULL},
        {"GET /report?name=../../etc/passwd", "", "HTTP/1.1 404 ", "root"},
        {"GET /report?name=/etc/passwd", "", "HTTP/1.1 404 ", "root"},
        {"GET /report?name=.hidden", "", "HTTP/1.1 404 ", NULL},
        {"GET /report?name=", "", "HTTP/1.1 404 ", NULL},
        {"GET /report?late", "", "Transfer-Encoding: chunked\r\n", "other"},
    };
    struct site *s = calloc(1, sizeof *s);
    rn_http_files *files;

    make_site();
    put_file("sub/small file.txt", "of the other", 1);
    CHECK_OK(rn_http_files_new(dir, NULL, &files));
    open_site(s, NULL, send_named, files);
    for (size_t i = 0; i < RN_COUNT_OF(named); i++)
        check_row(s, &named[i]);
    CHECK_HAS_NO(s->answer, "0\r\n\r\n"); /* the one that was begun has no end */
    close_site(s);
    rn_http_files_free(files);
    remove_site();
    free(s);
}
