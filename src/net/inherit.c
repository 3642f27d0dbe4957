/*
 * inherit.c - listening sockets that come from, or go to, another process
 *
 * Two processes then share one description: O_NONBLOCK and the socket's options are common, and the
 * queue lives until the last of them has closed it.
 */
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "net/net.h"
#include <runnel/task.h>

#define FIRST_FD 3
#define FDS_MOST 256

static int get(int fd, int name, int *ret)
{
    socklen_t len = sizeof *ret;

    return rn__sys_getsockopt(fd, SOL_SOCKET, name, ret, &len);
}

/* A listening stream socket? */
static int check_listener(int fd, bool *is_tcp)
{
    int type = 0, domain = 0, listens = 0, r = get(fd, SO_TYPE, &type);

    if (r == 0)
        r = get(fd, SO_DOMAIN, &domain);
    if (r == 0)
        r = get(fd, SO_ACCEPTCONN, &listens);
    if (r < 0)
        return r;
    *is_tcp = domain == AF_INET || domain == AF_INET6;
    if (type != SOCK_STREAM || (!*is_tcp && domain != AF_UNIX))
        return -ENOTSUP;
    return listens ? 0 : -EINVAL;
}

static int set_flags(int fd, bool is_tcp)
{
    int one = 1, r = rn__sys_fcntl(fd, F_SETFD, FD_CLOEXEC), flags;

    if (r < 0)
        return r;
    r = flags = rn__sys_fcntl(fd, F_GETFL, 0);
    if (r >= 0 && !(flags & O_NONBLOCK))
        r = rn__sys_fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    if (r >= 0 && is_tcp)
        r = rn__sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return r < 0 ? r : 0;
}

int rn_listener_from_fd(int fd, rn_listener **ret)
{
    rn_listener *ln;
    bool is_tcp;
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = check_listener(fd, &is_tcp);
    if (r < 0)
        return r;
    ln = rn__listener_new(is_tcp, -1);
    if (ln == NULL)
        return -ENOMEM;
    r = set_flags(fd, is_tcp);
    if (r == 0)
        r = rn__listener_set_fd(ln, fd);
    if (r < 0) {
        rn__free(ln);
        return r;
    }
    *ret = ln;
    return 0;
}

int rn_listener_file(rn_listener *ln)
{
    int fd, r = rn__self() == NULL ? -EDEADLK : rn__listener_enter(ln);

    if (r < 0)
        return r;
    fd = rn__sys_fcntl(atomic_load(&ln->fd), F_DUPFD_CLOEXEC, FIRST_FD);
    if (fd >= 0)
        atomic_store(&ln->keep_path, true);
    rn__listener_leave(ln);
    return fd;
}

/* ---- socket activation ---- */

static atomic_bool taken[FDS_MOST]; /* a number may be anybody's once its listener was closed */

/* The decimal value of a variable; -1 where there is none. */
static long variable(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long n;

    if (text == NULL || *text < '0' || *text > '9')
        return -1;
    n = strtol(text, &end, 10);
    return *end != '\0' || n > INT_MAX ? -1 : n;
}

/* How many there are for this process. */
static int count_inherited(void)
{
    long n = variable("LISTEN_FDS");

    if (n <= 0 || variable("LISTEN_PID") != getpid())
        return 0;
    return n > FDS_MOST ? FDS_MOST : (int)n;
}

/* Is the first name of "a:b:c" that one? Moves on to the next. */
static bool next_name_is(const char **names, const char *name)
{
    size_t len = strcspn(*names, ":");
    bool same = len == strlen(name) && memcmp(*names, name, len) == 0;

    *names += len;
    if (**names == ':')
        ++*names;
    return same;
}

/* Which of the n sockets; -1: none. */
static int find_inherited(int n, const char *name, int index)
{
    const char *names = getenv("LISTEN_FDNAMES");

    if (name == NULL)
        return index < n ? index : -1;
    for (int i = 0; names != NULL && i < n; i++)
        if (next_name_is(&names, name) && index-- == 0)
            return i;
    return -1;
}

int rn_listen_inherited(const char *name, int index, rn_listener **ret)
{
    int n = count_inherited(), i = index < 0 ? -1 : find_inherited(n, name, index), r;

    if (rn__self() == NULL)
        return -EDEADLK;
    if (i < 0)
        return -ENOENT;
    /* All of them, as sd_listen_fds does: a program that is started meanwhile inherits none. */
    for (int k = 0; k < n; k++)
        if (!atomic_load(&taken[k]))
            (void)rn__sys_fcntl(FIRST_FD + k, F_SETFD, FD_CLOEXEC);
    if (atomic_exchange(&taken[i], true))
        return -EBUSY;
    r = rn_listener_from_fd(FIRST_FD + i, ret);
    if (r < 0)
        atomic_store(&taken[i], false);
    return r;
}
