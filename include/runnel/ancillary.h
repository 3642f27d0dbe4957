/*
 * ancillary.h - messages with what travels beside their bytes, many at once, and without a copy
 *
 * A message may come with its sender's address, descriptors, credentials, the time at which the
 * kernel received it, and the address and interface it was sent to. To reply from the address that
 * was asked, which a socket bound to all addresses must, send with what came:
 *
 *     n = rn_recv_msg(conn, &m, 0);
 *     m.with &= RN_WITH_DESTINATION;
 *     rn_send_msg(conn, &m, 0);
 *
 * Unless said otherwise, a call belongs in a coroutine (elsewhere: -EDEADLK), may switch
 * coroutines, obeys the connection's deadlines and cancels, and never returns -EAGAIN or -EINTR.
 */
#ifndef RUNNEL_ANCILLARY_H
#define RUNNEL_ANCILLARY_H

#include <runnel/message.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What may come beside the bytes; flags are or-ed. Descriptors need no flag. */
enum rn_with {
    RN_WITH_CREDENTIALS = 1, /* unix: who sent it */
    RN_WITH_TIMESTAMP = 2,   /* recv: when it reached this machine */
    RN_WITH_DESTINATION = 4, /* udp: where it was sent to; send: where from */
    RN_WITH_SEGMENTS = 8     /* udp: several datagrams of one size as one message */
};

/* A process, as the kernel knows it. */
typedef struct rn_credentials {
    pid_t pid; /* 0: not one of this pid namespace's */
    uid_t uid; /* effective */
    gid_t gid; /* effective */
} rn_credentials;

/* A message. Receiving fills in all that is not marked "in"; what came with it is in `with`. */
typedef struct rn_msg {
    struct iovec *iov;          /* in: the bytes, or room for them; left as they are */
    int n_iov;                  /* in: 1..1024; on a packet socket 0 too */
    int fds_room;               /* in: recv: how many descriptors to take, 0..253 */
    int *fds;                   /* in: room for so many; send: the descriptors, unix only */
    int n_fds;                  /* how many; received ones are the caller's to close */
    rn_addr addr;               /* the sender; send: whom, on a packet socket; len 0: the peer */
    size_t len;                 /* bytes received; rn_send_batch: sent */
    unsigned with;              /* which of the following count, enum rn_with */
    rn_credentials credentials; /* the sender's; send: needs privileges but for one's own */
    int64_t time_ns;            /* since 1970 */
    rn_addr local;              /* sent to; send: from. Without a port */
    unsigned interface;         /* it came in there, as if_nameindex numbers them; send: 0 any */
    unsigned segment_bytes;     /* in each datagram but the last, which may be shorter */
    bool truncated;             /* the message was longer than the room, and the rest is lost */
    bool fds_lost;              /* descriptors came for which there was no room: closed */
    uint64_t reserved[4];       /* zero */
} rn_msg;

/*
 * rn_set_ancillary - what is to come beside the bytes of messages
 *   conn  socket
 *   with  all that is wanted, enum rn_with; 0: nothing more
 * RN_WITH_SEGMENTS lets the kernel join datagrams of one sender: then the room must be for 64 KiB,
 * and only rn_recv_msg and rn_recv_batch tell where one ends.
 * Returns 0; -EINVAL what such a socket has not; -ENOTSOCK; -ECANCELED closed here; -EDEADLK not in
 * a coroutine; what setsockopt says, and then some may be set.
 * Effects: does not switch. Source: src/net/ancillary.c
 */
RN_API int rn_set_ancillary(rn_conn *conn, unsigned with);

/*
 * rn_recv_msg - a message and what came beside it
 *   conn   socket, stream or packet; one reader at a time
 *   msg    as above; untouched on failure
 *   flags  RN_MSG_TRUNC, _DONTWAIT
 * On a stream it is a read, which ends after bytes that came with descriptors. rn_read, rn_recv and
 * rn_recv_from drop descriptors. Those received are close-on-exec.
 * Returns bytes received, as msg->len; 0 is the end of a stream; errors as rn_recv; -EINVAL room or
 * flags out of range.
 * Effects: as said above. Source: src/net/msg.c
 */
RN_API ssize_t rn_recv_msg(rn_conn *conn, rn_msg *msg, int flags);

/*
 * rn_send_msg - a message and what goes beside it
 *   conn   socket, stream or packet; several writers queue
 *   msg    as above; left as it is, and its descriptors stay open
 *   flags  RN_MSG_MORE, _EOR, _DONTWAIT
 * On a stream it is a write, all of it as one unit, and descriptors need a byte to go with. Where
 * the kernel does not cut segments they are sent one by one.
 * Returns the bytes; of segments perhaps not all: the next call tells why. Errors as rn_send,
 * rn_send_to; -EINVAL what such a socket cannot send, or no address of this machine; -EPERM
 * another's credentials; -EBADF a descriptor that is none; -ETOOMANYREFS too many under way.
 * Effects: as said above. Source: src/net/msg.c
 */
RN_API ssize_t rn_send_msg(rn_conn *conn, const rn_msg *msg, int flags);

/*
 * rn_recv_batch - the messages that are there, with one system call
 *   conn   packet socket; one reader at a time
 *   msgs   n messages, as for rn_recv_msg
 *   n      1..1024
 *   flags  RN_MSG_DONTWAIT
 * Returns how many were received, 1..n, after it has waited for the first. An error that came after
 * the first is told by the next call. On unixpacket an empty one is the end. Errors as rn_recv_msg;
 * -ENOMEM.
 * Effects: as said above. Source: src/net/batch.c
 */
RN_API int rn_recv_batch(rn_conn *conn, rn_msg *msgs, int n, int flags);

/*
 * rn_send_batch - several messages, with one system call
 *   conn   packet socket; several writers queue
 *   msgs   n messages, as for rn_send_msg; the len of those sent is filled in
 *   n      1..1024
 *   flags  RN_MSG_DONTWAIT
 * Returns how many were sent, 1..n; fewer than n when an error came after the first: a call with
 * the rest tells which. Errors as rn_send_msg; -ENOMEM.
 * Effects: as said above. Source: src/net/batch.c
 */
RN_API int rn_send_batch(rn_conn *conn, rn_msg *msgs, int n, int flags);

/*
 * rn_peer_credentials - who made the other end of a unix connection
 *   conn  of network "unix" or "unixpacket"
 *   ret   the process as it was when it called connect, listen or socketpair
 * Returns 0; -ENOTSUP another network; -ENOTSOCK; -ECANCELED closed here; -EDEADLK not in a
 * coroutine. *ret is untouched on failure.
 * Effects: does not switch. Source: src/net/ancillary.c
 */
RN_API int rn_peer_credentials(rn_conn *conn, rn_credentials *ret);

/*
 * rn_peer_pidfd - a descriptor of the process that made the other end
 *   conn  as for rn_peer_credentials
 * It stays that process's, also when the number is another's. Before Linux 6.5 it is made of the
 * number, which may have become another's already.
 * Returns the descriptor, close-on-exec and the caller's; -ESRCH the process has ended; errors as
 * rn_peer_credentials; -EMFILE, -ENFILE.
 * Effects: does not switch. Source: src/net/ancillary.c
 */
RN_API int rn_peer_pidfd(rn_conn *conn);

/* What rn_send_zerocopy did. */
typedef struct rn_zerocopy_report {
    int64_t by_reference;  /* bytes for which the kernel was given the buffer itself */
    int64_t by_copy;       /* bytes sent as rn_write sends */
    uint32_t calls;        /* system calls by reference */
    uint32_t calls_copied; /* of these the kernel copied all the same: see there */
    uint64_t reserved[4];  /* zero */
} rn_zerocopy_report;

/*
 * rn_send_zerocopy - rn_write out of the buffer itself
 *   conn    open stream; several writers queue, for as long as this lasts
 *   buf     len bytes, which must not change until the call returns
 *   len     0..SSIZE_MAX
 *   report  filled in any case; NULL: none
 * It pays for large buffers (say 64 KiB and more) over a real network card. Below 16 KiB, on what
 * is no TCP connection, and where the kernel has no room for the bookkeeping, it writes. Where the
 * kernel tells that it copied after all (it does on the loopback), this connection writes from then
 * on.
 * Returns len once the kernel needs buf no more, which is when the peer has acknowledged all of it;
 * errors as rn_write. Then too the kernel has let go of buf, and this may need force: a deadline or
 * a cancel that comes while it still has it resets the connection.
 * Effects: as said above; no SIGPIPE. Source: src/net/zerocopy.c
 */
RN_API ssize_t rn_send_zerocopy(rn_conn *conn, const void *buf, size_t len,
                                rn_zerocopy_report *report);

#ifdef __cplusplus
}
#endif

#endif
