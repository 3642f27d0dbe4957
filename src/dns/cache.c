/*
 * cache.c - answers remembered, and questions merged
 *
 * An entry is what is known, or being found out, of one name:
 *
 *      none ---asked---> ASKING ---reply with a time to live---> KEPT ---that, room, flush---> none
 *                        ASKING ---any other reply; flush; nobody waits any more---> none
 *
 * There is no coroutine behind a question. Whoever wants the answer waits for the turn: the one who
 * has it runs the line, and passes the turn on when its deadline comes, or its cancel; so the
 * question goes on as long as somebody wants the answer, and no longer. Once the answer is there
 * everybody gets the turn. The line belongs to who has the turn; all else is under the lock, which
 * is never held across a wait.
 */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "dns/dns.h"
#include "task/coro.h"

#define RESOLV_CONF "/etc/resolv.conf"

/* More turns than coroutines that could wait for one. */
#define EVERYBODY (1U << 30)

struct rn__dns_entry {
    struct rn__dns_entry *next; /* [L] in its chain */
    struct rn__list link;       /* [L] in d->kept */
    struct rn__dns_key key;     /* [C] */
    rn_sem turn;
    struct rn__dns_line *line;  /* [turn] NULL before the first turn */
    struct rn__dns_reply reply; /* [C] once done */
    rn_time until;              /* [C] once done */
    uint64_t run;               /* [C] whose coroutines want it */
    int waiting;                /* [L] who wants it */
    bool known;                 /* [L] it is in the table */
    bool done;                  /* [L] and the turn, to set; either to read */
};

rn_time rn__dns_look_ns = 5 * RN_SECOND;

/* ---- the table ---- */

static struct rn__dns_entry **chain_of(struct rn__dns *d, const struct rn__dns_key *key)
{
    uint64_t h = 0xcbf29ce484222325U ^ (uint64_t)key->type; /* FNV-1a */

    for (const char *s = key->name; *s != '\0'; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3U;
    return &d->table[(h ^ h >> 32) & (d->n_buckets - 1)];
}

static struct rn__dns_entry *find_entry(struct rn__dns *d, const struct rn__dns_key *key)
{
    struct rn__dns_entry *e = *chain_of(d, key);

    while (e != NULL && (e->key.type != key->type || strcmp(e->key.name, key->name) != 0))
        e = e->next;
    return e;
}

static struct rn__dns_entry *add_entry(struct rn__dns *d, const struct rn__dns_key *key)
{
    struct rn__dns_entry **chain = chain_of(d, key), *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->key = *key;
    e->run = rn__runs();
    rn__list_init(&e->link);
    rn_sem_release(&e->turn, 1);
    e->known = true;
    e->next = *chain;
    *chain = e;
    d->stats.in_flight++;
    return e;
}

static void free_entry(struct rn__dns_entry *e)
{
    rn__dns_line_free(e->line);
    rn__dns_answer_drop(e->reply.answer);
    free(e);
}

/* Out of the table. Frees it where nobody waits for it: it is done then, and has no line. */
static void forget_entry(struct rn__dns *d, struct rn__dns_entry *e)
{
    struct rn__dns_entry **at = chain_of(d, &e->key);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->known = false;
    if (!rn__list_empty(&e->link)) {
        rn__list_remove(&e->link);
        d->stats.entries--;
    }
    if (e->waiting == 0)
        free_entry(e);
}

/* Under the lock. A question under way is answered to those who wait, and forgotten. */
static void forget_all(struct rn__dns *d)
{
    for (size_t i = 0; i < d->n_buckets; i++)
        while (d->table[i] != NULL)
            forget_entry(d, d->table[i]);
}

void rn__dns_cache_flush(struct rn__dns *d)
{
    pthread_mutex_lock(&d->lock);
    forget_all(d);
    pthread_mutex_unlock(&d->lock);
}

static void keep_entry(struct rn__dns *d, struct rn__dns_entry *e)
{
    rn__list_push(&d->kept, &e->link);
    d->stats.entries++;
    if (d->stats.entries > (uint64_t)d->options.cache_entries) {
        d->stats.evicted++;
        forget_entry(d, RN_CONTAINER(d->kept.next, struct rn__dns_entry, link));
    }
}

int rn__dns_cache_init(struct rn__dns *d)
{
    size_t n = 16;

    while (n < (size_t)d->options.cache_entries && n < (1U << 20))
        n *= 2;
    d->table = calloc(n, sizeof(struct rn__dns_entry *));
    if (d->table == NULL)
        return -ENOMEM;
    d->n_buckets = n;
    rn__list_init(&d->kept);
    pthread_mutex_init(&d->lock, NULL);
    return 0;
}

void rn__dns_cache_end(struct rn__dns *d)
{
    struct rn__dns_line *l;

    forget_all(d);
    while ((l = d->idle) != NULL) {
        d->idle = l->next;
        rn__dns_line_free(l);
    }
    pthread_mutex_destroy(&d->lock);
    free(d->table);
}

/* ---- resolv.conf ---- */

/* Another file than last time: what the old servers said is worth nothing, and idle lines would go
 * on asking them. No file is another, too. Under the lock; a stat, every few seconds. */
static void look_at_config(struct rn__dns *d, rn_time now)
{
    uint64_t looks[3] = {0};
    struct stat st;

    if (now < d->look_again || (d->options.servers != NULL && d->search != NULL))
        return;
    if (rn__sys_fstatat(AT_FDCWD, RESOLV_CONF, &st, 0) == 0) {
        looks[0] = (uint64_t)st.st_mtim.tv_sec * RN_SECOND + (uint64_t)st.st_mtim.tv_nsec;
        looks[1] = (uint64_t)st.st_size;
        looks[2] = st.st_ino;
    }
    if (d->look_again != 0 && memcmp(looks, d->seen, sizeof looks) != 0) {
        d->version++;
        forget_all(d);
    }
    memcpy(d->seen, looks, sizeof looks);
    d->look_again = now + rn__dns_look_ns;
}

/* ---- lines ---- */

static int take_line(struct rn__dns *d, struct rn__dns_line **ret)
{
    struct rn__dns_line *l, *old = NULL;
    uint32_t version;
    int r;

    pthread_mutex_lock(&d->lock);
    version = d->version;
    l = d->idle;
    if (l != NULL) {
        d->idle = l->next;
        d->n_idle--;
    }
    pthread_mutex_unlock(&d->lock);
    if (l != NULL && l->version != version) {
        old = l;
        l = NULL;
    }
    rn__dns_line_free(old);
    if (l == NULL) {
        r = rn__dns_line_new(d, &l);
        if (r < 0)
            return r;
        l->version = version;
    }
    *ret = l;
    return 0;
}

/* Under the lock. Returns a line to free. */
static struct rn__dns_line *give_line(struct rn__dns *d, struct rn__dns_line *l)
{
    if (l->version != d->version || d->n_idle == RN__DNS_IDLE || !rn__dns_line_idle(l))
        return l;
    l->next = d->idle;
    d->idle = l;
    d->n_idle++;
    return NULL;
}

/* ---- asking ---- */

/* How long the reply holds; 0: for nobody but those who wait for it. */
static rn_time span_of(const struct rn__dns *d, const struct rn__dns_reply *reply)
{
    uint32_t s = reply->ttl_s;

    if (d->options.cache_entries < 0 || (reply->result < 0 && reply->result != -RN_ENOHOST))
        return 0;
    if (reply->result < 0 && s == 0)
        s = (uint32_t)d->options.negative_ttl_s;
    if (s > (uint32_t)d->options.max_ttl_s)
        s = (uint32_t)d->options.max_ttl_s;
    return s * RN_SECOND;
}

static void finish(struct rn__dns *d, struct rn__dns_entry *e)
{
    struct rn__dns_line *l = e->line;
    rn_time span = span_of(d, &l->reply);

    e->line = NULL;
    e->reply = l->reply;
    l->reply.answer = NULL;
    e->until = rn_now() + span;
    pthread_mutex_lock(&d->lock);
    e->done = true;
    d->stats.in_flight--;
    if (e->known && span > 0)
        keep_entry(d, e);
    else if (e->known)
        forget_entry(d, e);
    l = give_line(d, l);
    pthread_mutex_unlock(&d->lock);
    rn__dns_line_free(l);
}

/* Until it is done: 0; -ETIME, -ECANCELED, or there is no line. */
static int wait_for(struct rn__dns *d, struct rn__dns_entry *e, rn_time deadline)
{
    int r = rn_sem_acquire(&e->turn, 1, deadline);

    if (r < 0 || e->done)
        return r;
    if (e->line == NULL) {
        r = take_line(d, &e->line);
        if (r == 0)
            rn__dns_line_ask(e->line, &e->key);
    }
    if (r == 0)
        r = rn__dns_line_run(e->line, deadline);
    if (r == 0)
        finish(d, e);
    rn_sem_release(&e->turn, r == 0 ? EVERYBODY : 1);
    return r;
}

/* Too old, or left behind by coroutines that were abandoned with their run, one of them with the
 * turn? */
static bool is_stale(const struct rn__dns_entry *e, rn_time now)
{
    return e->done ? e->until <= now : e->run != rn__runs();
}

/* An entry to wait for, or one that is done; NULL: no memory. Counts the caller among those who
 * want it. */
static struct rn__dns_entry *enter(struct rn__dns *d, const struct rn__dns_key *key, bool *done)
{
    rn_time now = rn_now();
    struct rn__dns_entry *e;

    pthread_mutex_lock(&d->lock);
    look_at_config(d, now);
    e = find_entry(d, key);
    if (e != NULL && is_stale(e, now)) {
        if (!e->done) {
            e->waiting = 0;
            d->stats.in_flight--;
        }
        forget_entry(d, e);
        e = NULL;
    }
    if (e == NULL) {
        d->stats.misses++;
        e = add_entry(d, key);
    } else if (e->done) {
        d->stats.hits++;
        rn__list_remove(&e->link); /* to the end: it was used last */
        rn__list_push(&d->kept, &e->link);
    } else {
        d->stats.merged++;
    }
    if (e != NULL) {
        e->waiting++;
        *done = e->done;
    }
    pthread_mutex_unlock(&d->lock);
    return e;
}

/* With r == 0 it is done. Nobody waits any more for what is not: it is given up. */
static int leave(struct rn__dns *d, struct rn__dns_entry *e, int r, struct rn__dns_answer **ret)
{
    bool last;

    pthread_mutex_lock(&d->lock);
    if (r == 0)
        r = e->reply.result;
    if (r == 0) {
        *ret = e->reply.answer;
        atomic_fetch_add(&e->reply.answer->refs, 1);
    }
    last = --e->waiting == 0;
    if (last && !e->done) {
        d->stats.in_flight--;
        if (e->known) {
            e->waiting = 1; /* not to be freed under the lock */
            forget_entry(d, e);
        }
    }
    last = last && !e->known;
    pthread_mutex_unlock(&d->lock);
    if (last)
        free_entry(e);
    return r;
}

int rn__dns_ask(struct rn__dns *d, const struct rn__dns_key *key, rn_time deadline,
                struct rn__dns_answer **ret)
{
    bool done;
    struct rn__dns_entry *e = enter(d, key, &done);

    if (e == NULL)
        return -ENOMEM;
    /* The analyzer does not see that an entry with somebody waiting is not freed. */
    return leave(d, e, /* NOLINT(clang-analyzer-unix.Malloc) */ done ? 0 : wait_for(d, e, deadline),
                 ret);
}
