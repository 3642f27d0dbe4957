/*
 * crawler.c - `crawler http://localhost:8080/ 1000`: a page, and all of that host it leads to
 *
 * Eight workers fetch. One coroutine gives pages out, takes them back and knows what has been seen,
 * by one rn_select: so it never waits for a worker that waits for it. Links with ":" stay unread.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct page {
    ssize_t len;                   /* of the text, or an error */
    char path[512], text[1 << 16]; /* of a longer text the beginning */
} * pages;                         /* those seen, each once, and room to look at one more */
static long n_pages, limit, failed;
static char host[256], start[512] = "/";
static rn_chan *todo, *done; /* of pointers to pages */

static ssize_t fetch(struct page *p)
{
    rn_dial_options options = {.deadline = rn_after(5 * RN_SECOND)}; /* for all of the page */
    ssize_t n, len = 0;
    char get[1024];
    rn_conn *conn;

    if ((n = rn_dial("tcp", host, &options, &conn)) < 0)
        return n;
    rn_set_deadline(conn, options.deadline);
    n = snprintf(get, sizeof get, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
                 p->path, host);
    n = rn_write(conn, get, (size_t)n);
    while (n > 0 && (n = rn_read(conn, p->text + len, sizeof p->text - 1 - (size_t)len)) > 0)
        len += n; /* without room it reads 0 */
    rn_close(conn);
    return n < 0 ? n : len;
}

static int work(void *arg)
{
    for (struct page *p = arg; rn_chan_recv(todo, &p) == 0; (void)rn_chan_send(done, &p))
        p->len = fetch(p);
    return 0;
}

static void see(const char *from, const char *link)
{
    int dir = *link == '/' ? 0 : (int)(strrchr(from, '/') + 1 - from);
    int len = (int)strcspn(link, "#?\" \t\r\n"), i = 0;
    char *path = pages[n_pages].path;

    if (len == 0 || dir + len >= 512 || memchr(link, ':', (size_t)len) != NULL)
        return;
    sprintf(path, "%.*s%.*s", dir, from, len, link);
    while (strcmp(pages[i].path, path) != 0)
        i++; /* up to the page that has it, or to path itself */
    n_pages += i == n_pages && i < limit && !strstr(path, "..") && !strstr(path, "//");
}

static void finish(struct page *p)
{
    char *at = p->len < 0 ? NULL : strstr(p->text, "\r\n\r\n");
    long bytes = at == NULL ? 0 : p->text + p->len - at - 4;

    failed += at == NULL;
    printf("%.3s %ld http://%s%s\n", at == NULL ? "---" : p->text + 9, bytes, host, p->path);
    while (at != NULL && (at = strstr(at, "href=\"")) != NULL)
        see(p->path, at += 6);
}

static int crawl(void *first)
{
    rn_group g = RN_GROUP_INIT;
    struct page *p, *next = pages;
    int back = 0, r = 0;

    if (rn_chan_new(sizeof(void *), 0, &todo) < 0 || rn_chan_new(sizeof(void *), 0, &done) < 0)
        return -ENOMEM;
    for (int i = 0; r == 0 && i < 8; i++)
        r = rn_group_go(&g, work, NULL);
    for (see("/", first); r >= 0 && back < n_pages; back += r == 0, next += r == 1) {
        rn_select_case cases[] = {{done, RN_SELECT_RECV, .item = &p},
                                  {todo, RN_SELECT_SEND, .item = &next}};

        if ((r = rn_select(cases, next < pages + n_pages ? 2 : 1, 0)) == 0) /* else only take */
            finish(p);
    }
    (void)rn_group_wait(&g, rn_now()); /* cancels them */
    printf("%ld pages, %ld failed\n", n_pages, failed);
    return r;
}

int main(int argc, char **argv)
{
    limit = argc > 2 ? atol(argv[2]) : 100;
    pages = limit < 1 ? NULL : calloc((size_t)limit + 1, sizeof *pages);
    if (argc < 2 || pages == NULL || sscanf(argv[1], "http://%255[^/]%511s", host, start) < 1)
        return fprintf(stderr, "Usage: %s http://HOST:PORT/ [COUNT]\n", argv[0]), 2;
    return rn_run(NULL, crawl, start) < 0;
}
