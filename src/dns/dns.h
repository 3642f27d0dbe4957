/*
 * dns.h - the resolver from inside: questions, answers, lines, the cache
 *
 *      use.c    public calls, which resolver is in effect
 *      cache.c  who asks what: answers remembered, questions merged
 *      line.c   a c-ares channel, its sockets, and the wait for them
 *      answer.c what came back, as answers
 *
 * Private to src/dns. This library is linked beside librunnel, and uses of its inside only what is
 * marked RN__BESIDE (base.h).
 */
#ifndef RN_DNS_DNS_H
#define RN_DNS_DNS_H

#include <pthread.h>
#include <stdatomic.h>
#include <runnel/dns.h>
#include <runnel/sync.h>

#include "base/base.h"
#include "base/list.h"

#define RN__DNS_NAME_ROOM 256
#define RN__DNS_ITEMS 64 /* of one answer; what a server sends beyond them is dropped */
#define RN__DNS_IDLE 8   /* lines kept for the next questions */

/* What is asked for; the first three are addresses, as the resolver's family. */
enum rn__dns_type { RN__DNS_ANY = 0, RN__DNS_A = 4, RN__DNS_AAAA = 6, RN__DNS_SRV, RN__DNS_PTR };

struct rn__dns_key {
    enum rn__dns_type type;
    char name[RN__DNS_NAME_ROOM]; /* lower case */
};

/* Shared by the cache and whoever has just asked. */
struct rn__dns_answer {
    _Atomic int refs;
    int n; /* [C] */
    union {
        rn_ip ip;
        rn_dns_srv srv;
        rn_dns_name name;
    } items[]; /* [C] */
};

struct rn__dns_answer *rn__dns_answer_new(int n);   /* n items, zeroed; NULL */
void rn__dns_answer_drop(struct rn__dns_answer *a); /* NULL is allowed */

/* What has come back: an answer, or an error, and for how many seconds that holds. */
struct rn__dns_reply {
    int result; /* 0, or an error */
    uint32_t ttl_s;
    struct rn__dns_answer *answer; /* where the result is 0 */
};

/* answer.c: pure */
struct ares_addrinfo;
void rn__dns_from_addrinfo(const struct ares_addrinfo *ai, struct rn__dns_reply *ret);
/* A message of len bytes; `status` is what c-ares makes of its header. */
void rn__dns_from_message(enum rn__dns_type type, int status, const unsigned char *msg, int len,
                          struct rn__dns_reply *ret);
int rn__dns_error(int status); /* of c-ares */
/* The least time to live in a message: of its answers; where there are none, the one that its SOA
 * gives to that (RFC 2308). False: it tells of none. */
bool rn__dns_ttl(const unsigned char *msg, int len, uint32_t *ret);
/* order[0..a->n): which to try first; *seed changes. */
void rn__dns_srv_order(const struct rn__dns_answer *a, uint64_t *seed, uint8_t *order);

/*
 * A line asks one question at a time, and belongs to one coroutine at a time: c-ares knows no
 * threads. Its sockets are in an epoll of its own, the one descriptor that its coroutine waits for;
 * so it has no home, and another coroutine, on another P, may go on with it.
 */
struct rn__dns_line {
    struct rn__dns_line *next; /* [L] while idle */
    struct ares_channeldata *channel;
    int epoll;
    int fresh;        /* the socket made last, not yet in epoll; -1 */
    int error;        /* what the kernel refused a socket with, 0 or -errno */
    uint32_t version; /* [C] of resolv.conf, when it was made */
    enum rn__dns_type type;
    bool done; /* reply is there */
    struct rn__dns_reply reply;
};

struct rn__dns;

int rn__dns_line_new(const struct rn__dns *d, struct rn__dns_line **ret);
void rn__dns_line_free(struct rn__dns_line *l); /* NULL is allowed; gives up its question */
void rn__dns_line_ask(struct rn__dns_line *l, const struct rn__dns_key *key);
/* Until the reply is there: 0. -ETIME, -ECANCELED; then it may go on later. */
int rn__dns_line_run(struct rn__dns_line *l, rn_time deadline);
/* Nothing left of the last question? */
bool rn__dns_line_idle(struct rn__dns_line *l);

/* The resolver. */
struct rn__dns {
    _Atomic int refs;
    rn_dns_options options; /* [C] none is 0 but the strings, which are own copies or NULL */
    char **search;          /* [C] options.search, cut; NULL */
    int n_search;           /* [C] */
    pthread_mutex_t lock;
    struct rn__dns_entry **table; /* [L] n_buckets chains */
    size_t n_buckets;             /* [C] a power of two */
    struct rn__list kept;         /* [L] entries with a reply, the longest unused first */
    struct rn__dns_line *idle;    /* [L] */
    int n_idle;                   /* [L] */
    uint64_t seed;                /* [L] for the order of servers */
    uint32_t version;             /* [L] of resolv.conf */
    rn_time look_again;           /* [L] at resolv.conf */
    uint64_t seen[3];             /* [L] what it looked like */
    rn_dns_stats stats;           /* [L] */
};

extern rn_time rn__dns_look_ns; /* how often resolv.conf is looked at; tests shorten it */

/* cache.c */
int rn__dns_cache_init(struct rn__dns *d); /* 0, -ENOMEM */
void rn__dns_cache_end(struct rn__dns *d); /* nobody is in it */
void rn__dns_cache_flush(struct rn__dns *d);
/* In a coroutine; the answer is one more reference, for the caller to drop. */
int rn__dns_ask(struct rn__dns *d, const struct rn__dns_key *key, rn_time deadline,
                struct rn__dns_answer **ret);

#endif
