/*
 * doctor.h - what the files of `runnel doctor` share
 *
 * A check reads files below `root`, which is empty but for tests, compares what they say with what
 * the target needs, and adds findings; it changes nothing. The few that must try something (a
 * system call, a netlink socket) do so only where root is empty.
 */
#ifndef RN_CMD_DOCTOR_H
#define RN_CMD_DOCTOR_H

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "cmd.h"

#define DOC_FIX_FILE "60-runnel.conf" /* what --fix writes, and alone may overwrite */

/* From harmless to harmful; printed by doc_state_name. */
enum doc_state { DOC_OK, DOC_UNKNOWN, DOC_WARN, DOC_FAIL };

struct doc_check;

struct doc_finding {
    const struct doc_check *check;
    enum doc_state state;
    char read[384];      /* what was found */
    char source[192];    /* where */
    char wanted[192];    /* for the target */
    char temporary[512]; /* the command, until the next start; empty: there is none */
    char permanent[768];
    char note[192]; /* what no command says */
    char value[64]; /* what --fix sets the check's sysctl to; empty: nothing */
};

struct doctor {
    const char *root;       /* "", or a folder with a proc and a sys */
    const char *sysctl_dir; /* where --fix writes */
    long pid;               /* 0: this process */
    char proc[32];          /* "/proc/self" or "/proc/PID" */
    long connections, rate; /* the target: open at once, new ones a second */
    bool in_other_net;      /* pid's network namespace is not ours; we have entered it, unless: */
    int net_error;          /* -errno: we could not */
    struct doc_finding *findings;
    int n, room;
    bool out_of_memory;
};

enum doc_bound { DOC_AT_LEAST, DOC_AT_MOST, DOC_EXACTLY };

struct doc_check {
    const char *name;
    const char *reads; /* for --list; PID stands for the process */
    const char *why;   /* one sentence */
    void (*run)(struct doctor *d, const struct doc_check *c);
    const char *key;                      /* the sysctl, or NULL */
    long (*want)(const struct doctor *d); /* for doc_check_sysctl, with what follows */
    enum doc_bound bound;
    enum doc_state bad; /* how much it matters */
    bool ask_first;     /* --fix leaves it alone: it is a question of taste, or of security */
};

extern const struct doc_check doc_net_checks[], doc_host_checks[];
extern const int doc_n_net_checks, doc_n_host_checks;

/* ---- doctor.c ---- */

/* A finding to be filled in, DOC_OK so far. Never NULL: out of memory is seen at the end. */
struct doc_finding *doc_add(struct doctor *d, const struct doc_check *c);

/* snprintf into a field of a finding; what does not fit is cut off. */
#define DOC_SET(field, ...) doc_set(field, sizeof(field), __VA_ARGS__)
void doc_set(char *field, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define DOC_APPEND(field, ...) doc_append(field, sizeof(field), __VA_ARGS__)
void doc_append(char *field, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The finding could not be made, and why. */
void doc_unknown(struct doc_finding *f, const char *path, int error);

/* A finding, and the n numbers of the check's sysctl; false, and unknown, if they are not there. */
bool doc_take_sysctl(struct doctor *d, const struct doc_check *c, struct doc_finding **f, long *ret,
                     int n);

/* The finding is bad: its sysctl should have this value. The commands, and what --fix does. */
void doc_advise_sysctl(const struct doctor *d, struct doc_finding *f, const char *value);
void doc_advise_number(const struct doctor *d, struct doc_finding *f, long n);

/* A check of one number: key, want, bound and bad say all. */
void doc_check_sysctl(struct doctor *d, const struct doc_check *c);

/* NULL where there is none of that name. */
const struct doc_check *doc_find_check(const char *name);

/* The new connections of a fifth of a second and more: what a queue of them should hold. */
long doc_want_queue(const struct doctor *d);
/* Descriptors: one for each connection, and some for all else. */
long doc_want_files(const struct doctor *d);

/* ---- doctor_read.c: files below the root; -errno where there is nothing to be had ---- */

/* Up to room - 1 bytes and a NUL; their number. */
int doc_read(const struct doctor *d, const char *path, char *buf, size_t room);
/* A whole file of any length, to be freed. */
int doc_read_all(const struct doctor *d, const char *path, char **ret);
bool doc_exists(const struct doctor *d, const char *path);
/* The numbers that a file begins with, at most n; how many, or -EINVAL if it begins with none. */
int doc_read_longs(const struct doctor *d, const char *path, long *ret, int n);
/* As doc_read_longs, by the name of a sysctl ("net.core.somaxconn"), ; f, unless NULL, is told
 * where. Those of a network that could not be entered are not read. */
int doc_read_sysctl(const struct doctor *d, const char *key, struct doc_finding *f, long *ret,
                    int n);
/* The path of a sysctl. */
void doc_sysctl_path(const char *key, char *path, size_t room);
/* Of the checked process: "Name: value" in its status. */
int doc_read_status(const struct doctor *d, const char *name, int base, unsigned long *ret);
/* Of the checked process: a line of its limits; unlimited is LONG_MAX. */
int doc_read_limit(const struct doctor *d, const char *name, long *soft, long *hard);
/* A counter of /proc/net/netstat or snmp: the value below `name` in the table `table`. */
int doc_read_counter(const struct doctor *d, const char *file, const char *table, const char *name,
                     long *ret);
/* The path of the process's control group; controller "" is version 2. */
int doc_read_cgroup(const struct doctor *d, const char *controller, char *path, size_t room);
/* CPUs that the checked process may use. */
int doc_read_cpus(const struct doctor *d, long *ret);
/* The systemd service of the process, or "UNIT". */
void doc_unit(const struct doctor *d, char *name, size_t room);
/* Calls fn for each entry of a folder but "." and ".."; 0, or -errno. */
int doc_each_entry(const struct doctor *d, const char *path,
                   void (*fn)(const char *name, void *arg), void *arg);

/* ---- doctor_listen.c ---- */

void doc_check_listeners(struct doctor *d, const struct doc_check *c);
void doc_check_migrate(struct doctor *d, const struct doc_check *c);

/* ---- doctor_nic.c ---- */

void doc_check_rps(struct doctor *d, const struct doc_check *c);
void doc_check_nic_queues(struct doctor *d, const struct doc_check *c);

/* ---- doctor_cgroup.c ---- */

void doc_check_cgroup_cpu(struct doctor *d, const struct doc_check *c);
void doc_check_cgroup_memory(struct doctor *d, const struct doc_check *c);

/* ---- doctor_print.c ---- */

const char *doc_state_name(enum doc_state state);
void doc_print_table(const struct doctor *d, bool colour);
/* What was found wrong, and what to do. */
void doc_print_advice(FILE *out, const struct doc_finding *f, bool colour);
void doc_print_json(const struct doctor *d, const char *changes);
void doc_print_list(void);

/* ---- doctor_fix.c ---- */

/*
 * Sets what findings have a value for, and writes it to the folder's DOC_FIX_FILE. What was done
 * goes, as the lines of a text that is the caller's to free, to *said. 0, 1 where something was
 * refused, or -errno with a message printed.
 */
int doc_fix(const struct doctor *d, char **said);

#endif
