/*
 * procfs.c - what /proc tells
 *
 * The links in /proc/PID/fd are read, not followed: a file on a server that is gone would stop us.
 */
#include "net/procfs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"

#define DENTS_LEN (16 << 10)

rn_time rn__proc_find_ns = RN_SECOND;

char *rn__proc_read(const char *path, size_t most)
{
    int fd = rn__sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    char *text = fd < 0 ? NULL : rn__malloc(most + 1);
    size_t len = 0;
    ssize_t n = 0;

    while (text != NULL && len < most && (n = rn__sys_read(fd, text + len, most - len)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        (void)rn__sys_close(fd);
    if (text != NULL)
        text[len] = '\0';
    return text;
}

/* Calls fn for each entry that is a number, until it returns false. */
static void each_number(const char *path, bool (*fn)(int dir, long number, void *arg), void *arg)
{
    int dir = rn__sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    char *buf = dir < 0 ? NULL : rn__malloc(DENTS_LEN);
    bool go_on = buf != NULL;
    ssize_t n;

    while (go_on && (n = rn__sys_getdents64(dir, buf, DENTS_LEN)) > 0) {
        for (ssize_t at = 0; go_on && at < n;) {
            const struct dirent64 *d = (const void *)(buf + at);

            at += d->d_reclen;
            if (d->d_name[0] >= '0' && d->d_name[0] <= '9')
                go_on = fn(dir, strtol(d->d_name, NULL, 10), arg);
        }
    }
    rn__free(buf);
    if (dir >= 0)
        (void)rn__sys_close(dir);
}

struct find {
    char link[40]; /* what to look for: "socket:[123]" */
    size_t link_len;
    bool found; /* in the process that is being looked at */
    rn_time until;
    struct rn__holder *holder;
};

static bool in_time(struct find *f)
{
    f->holder->late = f->holder->late || rn_now() >= f->until;
    return !f->holder->late;
}

static bool look_at_fd(int dir, long fd, void *arg)
{
    struct find *f = arg;
    char name[24], link[sizeof f->link];
    int len;

    (void)snprintf(name, sizeof name, "%ld", fd);
    len = rn__sys_readlinkat(dir, name, link, sizeof link);
    f->found = len == (int)f->link_len && memcmp(link, f->link, f->link_len) == 0;
    return !f->found && in_time(f);
}

static bool look_at_process(int dir, long pid, void *arg)
{
    struct rn__holder *h = ((struct find *)arg)->holder;
    struct find *f = arg;
    char path[48];

    (void)dir;
    (void)snprintf(path, sizeof path, "/proc/%ld/fd", pid);
    f->found = false;
    each_number(path, look_at_fd, f);
    if (f->found) {
        h->processes++;
        if (h->pid == 0 || pid < h->pid)
            h->pid = (pid_t)pid;
    }
    return in_time(f);
}

void rn__proc_find_holder(uint64_t inode, struct rn__holder *ret)
{
    struct find f = {.holder = ret, .until = rn_after(rn__proc_find_ns)};
    char path[48], *name;

    *ret = (struct rn__holder){.pid = 0};
    f.link_len = (size_t)snprintf(f.link, sizeof f.link, "socket:[%llu]",
                                  (unsigned long long)inode);
    each_number("/proc", look_at_process, &f);
    if (ret->pid == 0)
        return;
    (void)snprintf(path, sizeof path, "/proc/%d/comm", ret->pid);
    name = rn__proc_read(path, sizeof ret->name - 1);
    (void)snprintf(ret->name, sizeof ret->name, "%s", name == NULL ? "?" : name);
    ret->name[strcspn(ret->name, "\n")] = '\0';
    rn__free(name);
}
