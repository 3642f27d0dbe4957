/*
 * message.h - datagrams, and what a socket can do beyond a stream's read and write
 *
 * Networks that keep the bounds of messages: "udp" "udp4" "udp6" "unixgram", and "unixpacket",
 * which is rn_listen's and rn_accept's. On their connections rn_read returns one message, cut to
 * what the buffer holds, and rn_write sends one; a datagram may be empty, so 0 is no end of stream
 * there.
 *
 * Unless said otherwise, a call belongs in a coroutine (elsewhere: -EDEADLK), may switch
 * coroutines, obeys the connection's deadlines and cancels, and never returns -EAGAIN or -EINTR.
 */
#ifndef RUNNEL_MESSAGE_H
#define RUNNEL_MESSAGE_H

#include <runnel/net.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The address of a socket, by value. */
typedef struct rn_addr {
    struct sockaddr_storage at; /* as the kernel has it */
    socklen_t len;              /* bytes of it that count; 0: no address, of an unnamed sender */
} rn_addr;

/* How to receive and send; flags are or-ed. */
enum rn_message_flag {
    RN_MSG_PEEK = 1,      /* recv: leave what is read where it is */
    RN_MSG_WAITALL = 2,   /* recv, stream: until the buffer is full, or the stream ends */
    RN_MSG_OOB = 4,       /* TCP: the urgent byte */
    RN_MSG_TRUNC = 8,     /* recv, packet: the result is the length of the whole message */
    RN_MSG_DONTWAIT = 16, /* do not wait: -RN_EWOULDBLOCK */
    RN_MSG_MORE = 32,     /* send: more follows, hold it back (TCP: 200 ms; UDP: one datagram) */
    RN_MSG_EOR = 64       /* send, unixpacket: the end of a record */
};

/*
 * rn_listen_packet - open a socket that receives datagrams from anybody
 *   network  "udp" "udp4" "udp6" "unixgram"
 *   address  as for rn_listen; "udp" with no host is IPv6 and IPv4 together
 *   options  NULL for the defaults; what is about connections has no effect
 *   ret      the connection, for rn_recv_from and rn_send_to; the caller's to close, which removes
 *            the path of a unix socket, but for options' keep_path
 * Returns 0; -RN_ENETWORK, -RN_EADDRESS; -EADDRINUSE, -EACCES and all else that socket(2) and
 * bind(2) say; -ENOMEM. *ret is untouched on failure.
 * Effects: does not switch. Source: src/net/message.c
 */
RN_API int rn_listen_packet(const char *network, const char *address,
                            const rn_listen_options *options, rn_conn **ret);

/*
 * rn_addr_parse - an address from its text
 *   network  as for rn_dial
 *   text     "127.0.0.1:53", "[::1]:53", a path, "@name"; names are looked up in /etc/hosts only
 *   ret      the address; of several the first
 * Returns 0; -RN_ENETWORK, -RN_EADDRESS, -RN_ENOHOST; -ENOMEM. *ret is untouched on failure.
 * Effects: does not switch; any thread. Source: src/net/message.c
 */
RN_API int rn_addr_parse(const char *network, const char *text, rn_addr *ret);

/*
 * rn_addr_format - the text of an address
 *   addr  address
 *   text  room for it, as rn_dial takes it; "" for no address
 *   len   bytes of room; 128 suffice for any address
 * Returns 0; -ENOSPC too little room; -EAFNOSUPPORT neither IP nor unix.
 * Effects: does not switch; any thread. Source: src/net/message.c
 */
RN_API int rn_addr_format(const rn_addr *addr, char *text, size_t len);

/*
 * rn_recv - rn_read with flags
 *   conn   socket; one reader at a time
 *   buf    room for len bytes
 *   len    bytes, 1..SSIZE_MAX; 0 too on a packet socket: takes a message and drops it
 *   flags  RN_MSG_PEEK, _WAITALL, _OOB, _TRUNC, _DONTWAIT
 * Returns bytes received; fewer than len with RN_MSG_WAITALL only at the end of stream, or when a
 * deadline, a cancel or an error came after the first bytes: the next call tells which.
 *   -RN_EWOULDBLOCK nothing there now   -ETIME deadline passed
 *   -ECANCELED cancelled or closed here
 *   -EBUSY another reader   -EINVAL flags that do not fit, or RN_MSG_OOB without an urgent byte
 *   -ENOTSOCK   -ECONNREFUSED udp: nobody was there for what was sent; said once, conn usable
 * Effects: as said above. Source: src/net/message.c
 */
RN_API ssize_t rn_recv(rn_conn *conn, void *buf, size_t len, int flags);

/*
 * rn_send - rn_write with flags
 *   conn   socket; several writers queue
 *   buf    len bytes
 *   len    0..SSIZE_MAX; 0 sends an empty message on a packet socket, else nothing, but without
 *          RN_MSG_MORE it lets go what an earlier one held back
 *   flags  RN_MSG_MORE, _EOR, _OOB (the last byte is the urgent one), _DONTWAIT
 * Returns len; with RN_MSG_DONTWAIT on a stream what the kernel took now, 1..len.
 *   -RN_EWOULDBLOCK no room now   -EMSGSIZE longer than a message may be
 *   -EINVAL flags that do not fit   other errors as rn_write
 * Effects: as said above; no SIGPIPE. Source: src/net/message.c
 */
RN_API ssize_t rn_send(rn_conn *conn, const void *buf, size_t len, int flags);

/*
 * rn_recv_from - the next datagram, and who sent it
 *   conn  packet socket; one reader at a time
 *   buf   room for len bytes; what does not fit is lost
 *   len   bytes
 *   from  the sender; NULL: not wanted
 * Returns bytes received, 0..len; errors as rn_recv; -EINVAL not a packet socket.
 * Effects: as said above. Source: src/net/message.c
 */
RN_API ssize_t rn_recv_from(rn_conn *conn, void *buf, size_t len, rn_addr *from);

/*
 * rn_send_to - a datagram to somebody
 *   conn  packet socket; several writers queue
 *   buf   len bytes
 *   len   one datagram; 0 is an empty one
 *   to    whom
 * A dialled datagram socket may send elsewhere, too; a unixpacket one sends to its peer only.
 * Returns len. -EMSGSIZE longer than a datagram may be; -ENOENT, -ECONNREFUSED nobody is at that
 * path; other errors as rn_write; -EINVAL not a packet socket.
 * Effects: as said above. Source: src/net/message.c
 */
RN_API ssize_t rn_send_to(rn_conn *conn, const void *buf, size_t len, const rn_addr *to);

/*
 * rn_at_mark - is the next byte the first one after the urgent byte?
 *   conn  TCP connection
 * Returns 1 or 0; -ENOTSOCK; -ECANCELED closed here; what ioctl(SIOCATMARK) says.
 * Effects: does not switch. Source: src/net/message.c
 */
RN_API int rn_at_mark(rn_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
