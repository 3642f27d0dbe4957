/*
 * rights.c - fewer rights for a server: another user, landlock, seccomp
 *
 * All of it is for the thread that asks and those that it starts from then on, so it comes before
 * the runtime that serves. Landlock and seccomp go without root, by PR_SET_NO_NEW_PRIVS.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "site.h"

/* ---- another user ---- */

struct who {
    const char *name; /* NULL: a number that no name is known for, as in containers */
    uid_t uid;
    gid_t gid;
};

static bool is_id(const char *text, unsigned *ret)
{
    char *end;
    unsigned long id = strtoul(text, &end, 10);

    *ret = (unsigned)id;
    return *text >= '0' && *text <= '9' && *end == '\0' && id < UINT_MAX;
}

/* A number alone says nothing of the group, unless it has a name. */
static int find_user(const char *text, const char *group, struct who *ret)
{
    struct passwd *found = getpwnam(text);
    unsigned uid;
    bool is_number = found == NULL && is_id(text, &uid);

    if (is_number)
        found = getpwuid(uid);
    if (found != NULL) {
        *ret = (struct who){.name = found->pw_name, .uid = found->pw_uid, .gid = found->pw_gid};
    } else if (is_number && group != NULL) {
        *ret = (struct who){.uid = uid};
    } else {
        cmd_error("--user: there is no user \"%s\"%s", text,
                  is_number ? "; a number without a name wants a group, too" : "");
        return -ENOENT;
    }
    return 0;
}

static int find_group(const char *text, gid_t *ret)
{
    struct group *found = getgrnam(text);
    unsigned gid;

    if (found == NULL && !is_id(text, &gid)) {
        cmd_error("--user: there is no group \"%s\"", text);
        return -ENOENT;
    }
    *ret = found == NULL ? gid : found->gr_gid;
    return 0;
}

/* A group that was named is the only one; else those that the user is in. */
static int become(const struct who *who, bool one_group)
{
    uid_t uid = who->uid;
    gid_t gid = who->gid;

    if ((one_group ? setgroups(1, &gid) : initgroups(who->name, gid)) < 0 ||
        setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0) {
        int e = errno;

        cmd_error("cannot become user %u: %s", (unsigned)uid, rn_strerror(e));
        return -e;
    }
    if (uid != 0 && setuid(0) == 0) {
        cmd_error("--user: there is a way back to root");
        return -EPERM;
    }
    return 0;
}

int rights_become(const char *user)
{
    char *name = strdup(user), *group;
    struct who who;
    int r;

    if (name == NULL)
        return -ENOMEM;
    group = strchr(name, ':');
    if (group != NULL)
        *group++ = '\0';
    r = find_user(name, group, &who);
    if (r == 0 && group != NULL)
        r = find_group(group, &who.gid);
    if (r == 0)
        r = become(&who, group != NULL);
    free(name);
    return r;
}

/* ---- landlock ---- */

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RUN (READ | LANDLOCK_ACCESS_FS_EXECUTE)
#define OF_FILES                                                                                   \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |   \
     LANDLOCK_ACCESS_FS_TRUNCATE)
#define KEEP_LOG (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG)
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE /* Linux 6.2 */
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

/* What the versions of landlock that there are can refuse: all of ours from 5.13 on, but for
 * moving between directories (2) and truncating (3). */
static uint64_t handled_by(int version)
{
    uint64_t all = LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1;

    if (version >= 2)
        all |= LANDLOCK_ACCESS_FS_REFER;
    if (version >= 3)
        all |= LANDLOCK_ACCESS_FS_TRUNCATE;
    return all;
}

/* What is not there needs no rule. */
static int allow(int rules, uint64_t handled, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access & handled};
    struct stat st;
    int r = 0;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -errno;
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= OF_FILES;
    if (rule.allowed_access != 0 &&
        syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
        r = -errno;
    (void)close(rule.parent_fd);
    return r;
}

/* In the folder that a file is in. */
static int allow_beside(int rules, uint64_t handled, const char *path, uint64_t access)
{
    const char *slash;
    char folder[PATH_MAX];

    if (path == NULL || *path == '@')
        return 0;
    slash = strrchr(path, '/');
    if (slash == NULL)
        return allow(rules, handled, ".", access);
    (void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return allow(rules, handled, folder, access);
}

/* Where DIR is a link, what it leads to may be exchanged (SIGHUP) for what is beside that; but not
 * where all there is would be beside it. */
static int allow_exchange(int rules, uint64_t handled, const char *dir)
{
    char name[PATH_MAX], target[PATH_MAX];
    size_t len = strlen(dir);
    struct stat st;

    while (len > 1 && dir[len - 1] == '/')
        len--;
    (void)snprintf(name, sizeof name, "%.*s", (int)len, dir);
    if (lstat(name, &st) < 0 || !S_ISLNK(st.st_mode) || realpath(name, target) == NULL ||
        strrchr(target, '/') == target)
        return 0;
    return allow_beside(rules, handled, target, READ);
}

static int fill_rules(int rules, uint64_t handled, const char *dir, const char *mime)
{
    static const struct {
        const char *path;
        uint64_t access;
    } system[] = {
        /* CPUs and their quota; what a dump, or a sanitizer, says of threads */
        {"/proc/self", READ},
        {"/sys/fs/cgroup", READ},
        {"/sys/devices/system/cpu", READ},
        {"/etc/hosts", READ},
        {"/etc/localtime", READ},
        {"/etc/mime.types", READ},
        {"/dev/null", READ | LANDLOCK_ACCESS_FS_WRITE_FILE},
        /* libgcc_s, which backtrace(3) loads when it is needed */
        {"/etc/ld.so.cache", READ},
        {"/lib", RUN},
        {"/lib64", RUN},
        {"/usr/lib", RUN},
    };
    int r = allow(rules, handled, dir, READ);

    if (r == 0)
        r = allow_exchange(rules, handled, dir);
    if (r == 0 && mime != NULL && *mime != '\0')
        r = allow(rules, handled, mime, READ);
    for (size_t i = 0; r == 0 && i < sizeof system / sizeof *system; i++)
        r = allow(rules, handled, system[i].path, system[i].access);
    return r;
}

int rights_confine(const char *dir, const struct site *s, const char *const *sockets, int n)
{
    int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
                               LANDLOCK_CREATE_RULESET_VERSION);
    struct landlock_ruleset_attr attr = {.handled_access_fs = handled_by(version)};
    int rules, r;

    if (version < 1)
        return 0;
    rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    r = rules < 0 ? -errno : fill_rules(rules, attr.handled_access_fs, dir, s->files.mime_file);
    if (r == 0 && s->log_path != NULL && strcmp(s->log_path, "-") != 0)
        r = allow_beside(rules, attr.handled_access_fs, s->log_path, KEEP_LOG);
    for (int i = 0; r == 0 && i < n; i++)
        r = allow_beside(rules, attr.handled_access_fs, sockets[i], LANDLOCK_ACCESS_FS_REMOVE_FILE);
    if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                   syscall(SYS_landlock_restrict_self, rules, 0) < 0))
        r = -errno;
    if (rules >= 0)
        (void)close(rules);
    if (r < 0)
        cmd_error("cannot begin the sandbox: %s (--no-sandbox leaves it out)", rn_strerror(r));
    return r;
}
