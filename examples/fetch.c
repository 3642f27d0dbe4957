/*
 * fetch.c - several URLs at once, by one client: what each answers, and how long it takes
 *
 *     ./fetch http://localhost:8080/hello/world http://localhost:8080/ticks
 *     ./fetch -n 1000 http://localhost:8080/hello/world      (1000 times, 16 at once)
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 16

static rn_http_client *client;
static char **urls;
static long n_urls, repeat = 1, failed;
static rn_sem slots = RN_SEM_INIT;
static rn_mutex output = RN_MUTEX_INIT;

static int fetch(void *url)
{
    rn_time began = rn_now();
    rn_http_reply *reply;
    long long bytes = 0;
    int status = 0;
    char buf[16384];
    ssize_t n;

    n = rn_http_get(client, url, &reply);
    if (n == 0) {
        status = rn_http_reply_status(reply);
        while ((n = rn_http_body_read(reply, buf, sizeof buf)) > 0)
            bytes += n;
        rn_http_reply_close(reply);
    }
    rn_mutex_lock(&output);
    failed += n < 0;
    if (n < 0)
        printf("%s: %s\n", (char *)url, rn_strerror(n));
    else if (repeat == 1)
        printf("%d %lld bytes %.1f ms %s\n", status, bytes, (double)(rn_now() - began) / 1e6,
               (char *)url);
    rn_mutex_unlock(&output);
    rn_sem_release(&slots, 1);
    return 0;
}

static int run(void *arg)
{
    rn_group g = RN_GROUP_INIT;
    int r = rn_http_client_new(NULL, &client);

    (void)arg;
    if (r < 0)
        return r;
    rn_sem_release(&slots, AT_ONCE);
    for (long i = 0; i < n_urls * repeat && r == 0; i++) {
        r = rn_sem_acquire(&slots, 1, 0);
        if (r == 0)
            r = rn_group_go(&g, fetch, urls[i % n_urls]);
    }
    (void)rn_group_wait(&g, 0);
    rn_http_client_free(client);
    return r;
}

int main(int argc, char **argv)
{
    urls = argv + 1;
    if (argc > 3 && strcmp(argv[1], "-n") == 0) {
        repeat = atol(argv[2]);
        urls += 2;
    }
    n_urls = argc - (urls - argv);
    if (n_urls < 1 || repeat < 1 || urls[0][0] == '-')
        return fprintf(stderr, "Usage: %s [-n TIMES] URL...\n", argv[0]), 2;
    if (rn_run(NULL, run, NULL) < 0)
        return 1;
    if (repeat > 1)
        printf("%ld requests, %ld failed\n", n_urls * repeat, failed);
    return failed > 0;
}
