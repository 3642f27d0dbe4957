/*
 * cpus.c - how many CPUs this process may use: affinity, then the cgroup's quota
 *
 * A container with a quota of two CPUs on a machine of sixty-four is throttled, not helped, by
 * sixty-four threads: so the quota counts, rounded up, as Go does since 1.25.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "task/proc.h"

static int affinity(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (rn__sys_sched_getaffinity(sizeof set, &set) < 0)
        return 1;
    return CPU_COUNT(&set);
}

/* The start of a small file; empty where there is none. */
static void slurp(const char *path, char *text, size_t room)
{
    int fd = rn__sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t n = 0;

    if (fd >= 0) {
        n = rn__sys_read(fd, text, room - 1);
        (void)rn__sys_close(fd);
    }
    text[n > 0 ? n : 0] = '\0';
}

/* The path of this process's group in the hierarchy that lists `controller` ("" is version 2);
 * lines of /proc/self/cgroup read "id:controllers:path". */
static bool find_group(const char *groups, const char *controller, char *path, size_t room)
{
    for (const char *line = groups; *line != '\0';) {
        const char *end = strchrnul(line, '\n'), *names = memchr(line, ':', (size_t)(end - line));
        const char *group = names == NULL ? NULL
                                          : memchr(names + 1, ':', (size_t)(end - names - 1));

        if (group != NULL) {
            size_t len = (size_t)(group - names - 1), want = strlen(controller);
            bool match = len == 0 && want == 0;

            for (const char *c = names + 1; want > 0 && c + want <= group; c++)
                match |= strncmp(c, controller, want) == 0 && (c[-1] == ':' || c[-1] == ',') &&
                         (c[want] == ',' || c[want] == ':');
            if (match && (size_t)(end - group) < room) {
                memcpy(path, group + 1, (size_t)(end - group - 1));
                path[end - group - 1] = '\0';
                return true;
            }
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return false;
}

static int cpus_of(long long quota, long long period)
{
    long long cpus = quota > 0 && period > 0 ? (quota + period - 1) / period : RN__MAX_PROCS;

    return cpus > RN__MAX_PROCS ? RN__MAX_PROCS : (int)cpus;
}

static int quota_v2(const char *group)
{
    char path[512], text[64];
    long long quota = 0, period = 0;

    (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    slurp(path, text, sizeof text);
    /* "max 100000" is no quota, and does not scan. */
    if (sscanf(text, "%lld %lld", &quota, &period) != 2)
        return RN__MAX_PROCS;
    return cpus_of(quota, period);
}

static int quota_v1(const char *group)
{
    char path[512], text[64];
    long long quota;

    (void)snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
    slurp(path, text, sizeof text);
    quota = strtoll(text, NULL, 10); /* -1: none */
    (void)snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
    slurp(path, text, sizeof text);
    return cpus_of(quota, strtoll(text, NULL, 10));
}

int rn__usable_cpus(void)
{
    char groups[1024], path[256];
    int cpus = affinity(), quota;

    slurp("/proc/self/cgroup", groups, sizeof groups);
    if (find_group(groups, "", path, sizeof path) && (quota = quota_v2(path)) < cpus)
        cpus = quota;
    if (find_group(groups, "cpu", path, sizeof path) && (quota = quota_v1(path)) < cpus)
        cpus = quota;
    return cpus < 1 ? 1 : cpus > RN__MAX_PROCS ? RN__MAX_PROCS : cpus;
}
