/*
 * access_log.c - a line for each request
 *
 *      coroutines --lines--> front --swap--> back --write(2), on a thread of the pool--> file
 *
 * A request puts its line into the front buffer, under a lock that nobody parks with, and never
 * waits for the disk. The writer, a coroutine, swaps the buffers once a second, or when the front
 * is half full, and has the back one written. When the disk is so slow that the front is full,
 * lines are lost; how many is told.
 *
 * Whatever a peer sends it cannot end a line or a field: all but the plain bytes are escaped, as
 * \xHH, or in JSON as \u00HH, where each byte stands for itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "site.h"

#define BUFFER ((size_t)1 << 20)
#define LINE 12288
#define FIELD_MOST 2048 /* escaped; of a target or such. What is longer is cut off */

struct access_log {
    const char *path;
    const char *peer_from; /* a header field that says who asked; NULL: none */
    bool json;
    int fd;
    char *front, *back;
    size_t front_len, back_len; /* front: [L] */
    uint64_t lost;              /* [L] lines */
    pthread_mutex_t lock;
    rn_chan *wake; /* SIGUSR1, SIGHUP, or 0: the front is half full */
    rn_waitgroup writer;
    int error; /* of the last write, told once */
};

/* ---- lines ---- */

struct line {
    bool json;
    size_t len;
    char text[LINE];
};

static void put(struct line *l, const char *text)
{
    size_t len = strlen(text);

    if (l->len + len < sizeof l->text) {
        memcpy(l->text + l->len, text, len);
        l->len += len;
    }
}

static void put_number(struct line *l, long long n)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", n);
    put(l, text);
}

/* What came from outside; in the combined format "-" for nothing. Five of them and the rest of a
 * line fit, so that nothing of its frame is ever missing. */
static void put_escaped(struct line *l, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    size_t end = l->len + FIELD_MOST;

    if (end > sizeof l->text - 8)
        end = sizeof l->text - 8;
    if (text == NULL || *text == '\0') {
        put(l, l->json ? "" : "-");
        return;
    }
    for (; *text != '\0' && l->len < end; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
            l->text[l->len++] = *text;
            continue;
        }
        put(l, l->json ? "\\u00" : "\\x");
        l->text[l->len++] = digits[byte >> 4];
        l->text[l->len++] = digits[byte & 15];
    }
}

static void put_time(struct line *l)
{
    static _Thread_local time_t second;
    static _Thread_local char text[2][40];
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != second) {
        struct tm tm;

        (void)gmtime_r(&now.tv_sec, &tm);
        (void)strftime(text[0], sizeof text[0], "%d/%b/%Y:%H:%M:%S +0000", &tm);
        (void)strftime(text[1], sizeof text[1], "%Y-%m-%dT%H:%M:%SZ", &tm);
        second = now.tv_sec;
    }
    put(l, text[l->json]);
}

static const char *header_of(const rn_http_request *r, const char *name)
{
    return r == NULL ? NULL : rn_http_get_header(r, name);
}

/* The last of a list, which is what the proxy before us has put there itself: what stands before it
 * anybody may have sent. No more than an address: nothing encloses it in the line. */
static void put_last(struct line *l, const char *list)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_%[]";
    const char *comma = strrchr(list, ',');
    char text[160];

    list = comma == NULL ? list : comma + 1;
    list += strspn(list, " \t");
    (void)snprintf(text, sizeof text, "%.*s", (int)strspn(list, plain), list);
    put_escaped(l, text);
}

/* The address without its port, and without brackets, which no log has; unix sockets mostly have
 * none. */
static void put_peer(struct line *l, const struct access_log *log, const rn_http_done *d)
{
    const char *said = log->peer_from == NULL ? NULL : header_of(d->request, log->peer_from);
    char text[160] = "", *at = text, *end;

    if (said != NULL) {
        put_last(l, said);
        return;
    }
    if (d->conn == NULL || rn_remote_addr(d->conn, text, sizeof text) < 0)
        text[0] = '\0';
    at += text[0] == '[';
    end = text[0] == '/' || text[0] == '@' ? NULL : strrchr(at, at == text ? ':' : ']');
    if (end != NULL)
        *end = '\0';
    put_escaped(l, at);
}

static void put_request(struct line *l, const rn_http_request *r)
{
    if (r == NULL) {
        put(l, "-");
        return;
    }
    put_escaped(l, rn_http_get_method(r));
    put(l, " ");
    put_escaped(l, rn_http_get_target(r));
    put(l, rn_http_get_minor(r) == 1 ? " HTTP/1.1" : " HTTP/1.0");
}

static void write_combined(struct line *l, const struct access_log *log, const rn_http_done *d)
{
    put_peer(l, log, d);
    put(l, " - - [");
    put_time(l);
    put(l, "] \"");
    put_request(l, d->request);
    put(l, "\" ");
    put_number(l, d->status);
    put(l, " ");
    put_number(l, (long long)d->body_bytes);
    put(l, " \"");
    put_escaped(l, header_of(d->request, "Referer"));
    put(l, "\" \"");
    put_escaped(l, header_of(d->request, "User-Agent"));
    put(l, "\"\n");
}

static void put_member(struct line *l, const char *name, const char *value)
{
    put(l, ",\"");
    put(l, name);
    put(l, "\":\"");
    put_escaped(l, value);
    put(l, "\"");
}

static void write_json(struct line *l, const struct access_log *log, const rn_http_done *d)
{
    const rn_http_request *r = d->request;

    put(l, "{\"time\":\"");
    put_time(l);
    put(l, "\",\"peer\":\"");
    put_peer(l, log, d);
    put(l, "\"");
    put_member(l, "method", r == NULL ? NULL : rn_http_get_method(r));
    put_member(l, "target", r == NULL ? NULL : rn_http_get_target(r));
    put(l, ",\"version\":");
    put(l, r == NULL ? "null" : rn_http_get_minor(r) == 1 ? "\"1.1\"" : "\"1.0\"");
    put_member(l, "host", header_of(r, "Host"));
    put(l, ",\"status\":");
    put_number(l, d->status);
    put(l, ",\"body_bytes\":");
    put_number(l, (long long)d->body_bytes);
    put(l, ",\"us\":");
    put_number(l, (rn_now() - d->began) / RN_MICROSECOND);
    put_member(l, "referer", header_of(r, "Referer"));
    put_member(l, "user_agent", header_of(r, "User-Agent"));
    put_member(l, "error", d->error == 0 ? NULL : rn_error_name(d->error));
    put(l, "}\n");
}

void access_log_done(const rn_http_done *done, void *arg)
{
    struct access_log *log = arg;
    bool full;
    struct line l;
    int none = 0;

    l.json = log->json;
    l.len = 0;
    if (log->json)
        write_json(&l, log, done);
    else
        write_combined(&l, log, done);
    pthread_mutex_lock(&log->lock);
    full = log->front_len < BUFFER / 2 && log->front_len + l.len >= BUFFER / 2;
    if (log->front_len + l.len <= BUFFER) {
        memcpy(log->front + log->front_len, l.text, l.len);
        log->front_len += l.len;
    } else {
        log->lost++;
    }
    pthread_mutex_unlock(&log->lock);
    if (full)
        (void)rn_chan_try_send(log->wake, &none);
}

/* ---- the file ---- */

/* "-" is standard output, which stays what it is. */
static int open_file(const char *path)
{
    int fd = strcmp(path, "-") == 0
                 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0)
                 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    return fd < 0 ? -errno : fd;
}

/* On a thread of the pool. */
static int write_back(void *arg)
{
    struct access_log *log = arg;

    for (size_t done = 0; done < log->back_len;) {
        ssize_t n = write(log->fd, log->back + done, log->back_len - done);

        if (n < 0 && errno != EINTR)
            return -errno;
        done += n < 0 ? 0 : (size_t)n;
    }
    return 0;
}

static int reopen(void *arg)
{
    struct access_log *log = arg;
    int fd = open_file(log->path);

    if (fd < 0)
        return fd;
    (void)close(log->fd);
    log->fd = fd;
    return 0;
}

static void flush(struct access_log *log)
{
    uint64_t lost;
    char *full;
    int r;

    pthread_mutex_lock(&log->lock);
    full = log->front;
    log->front = log->back;
    log->back = full;
    log->back_len = log->front_len;
    log->front_len = 0;
    lost = log->lost;
    log->lost = 0;
    pthread_mutex_unlock(&log->lock);
    if (lost > 0)
        cmd_error("%s: %llu lines lost, it is written too slowly", log->path,
                  (unsigned long long)lost);
    if (log->back_len == 0)
        return;
    r = rn_offload(write_back, log, NULL);
    if (r == -EDEADLK || r == -EAGAIN || r == -ENOMEM || r == -ECANCELED)
        r = write_back(log); /* no thread for it */
    if (r < 0 && r != log->error)
        cmd_error("cannot write to %s: %s", log->path, rn_strerror(r));
    log->error = r;
}

static void write_on(void *arg)
{
    struct access_log *log = arg;
    int r;

    do {
        int signo = 0;
        rn_select_case one = {.op = RN_SELECT_RECV, .chan = log->wake, .item = &signo};

        r = rn_select(&one, 1, rn_after(RN_SECOND));
        if (r == 0)
            r = one.result;
        flush(log);
        if (r == 0 && signo != 0) {
            int e = rn_offload(reopen, log, NULL);

            if (e < 0)
                cmd_error("cannot open %s anew: %s", log->path, rn_strerror(e));
        }
    } while (r == 0 || r == -ETIME);
    rn_waitgroup_done(&log->writer);
}

int access_log_open(const char *path, bool json, const char *peer_from, struct access_log **ret)
{
    struct access_log *log = calloc(1, sizeof *log);
    int fd = open_file(path);

    if (log != NULL) {
        log->front = malloc(BUFFER);
        log->back = malloc(BUFFER);
    }
    if (fd < 0 || log == NULL || log->front == NULL || log->back == NULL) {
        cmd_error("cannot write to %s: %s", path, rn_strerror(fd < 0 ? fd : -ENOMEM));
        if (fd >= 0)
            (void)close(fd);
        if (log != NULL) {
            free(log->front);
            free(log->back);
        }
        free(log);
        return fd < 0 ? fd : -ENOMEM;
    }
    log->path = path;
    log->json = json;
    log->peer_from = peer_from;
    log->fd = fd;
    (void)pthread_mutex_init(&log->lock, NULL);
    *ret = log;
    return 0;
}

int access_log_begin(struct access_log *log)
{
    int r = rn_chan_new(sizeof(int), 4, &log->wake);

    if (r == 0)
        r = rn_signal_notify(log->wake, SIGUSR1);
    if (r == 0)
        r = rn_signal_notify(log->wake, SIGHUP);
    if (r == 0) {
        rn_waitgroup_add(&log->writer, 1);
        r = rn_go_with(&(rn_go_options){.name = "access log"}, write_on, log);
        if (r < 0)
            rn_waitgroup_done(&log->writer);
    }
    if (r < 0)
        cmd_error("cannot log: %s", rn_strerror(r));
    return r;
}

void access_log_end(struct access_log *log)
{
    if (log == NULL)
        return;
    if (log->wake != NULL) {
        rn_signal_stop(log->wake);
        rn_chan_close(log->wake);
        while (rn_waitgroup_wait(&log->writer) < 0)
            rn_yield();
        flush(log);
        rn_chan_free(log->wake);
    }
    (void)close(log->fd);
    (void)pthread_mutex_destroy(&log->lock);
    free(log->front);
    free(log->back);
    free(log);
}
