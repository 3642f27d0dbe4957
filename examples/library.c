/*
 * library.c - an unchanged library on runnel: libcurl fetches URLs, each in a coroutine of its own
 *
 * libcurl's multi interface says which descriptors it waits for; rn_wait_fd waits for them, with
 * the time limit that libcurl asked for. No thread blocks, and libcurl knows nothing of runnel.
 */
#include <curl/curl.h>
#include <stdio.h>

#include <runnel/runnel.h>

struct fetch {
    const char *url;
    rn_waitgroup *done;
};

/* Until one of the transfer's descriptors is ready, or its time is up. */
static void wait_for_transfer(CURLM *multi)
{
    fd_set in, out, bad;
    int most = -1;
    long ms = 100;

    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&bad);
    curl_multi_fdset(multi, &in, &out, &bad, &most);
    curl_multi_timeout(multi, &ms);
    if (ms < 0 || ms > 100)
        ms = 100;
    /* One transfer has one socket: the first that is set is the one. */
    for (int fd = 0; fd <= most; fd++) {
        int dirs = (FD_ISSET(fd, &in) ? RN_READABLE : 0) | (FD_ISSET(fd, &out) ? RN_WRITABLE : 0);

        if (dirs != 0) {
            (void)rn_wait_fd(fd, dirs, rn_after(ms * RN_MILLISECOND));
            return;
        }
    }
    (void)rn_sleep(ms * RN_MILLISECOND);
}

static size_t drop_body(char *data, size_t size, size_t n, void *arg)
{
    (void)data;
    *(size_t *)arg += size * n;
    return size * n;
}

static void fetch(void *arg)
{
    struct fetch *f = arg;
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    size_t bytes = 0;
    long status = 0;
    int running = 1;

    curl_easy_setopt(easy, CURLOPT_URL, f->url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &bytes);
    curl_multi_add_handle(multi, easy);
    while (curl_multi_perform(multi, &running) == CURLM_OK && running > 0)
        wait_for_transfer(multi);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    printf("%ld %zu %s\n", status, bytes, f->url);
    curl_multi_remove_handle(multi, easy);
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
    rn_waitgroup_done(f->done);
}

static int fetch_all(void *arg)
{
    static struct fetch fetches[64];
    rn_waitgroup done = RN_WAITGROUP_INIT;
    char **urls = arg;

    for (int i = 0; urls[i] != NULL && i < 64; i++) {
        fetches[i] = (struct fetch){.url = urls[i], .done = &done};
        rn_waitgroup_add(&done, 1);
        /* curl's own frames are large. */
        if (rn_go_with(&(rn_go_options){.stack_bytes = 512 << 10}, fetch, &fetches[i]) < 0)
            rn_waitgroup_done(&done);
    }
    return rn_waitgroup_wait(&done);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-')
        return fprintf(stderr, "Usage: %s URL...\n", argv[0]), 2;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return rn_run(NULL, fetch_all, argv + 1) < 0;
}
