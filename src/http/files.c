/*
 * files.c - the cache of open files
 *
 * Invariant: an entry is in its bucket and in the LRU list as long as the cache is one of its
 * users. What is looked up anew and has changed is a new entry; who still sends the old one keeps
 * its descriptor, and so its bytes.
 */
#include "http/files.h"

#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "http/negotiate.h"
#include "http/text.h"

#define MOST 512U /* entries for each P */
#define FRESH RN_SECOND
#define STALE (60 * RN_SECOND)
#define SHED_AT_ONCE 4
/* The clock that files are dated by moves in steps, of at most 10 ms: two changes within one leave
 * the same time. */
#define TICK (20 * RN_MILLISECOND)

static const char *const endings[RN__N_CODINGS] = {".br", ".zst", ".gz"};
static const char *const coding_names[RN__N_CODINGS] = {"br", "zstd", "gzip"};

int rn__files_open(const struct rn__files_policy *policy, const char *name, int flags)
{
    return rn__sys_openat2(policy->root, name, flags | O_CLOEXEC,
                           RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | policy->resolve);
}

void rn__files_init(struct rn__files *f, const struct rn__files_policy *policy)
{
    memset(f, 0, sizeof *f);
    f->policy = policy;
    rn__list_init(&f->lru);
}

static uint32_t hash_of(const char *name, unsigned coding)
{
    uint32_t h = 2166136261U; /* FNV-1a: names are short, and an attacker can only fill one P's
                               * bounded table */
    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 16777619U;
    return h ^ coding;
}

static struct rn__file **bucket_of(struct rn__files *f, uint32_t hash)
{
    return &f->buckets[hash % RN_COUNT_OF(f->buckets)];
}

static struct rn__file *find(struct rn__files *f, const char *name, unsigned coding)
{
    uint32_t hash = hash_of(name, coding);
    struct rn__file *e = *bucket_of(f, hash);

    while (e != NULL && (e->hash != hash || e->coding != coding || strcmp(e->name, name) != 0))
        e = e->chain;
    return e;
}

void rn__files_put(struct rn__file *file)
{
    if (--file->users > 0)
        return;
    if (file->fd >= 0)
        (void)rn__sys_close(file->fd);
    rn__free(file);
}

static void evict(struct rn__files *f, struct rn__file *file)
{
    struct rn__file **at = bucket_of(f, file->hash);

    while (*at != file)
        at = &(*at)->chain;
    *at = file->chain;
    rn__list_remove(&file->lru);
    f->n--;
    rn__files_put(file);
}

void rn__files_free(struct rn__files *f)
{
    while (!rn__list_empty(&f->lru))
        evict(f, RN_CONTAINER(f->lru.next, struct rn__file, lru));
}

/* RFC 8615: what is for programs to find is there for them. */
bool rn__files_is_hidden(const struct rn__files_policy *policy, const char *name)
{
    static const char known[] = ".well-known";
    const char *at = name;

    if (policy->dotfiles)
        return false;
    if (strncmp(name, known, sizeof known - 1) == 0 &&
        (name[sizeof known - 1] == '/' || name[sizeof known - 1] == '\0'))
        at = strchr(name, '/');
    for (; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && at[1] != '\0')
            return true;
    }
    return false;
}

/* ELOOP and EXDEV: a link out of the root. */
int rn__files_translate(int e)
{
    return e == -EXDEV || e == -ELOOP || e == -ENOTDIR || e == -ENXIO || e == -EAGAIN ? -ENOENT : e;
}

static int stat_regular(int fd, struct stat *st)
{
    int r = rn__sys_fstat(fd, st);

    if (r < 0)
        return r;
    if (S_ISDIR(st->st_mode))
        return -EISDIR;
    return S_ISREG(st->st_mode) ? 0 : -ENOENT;
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* All of a small file, or -EIO when it is not as long as it was. */
static int read_all(int fd, char *to, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = rn__sys_pread(fd, to + done, len - done, (off_t)done);

        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        done += (size_t)n;
    }
    return 0;
}

static uint64_t mix(uint64_t h, uint64_t value)
{
    h = (h ^ value) * 0x9e3779b97f4a7c15U;
    return h ^ h >> 32;
}

/*
 * Strong (RFC 9110 8.8.1): of inode, length, and the times of the last change of the bytes and of
 * the inode, which nobody can set back; hashed, because a number of an inode is nobody's business.
 * Weak while the next change might not show in them.
 */
static uint64_t hash_version(const struct stat *st)
{
    uint64_t h = mix(mix(1, (uint64_t)st->st_ino), (uint64_t)st->st_size);

    h = mix(mix(h, (uint64_t)st->st_mtim.tv_sec), (uint64_t)st->st_mtim.tv_nsec);
    return mix(mix(h, (uint64_t)st->st_ctim.tv_sec), (uint64_t)st->st_ctim.tv_nsec);
}

static bool is_unsettled(const struct stat *st, const struct timespec *now)
{
    return (now->tv_sec - st->st_ctim.tv_sec) * RN_SECOND + now->tv_nsec - st->st_ctim.tv_nsec <
           TICK;
}

/* A pattern with a slash is for the whole path, another for its last segment. */
static __attribute__((noinline)) const char *find_rule(const struct rn__files_policy *p,
                                                       const char *name)
{
    char path[RN__FILE_NAME + 1];
    const char *last = strrchr(name, '/');

    (void)snprintf(path, sizeof path, "/%s", name);
    for (size_t i = 0; i < p->n_cache_rules; i++) {
        const char *pattern = p->cache_rules[i].pattern;
        const char *what = strchr(pattern, '/') != NULL ? path : last == NULL ? name : last + 1;

        if (fnmatch(pattern, what, FNM_NOESCAPE) == 0)
            return p->cache_rules[i].value;
    }
    return NULL;
}

static __attribute__((format(printf, 3, 4))) void add_line(char *to, unsigned *len,
                                                           const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(to + *len, RN__FILE_HEAD - *len, format, ap);
    va_end(ap);
    RN_ASSERT(n > 0 && (unsigned)n < RN__FILE_HEAD - *len);
    *len += (unsigned)n;
}

/* `to` has room for RN__FILE_HEAD. */
static void write_head(const struct rn__files_policy *p, struct rn__file *e, char *to)
{
    const char *rule = p->n_cache_rules == 0 ? NULL : find_rule(p, e->name);
    const char *type = rn__mime_type(&p->mime, e->name);
    char date[RN__HTTP_DATE_LEN + 1];
    unsigned n = 0;

    rn__http_date(e->st.st_mtim.tv_sec, date);
    add_line(to, &n, "ETag: %s\"%016llx-%llx\"\r\n", e->unsettled ? "W/" : "",
             (unsigned long long)hash_version(&e->st), (unsigned long long)e->st.st_size);
    e->validators = (struct rn__validators){
        .etag = e->head + 6, .etag_len = n - 8, .modified = e->st.st_mtim.tv_sec};
    add_line(to, &n, "Last-Modified: %s\r\nAccept-Ranges: bytes\r\n", date);
    if (rule != NULL)
        add_line(to, &n, "Cache-Control: %s\r\n", rule);
    if (e->coding != 0 || e->codings != 0)
        add_line(to, &n, "Vary: Accept-Encoding\r\n");
    e->common_len = n;
    if (e->coding != 0)
        add_line(to, &n, "Content-Encoding: %s\r\n", coding_names[__builtin_ctz(e->coding)]);
    /* What is text is taken for UTF-8, as editors do. */
    add_line(to, &n, "Content-Type: %s%s\r\n", type,
             strncmp(type, "text/", 5) == 0 ? "; charset=utf-8" : "");
    e->type_len = n;
    add_line(to, &n, "Content-Length: %lld\r\n", (long long)e->st.st_size);
    e->head_len = n;
}

/* The bytes of a small file; who wrote meanwhile is found out by the next look. */
static int keep_bytes(struct rn__file *e, int fd, char *to)
{
    struct stat after = {0};
    int r = read_all(fd, to, (size_t)e->st.st_size);

    if (r == 0)
        r = rn__sys_fstat(fd, &after);
    if (r < 0)
        return r;
    e->unsettled |= !same(&e->st, &after);
    e->bytes = to;
    return 0;
}

/* One allocation: entry, name, head, bytes. `like` has what is known of it; takes its fd over on
 * success. */
static int make(const struct rn__files_policy *p, const char *name, const struct rn__file *like,
                struct rn__file **ret)
{
    size_t name_len = strlen(name) + 1;
    bool small = like->st.st_size <= RN__FILE_SMALL;
    size_t bytes = small ? (size_t)like->st.st_size : 0;
    struct rn__file *e = rn__malloc(sizeof *e + name_len + RN__FILE_HEAD + bytes);
    char *text;
    int r;

    if (e == NULL)
        return -ENOMEM;
    text = (char *)(e + 1);
    *e = *like;
    e->users = 1;
    e->name = text;
    e->head = text + name_len;
    e->hash = hash_of(name, e->coding);
    rn__list_init(&e->lru);
    memcpy(text, name, name_len);
    if (small) {
        r = keep_bytes(e, like->fd, text + name_len + RN__FILE_HEAD);
        if (r < 0) {
            rn__free(e);
            return r;
        }
        (void)rn__sys_close(like->fd);
        e->fd = -1;
    }
    write_head(p, e, text + name_len);
    *ret = e;
    return 0;
}

static void insert(struct rn__files *f, struct rn__file *e)
{
    if (f->n == MOST)
        evict(f, RN_CONTAINER(f->lru.next, struct rn__file, lru));
    e->chain = *bucket_of(f, e->hash);
    *bucket_of(f, e->hash) = e;
    rn__list_push(&f->lru, &e->lru);
    f->n++;
}

/* What nobody has asked for in a while holds its descriptor, and a deleted file's space, no longer:
 * the list is in the order of the last look. */
static void shed(struct rn__files *f, const struct rn__file *but, rn_time now)
{
    for (int i = 0; i < SHED_AT_ONCE && !rn__list_empty(&f->lru); i++) {
        struct rn__file *oldest = RN_CONTAINER(f->lru.next, struct rn__file, lru);

        if (oldest == but || now - oldest->checked <= STALE)
            return;
        evict(f, oldest);
    }
}

/* Opens; without a descriptor left, those that are only kept make room. */
static int open_file(struct rn__files *f, const char *name, const struct rn__file *but)
{
    for (;;) {
        /* O_NONBLOCK: a FIFO must not stop the P. */
        int fd = rn__files_open(f->policy, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct rn__file *oldest = RN_CONTAINER(f->lru.next, struct rn__file, lru);

        if ((fd != -EMFILE && fd != -ENFILE) || rn__list_empty(&f->lru) || oldest == but)
            return fd;
        evict(f, oldest);
    }
}

/* The codings that stand beside a file, no older than it: an older one is of another version. */
static __attribute__((noinline)) uint8_t find_codings(const struct rn__files_policy *p,
                                                      const char *name, const struct stat *st)
{
    char path[RN__FILE_NAME + 8];
    uint8_t found = 0;

    for (int i = 0; i < RN__N_CODINGS; i++) {
        struct stat beside;
        int fd;

        (void)snprintf(path, sizeof path, "%s%s", name, endings[i]);
        fd = rn__files_open(p, path, O_PATH);
        if (fd < 0)
            continue;
        if (stat_regular(fd, &beside) == 0 && beside.st_mtim.tv_sec >= st->st_mtim.tv_sec)
            found |= (uint8_t)(1U << i);
        (void)rn__sys_close(fd);
    }
    return found;
}

static int look_up(struct rn__files *f, const char *name, unsigned coding, struct rn__file *old,
                   struct rn__file **ret)
{
    struct rn__file like = {.coding = (uint8_t)coding}, *e;
    struct timespec clock; /* read first: what changes from here on is later, or unsettled */
    char path[RN__FILE_NAME + 8];
    int r;

    (void)snprintf(path, sizeof path, "%s%s", name,
                   coding == 0 ? "" : endings[__builtin_ctz(coding)]);
    like.fd = open_file(f, path, old);
    if (like.fd < 0)
        return rn__files_translate(like.fd);
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &clock);
    r = stat_regular(like.fd, &like.st);
    if (r == 0 && f->policy->precompressed && coding == 0)
        like.codings = find_codings(f->policy, name, &like.st);
    if (r < 0 || (old != NULL && !old->unsettled && old->codings == like.codings &&
                  same(&like.st, &old->st))) {
        (void)rn__sys_close(like.fd);
        *ret = old;
        return r;
    }
    like.unsettled = is_unsettled(&like.st, &clock);
    r = make(f->policy, name, &like, &e);
    if (r < 0) {
        (void)rn__sys_close(like.fd);
        return r;
    }
    if (old != NULL)
        evict(f, old); /* before insert, which may evict the same one for room */
    insert(f, e);
    *ret = e;
    return 0;
}

int rn__files_get(struct rn__files *f, const char *name, unsigned coding, rn_time now,
                  struct rn__file **ret)
{
    struct rn__file *old = find(f, name, coding), *e = old;
    int r = 0;

    if (old == NULL && rn__files_is_hidden(f->policy, name))
        return -ENOENT;
    if (old == NULL || now - old->checked > FRESH) {
        shed(f, old, now);
        r = look_up(f, name, coding, old, &e);
        if (r < 0) {
            if (old != NULL)
                evict(f, old);
            return r;
        }
        e->checked = now;
        rn__list_remove(&e->lru); /* used: to the end; only here, for the hot way to stay short */
        rn__list_push(&f->lru, &e->lru);
    }
    e->users++;
    *ret = e;
    return 0;
}

int rn__files_check(const struct rn__file *file)
{
    struct stat st;
    int r = rn__sys_fstat(file->fd, &st);

    if (r < 0)
        return r;
    return st.st_size < file->st.st_size || (st.st_size == file->st.st_size &&
                                             (st.st_mtim.tv_sec != file->st.st_mtim.tv_sec ||
                                              st.st_mtim.tv_nsec != file->st.st_mtim.tv_nsec))
               ? -RN_ETRUNCATED
               : 0;
}
