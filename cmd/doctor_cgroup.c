/*
 * doctor_cgroup.c - what the control groups of a process, and those above them, allow
 *
 * Version 2 has its own line in /proc/PID/cgroup and its files below /sys/fs/cgroup (or, where both
 * are mounted, below its folder "unified"); version 1 has a folder for each controller.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#define ANY_AT_ALL (1L << 60) /* version 1's "no limit" is a little below 2^63 */

/* One way to find a number: where the groups of a controller are mounted, and in which file. */
struct place {
    const char *controller, *mount, *file;
};

struct group {
    long value;       /* the least of the group and those above it; LONG_MAX: no limit */
    char path[768];   /* of the file that says so */
    char folder[704]; /* of the process's own group */
};

/* A file's first number; LONG_MAX for "max" and -1. */
static int read_limit(const struct doctor *d, const char *path, long *ret)
{
    char text[64];
    int r = doc_read(d, path, text, sizeof text);
    long n;

    if (r < 0)
        return r;
    n = strncmp(text, "max", 3) == 0 ? LONG_MAX : strtol(text, NULL, 10);
    *ret = n < 0 || n >= ANY_AT_ALL ? LONG_MAX : n;
    return 0;
}

/* From the process's group upwards; the root's file is often missing. */
static bool find_least(const struct doctor *d, const struct place *p, struct group *ret)
{
    char path[512], file[768];
    bool found = false;

    if (doc_read_cgroup(d, p->controller, path, sizeof path) < 0)
        return false;
    DOC_SET(ret->folder, "%s%s", p->mount, path);
    ret->value = LONG_MAX;
    for (;;) {
        char *slash;
        long n;

        DOC_SET(file, "%s%s/%s", p->mount, path, p->file);
        if (read_limit(d, file, &n) == 0) {
            if (!found || n < ret->value)
                DOC_SET(ret->path, "%s", file);
            ret->value = n < ret->value ? n : ret->value;
            found = true;
        }
        slash = strrchr(path, '/');
        if (slash == NULL)
            return found;
        *slash = '\0';
    }
}

static bool find_group(const struct doctor *d, const struct place *places, int n, struct group *ret)
{
    for (int i = 0; i < n; i++)
        if (find_least(d, &places[i], ret))
            return true;
    return false;
}

static long read_named(const struct doctor *d, const char *folder, const char *file,
                       const char *name)
{
    char path[768], text[1024];
    const char *at;

    DOC_SET(path, "%s/%s", folder, file);
    if (doc_read(d, path, text, sizeof text) < 0)
        return 0;
    at = strstr(text, name);
    return at == NULL ? 0 : strtol(at + strlen(name), NULL, 10);
}

/* No controller that limits is no limit, unless the folder is hidden from us. */
static void say_none(const struct doctor *d, struct doc_finding *f)
{
    const char *folder = "/sys/fs/cgroup";
    char path[512];
    int r = doc_read_cgroup(d, "", path, sizeof path);

    if (r == 0 && !doc_exists(d, folder))
        r = -ENOENT;
    if (r < 0 && r != -ENOENT)
        DOC_SET(f->source, "%s/cgroup", d->proc);
    else
        DOC_SET(f->source, "%s", folder);
    DOC_SET(f->read, "no limit");
    DOC_SET(f->wanted, "no limit, or enough");
    if (r < 0)
        doc_unknown(f, f->source, r);
}

/* A quota throttles all threads together, in bursts of tens of milliseconds. */
void doc_check_cgroup_cpu(struct doctor *d, const struct doc_check *c)
{
    static const struct place places[] = {
        {"", "/sys/fs/cgroup", "cpu.max"},
        {"", "/sys/fs/cgroup/unified", "cpu.max"},
        {"cpu", "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"},
        {"cpu", "/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us"}};
    struct doc_finding *f = doc_add(d, c);
    struct group g;
    long periods, throttled;
    char unit[128];

    if (!find_group(d, places, sizeof places / sizeof places[0], &g)) {
        say_none(d, f);
        return;
    }
    DOC_SET(f->source, "%.190s", g.path);
    periods = read_named(d, g.folder, "cpu.stat", "nr_periods ");
    throttled = read_named(d, g.folder, "cpu.stat", "nr_throttled ");
    DOC_SET(f->wanted, "no quota, or throttled in at most 5 %% of the periods");
    if (g.value == LONG_MAX)
        DOC_SET(f->read, "no quota");
    else
        DOC_SET(f->read, "%ld us of each period, throttled in %ld of %ld", g.value, throttled,
                periods);
    if (g.value == LONG_MAX || throttled <= periods / 20)
        return;
    f->state = c->bad;
    doc_unit(d, unit, sizeof unit);
    DOC_SET(f->temporary, "systemctl set-property --runtime %s CPUQuota=", unit);
    DOC_SET(f->permanent, "systemctl set-property %s CPUQuota=", unit);
}

void doc_check_cgroup_memory(struct doctor *d, const struct doc_check *c)
{
    static const struct place places[] = {
        {"", "/sys/fs/cgroup", "memory.max"},
        {"", "/sys/fs/cgroup/unified", "memory.max"},
        {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes"}};
    struct doc_finding *f = doc_add(d, c);
    long want = (64L << 20) + d->connections * (16L << 10), kills;
    struct group g;
    char unit[128];

    if (!find_group(d, places, sizeof places / sizeof places[0], &g)) {
        say_none(d, f);
        return;
    }
    DOC_SET(f->source, "%.190s", g.path);
    kills = read_named(d, g.folder, "memory.events", "oom_kill ");
    DOC_SET(f->wanted, "at least %ld MiB: 64, and 16 KiB for each connection", want >> 20);
    if (g.value == LONG_MAX)
        DOC_SET(f->read, "no limit");
    else
        DOC_SET(f->read, "%ld MiB", g.value >> 20);
    if (kills > 0)
        DOC_APPEND(f->read, ", %ld killed for lack of it", kills);
    if (g.value >= want && kills == 0)
        return;
    f->state = g.value < want ? c->bad : DOC_WARN;
    doc_unit(d, unit, sizeof unit);
    if (g.value >= want) {
        DOC_SET(f->temporary, "cat %s%.190s/memory.stat", d->root, g.folder);
        DOC_SET(f->note, "that tells what takes it");
        return;
    }
    DOC_SET(f->temporary, "echo %ld > %s%.190s", want, d->root, g.path);
    DOC_SET(f->permanent, "systemctl set-property %s MemoryMax=%ld", unit, want);
}
