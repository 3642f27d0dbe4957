/*
 * trace_under_way.c - calls that have not returned when the tracing ends: where a process hangs
 *
 * Only the kernel knows those that began before the tracing did: /proc/PID/task/TID/syscall says in
 * which call a thread is. Processes that were followed to are not asked.
 */
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

/* "0 0x3 0x7ffd5337b678 0x340 ...": number and arguments; "running" where it is in none. */
static bool read_thread(pid_t pid, const char *thread, struct trace_pending *ret)
{
    char path[64], line[256] = "";
    int nr;
    FILE *f;

    *ret = (struct trace_pending){.ids = (uint64_t)pid << 32 | strtoul(thread, NULL, 10)};
    (void)snprintf(path, sizeof path, "/proc/%d/task/%.20s/syscall", (int)pid, thread);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    if (fgets(line, sizeof line, f) == NULL)
        line[0] = '\0';
    fclose(f);
    if (sscanf(line, "%d %llx %llx %llx", &nr, &ret->args[0], &ret->args[1], &ret->args[2]) != 4)
        return false;
    ret->nr = (uint32_t)nr;
    return nr >= 0;
}

static void each_thread(struct trace *t, pid_t pid, trace_under_way_fn *fn, void *arg)
{
    struct trace_pending p;
    struct dirent *entry;
    char path[32];
    DIR *dir;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && read_thread(pid, entry->d_name, &p) &&
            trace_wants(&t->options, p.nr))
            fn(t, &p, arg);
    if (dir != NULL)
        closedir(dir);
}

void trace_each_under_way(struct trace *t, trace_under_way_fn *fn, void *arg)
{
    for (int i = 0; i < t->options.n_pids; i++)
        each_thread(t, t->options.pids[i], fn, arg);
    if (t->child != 0)
        each_thread(t, t->child, fn, arg);
}

static void count_one(struct trace *t, const struct trace_pending *p, void *arg)
{
    (void)arg;
    if (p->nr >= TRACE_CALLS)
        return;
    t->under_way[p->nr]++;
    t->n_under_way++;
}

void trace_count_under_way(struct trace *t)
{
    trace_each_under_way(t, count_one, NULL);
}
