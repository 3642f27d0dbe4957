/*
 * netlink.c - lists that the kernel gives out by netlink
 */
#include "net/netlink.h"

#include "base/mem.h"
#include "base/sys.h"

#define ANSWER_LEN (32 << 10) /* the kernel puts no more into one datagram */

static int error_of(const struct nlmsghdr *m)
{
    const struct nlmsgerr *e = NLMSG_DATA(m);

    return e->error < 0 ? e->error : -EIO; /* an acknowledgement was not asked for */
}

/* One datagram: 0 and more to come, 1 that was the last, -errno. */
static int take_datagram(const char *buf, size_t len,
                         int (*each)(const struct nlmsghdr *m, void *arg), void *arg, bool *changed)
{
    while (len >= sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *m = (const void *)buf;
        size_t step = NLMSG_ALIGN(m->nlmsg_len);
        int r = 0;

        if (m->nlmsg_len < sizeof *m || m->nlmsg_len > len)
            return -EIO;
        *changed |= (m->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (m->nlmsg_type == NLMSG_DONE)
            return 1;
        if (m->nlmsg_type == NLMSG_ERROR)
            return error_of(m);
        r = each(m, arg);
        if (r < 0)
            return r;
        if (step > len)
            step = len;
        buf += step;
        len -= step;
    }
    return 0;
}

static int ask(int fd, char *buf, const struct nlmsghdr *request,
               int (*each)(const struct nlmsghdr *m, void *arg), void *arg)
{
    ssize_t n = rn__sys_send(fd, request, request->nlmsg_len, 0);
    bool changed = false;
    int r = n < 0 ? (int)n : 0;

    while (r == 0) {
        n = rn__sys_recv(fd, buf, ANSWER_LEN, MSG_DONTWAIT | MSG_TRUNC);
        if (n <= 0 || n > ANSWER_LEN)
            return n < 0 && n != -EAGAIN ? (int)n : -EIO;
        r = take_datagram(buf, (size_t)n, each, arg, &changed);
    }
    return r < 0 ? r : changed;
}

int rn__netlink_dump(int protocol, const struct nlmsghdr *request,
                     int (*each)(const struct nlmsghdr *m, void *arg), void *arg)
{
    int fd = rn__sys_socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), r;
    char *buf;

    if (fd < 0)
        return fd;
    buf = rn__malloc(ANSWER_LEN);
    r = buf == NULL ? -ENOMEM : ask(fd, buf, request, each, arg);
    rn__free(buf);
    (void)rn__sys_close(fd);
    return r;
}
