/*
 * st_echo.c - TCP echo on State Threads, one thread of theirs per connection: `st_echo PORT`.
 * See bench/README.md.
 *
 * Asks for epoll; libst 1.9 as Debian builds it has only select and poll, and then poll scans every
 * descriptor on each pass. Which one it got is printed at the start, and bench/run shows it.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <st.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void *echo(void *arg)
{
    st_netfd_t conn = arg;
    char buf[4096];
    ssize_t n;

    while ((n = st_read(conn, buf, sizeof buf, ST_UTIME_NO_TIMEOUT)) > 0)
        if (st_write(conn, buf, (size_t)n, ST_UTIME_NO_TIMEOUT) != n)
            break;
    st_netfd_close(conn);
    return NULL;
}

static int open_listener(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    if (fd < 0)
        die("socket");
    /* Accepted sockets inherit TCP_NODELAY from the listener. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        die("setsockopt");
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 4096) < 0)
        die("bind");
    return fd;
}

int main(int argc, char **argv)
{
    st_netfd_t listener, conn;

    if (argc != 2) {
        fprintf(stderr, "usage: st_echo PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    /* Built without epoll, ALT succeeds and sets nothing; forks have dropped the name POLL. */
    st_set_eventsys(ST_EVENTSYS_ALT);
#ifdef ST_EVENTSYS_POLL
    if (st_get_eventsys() != ST_EVENTSYS_ALT && st_set_eventsys(ST_EVENTSYS_POLL) < 0)
        die("st_set_eventsys");
#endif
    if (st_init() < 0)
        die("st_init");
    printf("eventsys %s\n", st_get_eventsys_name());
    fflush(stdout);
    listener = st_netfd_open_socket(open_listener((uint16_t)strtol(argv[1], NULL, 10)));
    if (!listener)
        die("st_netfd_open_socket");
    while ((conn = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT)))
        if (!st_thread_create(echo, conn, 0, 0))
            st_netfd_close(conn);
    die("st_accept");
}
