/*
 * http_ask.c - http_client.h asks a server of another's: `http_ask URL [through]`
 *
 * The server has /echo (the body; X-Method and X-Length tell what came), /peer (who asks, with the
 * port), /moved (307) and /other (302) to /echo, and /refuse (413, without reading). Prints "good".
 * "through": a proxy stands between, which may frame a body anew. For test_client.py.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH 300000 /* more than one send, and one chunk */

#define MUST(cond, ...)                                                                            \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "http_ask: %s: ", #cond);                                              \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static const char *at;
static bool through;
static rn_http_client *client;
static char body[LENGTH], got[LENGTH + 1];

struct source {
    size_t given;
};

static ssize_t give(void *arg, void *buf, size_t len)
{
    struct source *s = arg;
    size_t n = LENGTH - s->given;

    if (n > len)
        n = len;
    if (n > 5000) /* so that chunks are many */
        n = 5000;
    memcpy(buf, body + s->given, n);
    s->given += n;
    return (ssize_t)n;
}

static int rewind_source(void *arg)
{
    ((struct source *)arg)->given = 0;
    return 0;
}

/* Makes a request, reads its answer into `got`; its length. */
static size_t ask(rn_http_client_request *q, const char *path, int status, rn_http_reply **ret)
{
    char url[256];
    rn_http_reply *reply;
    size_t len = 0;
    ssize_t n;

    snprintf(url, sizeof url, "%s%s", at, path);
    q->url = url;
    n = rn_http_do(client, q, &reply);
    MUST(n == 0, "%s: %s", url, rn_strerror(n));
    MUST(rn_http_reply_status(reply) == status, "%s: %d", url, rn_http_reply_status(reply));
    while ((n = rn_http_body_read(reply, got + len, LENGTH - len)) > 0)
        len += (size_t)n;
    MUST(n == 0, "%s: %s after %zu bytes", url, rn_strerror(n), len);
    got[len] = '\0';
    if (ret != NULL)
        *ret = reply;
    else
        rn_http_reply_close(reply);
    return len;
}

/* As which peer does the server see us? Another one: the connection was not used again. */
static void must_be_reused(const char *after)
{
    static char first[64]; /* the first time */

    ask(&(rn_http_client_request){0}, "/peer", 200, NULL);
    if (first[0] == '\0')
        memcpy(first, got, sizeof first - 1);
    MUST(strcmp(first, got) == 0, "after %s: %s, then %s", after, first, got);
}

/* What came back is what was sent, by the same method; framed as `length` says. */
static void echo(rn_http_client_request *q, const char *path, const char *length)
{
    rn_http_reply *reply;
    size_t len;
    const char *said;
    char url[256];

    q->method = "POST";
    len = ask(q, path, 200, &reply);
    MUST(len == LENGTH && memcmp(got, body, LENGTH) == 0, "%s: %zu bytes came back", path, len);
    said = rn_http_reply_header(reply, "x-method");
    MUST(said != NULL && strcmp(said, "POST") == 0, "%s: %s", path, said);
    said = rn_http_reply_header(reply, "X-Length");
    MUST(through || (said != NULL && strcmp(said, length) == 0), "%s: %s", path, said);
    len = rn_http_reply_url(reply, url, sizeof url);
    MUST(len > 5 && strcmp(url + len - 5, "/echo") == 0, "%s", url);
    rn_http_reply_close(reply);
}

static void ask_for_bodies(void)
{
    struct source s = {0};
    rn_http_client_request plain = {.body = body, .body_length = LENGTH};
    rn_http_client_request streamed = {
        .read_body = give, .rewind_body = rewind_source, .body_arg = &s, .body_length = -1};
    char length[32];

    snprintf(length, sizeof length, "%d", LENGTH);
    echo(&plain, "/echo", length);
    must_be_reused("POST");
    echo(&streamed, "/echo", "-1");
    must_be_reused("POST in chunks");
    s.given = 0;
    streamed.expect_continue = true;
    echo(&streamed, "/echo", "-1");
    must_be_reused("POST with Expect");
    plain.expect_continue = true;
    echo(&plain, "/echo", length);
    plain.expect_continue = false;
    echo(&plain, "/moved", length);
    s.given = 0;
    streamed.expect_continue = false;
    echo(&streamed, "/moved", "-1");
    must_be_reused("redirects");
    s.given = 0;
    streamed.expect_continue = true;
    ask(&streamed, "/refuse", 413, NULL);
    MUST(s.given == 0, "%zu bytes of a refused body were sent", s.given);
}

static int run(void *arg)
{
    rn_http_reply *reply;
    rn_http_client_request other = {.method = "POST", .body = "x", .body_length = 1};

    (void)arg;
    MUST(rn_http_client_new(NULL, &client) == 0, "client");
    must_be_reused("");
    must_be_reused("GET");
    MUST(ask(&(rn_http_client_request){.method = "HEAD"}, "/echo", 200, NULL) == 0, "HEAD");
    must_be_reused("HEAD");
    ask(&other, "/other", 200, &reply); /* RFC 9110 15.4.3: becomes a GET */
    MUST(strcmp(rn_http_reply_header(reply, "X-Method"), "GET") == 0, "302");
    rn_http_reply_close(reply);
    ask_for_bodies();
    rn_http_client_free(client);
    puts("good");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return fprintf(stderr, "Usage: %s URL [through]\n", argv[0]), 2;
    at = argv[1];
    through = argc > 2;
    for (int i = 0; i < LENGTH; i++)
        body[i] = (char)('a' + i % 23);
    return rn_run(&(rn_run_options){.procs = 1}, run, NULL) < 0;
}
