/*
 * server.c - requests in, files out
 *
 *      REST --readable--> READ HEAD --complete--> ANSWER --keep-alive, no more input--> REST
 *                          |   ^                   |  |
 *               incomplete |   |                   |  +--pipelined input--> READ HEAD
 *                          +---+                   +--close, error--> closed
 *
 * At rest a connection has neither coroutine nor buffer: a struct work, from a list kept for each
 * P, holds both buffers and the parsed request only while a request is under way. Small answers
 * collect in the output buffer, so that one pipelined batch leaves in one send; a large file's head
 * is sent with MSG_MORE, so that it leaves with the file's first bytes.
 */
#include "http/server.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/files.h"
#include "http/parse.h"
#include "http/path.h"
#include "http/text.h"
#include "net/net.h"
#include "task/log.h"
#include <runnel/task.h>

#define HEAD_TIME (10 * RN_SECOND)  /* from a request's first byte to the end of its head */
#define WRITE_TIME (60 * RN_SECOND) /* for the peer to take the next piece */
#define PIECE ((size_t)256 << 10)   /* in WRITE_TIME: slower peers are cut off */
#define SPARES 64
#define IN_ROOM (16 << 10)
#define OUT_ROOM (16 << 10)

_Static_assert(OUT_ROOM >= RN__FILE_SMALL + 2048, "a small file and its head fit");

struct work {
    struct work *next;
    rn_conn *conn;
    struct place *place; /* of the P that runs it */
    bool close;          /* after this answer */
    bool head_only;
    bool timed;   /* the head's time limit is set */
    size_t start; /* in[start..len) is not yet parsed */
    size_t len;
    size_t out_len;
    struct rn__http_request req;
    char in[IN_ROOM];
    char out[OUT_ROOM];
};

/* What each P has for itself. */
struct place {
    _Alignas(RN_CACHE_LINE) struct rn__files files;
    struct work *spare;
    int n_spare;
    time_t second; /* of the date below */
    char date[RN__HTTP_DATE_LEN + 1];
};

struct rn__http_server {
    int root;
    int n_places;
    struct place places[];
};

int rn__http_server_open(const char *dir, struct rn__http_server **ret)
{
    int n = rn_procs(), root, probe;
    struct rn__http_server *s;

    if (rn__self() == NULL)
        return -EDEADLK;
    root = rn__sys_openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (root < 0)
        return root;
    probe = rn__files_open(root, ".", O_RDONLY | O_DIRECTORY);
    if (probe < 0) {
        (void)rn__sys_close(root);
        return probe;
    }
    (void)rn__sys_close(probe);
    s = rn__calloc(1, sizeof *s + (size_t)n * sizeof s->places[0]);
    if (s == NULL) {
        (void)rn__sys_close(root);
        return -ENOMEM;
    }
    s->root = root;
    s->n_places = n;
    for (int i = 0; i < n; i++)
        rn__files_init(&s->places[i].files, root);
    *ret = s;
    return 0;
}

void rn__http_server_close(struct rn__http_server *s)
{
    for (int i = 0; i < s->n_places; i++) {
        struct work *w;

        rn__files_free(&s->places[i].files);
        while ((w = s->places[i].spare) != NULL) {
            s->places[i].spare = w->next;
            rn__free(w);
        }
    }
    (void)rn__sys_close(s->root);
    rn__free(s);
}

/* ---- work ---- */

static struct work *get_work(struct rn__http_server *s, rn_conn *conn)
{
    struct place *place = &s->places[rn_proc_id() - 1];
    struct work *w = place->spare;

    if (w != NULL) {
        place->spare = w->next;
        place->n_spare--;
    } else if ((w = rn__malloc(sizeof *w)) == NULL) {
        return NULL;
    }
    w->conn = conn;
    w->place = place;
    w->start = w->len = w->out_len = 0;
    w->timed = w->close = false;
    rn__http_begin(&w->req);
    return w;
}

static void put_work(struct work *w)
{
    if (w->place->n_spare == SPARES) {
        rn__free(w); /* of a burst that is over */
        return;
    }
    w->next = w->place->spare;
    w->place->spare = w;
    w->place->n_spare++;
}

/* ---- output ---- */

static int flush(struct work *w, int flags)
{
    struct iovec iov = {.iov_base = w->out, .iov_len = w->out_len};
    ssize_t r = 0;

    if (w->out_len > 0) {
        rn__conn_deadline_after(w->conn, RN__WRITE, WRITE_TIME);
        r = rn__conn_write(w->conn, &iov, 1, flags);
    }
    w->out_len = 0;
    return r < 0 ? (int)r : 0;
}

static int reserve(struct work *w, size_t len)
{
    return w->out_len + len <= sizeof w->out ? 0 : flush(w, MSG_MORE);
}

static void put(struct work *w, const char *text, size_t len)
{
    memcpy(w->out + w->out_len, text, len);
    w->out_len += len;
}

static void put_text(struct work *w, const char *text)
{
    put(w, text, strlen(text));
}

static const char *date_now(struct place *p)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec != p->second) {
        p->second = ts.tv_sec;
        rn__http_date(ts.tv_sec, p->date);
    }
    return p->date;
}

/* Status line and the fields that every answer has; room is reserved. */
static void put_head(struct work *w, const char *status_line, size_t len)
{
    put(w, status_line, len);
    put_text(w, "Server: runnel\r\nDate: ");
    put(w, date_now(w->place), RN__HTTP_DATE_LEN);
    put_text(w, "\r\n");
    if (w->close)
        put_text(w, "Connection: close\r\n");
    else if (w->req.minor == 0)
        put_text(w, "Connection: keep-alive\r\n");
}

static int answer_page(struct work *w, int status, const char *field, const char *detail)
{
    char line[64], body[768], length[96];
    const char *reason = rn__http_reason(status);
    int r = reserve(w, 2048 + strlen(field)), n;

    if (r < 0)
        return r;
    n = snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", status, reason);
    put_head(w, line, (size_t)n);
    n = snprintf(body, sizeof body,
                 "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width\">"
                 "<title>%d %s</title><h1>%d %s</h1><p>%s</p></html>\n",
                 status, reason, status, reason, detail);
    (void)snprintf(length, sizeof length,
                   "Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n", n);
    put_text(w, length);
    put_text(w, field);
    put_text(w, "\r\n");
    if (!w->head_only)
        put(w, body, (size_t)n);
    return 0;
}

/* ---- files ---- */

static int send_pieces(struct work *w, const struct rn__file *f)
{
    size_t left = (size_t)f->st.st_size;
    off_t at = 0;

    while (left > 0) {
        size_t piece = left < PIECE ? left : PIECE;
        ssize_t r;

        rn__conn_deadline_after(w->conn, RN__WRITE, WRITE_TIME);
        r = rn__conn_send_file(w->conn, f->fd, at, piece);
        if (r < 0)
            return (int)r;
        at += r;
        left -= (size_t)r;
    }
    return 0;
}

static int answer_file(struct work *w, struct rn__file *f)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\n";
    bool inline_body = f->fd < 0 && !w->head_only;
    size_t body = inline_body ? (size_t)f->st.st_size : 0;
    int r = reserve(w, 512 + f->head_len + body);

    if (r < 0)
        return r;
    put_head(w, ok, sizeof ok - 1);
    put(w, f->head, f->head_len);
    put_text(w, "\r\n");
    put(w, f->bytes, body);
    if (f->fd < 0 || w->head_only)
        return 0;
    r = flush(w, MSG_MORE);
    return r < 0 ? r : send_pieces(w, f);
}

static int answer_error(struct work *w, int error)
{
    switch (-error) {
    case ENOENT:
        return answer_page(w, 404, "", "There is no such file here.");
    case EACCES:
    case EPERM:
        return answer_page(w, 403, "", "This file may not be read.");
    case EINVAL:
        return answer_page(w, 400, "", "The address is malformed.");
    case ENAMETOOLONG:
        return answer_page(w, 414, "", "The address is too long.");
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return answer_page(w, 503, "Retry-After: 1\r\n", "The server is short of memory or files.");
    default:
        rn__log("http: %s", rn_strerror(error));
        return answer_page(w, 500, "", "The server failed.");
    }
}

/* To the same path with a slash at its end, so that relative links work. The path goes back as it
 * came, still encoded: the parser let nothing through that could end the line. */
static int answer_moved(struct work *w)
{
    struct rn__http_slice path = w->req.path, query = w->req.query;
    char *field;
    int r;

    /* "//host" at the start of a Location would be another host. */
    while (path.len > 1 && path.at[1] == '/') {
        path.at++;
        path.len--;
    }
    field = rn__malloc(path.len + query.len + 32);
    if (field == NULL)
        return answer_error(w, -ENOMEM);
    (void)sprintf(field, "Location: %.*s/%s%.*s\r\n", (int)path.len, path.at,
                  query.at == NULL ? "" : "?", (int)query.len, query.at == NULL ? "" : query.at);
    r = answer_page(w, 301, field, "It is a directory.");
    rn__free(field);
    return r;
}

static int answer_path(struct work *w)
{
    char name[RN__FILE_NAME];
    struct rn__file *f;
    bool is_dir = false;
    rn_time now = rn__now_cached();
    ssize_t len = rn__http_path(w->req.path.at, w->req.path.len, name,
                                sizeof name - sizeof "/index.html", &is_dir);
    int r;

    if (len < 0)
        return answer_error(w, (int)len);
    if (is_dir)
        strcpy(len == 1 && name[0] == '.' ? name : name + len,
               len == 1 && name[0] == '.' ? "index.html" : "/index.html");
    r = rn__files_get(&w->place->files, name, now, &f);
    if (r == -EISDIR)
        return is_dir ? answer_error(w, -ENOENT) : answer_moved(w);
    if (r < 0)
        return answer_error(w, r);
    r = answer_file(w, f);
    rn__files_put(f);
    return r;
}

/* ---- requests ---- */

static int answer(struct work *w)
{
    struct rn__http_request *req = &w->req;
    bool has_body = req->chunked || req->content_length > 0;

    w->close = !req->keep_alive || has_body || rn__serve_draining(w->conn);
    w->head_only = req->method == RN__HTTP_HEAD;
    /* A body is nothing a file has use for: it is not read, so the connection cannot go on. */
    if (has_body)
        rn__conn_linger(w->conn);
    if (req->method == RN__HTTP_OTHER)
        return answer_page(w, 501, "", "This method is not known here.");
    if (req->method != RN__HTTP_GET && req->method != RN__HTTP_HEAD)
        return answer_page(w, 405, "Allow: GET, HEAD\r\n", "Files can be read, no more.");
    return answer_path(w);
}

/* A request that is none: say so, and read no further. */
static void refuse(struct work *w, int status, const char *reason)
{
    w->close = true;
    w->head_only = false;
    rn__conn_linger(w->conn);
    if (answer_page(w, status, "", reason) == 0)
        (void)flush(w, 0);
}

/* Parses and answers what is in the buffer. 1: all of it, 0: more is needed, -1: close. */
static int serve_input(struct work *w)
{
    while (w->start < w->len) {
        ssize_t n = rn__http_parse(&w->req, w->in + w->start, w->len - w->start, NULL);

        if (n == RN__HTTP_INCOMPLETE)
            return 0;
        if (n < 0) {
            refuse(w, w->req.status, w->req.reason);
            return -1;
        }
        if (answer(w) < 0)
            return -1;
        w->start += (size_t)n;
        w->timed = false;
        if (w->close)
            return flush(w, 0), -1;
        rn__http_begin(&w->req);
    }
    return flush(w, 0) < 0 ? -1 : 1;
}

/* Room for more of the request under way. The parser's limit is met before the buffer is full. */
static int read_more(struct work *w)
{
    ssize_t n;

    if (w->start > 0) {
        memmove(w->in, w->in + w->start, w->len - w->start);
        w->len -= w->start;
        w->start = 0;
    }
    /* From a request's first byte on the clock runs, whatever trickles in. */
    if (w->len > 0 && !w->timed) {
        w->timed = true;
        rn__conn_deadline_after(w->conn, RN__READ, HEAD_TIME);
    }
    if (w->len > 0 && flush(w, 0) < 0)
        return -1;
    n = rn_read(w->conn, w->in + w->len, sizeof w->in - w->len);
    if (n == -ETIME && w->len > 0)
        refuse(w, 408, "The request took too long.");
    if (n <= 0)
        return -1;
    w->len += (size_t)n;
    return 0;
}

void rn__http_handle(rn_conn *conn, void *server)
{
    struct work *w = get_work(server, conn);
    int r = 0;

    if (w == NULL) {
        rn__log("http: %s: a connection is closed", rn_strerror(-ENOMEM));
        rn_close(conn);
        return;
    }
    while (r == 0) {
        r = read_more(w);
        if (r == 0)
            r = serve_input(w);
    }
    if (w->start < w->len) /* pipelined, and not answered: more may be on its way */
        rn__conn_linger(conn);
    put_work(w);
    if (r > 0 && !rn__serve_draining(conn)) {
        rn__conn_deadline_after(conn, RN__READ, RN__HTTP_IDLE);
        if (rn_go_when_readable(conn, rn__http_handle, server) == 0)
            return;
    }
    rn_close(conn);
}
