/*
 * trace_coros.c - coroutines of the programs that are traced, where those are on runnel
 *
 * A program on runnel says in rn__gdb_layout where it keeps them, for gdb; see src/task/stack.c. It
 * is read from its memory once its loader has filled it in, and handed to the kernel's side, which
 * looks, within a slow call, which coroutine the thread is in.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define VERSION 1

/* Of its 64-bit words behind magic and version. */
enum {
    RUNTIME = 1,
    ID = 13,
    NAME,
    SITE,
    N_PROCS = 20,
    PROCS,
    PROC_CURRENT,
    PROC_TID = 24,
    N_WORDS
};

struct remote_layout {
    char magic[8];
    uint64_t version;
    uint64_t words[N_WORDS];
};

/* False: it is not there, or not yet. */
static bool read_layout(pid_t pid, uint64_t address, struct remote_layout *ret)
{
    char path[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = pread(fd, ret, sizeof *ret, (off_t)address);
    close(fd);
    return n == (ssize_t)sizeof *ret && ret->words[RUNTIME] != 0;
}

static bool find_layout(pid_t pid, uint64_t address, void *arg)
{
    struct trace *t = arg;
    struct remote_layout l;

    if (!read_layout(pid, address, &l))
        return false;
    if (memcmp(l.magic, "runnel", sizeof "runnel") != 0 || l.version != VERSION)
        return true; /* and nothing can be said of it */
    trace_set_layout(t->kernel, pid,
                     &(struct trace_layout){
                         .runtime = l.words[RUNTIME],
                         .n_procs = l.words[N_PROCS],
                         .procs = l.words[PROCS],
                         .proc_current = l.words[PROC_CURRENT],
                         .proc_tid = l.words[PROC_TID],
                         .id = l.words[ID],
                         .name = l.words[NAME],
                         .site = l.words[SITE],
                     });
    return true;
}

void trace_find_layouts(struct trace *t)
{
    trace_symbols_each_layout(t->symbols, find_layout, t);
}
