/*
 * files.c - the cache of open files
 *
 * Invariant: an entry is in its bucket and in the LRU list as long as the cache is one of its
 * users. What is looked up anew and has changed is a new entry; who still sends the old one keeps
 * its descriptor, and so its bytes.
 */
#include "http/files.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "http/text.h"

#define MOST 512U /* entries for each P */
#define FRESH RN_SECOND
#define STALE (60 * RN_SECOND)
#define SHED_AT_ONCE 4
/* The clock that files are dated by moves in steps, of at most 10 ms: two changes within one leave
 * the same time. */
#define TICK (20 * RN_MILLISECOND)

int rn__files_open(int root, const char *name, int flags)
{
    return rn__sys_openat2(root, name, flags | O_CLOEXEC, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
}

void rn__files_init(struct rn__files *f, int root)
{
    memset(f, 0, sizeof *f);
    f->root = root;
    rn__list_init(&f->lru);
}

static uint32_t hash_of(const char *name)
{
    uint32_t h = 2166136261U; /* FNV-1a: names are short, and an attacker can only fill one P's
                               * bounded table */
    for (; *name != '\0'; name++)
        h = (h ^ (unsigned char)*name) * 16777619U;
    return h;
}

static struct rn__file **bucket_of(struct rn__files *f, uint32_t hash)
{
    return &f->buckets[hash % RN_COUNT_OF(f->buckets)];
}

static struct rn__file *find(struct rn__files *f, const char *name, uint32_t hash)
{
    struct rn__file *e = *bucket_of(f, hash);

    while (e != NULL && (e->hash != hash || strcmp(e->name, name) != 0))
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

static bool is_hidden(const char *name)
{
    for (const char *at = name; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (at[0] == '.' && at[1] != '\0')
            return true;
    }
    return false;
}

/* Whatever one may not see does not exist. ELOOP and EXDEV: a link out of the root. */
static int translate(int e)
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

/* `to` has room for RN__FILE_HEAD. */
static void write_head(struct rn__file *e, char *to)
{
    char date[RN__HTTP_DATE_LEN + 1];
    int n;

    rn__http_date(e->st.st_mtim.tv_sec, date);
    n = snprintf(to, RN__FILE_HEAD, "ETag: %s\"%016llx-%llx\"\r\n", e->unsettled ? "W/" : "",
                 (unsigned long long)hash_version(&e->st), (unsigned long long)e->st.st_size);
    e->validators = (struct rn__validators){
        .etag = e->head + 6, .etag_len = (size_t)n - 8, .modified = e->st.st_mtim.tv_sec};
    n += snprintf(to + n, (size_t)(RN__FILE_HEAD - n),
                  "Last-Modified: %s\r\nAccept-Ranges: bytes\r\n", date);
    e->common_len = (unsigned)n;
    n += snprintf(to + n, (size_t)(RN__FILE_HEAD - n), "Content-Type: %s\r\n",
                  rn__http_mime(e->name));
    e->type_len = (unsigned)n;
    n += snprintf(to + n, (size_t)(RN__FILE_HEAD - n), "Content-Length: %lld\r\n",
                  (long long)e->st.st_size);
    RN_ASSERT(n < RN__FILE_HEAD);
    e->head_len = (unsigned)n;
}

/* The bytes of a small file; who wrote meanwhile is found out by the next look. */
static int keep_bytes(struct rn__file *e, int fd, char *to)
{
    struct stat after;
    int r = read_all(fd, to, (size_t)e->st.st_size);

    if (r == 0)
        r = rn__sys_fstat(fd, &after);
    if (r < 0)
        return r;
    e->unsettled |= !same(&e->st, &after);
    e->bytes = to;
    return 0;
}

/* One allocation: entry, name, head, bytes. Takes fd over on success. */
static int make(const char *name, int fd, const struct stat *st, const struct timespec *now,
                struct rn__file **ret)
{
    size_t name_len = strlen(name) + 1;
    bool small = st->st_size <= RN__FILE_SMALL;
    size_t bytes = small ? (size_t)st->st_size : 0;
    struct rn__file *e = rn__malloc(sizeof *e + name_len + RN__FILE_HEAD + bytes);
    char *text;
    int r;

    if (e == NULL)
        return -ENOMEM;
    text = (char *)(e + 1);
    *e = (struct rn__file){.users = 1,
                           .fd = small ? -1 : fd,
                           .st = *st,
                           .unsettled = is_unsettled(st, now),
                           .name = text,
                           .head = text + name_len,
                           .hash = hash_of(name)};
    rn__list_init(&e->lru);
    memcpy(text, name, name_len);
    if (small) {
        r = keep_bytes(e, fd, text + name_len + RN__FILE_HEAD);
        if (r < 0) {
            rn__free(e);
            return r;
        }
        (void)rn__sys_close(fd);
    }
    write_head(e, text + name_len);
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
        int fd = rn__files_open(f->root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY);
        struct rn__file *oldest = RN_CONTAINER(f->lru.next, struct rn__file, lru);

        if ((fd != -EMFILE && fd != -ENFILE) || rn__list_empty(&f->lru) || oldest == but)
            return fd;
        evict(f, oldest);
    }
}

static int look_up(struct rn__files *f, const char *name, struct rn__file *old,
                   struct rn__file **ret)
{
    struct stat st;
    struct timespec clock; /* read first: what changes from here on is later, or unsettled */
    struct rn__file *e;
    int r, fd = open_file(f, name, old);

    if (fd < 0)
        return translate(fd);
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &clock);
    r = stat_regular(fd, &st);
    if (r < 0 || (old != NULL && !old->unsettled && same(&st, &old->st))) {
        (void)rn__sys_close(fd);
        *ret = old;
        return r;
    }
    r = make(name, fd, &st, &clock, &e);
    if (r < 0) {
        (void)rn__sys_close(fd);
        return r;
    }
    if (old != NULL)
        evict(f, old); /* before insert, which may evict the same one for room */
    insert(f, e);
    *ret = e;
    return 0;
}

int rn__files_get(struct rn__files *f, const char *name, rn_time now, struct rn__file **ret)
{
    struct rn__file *old = find(f, name, hash_of(name)), *e = old;
    int r = 0;

    if (old == NULL && is_hidden(name))
        return -ENOENT;
    if (old == NULL || now - old->checked > FRESH) {
        shed(f, old, now);
        r = look_up(f, name, old, &e);
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
