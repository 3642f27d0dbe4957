/*
 * process.c - programs, started by posix_spawn and waited for by their pidfd
 *
 * posix_spawn, not fork: no handler runs in the child, no page is copied. It stops its thread until
 * the program is loaded, so it is offloaded. A process is a slot whose descriptor is the pidfd,
 * which becomes readable when the program has ended. One that is freed before goes on resting in
 * the poller, to be reaped: neither a coroutine nor a zombie is left.
 */
#include <runnel/process.h>
#include <runnel/task.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/net.h"
#include "task/log.h"

struct rn_process {
    struct rn__iowait w; /* first: a process is a slot */
    pid_t pid;
    int status;         /* once ended */
    atomic_int ended;   /* 0; 1: and status is known; -ECHILD */
    atomic_bool waited; /* a coroutine waits */
};

_Static_assert(sizeof(struct rn_process) <= RN__SLOT_BYTES, "a process fits into a slot");

static const struct rn__wait_kind wait_process = {.name = "process",
                                                  .interrupt = rn__iowait_interrupt};

/* What one of the three standard descriptors is to be. */
struct stream {
    int fd;         /* the option */
    rn_conn **pipe; /* the option */
    int child;      /* its end; -1: /dev/null, or what is said by fd */
    rn_conn *conn;  /* our end */
    bool owned;     /* child is ours to close */
};

struct spawn {
    const char *const *argv;
    const rn_spawn_options *options;
    struct stream streams[3];
    pid_t pid;
};

/* ---- descriptors ---- */

/* The low ones are where the child's own are going to stand. */
static int move_up(int *fd)
{
    int up;

    if (*fd > STDERR_FILENO)
        return 0;
    up = rn__sys_fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (up < 0)
        return up;
    (void)rn__sys_close(*fd);
    *fd = up;
    return 0;
}

static int open_pipe(struct stream *s, bool reads)
{
    int fds[2], r = rn__sys_pipe2(fds, O_CLOEXEC);

    if (r < 0)
        return r;
    r = move_up(&fds[0]);
    if (r == 0)
        r = move_up(&fds[1]);
    if (r == 0)
        r = rn_conn_from_fd(fds[reads ? 1 : 0], &s->conn);
    if (r < 0) {
        (void)rn__sys_close(fds[0]);
        (void)rn__sys_close(fds[1]);
        return r;
    }
    s->child = fds[reads ? 0 : 1];
    s->owned = true;
    return 0;
}

static int open_stream(struct stream *s, int target)
{
    if (s->pipe != NULL)
        return open_pipe(s, target == STDIN_FILENO);
    if (s->fd <= 0)
        return 0;
    if (s->fd > STDERR_FILENO) {
        int flags = rn__sys_fcntl(s->fd, F_GETFD, 0);

        s->child = s->fd;
        return flags < 0 ? flags : 0;
    }
    s->child = rn__sys_fcntl(s->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    s->owned = s->child >= 0;
    return s->owned ? 0 : s->child;
}

static void close_streams(struct spawn *sp, bool ours_too)
{
    for (int i = 0; i < 3; i++) {
        struct stream *s = &sp->streams[i];

        if (s->owned)
            (void)rn__sys_close(s->child);
        if (ours_too)
            rn_close(s->conn);
    }
}

static int open_streams(struct spawn *sp)
{
    const rn_spawn_options *o = sp->options;
    int r = 0;

    sp->streams[0] = (struct stream){.fd = o->in_fd, .pipe = o->in_pipe, .child = -1};
    sp->streams[1] = (struct stream){.fd = o->out_fd, .pipe = o->out_pipe, .child = -1};
    sp->streams[2] = (struct stream){.fd = o->err_fd, .pipe = o->err_pipe, .child = -1};
    for (int i = 0; i < 3 && r == 0; i++)
        r = open_stream(&sp->streams[i], i);
    if (r < 0)
        close_streams(sp, true);
    return r;
}

/* ---- starting ---- */

static int add_actions(const struct spawn *sp, posix_spawn_file_actions_t *actions)
{
    int e = 0;

    for (int i = 0; i < 3 && e == 0; i++) {
        const struct stream *s = &sp->streams[i];

        if (s->child >= 0)
            e = posix_spawn_file_actions_adddup2(actions, s->child, i);
        else if (s->fd == 0)
            e = posix_spawn_file_actions_addopen(actions, i, "/dev/null", O_RDWR, 0);
        else if (s->fd == RN_SPAWN_AS_OUT)
            e = posix_spawn_file_actions_adddup2(actions, STDOUT_FILENO, STDERR_FILENO);
    }
    if (e == 0 && sp->options->dir != NULL)
        e = posix_spawn_file_actions_addchdir_np(actions, sp->options->dir);
    if (e == 0)
        e = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    return -e;
}

static void set_attributes(const struct spawn *sp, posix_spawnattr_t *attr)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t set;

    sigemptyset(&set);
    (void)posix_spawnattr_setsigmask(attr, &set);
    sigaddset(&set, SIGPIPE);
    (void)posix_spawnattr_setsigdefault(attr, &set);
    if (sp->options->new_group)
        flags |= POSIX_SPAWN_SETPGROUP; /* of its own number */
    (void)posix_spawnattr_setflags(attr, flags);
}

/* On a thread of the pool. */
static int start(void *arg)
{
    posix_spawn_file_actions_t actions;
    struct spawn *sp = arg;
    char *const *env = (char *const *)sp->options->env;
    posix_spawnattr_t attr;
    int r;

    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    r = -posix_spawnattr_init(&attr);
    if (r == 0) {
        set_attributes(sp, &attr);
        r = add_actions(sp, &actions);
        if (r == 0)
            r = rn__sys_posix_spawn(sp->argv[0], &actions, &attr, (char *const *)sp->argv,
                                    env != NULL ? env : environ, &sp->pid);
        (void)posix_spawnattr_destroy(&attr);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* It runs, and cannot be supervised: it must not. */
static void undo_start(pid_t pid)
{
    int status;

    (void)rn__sys_kill(pid, SIGKILL);
    while (rn__sys_waitid(P_PID, pid, &status) == 0)
        rn__pause(RN_MILLISECOND);
}

/* Where SIGCHLD is ignored it may have ended already, and its number be another's: it has a slot
 * all the same, with a pidfd that nobody waits for. */
static int supervise(pid_t pid, rn_process **ret)
{
    struct rn__iowait *w;
    int fd = rn__sys_pidfd_open(pid), ended = fd == -ESRCH ? -ECHILD : 0, r;

    if (ended != 0)
        fd = rn__sys_pidfd_open(getpid());
    r = fd < 0 ? fd : rn__iowait_open(fd, RN__ADD_PLAIN, &w);
    if (r < 0) {
        if (fd >= 0)
            (void)rn__sys_close(fd);
        if (ended == 0)
            undo_start(pid);
        return r;
    }
    *ret = RN_CONTAINER(w, rn_process, w);
    (*ret)->pid = pid;
    (*ret)->ended = ended;
    atomic_store(&(*ret)->waited, false);
    return 0;
}

/* Before anything is started: is there such a thing here? */
static int try_pidfd(void)
{
    int fd = rn__sys_pidfd_open(getpid());

    if (fd >= 0)
        (void)rn__sys_close(fd);
    return fd < 0 ? fd : 0;
}

static bool is_stream(int fd, bool is_err)
{
    return fd >= RN_SPAWN_INHERIT || (is_err && fd == RN_SPAWN_AS_OUT);
}

static int check_options(const char *const *argv, const rn_spawn_options *o)
{
    for (size_t i = 0; i < RN_COUNT_OF(o->reserved); i++)
        if (o->reserved[i] != 0)
            return -EINVAL;
    if (argv == NULL || argv[0] == NULL || !is_stream(o->in_fd, false) ||
        !is_stream(o->out_fd, false) || !is_stream(o->err_fd, true))
        return -EINVAL;
    return 0;
}

int rn_spawn(const char *const *argv, const rn_spawn_options *options, rn_process **ret)
{
    static const rn_spawn_options defaults;
    struct spawn sp = {.argv = argv, .options = options != NULL ? options : &defaults};
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    r = check_options(argv, sp.options);
    if (r == 0)
        r = try_pidfd();
    if (r == 0)
        r = open_streams(&sp);
    if (r < 0)
        return r;
    r = rn_offload(start, &sp, NULL);
    if (r == 0)
        r = supervise(sp.pid, ret);
    close_streams(&sp, r < 0);
    for (int i = 0; i < 3 && r == 0; i++)
        if (sp.streams[i].pipe != NULL)
            *sp.streams[i].pipe = sp.streams[i].conn;
    return r;
}

/* ---- ending ---- */

/* Has it ended? Then it is reaped. */
static bool has_ended(rn_process *p)
{
    if (p->ended == 0)
        p->ended = rn__sys_waitid((idtype_t)P_PIDFD, p->w.fd, &p->status);
    return p->ended != 0;
}

static int wait_for_end(rn_process *p)
{
    int r = 0;

    for (;;) {
        rn__iowait_clear(&p->w, RN__READ);
        if (has_ended(p))
            return p->ended < 0 ? p->ended : 0;
        if (r < 0)
            return r;
        r = rn__iowait_wait(&p->w, RN__READ, &wait_process);
    }
}

int rn_process_wait(rn_process *p, rn_time deadline, int *status)
{
    int r;

    if (rn__self() == NULL)
        return -EDEADLK;
    if (atomic_exchange(&p->waited, true))
        return -EBUSY;
    rn__iowait_set_deadline(&p->w, RN__READ, deadline);
    r = wait_for_end(p);
    if (r == 0 && status != NULL)
        *status = p->status;
    atomic_store(&p->waited, false);
    return r;
}

int rn_process_kill(rn_process *p, int signo)
{
    (void)rn__proc(); /* the child of a fork ends here */
    return p->ended != 0 ? -ESRCH : rn__sys_pidfd_send_signal(p->w.fd, signo);
}

pid_t rn_process_id(const rn_process *p)
{
    return p->pid;
}

/* In the scheduler: it may have ended. */
static void reap(struct rn__iowait *w)
{
    rn_process *p = RN_CONTAINER(w, rn_process, w);

    rn__iowait_clear(w, RN__READ);
    if (has_ended(p))
        rn__iowait_close(w, false);
    else if (rn__iowait_rest(w, reap) < 0)
        rn__iowait_rest_again(w);
}

void rn_process_free(rn_process *p)
{
    int r;

    if (p == NULL)
        return;
    if (!has_ended(p)) {
        rn__iowait_set_deadline(&p->w, RN__READ, 0);
        r = rn__iowait_rest(&p->w, reap);
        if (r == 0)
            return;
        rn__log("process %d will not be reaped: %s", (int)p->pid, rn_strerror(r));
    }
    rn__iowait_close(&p->w, false);
}
