/*
 * trace_ptrace.c - `runnel trace` without BPF: a thread stops when a call begins, and when it ends
 *
 * One thread, without the runtime, since only who traces may ask and resume. It waits for whatever
 * stops next; a timer interrupts that ten times a second, to look whether it is to end, so that a
 * signal that comes just before the wait is noticed, too.
 *
 * A thread is known from the moment it is seized, or from its first stop when the kernel has seized
 * it as the child of one that is. `inside` says that a call's begin has been seen: an end without
 * one is of a call that began before we did, and is not counted.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trace.h"

#define LOOK_US 100000
#define LET_GO_NS (2 * RN_SECOND)
#define CALL_STOP (SIGTRAP | 0x80)
#define BUCKETS 1024 /* of threads, by number */

struct thread {
    struct thread *next;
    pid_t tid, process;
    bool waits;  /* for its first successful execve */
    bool inside; /* a call, since: */
    uint32_t nr;
    rn_time began;
};

struct stops {
    struct trace *t;
    struct thread *threads[BUCKETS];
    int n_threads;
    bool leaving; /* who stops is let go */
};

static volatile sig_atomic_t told, must_look;

/* ---- threads ---- */

static struct thread **find(struct stops *s, pid_t tid)
{
    struct thread **at = &s->threads[tid % BUCKETS];

    while (*at != NULL && (*at)->tid != tid)
        at = &(*at)->next;
    return at;
}

static struct thread *add(struct stops *s, pid_t tid, pid_t process)
{
    struct thread **at = find(s, tid), *th = *at != NULL ? *at : calloc(1, sizeof *th);

    if (th == NULL || th == *at)
        return th;
    th->tid = tid;
    th->process = process;
    *at = th;
    s->n_threads++;
    return th;
}

static void drop(struct stops *s, pid_t tid)
{
    struct thread **at = find(s, tid), *th = *at;

    if (th == NULL)
        return;
    *at = th->next;
    s->n_threads--;
    free(th);
}

static bool is_traced(const struct stops *s, pid_t process)
{
    for (int i = 0; i < BUCKETS; i++)
        for (const struct thread *th = s->threads[i]; th != NULL; th = th->next)
            if (th->process == process)
                return true;
    return false;
}

/* A number from /proc/TID/status; -1: it is gone. */
static int read_status(pid_t tid, const char *field)
{
    char path[64], line[256];
    int n = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)tid);
    f = fopen(path, "re");
    if (f == NULL)
        return -1;
    while (n < 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            n = atoi(line + strlen(field));
    fclose(f);
    return n;
}

/* ---- seizing ---- */

static long ask(enum __ptrace_request what, pid_t tid, long data)
{
    return ptrace(what, tid, NULL, (void *)data) < 0 ? -errno : 0;
}

/* It runs on until the interrupt stops it; from then on it stops at each call. */
static int seize(struct stops *s, pid_t tid, pid_t process, bool waits)
{
    struct thread *th;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC, r;

    if (s->t->options.follow)
        options |= PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    if (*find(s, tid) != NULL)
        return 0;
    r = ask(PTRACE_SEIZE, tid, options);
    if (r < 0)
        return (int)r;
    th = add(s, tid, process);
    if (th == NULL)
        return -ENOMEM;
    th->waits = waits;
    (void)ask(PTRACE_INTERRUPT, tid, 0); /* ESRCH: it ends; that will be told */
    return 0;
}

/* The threads that it has now. Those that it starts later are the kernel's to seize: so is one that
 * a seized one has started meanwhile. */
static int seize_new_threads(struct stops *s, pid_t process, int *n_new)
{
    char path[64];
    struct dirent *e;
    DIR *folder;
    int r = 0;

    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    folder = opendir(path);
    if (folder == NULL)
        return errno == ENOENT ? -ESRCH : -errno;
    *n_new = 0;
    while (r == 0 && (e = readdir(folder)) != NULL) {
        pid_t tid = atoi(e->d_name);

        if (tid <= 0 || *find(s, tid) != NULL)
            continue;
        r = seize(s, tid, process, false);
        if (r == 0)
            ++*n_new;
        else if (r == -ESRCH || (r == -EPERM && is_traced(s, process)))
            r = 0; /* it has ended, or is seized */
    }
    closedir(folder);
    return r;
}

static void explain(pid_t process, int r)
{
    int tracer = read_status(process, "TracerPid:");

    cmd_error("trace: cannot trace process %d: %s", (int)process, rn_strerror(r));
    if (r != -EPERM)
        return;
    if (tracer > 0)
        fprintf(stderr, "  process %d traces it already: strace, gdb, or such\n", tracer);
    else
        fputs(
            "  it must be your own, and not more privileged than you; else: sudo runnel trace ...\n"
            "  where kernel.yama.ptrace_scope is not 0, that also allows it: "
            "sudo sysctl kernel.yama.ptrace_scope=0\n",
            stderr);
}

static int seize_process(struct stops *s, pid_t process)
{
    int n_new = 0, r, leader = read_status(process, "Tgid:");

    if (leader > 0 && leader != process) {
        cmd_error("trace: %d is a thread; give its process: %d", (int)process, leader);
        return -EINVAL;
    }
    do
        r = seize_new_threads(s, process, &n_new);
    while (r == 0 && n_new > 0);
    if (r == 0 && !is_traced(s, process))
        r = read_status(process, "Tgid:") < 0 ? -ESRCH : -EPERM;
    if (r < 0)
        explain(process, r);
    return r;
}

/* ---- stops ---- */

static void count(struct trace *t, const struct thread *th, rn_time now, bool failed)
{
    struct trace_figures *f = &t->by_stops[th->nr < TRACE_CALLS ? th->nr : 0];
    uint64_t ns = now > th->began ? (uint64_t)(now - th->began) : 0;

    if (th->nr >= TRACE_CALLS || !trace_wants(&t->options, th->nr))
        return;
    f->count++;
    f->errors += failed;
    f->total_ns += ns;
    if (ns > f->max_ns)
        f->max_ns = ns;
    rn__hist_add(&f->hist, ns);
}

static void on_call(struct stops *s, struct thread *th, rn_time now)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, th->tid, (void *)sizeof info, &info) < 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        th->inside = true;
        th->nr = (uint32_t)info.entry.nr;
        th->began = rn_now(); /* it goes on right after this */
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && th->inside) {
        th->inside = false;
        if (th->waits && th->nr == SYS_execve && info.exit.rval == 0)
            th->waits = false;
        if (!th->waits)
            count(s->t, th, now, info.exit.is_error);
    }
}

/* The kernel has seized it: a thread, or a child that is followed. NULL: it is neither. */
static struct thread *adopt(struct stops *s, pid_t tid)
{
    pid_t process = read_status(tid, "Tgid:");
    struct thread *th = NULL;

    if (process <= 0 || !(s->t->options.follow || is_traced(s, process)))
        return NULL;
    th = add(s, tid, process);
    if (th == NULL)
        s->t->lost++;
    return th;
}

/* One is known from its parent's call on, so that it is waited for when all are let go. (It may
 * have come and gone before that is seen; then waitpid, or the interrupt, says that there is no
 * such thread.) */
static void on_child(struct stops *s, pid_t parent)
{
    unsigned long child = 0;

    if (ptrace(PTRACE_GETEVENTMSG, parent, NULL, &child) == 0)
        (void)adopt(s, (pid_t)child);
}

/* Of a process's threads the one that calls execve stays, under the number of the first. */
static void on_exec(struct stops *s, struct thread *leader)
{
    unsigned long former = 0;
    struct thread *th;

    if (ptrace(PTRACE_GETEVENTMSG, leader->tid, NULL, &former) < 0 || (pid_t)former == leader->tid)
        return;
    th = *find(s, (pid_t)former);
    if (th == NULL)
        return;
    leader->inside = th->inside;
    leader->nr = th->nr;
    leader->began = th->began;
    drop(s, th->tid);
}

static bool stops_a_process(int signo)
{
    return signo == SIGSTOP || signo == SIGTSTP || signo == SIGTTIN || signo == SIGTTOU;
}

/* What a thread that has stopped is to do: its next request, and in *signo the signal for it. */
static enum __ptrace_request react(struct stops *s, struct thread *th, int status, rn_time now,
                                   int *signo)
{
    int stop = WSTOPSIG(status), event = status >> 16;

    if (stop == CALL_STOP)
        on_call(s, th, now);
    else if (event == PTRACE_EVENT_EXEC)
        on_exec(s, th);
    else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
             event == PTRACE_EVENT_VFORK)
        on_child(s, th->tid);
    else if (event == PTRACE_EVENT_STOP && stops_a_process(stop))
        return PTRACE_LISTEN; /* it stays so, as it would without us, until SIGCONT */
    else if (event == 0)
        *signo = stop; /* on its way to it */
    return PTRACE_SYSCALL;
}

static void on_stop(struct stops *s, pid_t tid, int status, rn_time now)
{
    struct thread *th = *find(s, tid);
    enum __ptrace_request next;
    int signo = 0;

    if (th == NULL)
        th = adopt(s, tid);
    next = th == NULL ? PTRACE_DETACH : react(s, th, status, now, &signo);
    if (s->leaving) {
        next = PTRACE_DETACH;
        drop(s, tid);
    }
    (void)ask(next, tid, signo); /* ESRCH: it was killed meanwhile, and that will be told */
}

/* Waits for one thread to stop or to end. 0; -EINTR; -ECHILD there is none. */
static int take_one(struct stops *s)
{
    struct trace *t = s->t;
    int status;
    pid_t tid = waitpid(-1, &status, __WALL);
    rn_time now = rn_now();

    if (tid < 0)
        return -errno;
    if (WIFSTOPPED(status)) {
        on_stop(s, tid, status, now);
        return 0;
    }
    drop(s, tid);
    if (tid == t->child) {
        t->child = 0;
        t->child_status = status;
    }
    return 0;
}

/* ---- the loop ---- */

static void note(int signo)
{
    if (signo == SIGALRM) {
        must_look = 1;
        return;
    }
    if (told != 0)
        _exit(128 + signo);
    told = signo;
}

static void set_signals(int look_us)
{
    struct sigaction act = {.sa_handler = note}; /* no SA_RESTART: the wait is to end */
    struct itimerval every = {{0, look_us}, {0, look_us}};
    sigset_t set;

    cmd_fill_signals(&set);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGALRM, &act, NULL);
    sigprocmask(look_us > 0 ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
    setitimer(ITIMER_REAL, &every, NULL);
}

/* All go on without us. One that cannot be stopped within the time is let go when this process
 * ends. */
static void let_go(struct stops *s)
{
    rn_time deadline = rn_after(LET_GO_NS);

    s->leaving = true;
    for (int i = 0; i < BUCKETS; i++) {
        for (struct thread *th = s->threads[i], *next; th != NULL; th = next) {
            next = th->next;
            if (ask(PTRACE_INTERRUPT, th->tid, 0) == -ESRCH)
                drop(s, th->tid);
        }
    }
    while (s->n_threads > 0 && rn_now() < deadline && take_one(s) != -ECHILD)
        ;
    for (int i = 0; i < BUCKETS; i++)
        while (s->threads[i] != NULL)
            drop(s, s->threads[i]->tid);
}

static int watch(struct stops *s)
{
    struct trace *t = s->t;
    int r = 0;

    t->began = rn_now();
    if (t->go >= 0 && write(t->go, "", 1) != 1)
        return -errno;
    if (t->options.n_pids > 0)
        fputs("runnel: tracing, until Ctrl-C or the end\n", stderr);
    while (s->n_threads > 0 && told == 0 && r != -ECHILD) {
        r = take_one(s);
        if (!must_look)
            continue;
        must_look = 0;
        if (t->options.limit_ns != 0 && rn_now() >= t->began + t->options.limit_ns)
            break;
        trace_draw_latency(t);
    }
    t->ended = rn_now();
    trace_count_under_way(t); /* before they are let go: that brings them out of some */
    t->stopped = told;
    if (told != 0 && t->child != 0)
        kill(t->child, told);
    return 0;
}

static bool read_stopped(struct trace *t, int nr, struct trace_figures *ret)
{
    if (t->by_stops[nr].count == 0)
        return false;
    *ret = t->by_stops[nr];
    ret->nr = nr;
    return true;
}

static int trace_and_show(struct stops *s)
{
    struct trace *t = s->t;
    int r = 0;

    set_signals(LOOK_US); /* also for let_go: who waits for its vfork cannot be stopped */
    for (int i = 0; r == 0 && i < t->options.n_pids; i++)
        r = seize_process(s, t->options.pids[i]);
    if (r == 0 && t->child != 0) {
        r = seize(s, t->child, t->child, true);
        if (r < 0)
            explain(t->child, r);
    }
    if (r == 0)
        r = watch(s);
    let_go(s);
    set_signals(0);
    if (r == 0)
        r = t->options.mode == TRACE_LATENCY ? trace_show_latency(t) : trace_show_summary(t);
    return r;
}

bool trace_ptrace_can(const struct trace_options *o)
{
    return (o->mode == TRACE_SUMMARY || o->mode == TRACE_LATENCY) && o->prometheus == NULL;
}

void trace_fall_back(struct trace *t)
{
    t->falls_back = trace_ptrace_can(&t->options);
    if (t->falls_back)
        fputs("  until then it is done by ptrace: right, but slow; each call stops its thread "
              "twice\n",
              stderr);
    else
        fputs("  without that there are only --summary and --latency, by ptrace, which is slow\n",
              stderr);
}

int trace_by_ptrace(struct trace *t)
{
    struct stops *s = calloc(1, sizeof *s);
    int r = -ENOMEM;

    t->by_stops = calloc(TRACE_CALLS, sizeof *t->by_stops);
    if (s != NULL && t->by_stops != NULL) {
        s->t = t;
        t->read_call = read_stopped;
        r = trace_and_show(s);
    } else {
        cmd_error("trace: %s", rn_strerror(r));
    }
    free(t->by_stops);
    free(s);
    return r < 0 ? CMD_FAILED : CMD_OK;
}
