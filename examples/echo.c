/* echo.c - TCP echo server: one coroutine per connection. */
#include <stdio.h>

#include <runnel/runnel.h>

static void echo(rn_conn *conn, void *arg) /* conn is ours to close */
{
    char buf[4096];
    ssize_t n;

    (void)arg;
    while ((n = rn_read(conn, buf, sizeof buf)) > 0)
        if (rn_write(conn, buf, (size_t)n) < 0)
            break;
    rn_close(conn);
}

static int serve(void *address) { return rn_serve("tcp", address, NULL, echo, NULL); }

int main(int argc, char **argv)
{
    int r = rn_run(NULL, serve, argc > 1 ? argv[1] : ":7000");

    return fprintf(stderr, "echo: %s\n", rn_strerror(r)), 1; /* it returns only when it fails */
}
