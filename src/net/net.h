/*
 * net.h - the connection and the listener from inside
 *
 * Private to src/net and to what stands on it (http, cmd's server).
 */
#ifndef RN_NET_NET_H
#define RN_NET_NET_H

#include <runnel/net.h>
#include <runnel/resolve.h>
#include <runnel/sockopt.h>
#include <runnel/sync.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "base/sys.h"
#include "sync/waitq.h"
#include "task/iowait.h"

struct serve;
struct unread;

/*
 * rn_conn.gate: who is inside, and whether the door is closing.
 *
 *      bit 0 CLOSING   bit 1 READER   bits 2..7 holders   bits 8.. writers, inside or queued
 *
 * A holder sets or asks for something, and neither reads nor writes. The owner sets CLOSING once;
 * nobody enters after that, and the last one to leave readies the closer. The writer who comes when
 * there is none has the turn; the others wait for it in `turns`.
 */
#define RN__GATE_CLOSING 1U
#define RN__GATE_READER 2U
#define RN__GATE_HOLDER 4U
#define RN__GATE_HOLDERS 0xfcU
#define RN__GATE_WRITER 0x100U
#define RN__GATE_INSIDE (~(uint32_t)RN__GATE_CLOSING)

struct rn__turns {
    _Atomic uint32_t lock;
    uint32_t granted;      /* [L] turns passed to somebody who was not yet waiting */
    struct rn__fifo queue; /* [L] */
};

struct rn_conn {
    struct rn__iowait w; /* first: a conn is a slot */
    _Atomic uint32_t gate;
    int write_error; /* [writer] poison, 0 or -errno */
    struct rn__turns turns;
    struct unread *unread;   /* [reader] */
    struct rn__coro *closer; /* set before CLOSING */
    rn_handler handler;      /* [C] once started or resting */
    void *handler_arg;
    _Atomic(struct serve *) serve; /* counts it; NULL: nobody's */
    struct rn__msg arrive;         /* a new one, on its way to the P that is to be its home */
    size_t stack_bytes;            /* of the handler */
    uint16_t lingered_kib;         /* thrown away so far; 16 KiB each 10 ms for 2 s fit */
    bool is_socket;                /* [C] else a pipe or a terminal */
    bool is_pipe;                  /* [C] */
    bool is_tcp;                   /* [C] */
    bool is_packet;          /* [C] keeps the bounds of messages: a datagram socket or seqpacket */
    bool has_path;           /* [C] bound to a path that the close removes */
    bool resting;            /* [reader] a handler waits for it to become readable */
    bool stays_inside;       /* [reader] and begins as the reader: rn__conn_rest */
    bool drained;            /* [reader] the last read left nothing, and no edge came since */
    atomic_bool by_ops;      /* the poller reads and writes, until the first zerocopy */
    bool emptied;            /* [reader] by_ops: the last read got less than it asked for: a hint */
    atomic_bool stays;       /* by_ops: a coroutine stays with it, and parks at each read: a hint */
    bool saw_eof;            /* [reader] */
    bool failed;             /* [A-ish] a read or write met an error of the kernel's: no linger */
    bool reset_on_close;     /* [A-ish] rn_set_linger 0: no linger */
    atomic_bool read_closed; /* rn_close_read: reads end */
    bool want_linger;        /* [owner] the peer may still be sending: linger in any case */
    atomic_bool held_back;   /* [writer] writes: the last write, to TCP, said MSG_MORE */
    uint8_t zerocopy;        /* [writer] see zerocopy.c */
    uint8_t counted;         /* [owner] 0: not as open; 1: as open; else why it is closed, plus 2 */
};

_Static_assert(sizeof(struct rn_conn) <= RN__SLOT_BYTES, "a conn fits its slot");

/* conn.c */
int rn__conn_new(int fd, bool is_socket, bool is_tcp, rn_conn **ret);
void rn__conn_init(rn_conn *c, int fd, bool is_socket, bool is_tcp); /* on a slot */
int rn__conn_enter_read(rn_conn *c);  /* then rn__conn_leave(c, RN__GATE_READER) */
int rn__conn_enter_write(rn_conn *c); /* both of these: */
int rn__conn_take_turn(rn_conn *c);
int rn__conn_may_write(rn_conn *c); /* with the turn: poisoned, cancelled, out of time? */
void rn__conn_leave(rn_conn *c, uint32_t who);
/* Keeps it open until rn__conn_leave(c, RN__GATE_HOLDER): 0, -ECANCELED, -EDEADLK, -EBUSY. */
int rn__conn_hold(rn_conn *c);
/* The kernel offers nothing to wait for but time: sleeps *pause, no longer than the write deadline,
 * and doubles it. 0, -ETIME, -ECANCELED. */
int rn__conn_pause(rn_conn *c, rn_time *pause);
#define RN__PAUSE_FIRST RN_MILLISECOND
/* As rn_writev, with MSG_MORE or such; no zero-length call. */
ssize_t rn__conn_write(rn_conn *c, const struct iovec *iov, int n, int flags);
/* After a short write, by whose turn it is: what comes after the first `done` bytes. 0 or an error,
 * which poisons. */
ssize_t rn__conn_write_rest(rn_conn *c, const struct iovec *iov, int n, int flags, size_t done);
/* What MSG_MORE held back may go: 0, or the errors of rn_write. */
ssize_t rn__conn_flush(rn_conn *c);
ssize_t rn__iov_sum(const struct iovec *iov, int n); /* of the lengths; -EINVAL */
/* For who is inside: one try each, which may say -EAGAIN; and the wait that comes after that. A
 * read takes unread bytes first. */
ssize_t rn__conn_try_read(rn_conn *c, void *buf, size_t len);
ssize_t rn__conn_try_write(rn_conn *c, const void *buf, size_t len);
int rn__conn_wait_read(rn_conn *c);
int rn__conn_wait_write(rn_conn *c);
size_t rn__conn_pending(rn_conn *c); /* bytes already in user space */
void rn__unread_free(rn_conn *c);
void rn__conn_drop(struct rn__iowait *w);

/* As rn_go_when_readable and rn_read, but fn begins as the reader, inside: it may read so, and
 * leaves (RN__GATE_READER) before anybody else may read, and before the close. */
int rn__conn_rest(rn_conn *c, rn_handler fn, void *arg);
ssize_t rn__conn_read_inside(rn_conn *c, void *buf, size_t len);

/* sendfile.c: what fits of these bytes, which the file is known to have; their number. As many as
 * *warm, at most len, need no look whether they are in the page cache; left there: how many of
 * those behind. */
ssize_t rn__conn_send_file(rn_conn *c, int fd, off_t offset, size_t len, size_t *warm);

/* It is open, for the statistics, and how it came to be; its close is counted then. */
static inline void rn__conn_count(rn_conn *c, enum rn__count how)
{
    c->counted = 1;
    rn__count(how);
}

/* close.c: the peer may still be sending: drain before closing, slowly after 64 KiB. */
static inline void rn__conn_linger(rn_conn *c)
{
    c->want_linger = true;
}
void rn__conn_finish(rn_conn *c); /* descriptor and slot; nobody inside. Coroutine or scheduler */

/* turns: FIFO among writers, or acceptors of one P. The count of who is inside is the caller's. */
void rn__turns_wait(struct rn__turns *t, const struct rn__wait_kind *why);
void rn__turns_pass(struct rn__turns *t);

/* A port's I/O wait: a slot that knows its listener. */
struct rn__port_slot {
    struct rn__iowait w;   /* first */
    rn_listener *ln;       /* [C] */
    struct rn__port *port; /* [C] NULL: rn_listener.at_end */
};

_Static_assert(sizeof(struct rn__port_slot) <= RN__SLOT_BYTES, "a port fits its slot");

/*
 * One P's way into a listener. Its poller is one of several that watch the descriptor, and the
 * kernel tells only one of them of a connection. So a port at which nobody accepts rests: an event
 * there is passed on to the others, or it would be lost to them.
 */
struct rn__port {
    _Atomic(struct rn__iowait *) w; /* made by the first acceptor on that P */
    struct rn__turns turns;
    uint32_t users;           /* [P] acceptors that have or await the turn */
    _Atomic uint32_t present; /* [P] writes: calls and loops of accept here; 0: the port rests */
    rn_conn *spare;     /* [P] a slot for the next connection, so that none is lost for memory */
    rn_time backoff_ns; /* [P] 0: none */
};

struct rn_listener {
    struct rn__list link;  /* [L] of all listeners: listen.c */
    _Atomic int fd;        /* -1 once stopped */
    bool is_tcp;           /* [C] */
    bool is_packet;        /* [C] unixpacket */
    int backlog;           /* [C] as asked for; -1: opened by somebody else */
    char *path;            /* [C] unix: what to unlink */
    atomic_bool keep_path; /* somebody else listens there too */
    _Atomic uint32_t gate; /* bit 0 CLOSING, above: who is inside, times 2 */
    atomic_bool cancelled;
    _Atomic(struct rn__coro *) closer; /* who stops it; set before CLOSING */
    struct rn__iowait *at_end;         /* for its drop, where the run ends first */
    int n_ports;
    struct rn__port ports[];
};

/* listen.c: without a descriptor yet. NULL: no memory. Freed by rn__free until it has one.
 * -ENOMEM, -ENFILE: fd is still the caller's. */
rn_listener *rn__listener_new(bool is_tcp, int backlog);
int rn__listener_set_fd(rn_listener *ln, int fd);

/* Calls fn for each listener that is open, and stays so until fn returns. Any thread. */
void rn__listener_each(void (*fn)(rn_listener *ln, void *arg), void *arg);

/* Inside, a listener is not freed. -ECANCELED once it is being closed. Any thread. */
int rn__listener_enter(rn_listener *ln);
void rn__listener_leave(rn_listener *ln);

/* Cancels, waits for those inside, and gives up the descriptor: from then on peers are
 * refused. Once: who comes second does not wait for the first. */
void rn__listener_stop(rn_listener *ln);

/* accept.c: an accept loop on the caller's P: enter, any number of accepts, leave. */
int rn__accept_enter(rn_listener *ln);
void rn__accept_leave(rn_listener *ln);
int rn__accept_next(rn_listener *ln, rn_conn **ret);
/* Waits without accepting, until nudged or cancelled: 0 or -ECANCELED. */
int rn__accept_hold(rn_listener *ln);
void rn__listener_nudge(rn_listener *ln); /* acceptors on every P look again; any P */

/* serve.c */
void rn__serve_forget(rn_conn *c);   /* it is closed */
bool rn__serve_draining(rn_conn *c); /* its server ends: finish what is under way, then close */
/* The server of a connection, NULL: none, does not return before it is let go: for a handler that
 * goes on when the connection is no more, or another's. */
struct serve *rn__serve_hold(rn_conn *c);
void rn__serve_release(struct serve *s); /* NULL is allowed */

/* sockopt.c: on a socket that neither listens nor is connected. 0, or what setsockopt says. */
int rn__socket_options_check(const rn_socket_options *o); /* 0, -EINVAL */
int rn__socket_options_set(int fd, int family, int type, const rn_socket_options *o);

/* tcpinfo.c: connections that wait for accept; TCP only. */
int rn__listener_queued(rn_listener *ln);
/* Of one that stays open meanwhile; nothing about the system. Any thread. */
int rn__listener_queue(rn_listener *ln, rn_listener_stats *s);
void rn__listen_system(rn_listener_stats *s); /* only what is about the system */

/* addr.c */
struct rn__addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

#define RN__ADDRS 4  /* of one name in this machine's /etc/hosts: it seldom has more than two */
#define RN__NAMED 16 /* of one name that a resolver knows */
#define RN__HOST_ROOM 256

/* Which addresses; "udp" has those of "tcp", and so on. */
enum rn__net { RN__TCP, RN__TCP4, RN__TCP6, RN__UNIX };

struct rn__host_port {
    char host[RN__HOST_ROOM];
    uint16_t port;
};

int rn__net_parse(const char *network, enum rn__net *ret, int *type); /* SOCK_STREAM... */
/* Up to RN__ADDRS addresses; the number, or -RN_EADDRESS, -RN_ENOHOST. `passive`: an empty host
 * means every address of this machine, else it means this machine. Asks no resolver. */
int rn__addr_resolve(enum rn__net net, const char *text, bool passive, struct rn__addr *ret);
/* The same, but 0 for a name that a resolver may know. */
int rn__addr_known(enum rn__net net, const char *text, bool passive, struct rn__addr *ret,
                   struct rn__host_port *name);
/* A number, or a name in /etc/hosts: as rn__addr_known. */
int rn__addr_host(enum rn__net net, const struct rn__host_port *hp, struct rn__addr *ret);
int rn__addr_format(const struct rn__addr *a, char *text, size_t len);
bool rn__addr_equal(const struct rn__addr *a, const struct rn__addr *b);

/* resolve.c: up to RN__NAMED addresses of a name, in the order to try them: the number, or the
 * errors of rn_lookup_host. In a coroutine. */
int rn__resolve(enum rn__net net, const struct rn__host_port *name, rn_time deadline,
                struct rn__addr *ret);

/* dial.c, for race.c: one attempt. *conn NULL: it begins; else it goes on. 0: *conn is connected.
 * -ETIME: `until` (0: none) has passed; where *conn is not NULL it may go on later. Other errors:
 * there is no connection, *conn is NULL. */
struct rn__dial {
    enum rn__net net;
    int type;
    const rn_dial_options *options;
};
int rn__dial_try(const struct rn__dial *d, const struct rn__addr *a, rn_time until, rn_conn **conn);

/* race.c: several addresses, 2..RN__NAMED; they are put in the order in which they are tried. */
int rn__dial_race(const struct rn__dial *d, struct rn__addr *addrs, int n, rn_conn **ret);

/* listen.c: the descriptor of a socket that is bound, and listening where its type listens. */
int rn__listen_open(enum rn__net net, int type, const char *address, const rn_listen_options *o);

#endif
