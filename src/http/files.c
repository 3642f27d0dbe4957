/*
 * files.c - the cache of open files
 *
 * Invariant: an entry is in its bucket and in the LRU list as long as the cache is one of its
 * users. What is looked up anew and has changed is a new entry; who still sends the old one keeps
 * its descriptor, and so its bytes.
 *
 *      HIT --a second later--> LOOK, by what is in memory --found, the same--> HIT
 *                                 '--would wait for the disk--> LOOK, on a thread of the pool --'
 */
#include "http/files.h"

#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include <runnel/task.h>

#define MOST 512U /* entries for each P */
#define KEPT_MOST ((size_t)8 << 20)
#define FRESH RN_SECOND
#define STALE (60 * RN_SECOND)
#define SHED_AT_ONCE 4

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

static size_t kept_by(const struct rn__file *file)
{
    return file->fd < 0 ? (size_t)file->st.st_size : 0;
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
    f->kept -= kept_by(file);
    rn__files_put(file);
}

void rn__files_free(struct rn__files *f)
{
    while (!rn__list_empty(&f->lru))
        evict(f, RN_CONTAINER(f->lru.next, struct rn__file, lru));
}

static void insert(struct rn__files *f, struct rn__file *e)
{
    if (f->n == MOST)
        evict(f, RN_CONTAINER(f->lru.next, struct rn__file, lru));
    e->hash = hash_of(e->name, e->coding);
    e->chain = *bucket_of(f, e->hash);
    *bucket_of(f, e->hash) = e;
    rn__list_push(&f->lru, &e->lru);
    f->n++;
    f->kept += kept_by(e);
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

static int look_on_thread(void *look)
{
    struct rn__look *k = look;

    k->result = rn__look(k, true);
    return 0;
}

/* By what is in memory, else by a thread that may wait for the disk, where there is one. Without a
 * descriptor left, those that are only kept make room. */
static int look(struct rn__files *f, struct rn__look *k, struct rn__file *old, rn_time now)
{
    for (;;) {
        int r = rn__look(k, false);
        struct rn__file *oldest;

        if (r == -EAGAIN) {
            if (old != NULL)
                old->checked = now; /* one looks; meanwhile it is good enough for the others */
            if (rn_offload(look_on_thread, k, NULL) < 0)
                (void)look_on_thread(k);
            r = k->result;
        }
        oldest = RN_CONTAINER(f->lru.next, struct rn__file, lru);
        if ((r != -EMFILE && r != -ENFILE) || rn__list_empty(&f->lru) || oldest == old)
            return r;
        evict(f, oldest);
    }
}

/* It says nothing of the file. */
static bool is_passing(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOMEM;
}

/* It may park. Meanwhile the old entry may be evicted, and others may look for the same: each of
 * them comes by an entry, and the cache keeps the last. */
static int look_up(struct rn__files *f, struct rn__look *k, struct rn__file *old, rn_time now,
                   struct rn__file **ret)
{
    struct rn__file *e = old, *kept;
    int r;

    if (old != NULL)
        old->users++;
    r = look(f, k, old, now);
    if (old != NULL && is_passing(r))
        r = 0; /* what was known, for another second */
    kept = find(f, k->name, k->coding);
    if (r < 0 || k->found != NULL) {
        if (old != NULL)
            rn__files_put(old);
        if (kept != NULL)
            evict(f, kept); /* before insert, which may evict the same one for room */
        if (r < 0)
            return r;
        e = k->found;
        insert(f, e);
        e->users++;
    } else if (kept == old) {
        rn__list_remove(&e->lru); /* used: to the end; only here, for the hot way to stay short */
        rn__list_push(&f->lru, &e->lru);
    }
    e->checked = now;
    *ret = e;
    return 0;
}

int rn__files_get(struct rn__files *f, const char *name, unsigned coding, rn_time now,
                  struct rn__file **ret)
{
    struct rn__file *e = find(f, name, coding);

    if (e == NULL && rn__files_is_hidden(f->policy, name))
        return -ENOENT;
    if (e == NULL || now - e->checked > FRESH) {
        struct rn__look k = {.policy = f->policy,
                             .name = name,
                             .coding = coding,
                             .keep = f->kept < KEPT_MOST ? RN__FILE_MEDIUM : RN__FILE_SMALL,
                             .old = e};

        shed(f, e, now);
        return look_up(f, &k, e, now, ret);
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
