/*
 * pool.c - a pool of workers that look names up, each lookup with a time limit
 *
 *     ./pool localhost 127.0.0.1 no.such.host.invalid
 *
 * getaddrinfo blocks its thread: rn_offload makes the call elsewhere. Four workers take names from
 * one channel; a name that takes longer than 5 s is given up, and the call forgotten.
 */
#include <netdb.h>
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 4

static rn_chan *names; /* of char * */

/* On the heap, because a forgotten call goes on after its caller has left. */
struct lookup {
    char host[256], address[NI_MAXHOST];
};

static int look_up(void *arg)
{
    struct addrinfo *found = NULL;
    struct lookup *l = arg;
    int r = getaddrinfo(l->host, NULL, NULL, &found);

    if (r == 0)
        r = getnameinfo(found->ai_addr, found->ai_addrlen, l->address, sizeof l->address, NULL, 0,
                        NI_NUMERICHOST);
    if (found != NULL)
        freeaddrinfo(found);
    return r == 0 ? 0 : -RN_ENOHOST;
}

static int look_up_elsewhere(void *arg)
{
    int r = rn_offload(look_up, arg, free);

    if (r != -RN_EFORGOTTEN) {
        struct lookup *l = arg;

        printf("%s %s\n", l->host, r < 0 ? rn_strerror(r) : l->address);
        free(l);
    }
    return 0;
}

static int work(void *arg)
{
    char *name;

    (void)arg;
    while (rn_chan_recv(names, &name) == 0) {
        struct lookup *l = calloc(1, sizeof *l);
        rn_group one = RN_GROUP_INIT;

        if (l == NULL) {
            rn_chan_close(names);
            return -ENOMEM;
        }
        snprintf(l->host, sizeof l->host, "%s", name);
        if (rn_group_go(&one, look_up_elsewhere, l) < 0)
            free(l);
        if (rn_group_wait(&one, rn_after(5 * RN_SECOND)) == -ETIME)
            printf("%s takes too long\n", name);
    }
    return 0;
}

static int run(void *argv)
{
    rn_group g = RN_GROUP_INIT;
    int r = rn_chan_new(sizeof(char *), 0, &names);

    for (int i = 0; r == 0 && i < WORKERS; i++)
        r = rn_group_go(&g, work, NULL);
    for (char **name = argv; r == 0 && *name != NULL; name++)
        r = rn_chan_send(names, name);
    if (names != NULL)
        rn_chan_close(names);
    if (r == 0)
        r = rn_group_wait(&g, 0);
    else
        (void)rn_group_wait(&g, 0);
    rn_chan_free(names);
    return r;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-')
        return fprintf(stderr, "Usage: %s NAME...\n", argv[0]), 2;
    return rn_run(NULL, run, argv + 1) < 0;
}
