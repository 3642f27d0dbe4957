/*
 * net.h - connections that read as if they blocked
 *
 * Networks are Go's: "tcp" "tcp4" "tcp6" "unix" "unixpacket", and for datagrams (message.h) "udp"
 * "udp4" "udp6" "unixgram". Addresses too: "127.0.0.1:80", ":80" (all of this machine), "[::1]:80",
 * "localhost:80", a path, or "@name" for Linux's abstract namespace.
 *
 * Unless said otherwise, a call belongs in a coroutine (elsewhere: -EDEADLK), may switch
 * coroutines, never returns -EAGAIN or -EINTR, and leaves errno alone.
 */
#ifndef RUNNEL_NET_H
#define RUNNEL_NET_H

#include <runnel/base.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A connection: a stream over TCP or a unix socket, a socket that keeps the bounds of messages
 * (UDP, unixgram, unixpacket), one end of a pipe, or a terminal. It has one owner. */
typedef struct rn_conn rn_conn;

/* A listening socket. It has one owner. */
typedef struct rn_listener rn_listener;

/* A connection by value, for who cannot know whether it is still open. All zero refers to none. */
typedef struct rn_ref {
    uint32_t index;
    uint32_t generation;
} rn_ref;

/* What handles a connection. It owns its conn, and closes it. */
typedef void (*rn_handler)(rn_conn *conn, void *arg);

/* Options of a socket, set before it listens or connects; what a listener accepts inherits them, at
 * no cost. Unix sockets know the buffers only, the rest is passed over. All zero is the default:
 * probes after a minute of silence, so that a dead peer is found after 150 s, as in Go. */
typedef struct rn_socket_options {
    int keep_alive_idle_s;     /* silence before the first probe; 0: 60; -1: no probes */
    int keep_alive_interval_s; /* between probes; 0: 15 */
    int keep_alive_count;      /* unanswered probes before -ETIMEDOUT; 0: 6 */
    int user_timeout_ms;       /* -ETIMEDOUT when sent data stays unacknowledged so long; 0: the
                                * kernel's limit, about 15 minutes */
    int recv_bytes;            /* receive buffer; 0: the kernel adapts it. See rn_set_buffers */
    int send_bytes;            /* send buffer, the same way */
    int dscp;                  /* mark of the packets, 0..63 */
    const char *device;        /* this network interface only (SO_BINDTODEVICE); NULL: any */
    uint64_t reserved[4];      /* zero */
} rn_socket_options;

/* How a listener is set up. All zero is the default. */
typedef struct rn_listen_options {
    int backlog;        /* connections the kernel keeps for accept; 0: 4096. Cut to somaxconn */
    bool reuse_port;    /* SO_REUSEPORT: several sockets on one port; see rn_reuse_port_leave */
    bool no_reuse_addr; /* leave SO_REUSEADDR off */
    bool delay;         /* leave Nagle on (TCP_NODELAY off) for what is accepted */
    bool keep_path;     /* unix: leave the path in the file system when closed */
    bool free_bind;     /* an address that this machine does not have, or not yet (IP_FREEBIND) */
    int defer_accept_s; /* accept a connection once its first data is there, or about so many
                         * seconds have passed (TCP_DEFER_ACCEPT); 0: at once */
    int fast_open;      /* TCP Fast Open requests kept in the queue (TCP_FASTOPEN); 0: none */
    rn_socket_options socket; /* of the listener, and of what it accepts */
    uint64_t reserved[4];     /* zero */
} rn_listen_options;

/* How a connection is made. All zero is the default. */
typedef struct rn_dial_options {
    rn_time deadline;  /* absolute, for the whole dial; 0: none */
    const char *local; /* address to bind to first, like "127.0.0.2:0"; NULL: the kernel's choice */
    bool delay;        /* leave Nagle on (TCP_NODELAY off) */
    rn_socket_options socket; /* set before it connects */
    int syn_retries; /* of each attempt (TCP_SYNCNT), 1..127; 0: net.ipv4.tcp_syn_retries */
    /* Of a host's several addresses the next one is tried, too, when one has not answered for so
     * long; 0: 250 ms; negative: only when the one before has failed. */
    rn_time fallback_delay_ns;
    uint64_t reserved[4]; /* zero */
} rn_dial_options;

/* How connections find their P. See docs/design/net.md for what was measured. */
enum rn_balance {
    RN_BALANCE_PLACE = 0, /* all Ps accept (EPOLLEXCLUSIVE), then the least loaded one gets it */
    RN_BALANCE_EXCLUSIVE, /* all Ps accept (EPOLLEXCLUSIVE), each keeps what it accepted */
    RN_BALANCE_ONE,       /* one P accepts, then the least loaded one gets it */
    RN_BALANCE_REUSE_PORT /* rn_serve only: a socket for each P; the kernel hashes */
};

/* How connections are served. All zero is the default. */
typedef struct rn_serve_options {
    rn_listen_options listen; /* rn_serve only */
    int max_conns;            /* open at once; 0: NOFILE limit less 64. Above it: no accept */
    enum rn_balance balance;  /* how connections find their P */
    size_t stack_bytes;       /* of the handlers; 0: the runtime's default */
    rn_time first_byte_ns;    /* read deadline of a new connection, from its accept on; 0: none */
    bool when_readable;       /* start the handler, and give it a stack, at the first byte */
    rn_time drain_ns; /* how long connections may take to end once nobody is accepted any more; then
                       * they are cancelled; 0: as long as they like */
    rn_listener **listener; /* rn_serve only: set before the first accept, for rn_listener_cancel */
    uint64_t reserved[4];   /* zero */
} rn_serve_options;

/* All zero, in C and in C++, which has no designated initialisers before C++20. */
#define RN_SOCKET_OPTIONS_INIT RN_INIT
#define RN_LISTEN_OPTIONS_INIT RN_INIT
#define RN_DIAL_OPTIONS_INIT RN_INIT
#define RN_SERVE_OPTIONS_INIT RN_INIT

/* Directions for rn_wait_fd. */
enum { RN_READABLE = 1, RN_WRITABLE = 2 };

/* ---- listening ---- */

/*
 * rn_listen - open a listening socket
 *   network  "tcp" "tcp4" "tcp6" "unix" "unixpacket"; for datagrams see rn_listen_packet
 *   address  "host:port", ":port" (all of this machine), a path, "@name"; port 0 lets the kernel
 *            choose, see rn_listener_addr
 *   options  NULL for the defaults
 *   ret      the listener; the caller's to close
 * "tcp" with no host listens on IPv6 and IPv4 together where the machine has both.
 * Returns 0; -RN_ENETWORK, -RN_EADDRESS; -EADDRINUSE, -EACCES, -EADDRNOTAVAIL, -EMFILE and all else
 * that socket(2), bind(2) and listen(2) say; -ENOMEM. *ret is untouched on failure.
 * Effects: does not switch. Source: src/net/listen.c
 */
RN_API int rn_listen(const char *network, const char *address, const rn_listen_options *options,
                     rn_listener **ret);

/*
 * rn_listen_explain - say for people why rn_listen failed
 *   network, address  as given to rn_listen
 *   error             what it returned
 *   text              room for a line like "127.0.0.1:80: Address already in use by nginx (pid
 *                     123)"; what does not fit is cut off
 *   len               bytes of room, at least 1
 * Who holds an address is told where the kernel and the rights of this process allow it.
 * Effects: may switch coroutines; any thread. Looks through the descriptors of all processes, by
 * rn_offload, for a second at most: then it says so. Source: src/net/explain.c
 */
RN_API void rn_listen_explain(const char *network, const char *address, int error, char *text,
                              size_t len);

/*
 * rn_listen_inherited - take a listening socket that whoever started this program has opened
 *   name   of the socket, as systemd's FileDescriptorName= has it; NULL: any
 *   index  which of those, from 0
 *   ret    the listener; the caller's to close
 * Socket activation: LISTEN_FDS sockets from descriptor 3 on, for the process LISTEN_PID, by the
 * names in LISTEN_FDNAMES. Their options are those that were set by who opened them; TCP_NODELAY is
 * set. A unix path stays when the listener is closed.
 * Returns 0; -ENOENT there is none, or none for this process; -EBUSY it was taken before; otherwise
 * as rn_listener_from_fd. *ret is untouched on failure.
 * Effects: does not switch; the descriptors are closed on exec from now on.
 * Source: src/net/inherit.c
 */
RN_API int rn_listen_inherited(const char *name, int index, rn_listener **ret);

/*
 * rn_listener_from_fd - make a listener of a listening socket
 *   fd   stream socket, TCP or unix, that listens; belongs to the listener on success
 *   ret  the listener; the caller's to close
 * Returns 0; -EINVAL it does not listen; -ENOTSUP no stream, neither TCP nor unix; -ENOTSOCK,
 * -EBADF, -ENOMEM, -EDEADLK. *ret is untouched on failure, and fd stays the caller's.
 * Effects: does not switch; sets O_NONBLOCK, which others who have the socket notice, and
 * FD_CLOEXEC. Source: src/net/inherit.c
 */
RN_API int rn_listener_from_fd(int fd, rn_listener **ret);

/*
 * rn_listener_file - a listener's socket once more, for another process
 *   ln  listener
 * Whoever gets it accepts from the same queue: nothing in it is lost when this listener is closed.
 * A unix path stays in the file system then.
 * Returns a descriptor, the caller's to close, closed on exec; -ECANCELED closed here; -EMFILE.
 * Effects: does not switch. Source: src/net/inherit.c
 */
RN_API int rn_listener_file(rn_listener *ln);

/*
 * rn_accept - take the next connection, or wait for one
 *   ln   listener; any number of coroutines, on any Ps, may accept at once
 *   ret  the connection, TCP_NODELAY set; the caller's to close
 * Returns 0; -ECANCELED cancelled or closed here; what accept(2) says when no retry can help
 * (-EBADF, -EINVAL). Connections that died in the queue are skipped; when descriptors or memory run
 * out it logs once, waits (5 ms, doubling to 1 s) and tries again by itself.
 * Effects: as said above. Source: src/net/accept.c
 */
RN_API int rn_accept(rn_listener *ln, rn_conn **ret);

/*
 * rn_listener_addr - where a listener listens
 *   ln    listener
 *   text  room for the address, as rn_dial takes it
 *   len   bytes of room; 128 suffice for any address
 * Returns 0; -ENOSPC too little room; -ECANCELED no longer served; what getsockname(2) says.
 * Effects: does not switch; any thread. Source: src/net/addr.c
 */
RN_API int rn_listener_addr(rn_listener *ln, char *text, size_t len);

/*
 * rn_listener_fd - a listener's descriptor, to look at
 *   ln  listener
 * Returns the descriptor, which stays the listener's; -1 when it is no longer served.
 * Effects: does not switch; any thread. Source: src/net/listen.c
 */
RN_API int rn_listener_fd(rn_listener *ln);

/*
 * rn_listener_cancel - stop accepting, for good
 *   ln  listener; its owner may close it as soon as this has begun to wake those on it
 * Every rn_accept and rn_serve_listener on it, now and later, returns -ECANCELED.
 * Effects: does not switch; any thread, any number of times. Source: src/net/listen.c
 */
RN_API void rn_listener_cancel(rn_listener *ln);

/*
 * rn_listener_close - close a listener
 *   ln  listener; the owner's, once; not valid afterwards
 * Wakes whoever accepts on it and waits until they have left. Connections still in the backlog are
 * accepted by nobody: the kernel resets them.
 * Effects: as said above; removes the path of a unix listener. Source: src/net/listen.c
 */
RN_API void rn_listener_close(rn_listener *ln);

/* ---- serving ---- */

/*
 * rn_serve - listen, and handle each connection in a coroutine of its own, on all Ps
 *   network, address  as for rn_listen
 *   options           NULL for the defaults
 *   fn, arg           the handler of each connection
 * Returns only when the listener or the caller is cancelled. That closes the descriptor, so that
 * peers are refused, cancels connections that rest, after options->drain_ns the others too, and
 * waits until the last handler has returned and the last connection is closed.
 *   -ECANCELED cancelled, all of that done   -EINVAL a bad option
 *   -EDEADLK on a plain thread   -ENOMEM   the errors of rn_listen
 * Effects: as said above. Source: src/net/serve.c
 */
RN_API int rn_serve(const char *network, const char *address, const rn_serve_options *options,
                    rn_handler fn, void *arg);

/*
 * rn_serve_listener - the same on a listener that is there already
 *   ln       listener; stays the caller's, to cancel and, after the return, to close
 *   options  NULL for the defaults; .listen and .listener are not used
 *   fn, arg  the handler of each connection
 * Returns only when the listener or the caller is cancelled, after what rn_serve does then.
 *   -ECANCELED cancelled, all of that done   -EINVAL a bad option, or RN_BALANCE_REUSE_PORT
 *   -EDEADLK on a plain thread   -ENOMEM
 * Effects: as said above. Source: src/net/serve.c
 */
RN_API int rn_serve_listener(rn_listener *ln, const rn_serve_options *options, rn_handler fn,
                             void *arg);

/* ---- connections ---- */

/*
 * rn_dial - connect
 *   network  as for rn_listen
 *   address  "host:port", a path, "@name"; a host that is no number is looked up (resolve.h)
 *   options  NULL for the defaults
 *   ret      the connection, TCP_NODELAY set; the caller's to close
 * Of a host's several addresses, IPv6 and IPv4 in turn, the first that answers wins (RFC 8305): the
 * next is tried when one fails, or has not answered within options->fallback_delay_ns, and the
 * losers are closed before it returns.
 * Returns 0; -RN_ENETWORK, -RN_EADDRESS; -EINVAL a bad option; -ETIME the deadline passed;
 * -ECANCELED; -RN_ENOHOST, -RN_EDNS as rn_lookup_host; -ECONNREFUSED (also where the kernel
 * connected the socket to itself), -ETIMEDOUT no answer to the kernel's last try, -ENETUNREACH,
 * -EHOSTUNREACH, -ECONNRESET, -EADDRNOTAVAIL no such local address, or, which is logged, no free
 * local port; and all else that connect(2) says. Where all addresses failed it is the error of the
 * one tried first. *ret is untouched on failure.
 * Effects: as said above. Source: src/net/dial.c
 */
RN_API int rn_dial(const char *network, const char *address, const rn_dial_options *options,
                   rn_conn **ret);

/*
 * rn_read - read what is there, or wait for it
 *   conn  open stream; one reader at a time
 *   buf   room for len bytes; the caller's, may be on the coroutine's stack
 *   len   bytes, 0..SSIZE_MAX; 0 returns 0 without touching the socket
 * Returns bytes read, 1..len (short is normal); 0 at end of stream, again on every later call.
 *   -ETIME deadline passed, nothing consumed, conn usable   -ECANCELED cancelled or closed here
 *   -EBUSY another reader   -ECONNRESET and all else as read(2) says
 * Effects: as said above. Source: src/net/conn.c
 */
RN_API ssize_t rn_read(rn_conn *conn, void *buf, size_t len);

/*
 * rn_readv - rn_read into several buffers
 *   conn  as for rn_read
 *   iov   n buffers, filled in order
 *   n     1..1024
 * Returns as rn_read; -EINVAL for n out of range.
 * Effects: as said above. Source: src/net/conn.c
 */
RN_API ssize_t rn_readv(rn_conn *conn, const struct iovec *iov, int n);

/*
 * rn_write - write all of it
 *   conn  open stream; several writers queue, first come first served, each write one unit
 *   buf   len bytes
 *   len   0..SSIZE_MAX; 0 sends nothing, but lets go what RN_MSG_MORE held back
 * Returns len; never less. On error an unknown part has been sent, and the write side is poisoned
 * if that part is not empty: later writes return the same error.
 *   -ETIME deadline passed   -ECANCELED cancelled or closed here
 *   -EPIPE, -ECONNRESET and all else as write(2) says
 * Effects: as said above; no SIGPIPE. Source: src/net/conn.c
 */
RN_API ssize_t rn_write(rn_conn *conn, const void *buf, size_t len);

/*
 * rn_writev - rn_write from several buffers, as one unit
 *   conn  as for rn_write
 *   iov   n buffers, sent in order; left as they are
 *   n     1..1024
 * Returns the sum of their lengths; errors as rn_write; -EINVAL for n out of range.
 * Effects: as said above. Source: src/net/conn.c
 */
RN_API ssize_t rn_writev(rn_conn *conn, const struct iovec *iov, int n);

/*
 * rn_unread - hand bytes back that were read too far
 *   conn  stream; by its reader, between reads
 *   buf   len bytes; copied
 *   len   they come before all that rn_read would return next, also before bytes unread earlier
 * Returns 0, -ENOMEM (nothing handed back), -ECANCELED closed here.
 * Effects: does not switch. Source: src/net/conn.c
 */
RN_API int rn_unread(rn_conn *conn, const void *buf, size_t len);

/*
 * rn_send_file - send part of a file, from the page cache to the socket
 *   conn    open stream; queues with other writers
 *   fd      regular file, open for reading; its offset is neither used nor moved
 *   offset  first byte
 *   len     bytes
 * Returns len. -RN_ETRUNCATED the file ended earlier; other errors as rn_write. After an error an
 * unknown part has been sent, and the write side is poisoned if that part is not empty.
 * -EINVAL or -EISDIR for what cannot be sent that way.
 * Effects: as said above; what is not in the page cache is read from disk by rn_offload, not while
 * the P waits, where the file system can tell. See rn_copy_file. Source: src/net/sendfile.c
 */
RN_API ssize_t rn_send_file(rn_conn *conn, int fd, off_t offset, size_t len);

/*
 * rn_close_write - send the end of stream, and go on reading
 *   conn  socket; after the writes of other coroutines that are under way
 * Returns 0; -ECANCELED closed here; the first error of a poisoned write side; what shutdown(2)
 * says.
 * Effects: as said above. Later writes return -EPIPE. Source: src/net/close.c
 */
RN_API int rn_close_write(rn_conn *conn);

/*
 * rn_close_read - read no more, and go on writing
 *   conn  socket that does not rest (rn_go_when_readable)
 * Wakes a read that waits; it and every later one returns 0, also where bytes are there still. TCP
 * has no word for it: the peer learns nothing, and may send until the window is full; what it sent
 * does not keep rn_close from lingering. Of a unix socket the peer's writes fail with EPIPE.
 * Returns 0; -ENOTSOCK; -ECANCELED closed here; -EBUSY 63 calls that hold it are inside;
 * -ENOTCONN a udp socket that was not dialled.
 * Effects: does not switch; from any P. Source: src/net/close.c
 */
RN_API int rn_close_read(rn_conn *conn);

/*
 * rn_close - close a connection
 *   conn  the owner's, once; not valid afterwards. NULL is allowed
 * Wakes whoever is inside and waits until they left, never for the peer. Where unread input would
 * make the kernel reset the connection, and with it lose what was written, the close lingers:
 * shutdown, then at most 64 KiB or 2 s of input are thrown away, without coroutine or stack. Not
 * after a cancel, a reset or a poisoned write.
 * Effects: as said above. Source: src/net/close.c
 */
RN_API void rn_close(rn_conn *conn);

/* ---- cancels and deadlines ---- */

/*
 * rn_cancel - wake whoever waits on a connection, for good
 *   conn  connection not yet closed
 * Every read, write and wait on it, now and later, returns -ECANCELED; only rn_close remains.
 * Effects: does not switch, frees nothing; any thread, any number of times. Source: src/net/close.c
 */
RN_API void rn_cancel(rn_conn *conn);

/*
 * rn_conn_ref - refer to a connection that another may close
 *   conn  connection not yet closed
 * Returns a reference by value, good for ever: after the close it refers to nothing.
 * Effects: does not switch; any thread. Source: src/net/close.c
 */
RN_API rn_ref rn_conn_ref(rn_conn *conn);

/*
 * rn_cancel_ref - rn_cancel by reference
 *   ref  from rn_conn_ref; or all zero
 * Returns true when the connection was still open, false when there is nothing to cancel any more.
 * Effects: does not switch; any thread. Source: src/net/close.c
 */
RN_API bool rn_cancel_ref(rn_ref ref);

/*
 * rn_set_deadline - a time limit for all reads and writes
 *   conn      connection not yet closed
 *   deadline  absolute, as from rn_after(); 0: none. A past one ends waits that are under way
 * Effects: does not switch; from any P, also while another coroutine waits. Calls that pass it
 * return -ETIME until it is moved. Source: src/net/conn.c
 */
RN_API void rn_set_deadline(rn_conn *conn, rn_time deadline);

/*
 * rn_set_read_deadline - a time limit for reads
 *   conn, deadline  as for rn_set_deadline
 * Effects: as rn_set_deadline. Source: src/net/conn.c
 */
RN_API void rn_set_read_deadline(rn_conn *conn, rn_time deadline);

/*
 * rn_set_write_deadline - a time limit for writes
 *   conn, deadline  as for rn_set_deadline
 * Effects: as rn_set_deadline. Source: src/net/conn.c
 */
RN_API void rn_set_write_deadline(rn_conn *conn, rn_time deadline);

/* ---- connections at rest ---- */

/*
 * rn_go_when_readable - rn_go, once there is something to read
 *   conn  connection without a reader; belongs to fn from here on
 *   fn    started, with a stack, when data, the end of stream, the deadline, a cancel or an error
 *         is there; exactly once; its first rn_read tells which
 *   arg   handed to fn
 * Returns 0; or fn does not run and conn stays the caller's: -EBUSY there is a reader, -ECANCELED
 * closed here, -ENOMEM, -ENOSPC the poller took it not. When the run ends first, fn does not run
 * and the connection is closed.
 * Effects: does not switch. A resting connection costs neither coroutine nor stack, and may wake up
 * on another P. Source: src/net/serve.c
 */
RN_API int rn_go_when_readable(rn_conn *conn, rn_handler fn, void *arg);

/* ---- addresses of connections ---- */

/*
 * rn_local_addr - this end's address
 *   conn  socket
 *   text  room for the address, as rn_dial takes it; "" for an unnamed unix socket
 *   len   bytes of room; 128 suffice for any address
 * Returns 0; -ENOSPC too little room; -ENOTSOCK; what getsockname(2) says.
 * Effects: does not switch. Source: src/net/addr.c
 */
RN_API int rn_local_addr(rn_conn *conn, char *text, size_t len);

/*
 * rn_remote_addr - the other end's address
 *   conn, text, len  as for rn_local_addr
 * Returns as rn_local_addr; -ENOTCONN when the connection is gone.
 * Effects: does not switch. Source: src/net/addr.c
 */
RN_API int rn_remote_addr(rn_conn *conn, char *text, size_t len);

/* ---- other people's descriptors ---- */

/*
 * rn_wait_fd - wait until any descriptor is ready
 *   fd        non-blocking descriptor of another library's; stays theirs
 *   dirs      RN_READABLE | RN_WRITABLE, at least one
 *   deadline  absolute; 0: none
 * Returns the directions that are ready, or may be, for an error or a hang-up sets all that were
 * asked for; -ETIME; -ECANCELED this coroutine was cancelled; -EBADF; -EINVAL. A regular file is
 * always ready. Several coroutines may wait for one descriptor.
 * Effects: as said above. The descriptor must stay open meanwhile. Source: src/net/waitfd.c
 */
RN_API int rn_wait_fd(int fd, int dirs, rn_time deadline);

/*
 * rn_conn_from_fd - make a connection of a socket, pipe or terminal
 *   fd   stream, datagram or seqpacket socket, pipe or terminal; belongs to the conn on success,
 *        and is set non-blocking
 *   ret  the connection; the caller's to close
 * Returns 0; -ENOTSUP none of these; -EPERM one of 0, 1, 2, which are shared with other
 * processes; -EBADF, -ENOMEM. *ret is untouched on failure, and fd stays the caller's.
 * Effects: does not switch. Source: src/net/conn.c
 */
RN_API int rn_conn_from_fd(int fd, rn_conn **ret);

/*
 * rn_conn_fd - a connection's descriptor, to look at or to set options on
 *   conn  connection not yet closed
 * Returns the descriptor, which stays the connection's.
 * Effects: does not switch; any thread. Source: src/net/conn.c
 */
RN_API int rn_conn_fd(rn_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
