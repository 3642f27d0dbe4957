/*
 * sockopt.h - socket options, and what the kernel knows about a connection or a listener
 *
 * What is set on a listening socket is inherited by what it accepts, and so costs no system call
 * for each connection: prefer rn_listen_options.socket to a call after each rn_accept. Calls here
 * are for coroutines (elsewhere: -EDEADLK), hold the connection open meanwhile (-ECANCELED when it
 * is being closed), do not switch, and work on any P while others read and write.
 */
#ifndef RUNNEL_SOCKOPT_H
#define RUNNEL_SOCKOPT_H

#include <runnel/net.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The states of a TCP connection, numbered as the kernel does. */
enum rn_tcp_state {
    RN_TCP_ESTABLISHED = 1,
    RN_TCP_SYN_SENT,   /* connecting */
    RN_TCP_SYN_RECV,   /* half open: not yet in the accept queue */
    RN_TCP_FIN_WAIT1,  /* our end of stream is on its way */
    RN_TCP_FIN_WAIT2,  /* and was acknowledged; the peer may still send */
    RN_TCP_TIME_WAIT,  /* both ended, we first: the port pair rests for 60 s */
    RN_TCP_CLOSE,      /* nothing, or reset */
    RN_TCP_CLOSE_WAIT, /* the peer's end of stream came, ours was not sent */
    RN_TCP_LAST_ACK,   /* and now ours is on its way */
    RN_TCP_LISTEN,
    RN_TCP_CLOSING /* both ended at once */
};

/* A TCP connection as the kernel sees it. Times are spans in nanoseconds, made of the kernel's
 * microseconds or milliseconds; what an older kernel does not tell is 0. */
typedef struct rn_tcp_info {
    enum rn_tcp_state state;      /* of this end */
    rn_time rtt_ns;               /* smoothed round-trip time */
    rn_time rtt_var_ns;           /* and its deviation */
    rn_time min_rtt_ns;           /* the smallest lately seen */
    rn_time rto_ns;               /* until the next retransmission */
    rn_time since_sent_ns;        /* since data was last sent */
    rn_time since_received_ns;    /* since data last came */
    rn_time busy_ns;              /* there was something to send, in all */
    rn_time rwnd_limited_ns;      /* of these, the peer's window was shut */
    rn_time sndbuf_limited_ns;    /* of these, our send buffer was too small */
    uint32_t mss_send;            /* bytes in a segment to the peer */
    uint32_t mss_recv;            /* bytes in a segment from the peer */
    uint32_t path_mtu;            /* bytes in a packet */
    uint32_t cwnd;                /* congestion window, segments */
    uint32_t ssthresh;            /* slow start ends there, segments; 2147483647: not yet known */
    uint32_t unacked;             /* segments sent and not acknowledged */
    uint32_t lost;                /* of these, believed lost */
    uint32_t retransmits;         /* tries of the oldest one, in a row, without an answer */
    uint32_t total_retransmits;   /* segments sent again, ever */
    uint32_t probes;              /* keep-alive or window probes without an answer */
    uint32_t reordering;          /* segments that may be out of order before one counts as lost */
    uint32_t unsent_bytes;        /* written here, and not sent yet */
    uint64_t bytes_sent;          /* retransmissions included */
    uint64_t bytes_retransmitted; /* of these */
    uint64_t bytes_acked;         /* of ours, by the peer */
    uint64_t bytes_received;      /* from the peer, in order */
    uint64_t segments_sent;       /* with and without data */
    uint64_t segments_received;   /* with and without data */
    uint64_t delivery_rate;       /* bytes a second that lately arrived at the peer */
    uint64_t pacing_rate;         /* bytes a second we send at most; all ones: unlimited */
    bool delivery_app_limited; /* delivery_rate was ours to raise: there was too little to send */
    uint64_t reserved[4];      /* zero */
} rn_tcp_info;

/* A listener and its queues. */
typedef struct rn_listener_stats {
    int backlog_asked;        /* as given to rn_listen; -1: opened by somebody else */
    int backlog;              /* what the kernel made of it: at most somaxconn */
    int queued;               /* connections that wait for rn_accept; -1: unix, not told */
    int queue_limit;          /* a connection more than this many is not let in; as backlog */
    int64_t system_overflows; /* connections refused for a full accept queue, on all listeners of
                                * this network namespace since it began; -1: not told */
    int64_t system_drops;     /* the same for any reason, these included; -1: not told */
    int64_t syn_queue_drops;  /* the same for a full queue of half-open ones, without cookies */
    int64_t syn_cookies_sent; /* the same, answered by a cookie in place of a queue entry */
    uint64_t reserved[4];     /* zero */
} rn_listener_stats;

/* Which socket of a SO_REUSEPORT group gets the next connection, or datagram. */
enum rn_steer {
    RN_STEER_HASH = 0, /* by addresses and ports: the kernel's own way */
    RN_STEER_CPU,      /* by the CPU that takes the packet in: its number, modulo the sockets */
    RN_STEER_RANDOM    /* any: datagrams of one sender do not stay together */
};

/* ---- options of a connection ---- */

/*
 * rn_set_no_delay - send small writes at once, or let them wait for each other
 *   conn  TCP connection
 *   on    true, as runnel's connections begin: TCP_NODELAY; false: Nagle's algorithm
 * Returns 0; -ECANCELED closed here; -EBUSY 63 such calls are inside; what setsockopt(2) says.
 * Effects: does not switch. Source: src/net/sockopt.c
 */
RN_API int rn_set_no_delay(rn_conn *conn, bool on);

/*
 * rn_set_quick_ack - acknowledge at once, or together with an answer
 *   conn  TCP connection
 *   on    true: TCP_QUICKACK, until the kernel sees fit to end it; false: delayed
 * Returns as rn_set_no_delay.
 * Effects: does not switch. Source: src/net/sockopt.c
 */
RN_API int rn_set_quick_ack(rn_conn *conn, bool on);

/*
 * rn_set_keep_alive - probe a silent peer
 *   conn        TCP connection
 *   idle_s      seconds of silence before the first probe; 0: 60; -1: no probes
 *   interval_s  seconds between probes; 0: 15
 *   count       unanswered probes before the connection ends with -ETIMEDOUT; 0: 6
 * Returns as rn_set_no_delay; -EINVAL below those, or above 32767 s or 127 probes.
 * Effects: does not switch. Source: src/net/sockopt.c
 */
RN_API int rn_set_keep_alive(rn_conn *conn, int idle_s, int interval_s, int count);

/*
 * rn_set_buffers - fix the sizes of the kernel's buffers
 *   conn        socket
 *   recv_bytes  the kernel doubles it, for its own needs, and cuts it to net.core.rmem_max; 0: as
 *               it is. From then on the kernel does not adapt it any more
 *   send_bytes  the same, with net.core.wmem_max
 * Returns as rn_set_no_delay; -EINVAL below 0.
 * Effects: does not switch. The window a TCP peer may use is negotiated before: to offer more than
 * 64 KiB set it in the options of rn_listen or rn_dial. Source: src/net/sockopt.c
 */
RN_API int rn_set_buffers(rn_conn *conn, int recv_bytes, int send_bytes);

/*
 * rn_set_linger - what rn_close does with what is not sent yet
 *   conn     TCP connection
 *   seconds  -1, as connections begin: the kernel goes on sending, and ends in order; 0: reset. The
 *            peer gets ECONNRESET, all that is on its way is lost, and nothing stays in TIME_WAIT
 * Returns as rn_set_no_delay; -EINVAL other seconds: such a close(2) would stop the P.
 * Effects: does not switch. Source: src/net/sockopt.c
 */
RN_API int rn_set_linger(rn_conn *conn, int seconds);

/*
 * rn_set_dscp - mark the packets for routers that care
 *   conn  TCP connection
 *   dscp  code point, 0..63: 46 expedited forwarding, 8 background
 * Returns as rn_set_no_delay; -EINVAL out of range, or no TCP.
 * Effects: does not switch; keeps the two bits of ECN. Source: src/net/sockopt.c
 */
RN_API int rn_set_dscp(rn_conn *conn, int dscp);

/*
 * rn_set_user_timeout - give up on data that nobody acknowledges
 *   conn        TCP connection
 *   timeout_ms  milliseconds, then it ends with -ETIMEDOUT; also limits keep-alive; 0: the
 *               kernel's own limit, about 15 minutes
 * Returns as rn_set_no_delay; -EINVAL below 0.
 * Effects: does not switch. Source: src/net/sockopt.c
 */
RN_API int rn_set_user_timeout(rn_conn *conn, int timeout_ms);

/*
 * rn_raw_control - do what runnel has no call for
 *   conn  connection, held open until fn returns: rn_close waits
 *   fn    called with the descriptor, which it must not close, and arg
 *   arg   handed to fn
 * Returns what fn returned; -ECANCELED closed here, -EBUSY 63 such calls are inside, or -EDEADLK on
 * a plain thread: fn was not called.
 * Effects: does not switch, unless fn does. Source: src/net/sockopt.c
 */
RN_API int rn_raw_control(rn_conn *conn, int (*fn)(int fd, void *arg), void *arg);

/* ---- facts ---- */

/*
 * rn_get_tcp_info - how a TCP connection is doing
 *   conn  TCP connection
 *   ret   filled in
 * Returns 0; -ENOTSUP no TCP; otherwise as rn_set_no_delay. *ret is untouched on failure.
 * Effects: does not switch. Source: src/net/tcpinfo.c
 */
RN_API int rn_get_tcp_info(rn_conn *conn, rn_tcp_info *ret);

/*
 * rn_tcp_state_name - a state for people, as ss and /proc spell it
 *   state  enum rn_tcp_state
 * Returns a constant text, "ESTABLISHED"; "?" for what is none.
 * Effects: none; any thread. Source: src/net/tcpinfo.c
 */
RN_API const char *rn_tcp_state_name(int state);

/*
 * rn_get_listener_stats - how full a listener's queue is
 *   ln   listener
 *   ret  filled in
 * Returns 0; -ECANCELED closed or no longer served. *ret is untouched on failure.
 * Effects: does not switch; reads /proc/net/netstat. Source: src/net/tcpinfo.c
 */
RN_API int rn_get_listener_stats(rn_listener *ln, rn_listener_stats *ret);

/* ---- several sockets on one port ---- */

/*
 * rn_reuse_port_steer - choose the socket of a SO_REUSEPORT group that gets what comes
 *   fd       of any socket of the group: rn_listener_fd, or rn_conn_fd of an rn_listen_packet
 *   how      enum rn_steer
 *   n        sockets in the group, 1..65535; numbered from 0 in the order in which they were
 *            opened. When one is closed the last one gets its number
 *   without  the number of one that gets nothing; -1: each gets its share. Not with RN_STEER_HASH
 * Holds for the whole group, also for sockets of other processes in it. Where there is no socket
 * of the number chosen, n being wrong, the kernel's hash decides. A connection's is chosen once.
 * Returns 0; -EINVAL numbers out of range, or no socket of such a group; what setsockopt(2) says.
 * Effects: does not switch; any thread. Source: src/net/steer.c
 */
RN_API int rn_reuse_port_steer(int fd, int how, int n, int without);

/*
 * rn_reuse_port_leave - let a listener leave its SO_REUSEPORT group without losing a connection
 *   ln        listener, on which others go on to accept until this returns
 *   n         sockets in the group, 2 or more
 *   number    ln's, 0..n-1: see rn_reuse_port_steer
 *   grace_ns  how long nothing must have come any more, for handshakes that are under way; 0: 1 s
 *   deadline  absolute; 0: none
 * The others get what comes from now on, at random; this waits until ln's queue has stayed empty.
 * What is queued at a listener that is simply closed the kernel resets, unless
 * net.ipv4.tcp_migrate_req is set. Afterwards close ln, and steer the n-1 anew.
 * Returns 0; -ETIME, -ECANCELED the queue is not empty yet, but nothing new comes; -ENOTSUP no TCP;
 * -EDEADLK on a plain thread; the errors of rn_reuse_port_steer.
 * Effects: switches coroutines. Source: src/net/steer.c
 */
RN_API int rn_reuse_port_leave(rn_listener *ln, int n, int number, rn_time grace_ns,
                               rn_time deadline);

#ifdef __cplusplus
}
#endif

#endif
