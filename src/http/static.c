/*
 * static.c - the handler that answers with files
 *
 * A small file's head and body go into the output buffer as they are kept (files.h); a large one's
 * head goes out with its first bytes, which sendfile moves.
 */
#include <fcntl.h>
#include <string.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/files.h"
#include "http/path.h"
#include "task/log.h"
#include <runnel/task.h>

_Static_assert(RN__OUT_ROOM >= RN__FILE_SMALL + 2048, "a small file and its head fit");

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

static int answer_file(struct rn__exchange *x, const struct rn__file *f)
{
    size_t size = (size_t)f->st.st_size;
    bool has_body = x->r.head.method != RN__HTTP_HEAD;
    size_t kept = f->fd < 0 && has_body ? size : 0;
    int r = rn__out_reserve(x, RN__HEAD_ROOM + f->head_len + kept);

    if (r < 0)
        return r;
    rn__response_start(x, 200);
    rn__out_put(x, f->head, f->head_len);
    rn__out_text(x, "\r\n");
    rn__out_put(x, f->bytes, kept);
    if (f->fd >= 0 && has_body)
        r = rn__out_file(x, f->fd, 0, size);
    x->w.body_out = has_body && r == 0 ? size : 0;
    return r;
}

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
        (void)answer_file(x, f);
        rn__files_put(f);
        x->w.complete = true;
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
