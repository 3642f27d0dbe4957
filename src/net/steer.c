/*
 * steer.c - which socket of a SO_REUSEPORT group gets what comes, and how one leaves
 *
 * A program of classic BPF, which needs no privilege, returns the socket's number: that of the CPU,
 * or a random one, modulo the sockets that take part; from the one left out on, one more.
 */
#include <runnel/sockopt.h>

#include <linux/filter.h>
#include <string.h>

#include "net/net.h"
#include <runnel/task.h>

#define SOCKETS_MOST 65535
#define GRACE RN_SECOND /* a lost SYN-ACK is sent again after so long */
#define PAUSE (5 * RN_MILLISECOND)

static int detach(int fd)
{
    int none = 0,
        r = rn__sys_setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof none);

    return r == -ENOENT ? 0 : r; /* there was no program */
}

static int attach(int fd, unsigned source, int n, int without)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)SKF_AD_OFF + source),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, (unsigned)(without < 0 ? n : n - 1)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, without < 0 ? (unsigned)n : (unsigned)without, 0, 1),
        BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program;

    memset(&program, 0, sizeof program); /* with its padding, which valgrind looks at */
    program.len = RN_COUNT_OF(code);
    program.filter = code;
    return rn__sys_setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
}

int rn_reuse_port_steer(int fd, int how, int n, int without)
{
    if (n < 1 || n > SOCKETS_MOST || without < -1 || without >= n || (n == 1 && without == 0))
        return -EINVAL;
    switch (how) {
    case RN_STEER_HASH:
        return without < 0 ? detach(fd) : -EINVAL;
    case RN_STEER_CPU:
        return attach(fd, SKF_AD_CPU, n, without);
    case RN_STEER_RANDOM:
        return attach(fd, SKF_AD_RANDOM, n, without);
    default:
        return -EINVAL;
    }
}

/* Until the queue has been empty for the time of grace. */
static int wait_empty(rn_listener *ln, rn_time grace_ns, rn_time deadline)
{
    rn_time since = rn_now();

    for (;;) {
        int r = rn__listener_queued(ln);
        rn_time now = rn_now();

        if (r < 0)
            return r;
        if (r > 0)
            since = now;
        if (now - since >= grace_ns)
            return 0;
        if (deadline != 0 && now >= deadline)
            return -ETIME;
        r = rn_sleep(PAUSE < grace_ns ? PAUSE : grace_ns);
        if (r < 0)
            return r;
    }
}

int rn_reuse_port_leave(rn_listener *ln, int n, int number, rn_time grace_ns, rn_time deadline)
{
    int r;

    if (number < 0 || grace_ns < 0)
        return -EINVAL;
    if (!ln->is_tcp)
        return -ENOTSUP;
    r = rn__self() == NULL ? -EDEADLK : rn__listener_enter(ln);
    if (r < 0)
        return r;
    r = rn_reuse_port_steer(atomic_load(&ln->fd), RN_STEER_RANDOM, n, number);
    rn__listener_leave(ln);
    return r < 0 ? r : wait_empty(ln, grace_ns == 0 ? GRACE : grace_ns, deadline);
}
