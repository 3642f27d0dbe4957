/*
 * poller.h - the contract of a poller, whatever system call is under it
 *
 * A poller reports readiness of descriptors to one thread, which makes all calls but `wake`.
 *
 *   - add registers a descriptor under a tag and arms nothing. How often it then reports without
 *     arm is the poller's affair: epoll (edge-triggered) reports each edge, poll nothing.
 *   - arm(dirs) comes before each park. Each armed direction is reported at least once after it
 *     becomes, or already is, ready. Reports nobody armed are allowed and carry no promise.
 *   - ERR and HUP set both directions: whoever waits finds the true error by its system call. A
 *     poller that cannot tell them (`tells`) reports the armed directions they make ready.
 *   - An event may be late: for a descriptor closed, and its number reused, since the kernel wrote
 *     it down. The tag carries index and generation; who takes the event drops and counts what does
 *     not match. del makes no promise about events already reported by the same wait.
 *   - wait never returns before `until` but for an event, a wake or a signal; times are rounded up.
 *   - del must come before close where the open file description may be shared, and always where
 *     needs_del says so: the poller keeps books by descriptor, or holds the file open.
 *   - wake makes the current or the next wait return; any thread, any number of times.
 *
 * A poller may also carry out operations (`submit`), which complete within wait and are no events.
 */
#ifndef RN_POLL_POLLER_H
#define RN_POLL_POLLER_H

#include "base/base.h"

/* Directions. */
#define RN__RD 1U
#define RN__WR 2U

/* Flags beside them. */
#define RN__HUP 4U
#define RN__ERR 8U
#define RN__RDHUP 16U
#define RN__PRI 32U

/* How to add. */
#define RN__ADD_PLAIN 0U
#define RN__ADD_SHARED 1U /* a listener that several pollers watch: wake one of them */
#define RN__ADD_LATER 2U  /* operations come first: where `submit` is, watched from the first arm */

/* Never reported; add refuses it. */
#define RN__TAG_WAKE UINT64_MAX

struct rn__event {
    uint64_t tag;
    unsigned bits; /* directions and flags */
};

/* A receive into buf or a send from it, on a socket. From submit until `done` is called it is the
 * poller's, and the buffer the kernel's. */
struct rn__op {
    void (*done)(struct rn__op *op); /* within wait; it must not call the poller */
    void *buf;
    size_t len;
    int fd;
    int flags; /* MSG_* */
    bool send;
    int result; /* once done: bytes, or -errno; -ECANCELED by cancel, or the end of the ring */
};

struct rn__poller;

struct rn__poller_ops {
    const char *name;
    bool needs_arm;      /* false: arm is a no-op and need not be called */
    bool needs_del;      /* del comes before close, always */
    bool may_be_refused; /* by the kernel, or a container: see rn__poller_try */
    unsigned
        tells; /* the flags that are set whenever they are true, before or with the direction */
    /* 0 or -errno; a failed open leaves nothing to close. */
    int (*open)(struct rn__poller **ret);
    void (*close)(struct rn__poller *p);
    /* -EPERM: a regular file, always ready; -EEXIST: already in; -ENOMEM, -ENOSPC;
     * -RN_EFDSETSIZE: more than select has bits for. */
    int (*add)(struct rn__poller *p, int fd, uint64_t tag, unsigned how);
    int (*arm)(struct rn__poller *p, int fd, unsigned dirs); /* -ENOENT when not added */
    void (*del)(struct rn__poller *p, int fd);               /* harmless when not added */
    /* Up to max events, or 0: until passed, wake, signal, no memory. until 0: do not wait. Other
     * -errno are the poller's own end (-EBADF, -EINVAL). */
    int (*wait)(struct rn__poller *p, rn_time until, struct rn__event *ev, int max);
    void (*wake)(struct rn__poller *p);
    /* Both NULL where it only reports readiness. Nothing was begun where submit fails: -ENOTSUP
     * this kernel does not; -EAGAIN not now; or as send or recv. cancel asks, false where it could
     * not (try again): done comes in either case, by a later wait. */
    int (*submit)(struct rn__poller *p, struct rn__op *op);
    bool (*cancel)(struct rn__poller *p, struct rn__op *op);
};

/* Each implementation starts with this. */
struct rn__poller {
    const struct rn__poller_ops *ops;
};

extern const struct rn__poller_ops rn__poller_epoll;
extern const struct rn__poller_ops rn__poller_poll;
extern const struct rn__poller_ops rn__poller_select;
extern const struct rn__poller_ops rn__poller_epoll_lt;
#ifdef RN_IO_URING
extern const struct rn__poller_ops rn__poller_io_uring;
#endif

/* By name; NULL name means the default. NULL where there is no such poller. */
const struct rn__poller_ops *rn__poller_by_name(const char *name);

/* Their names, "epoll, poll, ...". */
const char *rn__poller_names(void);

/* Opens one, lets it report an event, closes it: 0, or what forbids its use here (-EPERM of a
 * seccomp filter, -ENOSYS, -EINVAL of an old kernel). */
int rn__poller_try(const struct rn__poller_ops *ops);

/* For pollers that keep books of their own: as epoll's add says it, -EBADF, or -EPERM for a regular
 * file or directory. */
int rn__poller_check(int fd);

/* What a wait returns when the kernel had no memory for it: 0, a moment later, when it may have. */
int rn__poller_sit_out(void);

/* until as a relative timespec that never ends early; NULL stands for no end. `ts` is the room. */
struct timespec;
const struct timespec *rn__poller_timeout(rn_time until, struct timespec *ts);

#endif
