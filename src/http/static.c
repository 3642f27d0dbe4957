/*
 * static.c - the handler that answers with files
 *
 * A small file's head and body go into the output buffer as they are kept (files.h); a large one's
 * head goes out with its first bytes, which sendfile moves.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/files.h"
#include "http/path.h"
#include "task/log.h"
#include <runnel/task.h>

#define PART_HEAD 160 /* what a part has in a head beside what the file's own says */

_Static_assert(RN__OUT_ROOM >= RN__FILE_SMALL + 2048, "a small file and its head fit");
_Static_assert(RN__OUT_ROOM >= RN__FIELDS_MOST + RN__HEAD_ROOM + RN__FILE_HEAD + PART_HEAD,
               "the longest head fits");

struct rn_http_files {
    int root;
    int n_caches;
    struct rn__files caches[]; /* one for each P */
};

int rn_http_files_new(const char *dir, rn_http_files **ret)
{
    int n = rn_procs(), root, probe;
    rn_http_files *f;

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
    f = rn__calloc(1, sizeof *f + (size_t)n * sizeof f->caches[0]);
    if (f == NULL) {
        (void)rn__sys_close(root);
        return -ENOMEM;
    }
    f->root = root;
    f->n_caches = n;
    for (int i = 0; i < n; i++)
        rn__files_init(&f->caches[i], root);
    *ret = f;
    return 0;
}

void rn_http_files_free(rn_http_files *files)
{
    if (files == NULL)
        return;
    for (int i = 0; i < files->n_caches; i++)
        rn__files_free(&files->caches[i]);
    (void)rn__sys_close(files->root);
    rn__free(files);
}

/* ---- a file, or parts of it ---- */

/* The head's first lines; room is there for those of the file, and for `body` bytes if it can be. */
static int start_head(struct rn__exchange *x, int status, size_t body)
{
    size_t head = RN__HEAD_ROOM + RN__FILE_HEAD + PART_HEAD + x->w.fields_len;
    int r = rn__out_reserve(x, head + body <= RN__OUT_ROOM ? head + body : head);

    if (r == 0) {
        rn__response_start(x, status);
        rn__out_put(x, x->w.fields, x->w.fields_len);
    }
    return r;
}

/* Some of the file. Of a large one a last look, before its last piece, finds out whether it is still
 * the one that was promised: else the connection ends. */
static int put_bytes(struct rn__exchange *x, const struct rn__file *f, uint64_t first, uint64_t len)
{
    uint64_t last = len < RN__WRITE_PIECE ? len : RN__WRITE_PIECE;
    int r;

    if (f->fd < 0) {
        r = rn__out_write(x, f->bytes + first, len);
    } else {
        r = rn__out_file(x, f->fd, (off_t)first, len - last);
        if (r == 0 && len > last)
            r = rn__files_check(f);
        if (r == 0)
            r = rn__out_file(x, f->fd, (off_t)(first + len - last), last);
    }
    x->w.body_out += r == 0 ? len : 0;
    return r;
}

static int answer_whole(struct rn__exchange *x, const struct rn__file *f)
{
    size_t size = (size_t)f->st.st_size;
    bool has_body = x->r.head.method != RN__HTTP_HEAD;
    int r = start_head(x, 200, f->fd < 0 && has_body ? size : 0);

    if (r < 0)
        return r;
    rn__out_put(x, f->head, f->head_len);
    rn__out_text(x, "\r\n");
    return has_body ? put_bytes(x, f, 0, size) : 0;
}

static int answer_unmodified(struct rn__exchange *x, const struct rn__file *f)
{
    int r = start_head(x, 304, 0);

    if (r < 0)
        return r;
    rn__out_put(x, f->head, f->common_len);
    rn__out_text(x, "\r\n");
    return 0;
}

static size_t write_range(char to[PART_HEAD], const struct rn__range *range, off_t size)
{
    return (size_t)snprintf(
        to, PART_HEAD, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long)range->first,
        (unsigned long long)(range->first + range->len - 1), (unsigned long long)size);
}

static int answer_part(struct rn__exchange *x, const struct rn__file *f,
                       const struct rn__range *range)
{
    char line[PART_HEAD];
    int r = start_head(x, 206, f->fd < 0 ? range->len : 0);

    if (r < 0)
        return r;
    rn__out_put(x, f->head, f->type_len);
    rn__out_put(x, line, write_range(line, range, f->st.st_size));
    rn__out_put(x, line,
                (size_t)snprintf(line, sizeof line, "Content-Length: %llu\r\n\r\n",
                                 (unsigned long long)range->len));
    return put_bytes(x, f, range->first, range->len);
}

/* What stands before a part, type line and all (RFC 9110 14.6). */
static size_t write_part_head(char to[PART_HEAD + RN__FILE_HEAD], const struct rn__file *f,
                              const char *boundary, const struct rn__range *range)
{
    char line[PART_HEAD];

    (void)write_range(line, range, f->st.st_size);
    return (size_t)snprintf(to, PART_HEAD + RN__FILE_HEAD, "\r\n--%s\r\n%.*s%s\r\n", boundary,
                            (int)(f->type_len - f->common_len), f->head + f->common_len, line);
}

static __attribute__((noinline)) int answer_parts(struct rn__exchange *x, const struct rn__file *f,
                                                  const struct rn__range *ranges, int n)
{
    char boundary[24], text[PART_HEAD + RN__FILE_HEAD];
    uint64_t total;
    int r = start_head(x, 206, 0);

    if (r < 0)
        return r;
    /* Not to be foreseen by who writes the files, so that none has it in it. */
    (void)snprintf(boundary, sizeof boundary, "%016llx",
                   (unsigned long long)rn_now() * 0x9e3779b97f4a7c15U);
    total = strlen(boundary) + sizeof "\r\n----\r\n" - 1;
    for (int i = 0; i < n; i++)
        total += write_part_head(text, f, boundary, &ranges[i]) + ranges[i].len;
    rn__out_put(x, f->head, f->common_len);
    rn__out_put(x, text,
                (size_t)snprintf(text, sizeof text,
                                 "Content-Type: multipart/byteranges; boundary=%s\r\n"
                                 "Content-Length: %llu\r\n\r\n",
                                 boundary, (unsigned long long)total));
    for (int i = 0; i < n && r == 0; i++) {
        r = rn__out_write(x, text, write_part_head(text, f, boundary, &ranges[i]));
        if (r == 0)
            r = put_bytes(x, f, ranges[i].first, ranges[i].len);
    }
    if (r < 0)
        return r;
    return rn__out_write(x, text, (size_t)snprintf(text, sizeof text, "\r\n--%s--\r\n", boundary));
}

/* With the fields that make it depend on what the peer has (RFC 9110 13.2.2). */
static __attribute__((noinline)) int answer_asked(struct rn__exchange *x, const struct rn__file *f,
                                                  unsigned asks)
{
    const struct rn__http_request *head = &x->r.head;
    struct rn__range ranges[RN__RANGES_MOST];
    const struct rn__http_field *range;
    time_t now = time(NULL);
    char line[PART_HEAD];
    int n = rn__http_precondition(head, asks, &f->validators, now);

    if (n == 304)
        return answer_unmodified(x, f);
    if (n == 412)
        return rn_http_error(&x->w, 412, "The file is not the one that was asked for.");
    if ((asks & RN__ASK_RANGE) == 0 || head->method != RN__HTTP_GET ||
        !rn__http_range_counts(head, asks, &f->validators, now))
        return answer_whole(x, f);
    range = rn__http_header(head, "range");
    n = rn__http_ranges((struct rn__http_slice){range->value, range->value_len},
                        (uint64_t)f->st.st_size, ranges);
    if (n == 0)
        return answer_whole(x, f);
    if (n > 0)
        return n == 1 ? answer_part(x, f, ranges) : answer_parts(x, f, ranges, n);
    n = rn_http_error(&x->w, 416, "The file has no such part.");
    (void)snprintf(line, sizeof line, "bytes */%llu", (unsigned long long)f->st.st_size);
    return n < 0 ? n : rn_http_set_header(&x->w, "Content-Range", line);
}

static void answer_file(struct rn__exchange *x, const struct rn__file *f)
{
    unsigned asks = rn__http_asks(&x->r.head);
    bool plain = (asks & (RN__ASK_IF | RN__ASK_RANGE)) == 0;
    int r = RN_LIKELY(plain) ? answer_whole(x, f) : answer_asked(x, f, asks);

    if (r < 0 && x->w.error == 0)
        x->w.error = r;
    x->close |= r < 0;             /* the length has been promised */
    x->w.complete = x->w.head_out; /* else it is a page, which is staged */
}

/* ---- in place of a file ---- */

static void answer_error(struct rn__exchange *x, int error)
{
    rn_http_response *w = &x->w;

    switch (-error) {
    case ENOENT:
        (void)rn_http_error(w, 404, "There is no such file here.");
        break;
    case EACCES:
    case EPERM:
        (void)rn_http_error(w, 403, "This file may not be read.");
        break;
    case EINVAL:
        (void)rn_http_error(w, 400, "The address is malformed.");
        break;
    case ENAMETOOLONG:
        (void)rn_http_error(w, 414, "The address is too long.");
        break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        (void)rn_http_set_header(w, "Retry-After", "1");
        (void)rn_http_error(w, 503, "The server is short of memory or files.");
        break;
    default:
        rn__log("http: %s", rn_strerror(error));
        (void)rn_http_error(w, 500, "The server failed.");
    }
}

/* To the same path with a slash at its end, so that relative links work. The path goes back as it
 * came, still encoded: the parser let nothing through that could end the line. */
static void answer_moved(struct rn__exchange *x)
{
    struct rn__http_slice path = x->r.head.path, query = x->r.head.query;
    char *url = rn_http_alloc(&x->r, path.len + query.len + 3), *at = url;

    if (url == NULL) {
        answer_error(x, -ENOMEM);
        return;
    }
    /* "//host" at the start of a Location would be another host. */
    while (path.len > 1 && path.at[1] == '/') {
        path.at++;
        path.len--;
    }
    at = mempcpy(at, path.at, path.len);
    *at++ = '/';
    if (query.at != NULL) {
        *at++ = '?';
        at = mempcpy(at, query.at, query.len);
    }
    *at = '\0';
    (void)rn_http_redirect(&x->w, 301, url);
}

static void answer_path(struct rn__exchange *x, rn_http_files *files, struct rn__http_slice path)
{
    char name[RN__FILE_NAME];
    struct rn__file *f;
    bool is_dir = false;
    ssize_t len = rn__http_path(path.at, path.len, name, sizeof name - sizeof "/index.html",
                                &is_dir);
    int r;

    if (len < 0) {
        answer_error(x, (int)len);
        return;
    }
    if (is_dir)
        strcpy(len == 1 && name[0] == '.' ? name : name + len,
               len == 1 && name[0] == '.' ? "index.html" : "/index.html");
    r = rn__files_get(&files->caches[rn_proc_id() - 1], name, rn__now_cached(), &f);
    if (r == 0) {
        answer_file(x, f);
        rn__files_put(f);
    } else if (r == -EISDIR && !is_dir) {
        answer_moved(x);
    } else {
        answer_error(x, r == -EISDIR ? -ENOENT : r);
    }
}

void rn_http_files_handler(rn_http_response *w, rn_http_request *r, void *files)
{
    struct rn__http_slice path = r->rest.at != NULL ? r->rest : r->head.path;

    if (r->head.method == RN__HTTP_GET || r->head.method == RN__HTTP_HEAD) {
        answer_path(rn__exchange_of_w(w), files, path);
    } else if (r->head.method == RN__HTTP_OTHER) {
        (void)rn_http_error(w, 501, "This method is not known here.");
    } else {
        (void)rn_http_set_header(w, "Allow", "GET, HEAD");
        (void)rn_http_error(w, 405, "Files can be read, no more.");
    }
}
