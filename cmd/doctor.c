/*
 * doctor.c - `runnel doctor`: the limits of this machine that are in the way of a server
 *
 * The checks are two tables (doctor_net.c, doctor_host.c). Here: options, what the checks share,
 * and the network namespace of the process that is looked at, which is entered: the sysctls of a
 * network are shown to those in it only.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

struct options {
    bool json, fix, list;
    char **only; /* names of checks; n_only of them, 0: all */
    int n_only;
};

static const char help[] =
    "Usage: runnel doctor [OPTION]... [CHECK]...\n"
    "\n"
    "Compares the limits of this machine with what a server needs, and says what to do, until the\n"
    "next start and for good. Without CHECK all are done; --list names them.\n"
    "\n"
    "  -n, --connections N   the target: connections open at once (default: 10000)\n"
    "  -r, --rate N          the target: new connections a second (default: 1000)\n"
    "  -p, --pid PID         look at this process: its limits, its listeners, its network\n"
    "      --json            for programs\n"
    "      --fix             as root: set the sysctls that are advised, and write them to\n"
    "                        /etc/sysctl.d/60-runnel.conf; says how to undo it\n"
    "      --list            the checks, what they read, and why\n"
    "      --root DIR        read DIR/proc and DIR/sys\n"
    "      --sysctl-dir DIR  where --fix writes\n"
    "  -h, --help            this text\n"
    "\n"
    "Exit status: 0 the target can be reached (there may be warnings), 1 something fails,\n"
    "2 a wrong call, or --fix could not.\n";

/* ---- for the checks ---- */

struct doc_finding *doc_add(struct doctor *d, const struct doc_check *c)
{
    static struct doc_finding nowhere;
    struct doc_finding *f = &nowhere;

    if (d->n == d->room) {
        int room = d->room == 0 ? 64 : d->room * 2;
        struct doc_finding *more = realloc(d->findings, (size_t)room * sizeof *more);

        d->out_of_memory |= more == NULL;
        if (more != NULL) {
            d->findings = more;
            d->room = room;
        }
    }
    if (d->n < d->room)
        f = &d->findings[d->n++];
    *f = (struct doc_finding){.check = c};
    return f;
}

void doc_set(char *field, size_t room, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(field, room, format, ap);
    va_end(ap);
}

void doc_append(char *field, size_t room, const char *format, ...)
{
    size_t len = strlen(field);
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(field + len, room - len, format, ap);
    va_end(ap);
}

void doc_unknown(struct doc_finding *f, const char *path, int error)
{
    f->state = DOC_UNKNOWN;
    DOC_SET(f->read, "cannot read %s", path);
    if (error == -ENOENT)
        DOC_APPEND(f->read, ": an older kernel, or not shown in this container or network");
    else if (error < 0)
        DOC_APPEND(f->read, ": %s", rn_strerror(error));
}

bool doc_take_sysctl(struct doctor *d, const struct doc_check *c, struct doc_finding **f, long *ret,
                     int n)
{
    int r;

    *f = doc_add(d, c);
    r = doc_read_sysctl(d, c->key, *f, ret, n);
    if (r != n)
        doc_unknown(*f, (*f)->source, r < 0 ? r : -EINVAL);
    return r == n;
}

void doc_advise_sysctl(const struct doctor *d, struct doc_finding *f, const char *value)
{
    const char *key = f->check->key;
    const char *quote = strchr(value, ' ') == NULL ? "" : "\"";

    f->state = f->check->bad;
    if (!f->check->ask_first)
        DOC_SET(f->value, "%s", value);
    if (d->in_other_net && strncmp(key, "net.", 4) == 0) {
        DOC_SET(f->temporary, "nsenter -t %ld -n sysctl -w %s=%s%s%s", d->pid, key, quote, value,
                quote);
        DOC_SET(f->permanent, "docker run --sysctl %s=%s%s%s", key, quote, value, quote);
        DOC_SET(f->note, "the process has a network of its own: what starts it must set this");
        return;
    }
    DOC_SET(f->temporary, "sysctl -w %s=%s%s%s", key, quote, value, quote);
    DOC_SET(f->permanent, "echo '%s = %s' >> /etc/sysctl.d/60-local.conf", key, value);
}

void doc_advise_number(const struct doctor *d, struct doc_finding *f, long n)
{
    char value[32];

    (void)snprintf(value, sizeof value, "%ld", n);
    doc_advise_sysctl(d, f, value);
}

void doc_check_sysctl(struct doctor *d, const struct doc_check *c)
{
    static const char *const bounds[] = {"at least ", "at most ", ""};
    long n, want = c->want(d);
    struct doc_finding *f;

    if (!doc_take_sysctl(d, c, &f, &n, 1))
        return;
    DOC_SET(f->read, "%ld", n);
    DOC_SET(f->wanted, "%s%ld", bounds[c->bound], want);
    if (c->bound == DOC_AT_LEAST ? n < want : c->bound == DOC_AT_MOST ? n > want : n != want)
        doc_advise_number(d, f, want);
}

long doc_want_queue(const struct doctor *d)
{
    long n = d->rate / 4;

    return n < 1024 ? 1024 : n > 65535 ? 65535 : n;
}

long doc_want_files(const struct doctor *d)
{
    return d->connections + 64;
}

const struct doc_check *doc_find_check(const char *name)
{
    for (int i = 0; i < doc_n_net_checks; i++)
        if (strcmp(doc_net_checks[i].name, name) == 0)
            return &doc_net_checks[i];
    for (int i = 0; i < doc_n_host_checks; i++)
        if (strcmp(doc_host_checks[i].name, name) == 0)
            return &doc_host_checks[i];
    return NULL;
}

/* ---- the process ---- */

/* Into the network of the process, if it is not ours; its other namespaces do not matter. */
static void enter_network(struct doctor *d)
{
    char path[64];
    struct stat ours, theirs;
    int fd;

    (void)snprintf(path, sizeof path, "%s/ns/net", d->proc);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        d->net_error = -errno;
        return;
    }
    if (fstat(fd, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 &&
        (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)) {
        d->in_other_net = true;
        if (setns(fd, CLONE_NEWNET) < 0)
            d->net_error = -errno;
    }
    (void)close(fd);
}

static bool find_process(struct doctor *d)
{
    (void)snprintf(d->proc, sizeof d->proc, "/proc/self");
    if (d->pid == 0)
        return true;
    (void)snprintf(d->proc, sizeof d->proc, "/proc/%ld", d->pid);
    if (!doc_exists(d, d->proc)) {
        cmd_error("there is no process %ld", d->pid);
        return false;
    }
    if (d->root[0] == '\0')
        enter_network(d);
    return true;
}

/* ---- the whole ---- */

static bool is_chosen(const struct options *o, const char *name)
{
    for (int i = 0; i < o->n_only; i++)
        if (strcmp(o->only[i], name) == 0)
            return true;
    return o->n_only == 0;
}

static void run_table(struct doctor *d, const struct options *o, const struct doc_check *checks,
                      int n)
{
    for (int i = 0; i < n; i++)
        if (is_chosen(o, checks[i].name))
            checks[i].run(d, &checks[i]);
}

static void run_checks(struct doctor *d, const struct options *o)
{
    d->n = 0;
    run_table(d, o, doc_net_checks, doc_n_net_checks);
    run_table(d, o, doc_host_checks, doc_n_host_checks);
}

static int report(struct doctor *d, const struct options *o, const char *changes)
{
    bool colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;

    if (d->out_of_memory) {
        cmd_error("doctor: %s", rn_strerror(-ENOMEM));
        return CMD_USAGE;
    }
    if (o->json) {
        doc_print_json(d, changes);
    } else {
        fputs(changes, stdout);
        doc_print_table(d, colour);
    }
    for (int i = 0; i < d->n; i++)
        if (d->findings[i].state == DOC_FAIL)
            return CMD_FAILED;
    return CMD_OK;
}

static int diagnose(struct doctor *d, const struct options *o)
{
    char *changes = NULL;
    int r, status;

    if (!find_process(d))
        return CMD_USAGE;
    run_checks(d, o);
    if (!o->fix)
        return report(d, o, "");
    r = doc_fix(d, &changes);
    if (r < 0)
        return CMD_USAGE;
    run_checks(d, o); /* what it is like now */
    status = report(d, o, changes);
    free(changes);
    return r > 0 && status == CMD_OK ? CMD_FAILED : status;
}

static bool parse_option(int c, struct doctor *d, struct options *o)
{
    switch (c) {
    case 'n':
        return cmd_number("--connections", optarg, 1, 100000000, &d->connections);
    case 'r':
        return cmd_number("--rate", optarg, 1, 100000000, &d->rate);
    case 'p':
        return cmd_number("--pid", optarg, 1, INT32_MAX, &d->pid);
    case 'j':
        o->json = true;
        return true;
    case 'f':
        o->fix = true;
        return true;
    case 'l':
        o->list = true;
        return true;
    case 'R':
        d->root = optarg;
        return true;
    case 'D':
        d->sysctl_dir = optarg;
        return true;
    default:
        return false;
    }
}

int cmd_doctor(int argc, char **argv)
{
    static const struct option longs[] = {{"connections", required_argument, NULL, 'n'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"pid", required_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"fix", no_argument, NULL, 'f'},
                                          {"list", no_argument, NULL, 'l'},
                                          {"root", required_argument, NULL, 'R'},
                                          {"sysctl-dir", required_argument, NULL, 'D'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    struct doctor d = {
        .root = "", .sysctl_dir = "/etc/sysctl.d", .connections = 10000, .rate = 1000};
    struct options o = {0};
    int c, status;

    while ((c = cmd_option("doctor", argc, argv, "n:r:p:h", longs)) != -1) {
        if (c == 'h') {
            fputs(help, stdout);
            return CMD_OK;
        }
        if (!parse_option(c, &d, &o))
            return CMD_USAGE;
    }
    o.only = argv + optind;
    o.n_only = argc - optind;
    for (int i = 0; i < o.n_only; i++) {
        if (doc_find_check(o.only[i]) == NULL) {
            cmd_error("there is no check \"%s\"; see runnel doctor --list", o.only[i]);
            return CMD_USAGE;
        }
    }
    if (o.list) {
        doc_print_list();
        return CMD_OK;
    }
    status = diagnose(&d, &o);
    free(d.findings);
    return status;
}
