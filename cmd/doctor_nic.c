/*
 * doctor_nic.c - network cards: receive queues, and how packets find CPUs
 *
 * Only what is a device: loopback, bridges and veth have no interrupt. /sys shows the cards of the
 * network namespace in which it was mounted, which is not that of a process in another one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "doctor.h"

#define RATE_HIGH 10000 /* new connections a second that one CPU's packets may be too many for */
#define FLOWS 32768     /* of rps_sock_flow_entries, shared by the queues */

struct nic {
    const struct doctor *doctor;
    const char *name;
    int rx;       /* receive queues */
    bool has_rps; /* it can be read */
    bool spreads; /* it is on for one of them at least */
};

static void take_queue(const char *name, void *arg)
{
    struct nic *n = arg;
    char path[PATH_MAX], mask[512];

    if (strncmp(name, "rx-", 3) != 0)
        return;
    n->rx++;
    (void)snprintf(path, sizeof path, "/sys/class/net/%s/queues/%s/rps_cpus", n->name, name);
    if (doc_read(n->doctor, path, mask, sizeof mask) <= 0)
        return;
    n->has_rps = true;
    n->spreads |= strspn(mask, "0,\n") != strlen(mask);
}

typedef void judge_fn(struct doc_finding *f, const struct nic *n, long cpus);

struct walk {
    struct doctor *doctor;
    const struct doc_check *check;
    judge_fn *judge;
    long cpus;
    int cards;
};

static void take_nic(const char *name, void *arg)
{
    struct walk *w = arg;
    struct nic n = {.doctor = w->doctor, .name = name};
    char path[PATH_MAX];
    struct doc_finding *f;

    (void)snprintf(path, sizeof path, "/sys/class/net/%s/device", name);
    if (!doc_exists(w->doctor, path))
        return;
    (void)snprintf(path, sizeof path, "/sys/class/net/%s/queues", name);
    if (doc_each_entry(w->doctor, path, take_queue, &n) < 0 || n.rx == 0)
        return;
    w->cards++;
    f = doc_add(w->doctor, w->check);
    DOC_SET(f->source, "%.160s", path);
    w->judge(f, &n, w->cpus);
}

static void walk_nics(struct doctor *d, const struct doc_check *c, judge_fn *judge)
{
    struct walk w = {.doctor = d, .check = c, .judge = judge, .cpus = 1};
    const char *folder = "/sys/class/net";
    struct doc_finding *f;
    int r = doc_read_cpus(d, &w.cpus);

    if (r == 0)
        r = d->in_other_net ? -EXDEV : doc_each_entry(d, folder, take_nic, &w);
    if (r == 0 && w.cards > 0)
        return;
    f = doc_add(d, c);
    DOC_SET(f->source, "%s", folder);
    DOC_SET(f->read, "no network card");
    DOC_SET(f->wanted, "any");
    if (r == -EXDEV)
        doc_unknown(f, "the process's cards: this /sys is of another network", 0);
    else if (r < 0)
        doc_unknown(f, folder, r);
}

/* Whether one CPU has more to do than it should; says what is wanted. */
static bool is_short(struct doc_finding *f, const struct nic *n, long cpus)
{
    if (n->doctor->rate < RATE_HIGH)
        DOC_SET(f->wanted, "any below %d connections/s", RATE_HIGH);
    else
        DOC_SET(f->wanted, "a queue for each of %ld CPUs, or RPS", cpus);
    return n->doctor->rate >= RATE_HIGH && n->rx < cpus && !n->spreads;
}

static void judge_queues(struct doc_finding *f, const struct nic *n, long cpus)
{
    DOC_SET(f->read, "%s: %d receive queue%s", n->name, n->rx, n->rx == 1 ? "" : "s");
    if (!is_short(f, n, cpus))
        return;
    f->state = f->check->bad;
    DOC_SET(f->temporary, "ethtool -L %s combined %ld", n->name, cpus);
    DOC_SET(f->note, "ethtool -l %s shows how many the card can have", n->name);
    DOC_SET(f->permanent,
            "echo 'ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"%s\", RUN+=\"/sbin/ethtool -L %s "
            "combined %ld\"' > /etc/udev/rules.d/60-queues-%s.rules",
            n->name, n->name, cpus, n->name);
}

/* Words of 32 bits, the highest first: "3", "ffffffff,ffffffff". */
static void write_mask(long cpus, char *text, size_t room)
{
    long words = (cpus + 31) / 32, top = cpus - (words - 1) * 32;

    (void)snprintf(text, room, "%lx", (1L << top) - 1);
    for (long i = 1; i < words; i++)
        doc_append(text, room, ",ffffffff");
}

static void judge_rps(struct doc_finding *f, const struct nic *n, long cpus)
{
    long flows = FLOWS / n->rx;
    char mask[320];

    DOC_APPEND(f->source, "/rx-*/rps_cpus");
    if (!n->has_rps) {
        f->state = DOC_UNKNOWN;
        DOC_SET(f->read, "%s: not to be read (a kernel without RPS, or a container)", n->name);
        return;
    }
    DOC_SET(f->read, "%s: %s", n->name, n->spreads ? "on" : "off");
    if (!is_short(f, n, cpus))
        return;
    f->state = f->check->bad;
    write_mask(cpus, mask, sizeof mask);
    DOC_SET(f->temporary,
            "for q in %s/sys/class/net/%s/queues/rx-*; do echo %s > $q/rps_cpus; echo %ld > "
            "$q/rps_flow_cnt; done",
            n->doctor->root, n->name, mask, flows);
    /* udev makes $ of $$, and % of %%. */
    DOC_SET(
        f->permanent,
        "echo 'ACTION==\"add\", SUBSYSTEM==\"net\", KERNEL==\"%s\", RUN+=\"/bin/sh -c '\\''for q "
        "in /sys/class/net/%s/queues/rx-*; do echo %s > $$q/rps_cpus; echo %ld > "
        "$$q/rps_flow_cnt; done'\\''\"' > /etc/udev/rules.d/60-rps-%s.rules",
        n->name, n->name, mask, flows, n->name);
}

void doc_check_rps(struct doctor *d, const struct doc_check *c)
{
    walk_nics(d, c, judge_rps);
}

void doc_check_nic_queues(struct doctor *d, const struct doc_check *c)
{
    walk_nics(d, c, judge_queues);
}
