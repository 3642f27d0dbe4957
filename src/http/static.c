/*
 * static.c - the handler that answers with files
 *
 * A small file's head and body go into the output buffer as they are kept (files.h); a large one's
 * head goes out with its first bytes, which sendfile moves.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "http/exchange.h"
#include "http/fields.h"
#include "http/files.h"
#include "http/listing.h"
#include "http/negotiate.h"
#include "http/path.h"
#include "http/token.h"
#include "task/log.h"
#include <runnel/task.h>

#define PART_HEAD 160 /* what a part has in a head beside what the file's own says */

/* The pages of a file of this size stay for a second after their use. */
#define WARM_MOST ((uint64_t)1 << 20)

_Static_assert(RN__OUT_ROOM >= RN__FILE_SMALL + 2048, "a small file and its head fit");
_Static_assert(RN__OUT_ROOM >= RN__FIELDS_MOST + RN__HEAD_ROOM + RN__FILE_HEAD + PART_HEAD,
               "the longest head fits");

#define INDEX_LONGEST 255

struct rn_http_files {
    struct rn__files_policy policy;
    rn_http_files_options options;
    int n_caches;
    struct rn__files caches[]; /* one for each P */
};

/* ---- setting up ---- */

static bool is_name(const char *name)
{
    return name != NULL && *name != '\0' && *name != '/' && strlen(name) < RN__FILE_NAME;
}

static int check_options(const rn_http_files_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    for (const char *const *name = o->index; name != NULL && *name != NULL; name++)
        if (!is_name(*name) || strchr(*name, '/') != NULL || strlen(*name) > INDEX_LONGEST)
            return -EINVAL;
    if (o->fallback != NULL && !is_name(o->fallback))
        return -EINVAL;
    for (size_t i = 0; i < o->n_cache_rules; i++)
        if (o->cache_rules[i].pattern == NULL || o->cache_rules[i].value == NULL ||
            strlen(o->cache_rules[i].value) > RN__FILE_RULE ||
            !rn__is_value_text(o->cache_rules[i].value))
            return -EINVAL;
    for (size_t i = 0; i < o->n_error_pages; i++) {
        int status = o->error_pages[i].status;

        if (!is_name(o->error_pages[i].name) || (status != 0 && (status < 400 || status > 599)))
            return -EINVAL;
    }
    return 0;
}

static int open_root(struct rn__files_policy *p, const char *dir)
{
    int probe;

    p->root = rn__sys_openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (p->root < 0)
        return p->root;
    probe = rn__files_open(p, ".", O_RDONLY | O_DIRECTORY);
    (void)rn__sys_close(probe < 0 ? p->root : probe);
    return probe < 0 ? probe : 0;
}

static int load_types(struct rn__mime *m, const char *path)
{
    int r;

    if (path != NULL)
        return *path == '\0' ? 0 : rn__mime_load(m, path);
    r = rn__mime_load(m, RN__MIME_FILE);
    return r == -ENOMEM ? r : 0;
}

int rn_http_files_new(const char *dir, const rn_http_files_options *options, rn_http_files **ret)
{
    static const rn_http_files_options defaults;
    static const char *const index[] = {"index.html", NULL};
    const rn_http_files_options *o = options == NULL ? &defaults : options;
    int n = rn_procs(), r = check_options(o);
    rn_http_files *f;

    if (r < 0 || rn__self() == NULL)
        return r < 0 ? r : -EDEADLK;
    f = rn__calloc(1, sizeof *f + (size_t)n * sizeof f->caches[0]);
    if (f == NULL)
        return -ENOMEM;
    f->options = *o;
    if (o->index == NULL)
        f->options.index = index;
    f->policy = (struct rn__files_policy){.resolve = o->no_links ? RESOLVE_NO_SYMLINKS : 0,
                                          .dotfiles = o->dotfiles,
                                          .precompressed = o->precompressed,
                                          .shared_tags = o->shared_tags,
                                          .cache_rules = o->cache_rules,
                                          .n_cache_rules = o->n_cache_rules};
    r = load_types(&f->policy.mime, o->mime_file);
    if (r == 0)
        r = open_root(&f->policy, dir);
    if (r < 0) {
        rn__mime_free(&f->policy.mime);
        rn__free(f);
        return r;
    }
    f->n_caches = n;
    for (int i = 0; i < n; i++)
        rn__files_init(&f->caches[i], &f->policy);
    *ret = f;
    return 0;
}

/* The root's descriptor keeps its number, so whoever looks just then, on any thread, sees either
 * directory; and what is remembered is looked up again by it within a second, as ever. */
int rn_http_files_reopen(rn_http_files *files, const char *dir)
{
    struct rn__files_policy anew = {.resolve = files->policy.resolve};
    int r = open_root(&anew, dir);

    if (r < 0)
        return r;
    r = rn__sys_dup3(anew.root, files->policy.root, O_CLOEXEC);
    (void)rn__sys_close(anew.root);
    return r < 0 ? r : 0;
}

void rn_http_files_free(rn_http_files *files)
{
    if (files == NULL)
        return;
    for (int i = 0; i < files->n_caches; i++)
        rn__files_free(&files->caches[i]);
    (void)rn__sys_close(files->policy.root);
    rn__mime_free(&files->policy.mime);
    rn__free(files);
}

static inline int get_file(const struct rn__exchange *x, rn_http_files *files, const char *name,
                           unsigned coding, struct rn__file **ret)
{
    return rn__files_get(&files->caches[x->proc], name, coding, rn__now_cached(), ret);
}

/* ---- a file, or parts of it ---- */

/* The head's first lines; behind them is room for those of the file, and for `body` bytes if it can
 * be. */
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

/* Some of the file. Of a large one a last look, before its last piece, finds out whether it is
 * still the one that was promised: else the connection ends. */
static int put_bytes(struct rn__exchange *x, struct rn__file *f, uint64_t first, uint64_t len)
{
    uint64_t last = len < RN__WRITE_PIECE ? len : RN__WRITE_PIECE;
    bool warm = f->warm == f->checked;
    int r;

    if (f->fd < 0) {
        r = rn__out_write(x, f->bytes + first, len);
    } else {
        r = rn__out_file(x, f->fd, (off_t)first, len - last, warm);
        if (r == 0 && len > last)
            r = rn__files_check(f);
        if (r == 0)
            r = rn__out_file(x, f->fd, (off_t)(first + len - last), last, warm);
        if (r == 0 && len == (uint64_t)f->st.st_size && len <= WARM_MOST)
            f->warm = f->checked;
    }
    x->w.body_out += r == 0 ? len : 0;
    return r;
}

/* A page that is staged is not complete yet; a file is, or the length that was promised is not
 * kept. */
static void end_answer(struct rn__exchange *x, int r)
{
    if (r < 0 && x->w.error == 0)
        x->w.error = r;
    x->w.complete |= x->w.head_out;
}

static int answer_whole(struct rn__exchange *x, struct rn__file *f)
{
    size_t size = x->r.head.method == RN__HTTP_HEAD ? 0 : (size_t)f->st.st_size;
    int r = start_head(x, 200, f->fd < 0 ? size : 0);

    if (r < 0)
        return r;
    if (RN_LIKELY(f->fd < 0 && f->head_len + size <= RN__OUT_ROOM - x->out_len)) {
        rn__out_put(x, f->head, f->head_len + size); /* they lie side by side */
        x->w.body_out += size;
        return 0;
    }
    rn__out_put(x, f->head, f->head_len);
    return size > 0 ? put_bytes(x, f, 0, size) : 0;
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

static int answer_part(struct rn__exchange *x, struct rn__file *f, const struct rn__range *range)
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

static __attribute__((noinline)) int answer_parts(struct rn__exchange *x, struct rn__file *f,
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
    x->w.body_out = total;
    return rn__out_write(x, text, (size_t)snprintf(text, sizeof text, "\r\n--%s--\r\n", boundary));
}

/* ---- in place of a file ---- */

/* False where there is no page for this status, or it cannot be had. It says nothing of its own
 * version: it is asked for by another's name. */
static bool answer_page(struct rn__exchange *x, rn_http_files *files, int status)
{
    const rn_http_error_page *page = NULL, *any = NULL;
    bool has_body = x->r.head.method != RN__HTTP_HEAD;
    struct rn__file *f;
    int r;

    for (size_t i = files->options.n_error_pages; i-- > 0;)
        if (files->options.error_pages[i].status == status)
            page = &files->options.error_pages[i];
        else if (files->options.error_pages[i].status == 0)
            any = &files->options.error_pages[i];
    page = page == NULL ? any : page;
    if (page == NULL || get_file(x, files, page->name, 0, &f) < 0)
        return false;
    r = start_head(x, status, f->fd < 0 ? (size_t)f->st.st_size : 0);
    if (r == 0) {
        rn__out_put(x, f->head + f->common_len, f->head_len - f->common_len);
        r = has_body ? put_bytes(x, f, 0, (uint64_t)f->st.st_size) : 0;
    }
    rn__files_put(f);
    end_answer(x, r);
    return true;
}

/* An error, with one more header field where name is not NULL. */
static void refuse(struct rn__exchange *x, rn_http_files *files, int status, const char *text,
                   const char *name, const char *value)
{
    if (name != NULL)
        (void)rn_http_set_header(&x->w, name, value);
    if (files->options.n_error_pages > 0 && answer_page(x, files, status))
        return;
    (void)rn_http_error(&x->w, status, text);
    if (name != NULL) /* anew: Content-Range is one that goes with a body */
        (void)rn_http_set_header(&x->w, name, value);
}

static void answer_error(struct rn__exchange *x, rn_http_files *files, int error)
{
    switch (-error) {
    case ENOENT:
        refuse(x, files, 404, "There is no such file here.", NULL, NULL);
        break;
    case EACCES:
    case EPERM:
        refuse(x, files, 403, "This file may not be read.", NULL, NULL);
        break;
    case EINVAL:
        refuse(x, files, 400, "The address is malformed.", NULL, NULL);
        break;
    case ENAMETOOLONG:
        refuse(x, files, 414, "The address is too long.", NULL, NULL);
        break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        refuse(x, files, 503, "The server is short of memory or files.", "Retry-After", "1");
        break;
    case EBUSY:
        refuse(x, files, 503, "The folder is being changed.", "Retry-After", "1");
        break;
    default:
        rn__log("http: %s", rn_strerror(error));
        refuse(x, files, 500, "The server failed.", NULL, NULL);
    }
}

/* ---- which answer ---- */

/* With the fields that make it depend on what the peer has (RFC 9110 13.2.2). */
static __attribute__((noinline)) int answer_asked(struct rn__exchange *x, rn_http_files *files,
                                                  struct rn__file *f)
{
    const struct rn__http_request *head = &x->r.head;
    struct rn__range ranges[RN__RANGES_MOST];
    const struct rn__http_field *range;
    time_t now = time(NULL);
    char line[PART_HEAD];
    int n = rn__http_precondition(head, &f->validators, now);

    if (n == 304)
        return answer_unmodified(x, f);
    if (n == 412) {
        refuse(x, files, 412, "The file is not the one that was asked for.", NULL, NULL);
        return 0;
    }
    if ((head->asks & RN__ASK_RANGE) == 0 || head->method != RN__HTTP_GET ||
        !rn__http_range_counts(head, &f->validators, now))
        return answer_whole(x, f);
    range = rn__http_header(head, "range");
    n = rn__http_ranges((struct rn__http_slice){range->value, range->value_len},
                        (uint64_t)f->st.st_size, ranges);
    if (n == 0)
        return answer_whole(x, f);
    if (n > 0)
        return n == 1 ? answer_part(x, f, ranges) : answer_parts(x, f, ranges, n);
    (void)snprintf(line, sizeof line, "bytes */%llu", (unsigned long long)f->st.st_size);
    refuse(x, files, 416, "The file has no such part.", "Content-Range", line);
    return 0;
}

/* The compressed neighbour that the peer would rather have, in place of the file; or the file. */
static struct rn__file *choose_coding(struct rn__exchange *x, rn_http_files *files,
                                      struct rn__file *f)
{
    unsigned coding = rn__http_choose_coding(&x->r.head, f->codings);
    struct rn__file *other;

    if (coding == 0 || get_file(x, files, f->name, coding, &other) < 0)
        return f;
    rn__files_put(f);
    return other;
}

static void answer_file(struct rn__exchange *x, rn_http_files *files, struct rn__file *f)
{
    unsigned asks = x->r.head.asks;
    int r;

    if (f->codings != 0 && (asks & RN__ASK_ACCEPT_ENCODING) != 0)
        f = choose_coding(x, files, f);
    r = RN_LIKELY((asks & (RN__ASK_IF | RN__ASK_RANGE)) == 0) ? answer_whole(x, f)
                                                              : answer_asked(x, files, f);
    rn__files_put(f);
    end_answer(x, r);
}

struct listing_job {
    const struct rn__files_policy *policy;
    const char *name;
    bool json;
    char *text;
    size_t len;
};

static int make_listing(void *arg)
{
    struct listing_job *j = arg;

    return rn__listing_make(j->policy, j->name, j->json, &j->text, &j->len);
}

/* 0, or why it cannot be had: nothing has been said yet. */
static int answer_listing(struct rn__exchange *x, rn_http_files *files, const char *name)
{
    struct listing_job j = {
        .policy = &files->policy, .name = name, .json = rn__http_likes_json(&x->r.head)};
    rn_http_response *w = &x->w;
    int r = rn_offload(make_listing, &j, NULL);

    if (r < 0)
        return r;
    (void)rn_http_set_header(w, "Content-Type",
                             j.json ? "application/json" : "text/html; charset=utf-8");
    (void)rn_http_set_header(w, "Vary", "Accept");
    (void)rn_http_set_header(w, "Cache-Control", "no-cache");
    (void)rn_http_set_header(w, "Content-Security-Policy",
                             "default-src 'none'; style-src 'unsafe-inline'");
    (void)rn_http_set_length(w, j.len);
    (void)rn_http_write(w, j.text, j.len);
    rn__free(j.text);
    return 0;
}

/* To the same path with a slash at its end, so that relative links work. The path goes back as it
 * came, still encoded: the parser let nothing through that could end the line. */
static void answer_moved(struct rn__exchange *x, rn_http_files *files)
{
    struct rn__http_slice path = x->r.head.path, query = x->r.head.query;
    char *url = rn_http_alloc(&x->r, path.len + query.len + 3), *at = url;

    if (url == NULL) {
        answer_error(x, files, -ENOMEM);
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

/* What is sent in place of a file that is not there. */
static int get_fallback(const struct rn__exchange *x, rn_http_files *files, struct rn__file **ret)
{
    const char *name = files->options.fallback;
    int r = name == NULL ? -ENOENT : get_file(x, files, name, 0, ret);

    return r == -EISDIR ? -ENOENT : r;
}

/* The page of a directory, or its names. name has room for that of a page behind it. */
static void answer_directory(struct rn__exchange *x, rn_http_files *files, char *name, size_t len)
{
    bool is_root = len == 1 && name[0] == '.';
    struct rn__file *f;
    int r = -ENOENT;

    for (const char *const *index = files->options.index; *index != NULL && r == -ENOENT; index++) {
        strcpy(is_root ? name : stpcpy(name + len, "/"), *index);
        r = get_file(x, files, name, 0, &f);
        r = r == -EISDIR ? -ENOENT : r;
    }
    strcpy(is_root ? name : name + len, is_root ? "." : "");
    if (r == -ENOENT && files->options.list && !rn__files_is_hidden(&files->policy, name)) {
        r = answer_listing(x, files, name);
        if (r == 0)
            return;
    }
    if (r == -ENOENT)
        r = get_fallback(x, files, &f);
    if (r == 0)
        answer_file(x, files, f);
    else
        answer_error(x, files, r);
}

static void answer_path(struct rn__exchange *x, rn_http_files *files, struct rn__http_slice path)
{
    char name[RN__FILE_NAME];
    struct rn__file *f;
    bool is_dir = false;
    ssize_t len = rn__http_path(path.at, path.len, name, sizeof name - INDEX_LONGEST - 1, &is_dir);
    int r;

    if (len < 0) {
        answer_error(x, files, (int)len);
        return;
    }
    if (is_dir) {
        answer_directory(x, files, name, (size_t)len);
        return;
    }
    r = get_file(x, files, name, 0, &f);
    if (r == -ENOENT)
        r = get_fallback(x, files, &f);
    if (r == 0)
        answer_file(x, files, f);
    else if (r == -EISDIR)
        answer_moved(x, files);
    else
        answer_error(x, files, r);
}

/* Whatever said something before the file has a say cannot speak for it. */
static void forget_fields(rn_http_response *w, const rn_http_files *files)
{
    static const char *const about_file[] = {"Content-Type", "Content-Encoding", "Content-Range",
                                             "ETag",         "Last-Modified",    "Accept-Ranges"};

    for (size_t i = 0; i < RN_COUNT_OF(about_file); i++)
        (void)rn_http_set_header(w, about_file[i], NULL);
    if (files->policy.n_cache_rules > 0)
        (void)rn_http_set_header(w, "Cache-Control", NULL);
}

/* False, and answered: it was another method than those that read. */
static bool begin_answer(struct rn__exchange *x, rn_http_files *files)
{
    uint8_t method = x->r.head.method;

    if (x->w.head_out) { /* of another answer, which so has no end */
        (void)rn_http_error(&x->w, 500, NULL);
        return false;
    }
    if (x->w.fields_len > 0)
        forget_fields(&x->w, files);
    if (RN_LIKELY(method == RN__HTTP_GET || method == RN__HTTP_HEAD))
        return true;
    if (method == RN__HTTP_OTHER)
        refuse(x, files, 501, "This method is not known here.", NULL, NULL);
    else
        refuse(x, files, 405, "Files can be read, no more.", "Allow", "GET, HEAD");
    return false;
}

void rn_http_files_handler(rn_http_response *w, rn_http_request *r, void *files)
{
    struct rn__exchange *x = rn__exchange_of_w(w);

    if (begin_answer(x, files))
        answer_path(x, files, r->rest.at != NULL ? r->rest : r->head.path);
}

void rn_http_files_send(rn_http_response *w, rn_http_request *r, rn_http_files *files,
                        const char *name)
{
    struct rn__exchange *x = rn__exchange_of_w(w);
    struct rn__file *f;
    int e;

    (void)r;
    if (!begin_answer(x, files))
        return;
    e = is_name(name) ? get_file(x, files, name, 0, &f) : -ENOENT;
    if (e == 0)
        answer_file(x, files, f);
    else
        answer_error(x, files, e == -EISDIR ? -ENOENT : e);
}
