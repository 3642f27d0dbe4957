/*
 * files.h - open files by name, below one directory, remembered for a second
 *
 * One cache for each P: no lock. An entry holds what a response needs: the descriptor, or for a
 * small file its bytes; size, and the part of the head that does not change. It is used without a
 * system call for a second, then looked up again; so a change is seen within that time, and a file
 * that is asked for a thousand times a second costs one openat2 and one fstat in it.
 */
#ifndef RN_HTTP_FILES_H
#define RN_HTTP_FILES_H

#include <sys/stat.h>

#include <runnel/http.h>

#include "base/list.h"
#include "http/conditional.h"
#include "http/mime.h"

#define RN__FILE_NAME 1024  /* longest name, NUL included */
#define RN__FILE_SMALL 8192 /* up to here the bytes are kept, and fit the output buffer */
#define RN__FILE_MEDIUM ((size_t)32 << 10) /* and up to here, as long as a P keeps few of them */
#define RN__FILE_HEAD 768                  /* longest head */
#define RN__FILE_RULE 200                  /* longest Cache-Control */

/* What is where, and who may see it; the same for all Ps. [C] */
struct rn__files_policy {
    int root;
    unsigned long long resolve; /* beside RESOLVE_BENEATH */
    bool dotfiles;
    bool precompressed;
    bool shared_tags; /* with other machines that have the same files */
    const rn_http_cache_rule *cache_rules;
    size_t n_cache_rules;
    struct rn__mime mime;
};

struct rn__file {
    struct rn__list lru;
    struct rn__file *chain; /* same bucket */
    rn_time checked;
    uint32_t hash;
    uint32_t users;  /* responses under way; the cache itself is one */
    int fd;          /* -1 when the bytes are kept */
    uint8_t coding;  /* RN__CODING_… of these bytes; 0: as they are */
    uint8_t codings; /* what there is beside it, of a file as it is */
    rn_time warm;    /* as `checked`, when all of it was last sent: it was in the page cache */
    bool unsettled;  /* changed so lately that its times may not tell of the next change */
    struct stat st;
    struct rn__validators validators;
    /* Lines with CR LF, in an order in which each answer needs one run of them:
     *      ETag, Last-Modified… | Content-Type | Content-Length, and the empty line
     * 304: up to common_len; 206: up to type_len; 200: all, and behind it the bytes, where they are
     * kept. */
    const char *head;
    unsigned common_len, type_len, head_len;
    unsigned name_len;
    const char *bytes;
    const char *name;
};

struct rn__files {
    const struct rn__files_policy *policy;
    uint32_t n;
    size_t kept;         /* bytes */
    struct rn__list lru; /* newest last */
    struct rn__file *buckets[256];
    struct rn__flight *flights[64]; /* who waits for the disk, for what nothing is known of */
};

void rn__files_init(struct rn__files *f, const struct rn__files_policy *policy);
void rn__files_free(struct rn__files *f); /* nobody uses any */

/*
 * A regular file, or with -EISDIR the news that it is a directory. The name is relative and
 * normalised (path.h). A coding: of those that the file as it is has beside it. -ENOENT also for
 * what is hidden (a segment that starts with '.'), for links that lead out of the root, and for
 * what is no regular file; -EACCES, -EMFILE, -ENOMEM, -EIO…, -EBUSY (look again later). Parks where
 * the disk must be waited for; without a thread for that, or outside a coroutine, waits itself.
 */
int rn__files_get(struct rn__files *f, const char *name, unsigned coding, rn_time now,
                  struct rn__file **ret);

/* 0 where the bytes of an open file are still those that its head speaks of, as far as its times
 * tell; what was appended does not count. Else -RN_ETRUNCATED. */
int rn__files_check(const struct rn__file *file);
void rn__files_put(struct rn__file *file);

/* ---- look.c: any thread ---- */

struct rn__look {
    const struct rn__files_policy *policy;
    const char *name;
    size_t name_len;
    unsigned coding;
    size_t keep;                /* the bytes of a file that is no longer than this */
    const struct rn__file *old; /* what is known of it; NULL: nothing */
    struct rn__file *found;     /* with one user; NULL: old is still true */
    int result;
};

/* Opens, and reads what is small. 0, or an error of rn__files_get; -EAGAIN, and nothing has been
 * done: it is not all in memory, and waiting for the disk was not allowed. */
int rn__look(struct rn__look *k, bool wait);

/* May the next change leave the same times, or the same seconds, so that nobody would see it? */
bool rn__is_unsettled(const struct stat *st, const struct timespec *now, bool by_second);

/* Below the root, as the policy has it; close-on-exec. May wait for the disk. -EBUSY: others change
 * the folders on the way, all the time. */
int rn__files_open(const struct rn__files_policy *policy, const char *name, int flags);

/* Whatever one may not see does not exist: the error to tell for one of an open. */
int rn__files_translate(int error);

/* Is there a segment that one may not see? */
bool rn__files_is_hidden(const struct rn__files_policy *policy, const char *name);

#endif
