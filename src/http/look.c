/*
 * look.c - what a name below the root stands for, as an entry for the cache
 *
 * Knows the policy, and nothing of any cache: any thread. A look either takes what it finds in
 * memory, and says -EAGAIN where it would have to wait for the disk; or it waits.
 */
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/sys.h"
#include "http/files.h"
#include "http/negotiate.h"
#include "http/text.h"

/* The clock that files are dated by moves in steps, of at most 10 ms: two changes within one leave
 * the same time. Some file systems keep seconds only, FAT every other. */
#define TICK (20 * RN_MILLISECOND)
#define COARSE_TICK (2 * RN_SECOND + TICK)
#define TRIES 32 /* for what others' renames and writes disturb */

#ifndef RESOLVE_CACHED
#define RESOLVE_CACHED 0x20
#endif

static const char *const endings[RN__N_CODINGS] = {".br", ".zst", ".gz"};
static const char *const coding_names[RN__N_CODINGS] = {"br", "zstd", "gzip"};

static int open_below(const struct rn__files_policy *p, const char *name, int flags,
                      unsigned long long resolve)
{
    return rn__sys_openat2(p->root, name, flags | O_CLOEXEC,
                           RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | p->resolve | resolve);
}

/* EAGAIN: something, anywhere, was renamed or mounted while ".." in a link was followed. */
int rn__files_open(const struct rn__files_policy *policy, const char *name, int flags)
{
    int fd = -EAGAIN;

    for (int i = 0; i < TRIES && fd == -EAGAIN; i++)
        fd = open_below(policy, name, flags, 0);
    return fd == -EAGAIN ? -EBUSY : fd;
}

/* Before Linux 5.12 it cannot be asked. */
static int open_cached(const struct rn__files_policy *p, const char *name, int flags)
{
    int fd = open_below(p, name, flags, RESOLVE_CACHED);

    return fd == -EINVAL ? -EAGAIN : fd;
}

static int open_for(const struct rn__look *k, bool wait, const char *name, int flags)
{
    return wait ? rn__files_open(k->policy, name, flags) : open_cached(k->policy, name, flags);
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

/* ELOOP and EXDEV: a link out of the root. ENAMETOOLONG: no file can have such a name. */
int rn__files_translate(int e)
{
    return e == -EXDEV || e == -ELOOP || e == -ENOTDIR || e == -ENXIO || e == -ENAMETOOLONG
               ? -ENOENT
               : e;
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

/* Some bytes; -EAGAIN also where kernel or file system cannot say whether it would wait. */
static ssize_t read_cached(int fd, char *to, size_t len, off_t at)
{
    struct iovec iov = {.iov_base = to, .iov_len = len};
    ssize_t n = rn__sys_preadv2(fd, &iov, 1, at, RWF_NOWAIT);

    return n == -EOPNOTSUPP || n == -ENOSYS ? -EAGAIN : n;
}

/* All of a small file, or -RN_ETRUNCATED when it is not as long as it was. */
static int read_all(int fd, char *to, size_t len, bool wait)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = wait ? rn__sys_pread(fd, to + done, len - done, (off_t)done)
                         : read_cached(fd, to + done, len - done, (off_t)done);

        if (n <= 0)
            return n < 0 ? (int)n : -RN_ETRUNCATED;
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
 * Weak while the next change might not show in them; then it is of this look alone, or the version
 * after that change would have the tag of the one before, and who has that be told it is good.
 * A shared one is of what other machines know, too: a copy keeps length and date, by the second.
 */
static uint64_t hash_version(const struct rn__files_policy *p, const struct rn__file *e)
{
    const struct stat *st = &e->st;
    uint64_t h = mix(mix(mix(1, (uint64_t)st->st_size), (uint64_t)st->st_mtim.tv_sec), e->coding);
    struct timespec now;

    if (!p->shared_tags) {
        h = mix(mix(h, (uint64_t)st->st_ino), (uint64_t)st->st_mtim.tv_nsec);
        h = mix(mix(h, (uint64_t)st->st_ctim.tv_sec), (uint64_t)st->st_ctim.tv_nsec);
    }
    if (e->unsettled) {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        h = mix(mix(h, (uint64_t)now.tv_sec), (uint64_t)now.tv_nsec);
    }
    return h;
}

bool rn__is_unsettled(const struct stat *st, const struct timespec *now, bool by_second)
{
    rn_time age = (now->tv_sec - st->st_ctim.tv_sec) * RN_SECOND + now->tv_nsec -
                  st->st_ctim.tv_nsec;

    return age < (by_second || st->st_ctim.tv_nsec == 0 ? COARSE_TICK : TICK);
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

    rn__http_date(e->validators.modified, date);
    add_line(to, &n, "ETag: %s\"%016llx-%llx\"\r\n", e->unsettled ? "W/" : "",
             (unsigned long long)hash_version(p, e), (unsigned long long)e->st.st_size);
    e->validators.etag = e->head + 6;
    e->validators.etag_len = n - 8;
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
    add_line(to, &n, "Content-Length: %lld\r\n\r\n", (long long)e->st.st_size);
    e->head_len = n;
}

/* The bytes of a small file; who wrote meanwhile is found out by the next look. */
static int keep_bytes(struct rn__file *e, int fd, char *to, bool wait)
{
    struct stat after = {0};
    int r = read_all(fd, to, (size_t)e->st.st_size, wait);

    if (r == 0)
        r = rn__sys_fstat(fd, &after);
    if (r < 0)
        return r;
    e->unsettled |= !same(&e->st, &after);
    e->bytes = to;
    return 0;
}

/* From where it was written to the end of its room, where the bytes begin: so that both can be sent
 * by one copy. */
static void close_gap(struct rn__file *e, char *head)
{
    size_t gap = RN__FILE_HEAD - e->head_len;

    memmove(head + gap, head, e->head_len);
    e->head += gap;
    e->validators.etag += gap;
}

/* One allocation: entry, name, head, bytes. `like` has what is known of it; its fd is taken over on
 * success. */
static int make(struct rn__look *k, bool wait, const struct rn__file *like)
{
    size_t name_len = k->name_len + 1;
    bool small = (size_t)like->st.st_size <= k->keep;
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
    e->name_len = (unsigned)k->name_len;
    e->head = text + name_len;
    rn__list_init(&e->lru);
    memcpy(text, k->name, name_len);
    if (small) {
        r = keep_bytes(e, like->fd, text + name_len + RN__FILE_HEAD, wait);
        if (r < 0) {
            rn__free(e);
            return r;
        }
        (void)rn__sys_close(like->fd);
        e->fd = -1;
    }
    write_head(k->policy, e, text + name_len);
    close_gap(e, text + name_len);
    k->found = e;
    return 0;
}

/* The codings that stand beside a file, no older than it: an older one is of another version.
 * -EAGAIN: the disk would have to be asked. */
static __attribute__((noinline)) int find_codings(const struct rn__look *k, bool wait,
                                                  const struct stat *st)
{
    char path[RN__FILE_NAME + 8];
    int found = 0;

    for (int i = 0; i < RN__N_CODINGS; i++) {
        struct stat beside;
        int fd;

        (void)snprintf(path, sizeof path, "%s%s", k->name, endings[i]);
        fd = open_for(k, wait, path, O_PATH);
        if (fd == -EAGAIN)
            return fd;
        if (fd < 0)
            continue;
        if (stat_regular(fd, &beside) == 0 && beside.st_mtim.tv_sec >= st->st_mtim.tv_sec)
            found |= 1 << i;
        (void)rn__sys_close(fd);
    }
    return found;
}

static int look_at(struct rn__look *k, bool wait, struct rn__file *like)
{
    const struct rn__file *old = k->old;
    struct timespec clock; /* read first: what changes from here on is later, or unsettled */
    int r;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &clock);
    r = stat_regular(like->fd, &like->st);
    if (r == 0 && k->policy->precompressed && k->coding == 0) {
        r = find_codings(k, wait, &like->st);
        like->codings = r < 0 ? 0 : (uint8_t)r;
    }
    if (r < 0)
        return r;
    if (old != NULL && !old->unsettled && old->codings == like->codings &&
        same(&like->st, &old->st))
        return 0;
    like->unsettled = rn__is_unsettled(&like->st, &clock, k->policy->shared_tags);
    /* RFC 9110 8.8.2.1: never later than the response. */
    like->validators.modified = like->st.st_mtim.tv_sec < clock.tv_sec ? like->st.st_mtim.tv_sec
                                                                       : clock.tv_sec;
    return make(k, wait, like);
}

static int look_once(struct rn__look *k, bool wait)
{
    struct rn__file like = {.coding = (uint8_t)k->coding};
    char path[RN__FILE_NAME + 8];
    int r;

    (void)snprintf(path, sizeof path, "%s%s", k->name,
                   k->coding == 0 ? "" : endings[__builtin_ctz(k->coding)]);
    /* O_NONBLOCK: a FIFO would be waited for. */
    like.fd = open_for(k, wait, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (like.fd < 0)
        return rn__files_translate(like.fd);
    r = look_at(k, wait, &like);
    if (k->found == NULL)
        (void)rn__sys_close(like.fd);
    return r;
}

/* Who writes a file anew in place makes it shorter first: then it is looked at again. */
int rn__look(struct rn__look *k, bool wait)
{
    int r = -RN_ETRUNCATED;

    for (int i = 0; i < TRIES && r == -RN_ETRUNCATED; i++)
        r = look_once(k, wait);
    return r == -RN_ETRUNCATED ? -EBUSY : r;
}
