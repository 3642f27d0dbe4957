/*
 * fd.c - flags, copies and owners of descriptors, sizes of pipes, what is queued
 *
 * A connection whose descriptor was copied must be taken out of its poller before it is closed: the
 * description lives on, and epoll would go on reporting it (may_be_shared).
 */
#include <runnel/fd.h>

#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "net/net.h"

#define FIRST_FD 3 /* 0, 1, 2 mean something to whoever finds them closed */

/* ---- flags ---- */

static int set_flag(int fd, int get, int set, int flag, bool on)
{
    int flags = rn__sys_fcntl(fd, get, 0), wanted, r;

    if (flags < 0)
        return flags;
    wanted = on ? flags | flag : flags & ~flag;
    r = wanted == flags ? 0 : rn__sys_fcntl(fd, set, wanted);
    return r < 0 ? r : 0;
}

int rn_fd_blocking(int fd)
{
    int flags = rn__sys_fcntl(fd, F_GETFL, 0);

    return flags < 0 ? flags : !(flags & O_NONBLOCK);
}

int rn_fd_set_blocking(int fd, bool on)
{
    return set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, !on);
}

int rn_fd_cloexec(int fd)
{
    int flags = rn__sys_fcntl(fd, F_GETFD, 0);

    return flags < 0 ? flags : (flags & FD_CLOEXEC) != 0;
}

int rn_fd_set_cloexec(int fd, bool on)
{
    return set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

/* ---- copies ---- */

int rn_fd_dup(int fd)
{
    return rn__sys_fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FD);
}

int rn_conn_file(rn_conn *conn)
{
    int r = rn__conn_hold(conn);

    if (r < 0)
        return r;
    r = rn_fd_dup(conn->w.fd);
    if (r >= 0)
        conn->w.may_be_shared = true;
    rn__conn_leave(conn, RN__GATE_HOLDER);
    return r;
}

/* ---- owner ---- */

int rn_fd_owner(int fd, pid_t *ret)
{
    struct f_owner_ex who = {.type = F_OWNER_PID};
    int r = rn__sys_fcntl(fd, F_GETOWN_EX, (long)&who); /* F_GETOWN's groups look like errors */

    if (r < 0)
        return r;
    *ret = who.type == F_OWNER_PGRP ? -who.pid : who.pid;
    return 0;
}

int rn_fd_set_owner(int fd, pid_t owner, int signo)
{
    struct f_owner_ex who = {.type = F_OWNER_PID, .pid = owner};
    int r;

    if (owner == INT_MIN)
        return -ESRCH;
    if (owner < 0)
        who = (struct f_owner_ex){.type = F_OWNER_PGRP, .pid = -owner};
    if (owner == 0) {
        r = set_flag(fd, F_GETFL, F_SETFL, O_ASYNC, false);
        return r < 0 ? r : rn__sys_fcntl(fd, F_SETOWN_EX, (long)&who);
    }
    r = rn__sys_fcntl(fd, F_SETSIG, signo);
    if (r == 0)
        r = rn__sys_fcntl(fd, F_SETOWN_EX, (long)&who);
    return r < 0 ? r : set_flag(fd, F_GETFL, F_SETFL, O_ASYNC, true);
}

/* ---- pipes ---- */

int rn_pipe_size(int fd)
{
    return rn__sys_fcntl(fd, F_GETPIPE_SZ, 0);
}

int rn_pipe_set_size(int fd, size_t bytes)
{
    if (bytes == 0 || bytes > INT_MAX)
        return -EINVAL;
    return rn__sys_fcntl(fd, F_SETPIPE_SZ, (long)bytes);
}

/* ---- what is queued ---- */

static ssize_t ask_held(rn_conn *c, unsigned long request)
{
    int n = 0, r = rn__conn_hold(c);

    if (r < 0)
        return r;
    r = rn__sys_ioctl(c->w.fd, request, &n);
    rn__conn_leave(c, RN__GATE_HOLDER);
    return r < 0 ? r : n;
}

ssize_t rn_input_queued(rn_conn *conn)
{
    ssize_t n = ask_held(conn, FIONREAD);

    return n < 0 ? n : n + (ssize_t)rn__conn_pending(conn);
}

ssize_t rn_output_queued(rn_conn *conn)
{
    return ask_held(conn, SIOCOUTQ);
}

ssize_t rn_output_unsent(rn_conn *conn)
{
    return conn->is_tcp ? ask_held(conn, SIOCOUTQNSD) : -ENOTSUP;
}
