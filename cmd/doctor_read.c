/*
 * doctor_read.c - the files that the checks of `runnel doctor` read
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define READ_MOST (4 << 20) /* a longer /proc/net/tcp has its listeners first */
#define MOST_CPUS 1024

static int open_below(const struct doctor *d, const char *path)
{
    char full[PATH_MAX];
    int fd;

    if (snprintf(full, sizeof full, "%s%s", d->root, path) >= (int)sizeof full)
        return -ENAMETOOLONG;
    fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* To the end, or to len. */
static ssize_t read_from(int fd, char *buf, size_t len)
{
    size_t at = 0;
    ssize_t n = 0;

    while (at < len && (n = read(fd, buf + at, len - at)) > 0)
        at += (size_t)n;
    return n < 0 ? -errno : (ssize_t)at;
}

int doc_read(const struct doctor *d, const char *path, char *buf, size_t room)
{
    int fd = open_below(d, path);
    ssize_t n;

    if (fd < 0)
        return fd;
    n = read_from(fd, buf, room - 1);
    (void)close(fd);
    if (n < 0)
        return (int)n;
    buf[n] = '\0';
    return (int)n;
}

int doc_read_all(const struct doctor *d, const char *path, char **ret)
{
    int fd = open_below(d, path);
    char *text = NULL;
    ssize_t len = 0, n;

    if (fd < 0)
        return fd;
    do {
        char *more = realloc(text, (size_t)len + 65536 + 1);

        n = more == NULL ? -ENOMEM : read_from(fd, more + len, 65536);
        text = more == NULL ? text : more;
        len += n > 0 ? n : 0;
    } while (n > 0 && len < READ_MOST);
    (void)close(fd);
    if (n < 0) {
        free(text);
        return (int)n;
    }
    text[len] = '\0';
    *ret = text;
    return 0;
}

bool doc_exists(const struct doctor *d, const char *path)
{
    char full[PATH_MAX];

    (void)snprintf(full, sizeof full, "%s%s", d->root, path);
    return access(full, F_OK) == 0;
}

int doc_read_longs(const struct doctor *d, const char *path, long *ret, int n)
{
    char text[256];
    char *at = text, *end;
    int r = doc_read(d, path, text, sizeof text), i = 0;

    if (r < 0)
        return r;
    for (; i < n; i++, at = end) {
        long value = strtol(at, &end, 10);

        if (end == at)
            break;
        ret[i] = value;
    }
    return i == 0 ? -EINVAL : i;
}

void doc_sysctl_path(const char *key, char *path, size_t room)
{
    int start = snprintf(path, room, "/proc/sys/");

    (void)snprintf(path + start, room - (size_t)start, "%s", key);
    for (char *c = path + start; *c != '\0'; c++)
        if (*c == '.')
            *c = '/';
}

int doc_read_sysctl(const struct doctor *d, const char *key, struct doc_finding *f, long *ret,
                    int n)
{
    char path[192];
    bool hidden = d->net_error < 0 && strncmp(key, "net.", 4) == 0;

    doc_sysctl_path(key, path, sizeof path);
    if (hidden)
        (void)snprintf(path, sizeof path, "%s/ns/net", d->proc);
    if (f != NULL)
        DOC_SET(f->source, "%s", path);
    return hidden ? d->net_error : doc_read_longs(d, path, ret, n);
}

/* What follows "name:" in the status of the process, which goes to text. */
static int read_status_line(const struct doctor *d, const char *name, char *text, size_t room,
                            const char **ret)
{
    char path[64];
    size_t len = strlen(name);
    int r;

    (void)snprintf(path, sizeof path, "%s/status", d->proc);
    r = doc_read(d, path, text, room);
    if (r < 0)
        return r;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            *ret = line + len + 1;
            return 0;
        }
    }
    return -ENODATA;
}

int doc_read_status(const struct doctor *d, const char *name, int base, unsigned long *ret)
{
    char text[8192];
    const char *at;
    int r = read_status_line(d, name, text, sizeof text, &at);

    if (r == 0)
        *ret = strtoul(at, NULL, base);
    return r;
}

/* "unlimited" is LONG_MAX. */
static long to_limit(const char **at)
{
    char *end;
    long n;

    *at += strspn(*at, " ");
    if (strncmp(*at, "unlimited", 9) == 0) {
        *at += 9;
        return LONG_MAX;
    }
    n = strtol(*at, &end, 10);
    *at = end;
    return n;
}

int doc_read_limit(const struct doctor *d, const char *name, long *soft, long *hard)
{
    char text[4096], path[64];
    const char *at;
    int r;

    (void)snprintf(path, sizeof path, "%s/limits", d->proc);
    r = doc_read(d, path, text, sizeof text);
    if (r < 0)
        return r;
    at = strstr(text, name);
    if (at == NULL)
        return -ENODATA;
    at += strlen(name);
    *soft = to_limit(&at);
    *hard = to_limit(&at);
    return 0;
}

/* The n-th word of a line; NULL if it has fewer. */
static const char *word_of(const char *line, int n)
{
    while (n-- > 0) {
        line += strcspn(line, " \n");
        if (*line != ' ')
            return NULL;
        line++;
    }
    return line;
}

/* Tables are two lines: "Tcp: name name", "Tcp: value value". */
int doc_read_counter(const struct doctor *d, const char *file, const char *table, const char *name,
                     long *ret)
{
    char path[64], *text = NULL;
    size_t table_len = strlen(table), len = strlen(name);
    const char *names, *values = NULL, *word;
    int r;

    (void)snprintf(path, sizeof path, "%s/net/%s", d->proc, file);
    r = doc_read_all(d, path, &text);
    if (r < 0)
        return r;
    names = text;
    while (names != NULL && !(strncmp(names, table, table_len) == 0 && names[table_len] == ':'))
        names = (names = strchr(names, '\n')) == NULL ? NULL : names + 1;
    if (names != NULL && (values = strchr(names, '\n')) != NULL)
        values++;
    r = -ENODATA;
    for (int i = 1; values != NULL && (word = word_of(names, i)) != NULL; i++) {
        const char *value = word_of(values, i);
        long n;

        if (strncmp(word, name, len) != 0 || (word[len] != ' ' && word[len] != '\n') ||
            value == NULL)
            continue;
        n = strtol(value, NULL, 10);
        r = n < 0 || n > LONG_MAX / 4 ? -ERANGE : 0; /* so that some can be added */
        if (r == 0)
            *ret = n;
    }
    free(text);
    return r;
}

/* Whether the comma-separated names up to the colon have this one; none at all is "". */
static bool has_controller(const char *names, const char *controller)
{
    size_t len = strlen(controller);

    for (;; names++) {
        size_t n = strcspn(names, ",:");

        if (n == len && strncmp(names, controller, len) == 0)
            return true;
        if (names[n] != ',')
            return false;
        names += n;
    }
    return false;
}

/* Lines are "id:controllers:path". */
int doc_read_cgroup(const struct doctor *d, const char *controller, char *path, size_t room)
{
    char text[4096], file[64];
    int r;

    (void)snprintf(file, sizeof file, "%s/cgroup", d->proc);
    r = doc_read(d, file, text, sizeof text);
    if (r < 0)
        return r;
    for (char *line = text, *next; *line != '\0'; line = next) {
        char *names, *group = NULL;

        next = strchrnul(line, '\n');
        if (*next == '\n')
            *next++ = '\0';
        names = strchr(line, ':');
        if (names != NULL)
            group = strchr(++names, ':');
        if (group != NULL && has_controller(names, controller)) {
            /* The root, "/", is the empty path. */
            (void)snprintf(path, room, "%s", strcmp(group + 1, "/") == 0 ? "" : group + 1);
            return 0;
        }
    }
    return -ENOENT;
}

int doc_read_cpus(const struct doctor *d, long *ret)
{
    char text[8192];
    const char *at;
    long n = 0;
    int r = read_status_line(d, "Cpus_allowed_list", text, sizeof text, &at);

    if (r < 0)
        return r;
    for (bool more = true; more; at++) { /* "0-3,8" */
        char *end;
        long first = strtol(at, &end, 10), last = first;

        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        if (first < 0 || last < first || last > INT32_MAX)
            return -ERANGE;
        n += last - first + 1;
        more = *end == ',';
        at = end;
    }
    *ret = n < 1 ? 1 : n > MOST_CPUS ? MOST_CPUS : n;
    return 0;
}

void doc_unit(const struct doctor *d, char *name, size_t room)
{
    char path[512];
    char *end, *start;

    (void)snprintf(name, room, "UNIT");
    if (d->pid == 0)
        return; /* it is not the shell's that is to be changed */
    if (doc_read_cgroup(d, "", path, sizeof path) < 0 || path[0] == '\0')
        if (doc_read_cgroup(d, "name=systemd", path, sizeof path) < 0)
            return;
    end = strstr(path, ".service");
    if (end == NULL)
        return;
    end[strlen(".service")] = '\0';
    start = strrchr(path, '/');
    (void)snprintf(name, room, "%s", start == NULL ? path : start + 1);
}

int doc_each_entry(const struct doctor *d, const char *path,
                   void (*fn)(const char *name, void *arg), void *arg)
{
    char full[PATH_MAX];
    const struct dirent *e;
    DIR *dir;

    if (snprintf(full, sizeof full, "%s%s", d->root, path) >= (int)sizeof full)
        return -ENAMETOOLONG;
    dir = opendir(full);
    if (dir == NULL)
        return -errno;
    while ((e = readdir(dir)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            fn(e->d_name, arg);
    (void)closedir(dir);
    return 0;
}
