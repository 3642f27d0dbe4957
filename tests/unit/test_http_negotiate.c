/*
 * test_http_negotiate.c - Accept-Encoding, Accept, and the types of files by their names
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/base.h>

#include "base/mem.h"
#include "base/sys.h"
#include "http/mime.h"
#include "http/negotiate.h"
#include "rntest.h"

#define BR RN__CODING_BR
#define ZSTD RN__CODING_ZSTD
#define GZIP RN__CODING_GZIP
#define ALL (BR | ZSTD | GZIP)

static const struct rn__http_request *head_with(const char *fields)
{
    static struct rn__http_request head;
    static char text[512];

    snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
    rn__http_begin(&head);
    CHECK_EQ(rn__http_parse(&head, text, strlen(text), NULL), strlen(text));
    return &head;
}

/* ---- RFC 9110 12.5.3 ---- */

static const struct {
    const char *fields;
    unsigned there, want;
} codings[] = {
    {"", ALL, 0},
    {"Accept-Encoding:\r\n", ALL, 0},
    {"Accept-Encoding: gzip\r\n", ALL, GZIP},
    {"Accept-Encoding: GZip\r\n", ALL, GZIP},
    {"Accept-Encoding: x-gzip\r\n", ALL, GZIP}, /* 8.4.1.3 */
    {"Accept-Encoding: gzip\r\n", BR | ZSTD, 0},
    {"Accept-Encoding: gzip, deflate, br, zstd\r\n", ALL, BR},
    {"Accept-Encoding: gzip, deflate, br, zstd\r\n", ZSTD | GZIP, ZSTD},
    {"Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n", ALL, BR},
    {"Accept-Encoding: br;q=0.5, gzip\r\n", ALL, GZIP},
    {"Accept-Encoding: br ; q=0.5 ,gzip;q=0.4\r\n", ALL, BR},
    {"Accept-Encoding: br;Q=0.5, gzip;q=0.501\r\n", ALL, GZIP},
    {"Accept-Encoding: br;q=0, gzip;q=0.001\r\n", ALL, GZIP},
    {"Accept-Encoding: gzip;q=0\r\n", ALL, 0},
    {"Accept-Encoding: *\r\n", ALL, BR},
    {"Accept-Encoding: *\r\n", GZIP, GZIP},
    {"Accept-Encoding: *;q=0\r\n", ALL, 0},
    {"Accept-Encoding: br;q=0, *\r\n", ALL, ZSTD},
    {"Accept-Encoding: identity\r\n", ALL, 0},
    {"Accept-Encoding: identity, gzip\r\n", ALL, GZIP}, /* a tie */
    {"Accept-Encoding: identity, gzip;q=0.9\r\n", ALL, 0},
    {"Accept-Encoding: identity;q=0.5, gzip;q=0.9\r\n", ALL, GZIP},
    {"Accept-Encoding: identity;q=0, br\r\n", GZIP, 0}, /* what there is, all the same */
    {"Accept-Encoding: gzip;q=1.001\r\n", ALL, 0},      /* malformed weights weigh nothing */
    {"Accept-Encoding: gzip;q=2\r\n", ALL, 0},
    {"Accept-Encoding: gzip;q=\r\n", ALL, 0},
    {"Accept-Encoding: gzip;q=0.1234\r\n", ALL, 0},
    {"Accept-Encoding: gzip;q=-1\r\n", ALL, 0},
    {"Accept-Encoding: ,;,gzip,,\r\n", ALL, GZIP},
    {"Accept-Encoding: gzi\r\n", ALL, 0},
    {"Accept-Encoding: gzipx\r\n", ALL, 0},
};

RN_TEST(the_coding_of_most_weight_is_chosen)
{
    for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
        unsigned got = rn__http_choose_coding(head_with(codings[i].fields), codings[i].there);

        if (got != codings[i].want)
            rntest_fail_at(__FILE__, __LINE__, "%s: %u", codings[i].fields, got);
    }
}

/* ---- RFC 9110 12.5.1 ---- */

static const struct {
    const char *fields;
    bool want;
} types[] = {
    {"", false},
    {"Accept: */*\r\n", false},
    {"Accept: application/json\r\n", true},
    {"Accept: application/json, text/plain, */*\r\n", true},
    {"Accept: application/JSON;charset=utf-8;q=0.5\r\n", true},
    {"Accept: application/json;q=0\r\n", false},
    {"Accept: text/html, application/json;q=0.9\r\n", false},
    {"Accept: text/html;q=0.1, application/json;q=0.9\r\n", true},
    {"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n", false},
    {"Accept: application/jsonx\r\n", false},
};

RN_TEST(json_is_for_who_names_it)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (rn__http_likes_json(head_with(types[i].fields)) != types[i].want)
            rntest_fail_at(__FILE__, __LINE__, "%s", types[i].fields);
}

/* ---- types ---- */

static void with_table(const char *text, struct rn__mime *m, int want)
{
    char path[] = "/tmp/rntest-mime-XXXXXX";
    int fd = mkstemp(path);

    CHECK_OK(fd);
    CHECK_EQ(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    *m = (struct rn__mime){0};
    CHECK_EQ(rn__mime_load(m, path), want);
    CHECK_OK(unlink(path));
}

RN_TEST(the_table_comes_before_what_is_built_in)
{
    struct rn__mime m;

    with_table("# comment\n\napplication/x-own\towN zz\ntext/strange css # no\nnothing no\n"
               "bad/ty\001pe bad\ntext/last last",
               &m, 0);
    CHECK_EQ(m.n, 4);
    CHECK_STR(rn__mime_type(&m, "a.own"), "application/x-own");
    CHECK_STR(rn__mime_type(&m, "a/b.c.OWN"), "application/x-own");
    CHECK_STR(rn__mime_type(&m, "a.zz"), "application/x-own");
    CHECK_STR(rn__mime_type(&m, "a.css"), "text/strange");
    CHECK_STR(rn__mime_type(&m, "a.last"), "text/last");
    CHECK_STR(rn__mime_type(&m, "a.html"), "text/html");
    CHECK_STR(rn__mime_type(&m, "a.no"), "application/octet-stream");
    CHECK_STR(rn__mime_type(&m, "a.bad"), "application/octet-stream");
    CHECK_STR(rn__mime_type(&m, "own"), "application/octet-stream");
    CHECK_STR(rn__mime_type(&m, ".own"), "application/octet-stream");
    CHECK_STR(rn__mime_type(&m, "a.own/b"), "application/octet-stream");
    rn__mime_free(&m);
    CHECK_STR(rn__mime_type(&m, "a.css"), "text/css");
    with_table("", &m, 0);
    rn__mime_free(&m);
}

RN_TEST(a_table_that_cannot_be_read_leaves_nothing)
{
    struct rn__mime m = {0};

    CHECK_EQ(rn__mime_load(&m, "/tmp/rntest-none"), -ENOENT);
    CHECK_EQ(rn__mime_load(&m, "/tmp"), -EINVAL);
    CHECK_OK(rn__sys_fail("pread", EIO, 1, 1));
    with_table("text/x x\n", &m, -EIO);
    rn__sys_clear();
    CHECK_OK(rn__sys_fail("fstat", EIO, 1, 1));
    with_table("text/x x\n", &m, -EIO);
    rn__sys_clear();
    for (unsigned i = 1; i <= 2; i++) {
        rn__mem_fail(i, 1);
        with_table("text/x x\n", &m, -ENOMEM);
        CHECK(m.rows == NULL && m.text == NULL);
    }
    rn__mem_fail(0, 0);
    CHECK_OK(rn__sys_short("pread", 3, 1, 100));
    with_table("text/x x\n", &m, 0);
    rn__sys_clear();
    CHECK_STR(rn__mime_type(&m, "a.x"), "text/x");
    rn__mime_free(&m);
}
