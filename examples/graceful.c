/*
 * graceful.c - a server that ends gracefully: requests under way are finished, then it exits with 0
 *
 *     ./graceful :7001       then:       nc localhost 7001       and Ctrl-C here
 *
 * The protocol is a line each way, then the end; the "work" takes 300 ms. Who has not said anything
 * yet rests: rn_serve_listener closes those by itself, so a silent client delays no exit.
 */
#include <pthread.h>
#include <runnel/runnel.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- the shutdown ---- */

static sigset_t signals;

static void wait_for_signal(void *ln)
{
    int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    struct signalfd_siginfo info;

    if (fd >= 0 && rn_wait_fd(fd, RN_READABLE, 0) > 0 && read(fd, &info, sizeof info) > 0) {
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* a second one ends the program at once */
        rn_listener_cancel(ln);
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the server ---- */

/* Reads a line into buf, without anything after it: a client of ours waits for its answer. */
static ssize_t read_line(rn_conn *conn, char *buf, size_t room)
{
    size_t len = 0;
    ssize_t n;

    rn_set_read_deadline(conn, rn_after(10 * RN_SECOND));
    do {
        n = rn_read(conn, buf + len, room - len);
        if (n <= 0)
            return -1; /* the end, the deadline, an error, or a line that is too long */
        len += (size_t)n;
    } while (buf[len - 1] != '\n');
    return (ssize_t)len;
}

/* Starts at the first byte: until then a connection has neither coroutine nor stack. */
static void handle(rn_conn *conn, void *arg)
{
    char buf[1024];
    ssize_t n = read_line(conn, buf, sizeof buf);

    (void)arg;
    if (n > 0 && rn_sleep(300 * RN_MILLISECOND) == 0) /* the work */
        (void)rn_write(conn, buf, (size_t)n);
    rn_close(conn);
}

static int serve(void *address)
{
    rn_serve_options options = {.when_readable = true};
    char text[128] = "";
    rn_listener *ln;
    int r = rn_listen("tcp", address, NULL, &ln);

    if (r < 0)
        return r;
    (void)rn_listener_addr(ln, text, sizeof text);
    fprintf(stderr, "graceful: listening on %s\n", text);
    r = rn_go(wait_for_signal, ln);
    if (r == 0)
        r = rn_serve_listener(ln, &options, handle, NULL); /* returns after the last handler */
    rn_listener_close(ln);
    return r == -ECANCELED ? 0 : r; /* cancelled: as it should be */
}

int main(int argc, char **argv)
{
    int r;

    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        return fprintf(stderr, "Usage: %s [ADDRESS]\n", argv[0]), 2;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in all threads that rn_run will start */
    r = rn_run(NULL, serve, argc > 1 ? argv[1] : ":7001");
    if (r < 0)
        fprintf(stderr, "graceful: %s\n", rn_strerror(r));
    return r < 0;
}
