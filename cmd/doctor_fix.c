/*
 * doctor_fix.c - `runnel doctor --fix`: sets sysctls, and keeps them in a file of its own
 *
 * The file says by its first line that it is ours, and holds nothing but "# KEY was VALUE" and
 * "KEY = VALUE": what does not look so was not written here, and is left alone. A second --fix adds
 * to it and keeps what each value was at first, so that it always tells the way back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

#define MARK "# Written by runnel doctor --fix, and written anew by the next one.\n"
#define MOST 64

struct entry {
    char key[64], value[64], was[64];
};

struct fixes {
    char path[PATH_MAX]; /* of the file */
    struct entry entries[MOST];
    int n;
};

static struct entry *find_entry(struct fixes *x, const char *key)
{
    for (int i = 0; i < x->n; i++)
        if (strcmp(x->entries[i].key, key) == 0)
            return &x->entries[i];
    if (x->n == MOST)
        return NULL;
    x->entries[x->n] = (struct entry){.key = ""};
    DOC_SET(x->entries[x->n].key, "%s", key);
    return &x->entries[x->n++];
}

/* ---- the file as it is ---- */

static bool take_line(struct fixes *x, const char *line)
{
    char key[64], value[64], end = '\0';
    struct entry *e;
    bool is_was = sscanf(line, "# %63s was %63[^\n]%c", key, value, &end) == 3;

    if (!is_was && sscanf(line, "%63[a-z0-9_.] = %63[^\n]%c", key, value, &end) != 3)
        return false;
    e = end == '\n' ? find_entry(x, key) : NULL;
    if (e == NULL)
        return false;
    if (is_was)
        DOC_SET(e->was, "%s", value);
    else
        DOC_SET(e->value, "%s", value);
    return true;
}

/* 0, no file too; -EEXIST for a file that is not ours. */
static int read_file(struct fixes *x)
{
    char line[256];
    int fd = open(x->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;
    FILE *in = fd < 0 ? NULL : fdopen(fd, "r");

    if (fd < 0)
        return errno == ENOENT ? 0 : errno == ELOOP ? -EEXIST : -errno;
    if (in == NULL) {
        (void)close(fd);
        return -ENOMEM;
    }
    if (fgets(line, sizeof line, in) == NULL || strcmp(line, MARK) != 0)
        r = -EEXIST;
    while (r == 0 && fgets(line, sizeof line, in) != NULL)
        if (!take_line(x, line))
            r = -EEXIST;
    (void)fclose(in);
    return r;
}

/* ---- the settings ---- */

static int write_sysctl(const struct doctor *d, const char *key, const char *value)
{
    char full[PATH_MAX], path[192];
    int fd, r = 0;

    doc_sysctl_path(key, path, sizeof path);
    (void)snprintf(full, sizeof full, "%s%s", d->root, path);
    fd = open(full, O_WRONLY | O_CLOEXEC | O_TRUNC);
    if (fd < 0)
        return -errno;
    if (write(fd, value, strlen(value)) < 0)
        r = -errno;
    (void)close(fd);
    return r;
}

/* The value there is, on one line. */
static void read_old(const struct doctor *d, const char *key, char *text, size_t room)
{
    char path[192];

    doc_sysctl_path(key, path, sizeof path);
    if (doc_read(d, path, text, room) < 0)
        text[0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if (*c == '\t')
            *c = ' ';
}

/* 0, or 1 where the kernel did not take it. */
static int apply(const struct doctor *d, const struct doc_finding *f, struct fixes *x, FILE *said)
{
    const char *key = f->check->key;
    struct entry *e;
    char old[64];
    int r;

    read_old(d, key, old, sizeof old);
    r = write_sysctl(d, key, f->value);
    e = r < 0 ? NULL : find_entry(x, key);
    if (e == NULL) {
        fprintf(said, "not set: %s = %s: %s\n", key, f->value, rn_strerror(r < 0 ? r : -ENOSPC));
        return 1;
    }
    if (e->was[0] == '\0')
        DOC_SET(e->was, "%s", old);
    DOC_SET(e->value, "%s", f->value);
    fprintf(said, "set: %s = %s, was %s\n", key, f->value, old);
    return 0;
}

/* ---- the file as it will be ---- */

static int open_new(const struct doctor *d, const char *path, FILE **ret)
{
    int fd;

    if (mkdir(d->sysctl_dir, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    *ret = fdopen(fd, "w");
    if (*ret == NULL) {
        (void)close(fd);
        (void)unlink(path);
        return -ENOMEM;
    }
    return 0;
}

/* Closes out. */
static int write_file(const struct fixes *x, const char *path, FILE *out)
{
    bool failed;

    fputs(MARK, out);
    for (int i = 0; i < x->n; i++) {
        const struct entry *e = &x->entries[i];

        fprintf(out, "# %s was %s\n%s = %s\n", e->key, e->was, e->key, e->value);
    }
    failed = fflush(out) != 0 || fsync(fileno(out)) < 0;
    failed |= fclose(out) != 0;
    if (!failed && rename(path, x->path) == 0)
        return 0;
    return failed ? -EIO : -errno;
}

static void say_undo(const struct fixes *x, FILE *said)
{
    fprintf(said, "written: %s\nundo: rm %s && sysctl -w", x->path, x->path);
    for (int i = 0; i < x->n; i++)
        fprintf(said, " %s=\"%s\"", x->entries[i].key, x->entries[i].was);
    fputc('\n', said);
}

/* ---- all ---- */

static bool may_fix(const struct doctor *d, struct fixes *x)
{
    int r;

    if (d->root[0] == '\0' && geteuid() != 0) {
        cmd_error("--fix must run as root: sudo runnel doctor --fix");
        return false;
    }
    if (d->in_other_net) {
        cmd_error("--fix does not set the network of process %ld, which has one of its own: what "
                  "starts the process sets it (without --fix the commands are told)",
                  d->pid);
        return false;
    }
    (void)snprintf(x->path, sizeof x->path, "%s/%s", d->sysctl_dir, DOC_FIX_FILE);
    r = read_file(x);
    if (r == -EEXIST)
        cmd_error("--fix leaves %s alone: it was not, or not in all, written by --fix", x->path);
    else if (r < 0)
        cmd_error("--fix: cannot read %s: %s", x->path, rn_strerror(r));
    return r == 0;
}

/* The new file is opened first: what cannot be kept is not set. */
static int fix_all(const struct doctor *d, struct fixes *x, FILE *said)
{
    char path[PATH_MAX + 16];
    FILE *out = NULL;
    int refused = 0, set = 0, r;

    (void)snprintf(path, sizeof path, "%s.%d", x->path, (int)getpid());
    r = open_new(d, path, &out);
    if (r < 0) {
        cmd_error("--fix: cannot write to %s: %s", d->sysctl_dir, rn_strerror(r));
        return r;
    }
    for (int i = 0; i < d->n; i++) {
        const struct doc_finding *f = &d->findings[i];

        if (f->value[0] == '\0')
            continue;
        r = apply(d, f, x, said);
        refused |= r;
        set += r == 0;
    }
    if (set == 0) {
        (void)fclose(out);
        (void)unlink(path);
        fputs("nothing was set\n", said);
        return refused;
    }
    r = write_file(x, path, out);
    if (r < 0) {
        (void)unlink(path);
        fprintf(said, "not written: %s: %s\n", x->path, rn_strerror(r));
        return 1;
    }
    say_undo(x, said);
    return refused;
}

int doc_fix(const struct doctor *d, char **said)
{
    static struct fixes fixes;
    char *text = NULL;
    size_t len;
    FILE *out;
    int r;

    if (!may_fix(d, &fixes))
        return -EPERM;
    out = open_memstream(&text, &len);
    if (out == NULL) {
        cmd_error("--fix: %s", rn_strerror(-ENOMEM));
        return -ENOMEM;
    }
    r = fix_all(d, &fixes, out);
    if (fclose(out) != 0 && r >= 0) {
        r = -ENOMEM;
        cmd_error("--fix: what was set cannot be told: %s", rn_strerror(r));
    }
    if (r < 0)
        free(text);
    else
        *said = text;
    return r;
}
