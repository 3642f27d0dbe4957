/*
 * files.c - the cache of open files
 *
 * Invariant: an entry is in its bucket and in the LRU list as long as the cache is one of its
 * users. What is looked up anew and has changed is a new entry; who still sends the old one keeps
 * its descriptor, and so its bytes.
 *
 *      HIT --a second later--> LOOK, by what is in memory --found, the same--> HIT
 *                                 '--would wait for the disk--> LOOK, on a thread of the pool --'
 *
 * Of those who would wait for the disk for the same name one has a thread; the others wait for him.
 */
#include "http/files.h"

#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include <runnel/sync.h>
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

/* Eight bytes at a time. An attacker who knows it can only fill one P's bounded table. */
static inline uint32_t hash_of(const char *name, size_t len, unsigned coding)
{
    uint64_t h = len << 8 | coding, word = 0;

    for (; len >= 8; len -= 8, name += 8) {
        memcpy(&word, name, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15U;
        h ^= h >> 32;
    }
    for (word = 0; len > 0; len--)
        word = word << 8 | (unsigned char)name[len - 1];
    h = (h ^ word) * 0x9e3779b97f4a7c15U;
    return (uint32_t)(h >> 32);
}

static struct rn__file **bucket_of(struct rn__files *f, uint32_t hash)
{
    return &f->buckets[hash % RN_COUNT_OF(f->buckets)];
}

static inline struct rn__file *find(struct rn__files *f, const char *name, size_t len,
                                    unsigned coding)
{
    uint32_t hash = hash_of(name, len, coding);
    struct rn__file *e = *bucket_of(f, hash);

    while (e != NULL && (e->hash != hash || e->coding != coding || e->name_len != len ||
                         memcmp(e->name, name, len) != 0))
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
    e->hash = hash_of(e->name, e->name_len, e->coding);
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

/* One who looks on a thread for what nothing is known of, and those who wait for him. */
struct rn__flight {
    struct rn__flight *next;     /* same bucket */
    const struct rn__look *look; /* his */
    uint32_t hash;
    int users, result;
    rn_waitgroup landed;
};

static struct rn__flight **flights_of(struct rn__files *f, uint32_t hash)
{
    return &f->flights[hash % RN_COUNT_OF(f->flights)];
}

static void put_flight(struct rn__flight *flight)
{
    if (--flight->users == 0)
        rn__free(flight);
}

/* Without memory each looks for himself. */
static struct rn__flight *take_off(struct rn__files *f, const struct rn__look *k)
{
    struct rn__flight *flight = rn__calloc(1, sizeof *flight), **first;

    if (flight == NULL)
        return NULL;
    flight->look = k;
    flight->hash = hash_of(k->name, k->name_len, k->coding);
    flight->users = 1;
    rn_waitgroup_add(&flight->landed, 1);
    first = flights_of(f, flight->hash);
    flight->next = *first;
    *first = flight;
    return flight;
}

/* What was found is in the cache. */
static void land(struct rn__files *f, struct rn__flight *flight, int result)
{
    struct rn__flight **at = flights_of(f, flight->hash);

    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    flight->result = result;
    rn_waitgroup_done(&flight->landed);
    put_flight(flight);
}

/* True: somebody else has looked for it, and that is the result. */
static bool follow(struct rn__files *f, const struct rn__look *k, int *result)
{
    uint32_t hash = hash_of(k->name, k->name_len, k->coding);
    struct rn__flight *flight = *flights_of(f, hash);
    bool landed;

    while (flight != NULL && (flight->hash != hash || flight->look->coding != k->coding ||
                              strcmp(flight->look->name, k->name) != 0))
        flight = flight->next;
    if (flight == NULL)
        return false;
    flight->users++;
    landed = rn_waitgroup_wait(&flight->landed) == 0; /* else this coroutine was cancelled */
    *result = flight->result;
    put_flight(flight);
    return landed;
}

static int look_on_thread(void *look)
{
    struct rn__look *k = look;

    k->result = rn__look(k, true);
    return 0;
}

#define FOUND_BY_OTHER 1 /* and is in the cache */

/* By what is in memory, else by a thread that may wait for the disk, where there is one. Without a
 * descriptor left, those that are only kept make room. */
static int look(struct rn__files *f, struct rn__look *k, struct rn__file *old, rn_time now,
                struct rn__flight **own)
{
    for (;;) {
        int r = rn__look(k, false);
        struct rn__file *oldest;

        if (r == -EAGAIN) {
            if (old != NULL)
                old->checked = now; /* one looks; meanwhile it is good enough for the others */
            else if (*own == NULL && follow(f, k, &r))
                return r < 0 ? r : FOUND_BY_OTHER;
            else if (*own == NULL)
                *own = take_off(f, k);
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

/* The result of a look into the cache. */
static int take_in(struct rn__files *f, struct rn__look *k, struct rn__file *old, int r,
                   rn_time now, struct rn__file **ret)
{
    struct rn__file *e = old, *kept = find(f, k->name, k->name_len, k->coding);

    if (old != NULL && is_passing(r))
        r = 0; /* what was known, for another second */
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

/* It may park. Meanwhile the old entry may be evicted, and others may look for the same by what is
 * in memory: each of them comes by an entry, and the cache keeps the last. */
static int look_up(struct rn__files *f, struct rn__look *k, struct rn__file *old, rn_time now,
                   struct rn__file **ret)
{
    struct rn__flight *own = NULL;
    struct rn__file *found = NULL;
    int r;

    if (old != NULL)
        old->users++;
    do { /* again where it was evicted before this coroutine had its turn */
        r = look(f, k, old, now, &own);
        if (r == FOUND_BY_OTHER)
            found = find(f, k->name, k->name_len, k->coding);
    } while (r == FOUND_BY_OTHER && found == NULL);
    if (r == FOUND_BY_OTHER) {
        found->users++;
        *ret = found;
        return 0;
    }
    r = take_in(f, k, old, r, now, ret);
    if (own != NULL)
        land(f, own, r);
    return r;
}

static __attribute__((noinline)) int get_anew(struct rn__files *f, struct rn__look *k, rn_time now,
                                              struct rn__file *e, struct rn__file **ret)
{
    if (e == NULL && rn__files_is_hidden(f->policy, k->name))
        return -ENOENT;
    k->policy = f->policy;
    k->keep = f->kept < KEPT_MOST ? RN__FILE_MEDIUM : RN__FILE_SMALL;
    k->old = e;
    shed(f, e, now);
    return look_up(f, k, e, now, ret);
}

int rn__files_get(struct rn__files *f, const char *name, unsigned coding, rn_time now,
                  struct rn__file **ret)
{
    size_t len = strlen(name);
    struct rn__file *e = find(f, name, len, coding);

    if (RN_UNLIKELY(e == NULL || now - e->checked > FRESH)) {
        struct rn__look k = {.name = name, .name_len = len, .coding = coding};

        return get_anew(f, &k, now, e, ret);
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
