/*
 * trace_args.c - what the arguments of a slow call are: a descriptor's file or connection, a path
 *
 * Paths and TCP sockets are looked up by the kernel's side when the call returns. Other descriptors
 * are looked up here, a moment later: by then the process may have closed one, or have another file
 * behind its number. So close is left out.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define FILE_BYTES 256
#define PATH_BYTES (sizeof((struct trace_slow){0}.path) + 4)
#define NAMES 64

void trace_fill_shapes(uint8_t shapes[static TRACE_CALLS])
{
    static const struct {
        uint8_t shape;
        const char *names[NAMES];
    } known[] = {
        {TRACE_FD, {"read",           "write",       "pread64",     "pwrite64",   "readv",
                    "writev",         "preadv",      "pwritev",     "preadv2",    "pwritev2",
                    "recvfrom",       "sendto",      "recvmsg",     "sendmsg",    "recvmmsg",
                    "sendmmsg",       "sendfile",    "splice",      "tee",        "vmsplice",
                    "accept",         "accept4",     "connect",     "bind",       "listen",
                    "shutdown",       "getsockname", "getpeername", "setsockopt", "getsockopt",
                    "ioctl",          "fcntl",       "flock",       "fstat",      "lseek",
                    "fsync",          "fdatasync",   "ftruncate",   "fallocate",  "fadvise64",
                    "getdents64",     "getdents",    "syncfs",      "fchmod",     "fchown",
                    "readahead",      "epoll_wait",  "epoll_pwait", "epoll_ctl",  "epoll_pwait2",
                    "fchdir",         "fstatfs",     "fsetxattr",   "fgetxattr",  "copy_file_range",
                    "sync_file_range"}},
        {TRACE_PATH,
         {"open",     "creat",  "stat",    "lstat",    "access",   "execve", "unlink",
          "rename",   "mkdir",  "rmdir",   "chdir",    "readlink", "link",   "symlink",
          "truncate", "statfs", "chmod",   "chown",    "lchown",   "utime",  "utimes",
          "mknod",    "chroot", "umount2", "getxattr", "setxattr", "swapon", "lgetxattr"}},
        {TRACE_FD | TRACE_DIR,
         {"openat", "openat2", "newfstatat", "statx", "faccessat", "faccessat2", "unlinkat",
          "renameat", "renameat2", "mkdirat", "mknodat", "readlinkat", "linkat", "fchmodat",
          "fchownat", "utimensat", "execveat", "name_to_handle_at", "inotify_add_watch"}},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        for (size_t j = 0; j < NAMES && known[i].names[j] != NULL; j++) {
            int nr = trace_call_number(known[i].names[j]);

            if (nr >= 0) /* this machine has it */
                shapes[nr] = known[i].shape;
        }
    }
}

static uint8_t shape_of(const struct trace_slow *e)
{
    static uint8_t shapes[TRACE_CALLS];
    static bool is_filled;

    if (!is_filled)
        trace_fill_shapes(shapes);
    is_filled = true;
    return e->nr < TRACE_CALLS ? shapes[e->nr] : 0;
}

/* What is behind the descriptor; false: nothing, or nobody may know. */
static bool find_file(const struct trace_slow *e, char file[static FILE_BYTES])
{
    char link[64];
    ssize_t len;

    if (!(shape_of(e) & TRACE_FD) || e->ends.family != 0 || (int32_t)e->args[0] < 0)
        return false;
    (void)snprintf(link, sizeof link, "/proc/%u/fd/%d", e->event.pid, (int32_t)e->args[0]);
    len = readlink(link, file, FILE_BYTES - 1);
    if (len < 0)
        return false;
    file[len] = '\0';
    trace_clean(file);
    return true;
}

/* False: the call has none, or it could not be read. */
static bool copy_path(const struct trace_slow *e, char path[static PATH_BYTES])
{
    size_t len = strnlen(e->path, sizeof e->path);

    memcpy(path, e->path, len);
    (void)snprintf(path + len, 4, "%s", len == sizeof e->path - 1 ? "..." : "");
    trace_clean(path);
    return len > 0;
}

static void print_first(const struct trace_slow *e)
{
    char file[FILE_BYTES], local[64], remote[64];
    int fd = (int32_t)e->args[0];

    if (!(shape_of(e) & TRACE_FD)) /* a number, or an address */
        printf(e->args[0] < 1 << 16 ? "%" PRIu64 : "%#" PRIx64, (uint64_t)e->args[0]);
    else if (fd == AT_FDCWD)
        fputs("AT_FDCWD", stdout);
    else
        printf("%d", fd);
    if (e->ends.family != 0) {
        trace_address(&e->ends, true, local);
        trace_address(&e->ends, false, remote);
        if (e->ends.remote_port == 0) /* it listens, or is not connected yet */
            printf("<%s>", local);
        else
            printf("<%s - %s>", local, remote);
    } else if (find_file(e, file)) {
        printf("<%s>", file);
    }
}

void trace_print_args(const struct trace_slow *e)
{
    char path[PATH_BYTES];
    bool has_path = copy_path(e, path);

    if (has_path && (shape_of(e) & TRACE_PATH))
        printf("\"%s\"", path);
    else
        print_first(e);
    if (has_path && (shape_of(e) & TRACE_DIR))
        printf(", \"%s\"", path);
    else
        printf(", %#" PRIx64, (uint64_t)e->args[1]);
    printf(", %#" PRIx64, (uint64_t)e->args[2]);
}

void trace_print_args_json(const struct trace_slow *e)
{
    char file[FILE_BYTES], path[PATH_BYTES], local[64], remote[64];

    if (copy_path(e, path))
        printf("\"path\": \"%s\", ", path);
    if (find_file(e, file))
        printf("\"file\": \"%s\", ", file);
    if (e->ends.family == 0)
        return;
    trace_address(&e->ends, true, local);
    trace_address(&e->ends, false, remote);
    printf("\"local\": \"%s\", \"remote\": \"%s\", ", local, remote);
}
