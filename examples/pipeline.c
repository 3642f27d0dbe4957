/*
 * pipeline.c - stages joined by channels: numbers, squares, sum; the first error ends them all
 *
 *     ./pipeline 1000        prints the sum of the squares of 1..1000
 *     ./pipeline -5          the first stage refuses, the others are cancelled
 *
 * Each stage owns the channel it sends to, and closes it: that is how the end travels down. Who
 * stops early closes the channel it receives from: that is how the end travels up.
 */
#include <runnel/runnel.h>
#include <stdio.h>
#include <stdlib.h>

struct pipeline {
    long last;
    rn_chan *numbers, *squares;
    unsigned long sum;
};

static int count(void *arg)
{
    struct pipeline *p = arg;
    int r = p->last < 0 ? -EDOM : 0;

    for (unsigned long i = 1; r == 0 && i <= (unsigned long)p->last; i++)
        r = rn_chan_send(p->numbers, &i);
    rn_chan_close(p->numbers);
    return r;
}

static int square(void *arg)
{
    struct pipeline *p = arg;
    unsigned long n;
    int r;

    while ((r = rn_chan_recv(p->numbers, &n)) == 0) {
        n *= n;
        if ((r = rn_chan_send(p->squares, &n)) < 0)
            break;
    }
    rn_chan_close(p->numbers);
    rn_chan_close(p->squares);
    return r == -EPIPE ? 0 : r;
}

static int add(void *arg)
{
    struct pipeline *p = arg;
    unsigned long n;
    int r;

    while ((r = rn_chan_recv(p->squares, &n)) == 0)
        p->sum += n;
    return r == -EPIPE ? 0 : r;
}

static int run(void *arg)
{
    int (*const stages[])(void *) = {count, square, add};
    struct pipeline *p = arg;
    rn_group g = RN_GROUP_INIT;
    int r = rn_chan_new(sizeof(unsigned long), 16, &p->numbers), why;

    if (r == 0)
        r = rn_chan_new(sizeof(unsigned long), 16, &p->squares);
    for (int i = 0; r == 0 && i < 3; i++)
        r = rn_group_go(&g, stages[i], p);
    if (r < 0)
        rn_group_cancel(&g);
    why = rn_group_wait(&g, rn_after(60 * RN_SECOND));
    rn_chan_free(p->numbers);
    rn_chan_free(p->squares);
    return why < 0 ? why : r; /* a stage that failed at once has kept the next from starting */
}

int main(int argc, char **argv)
{
    char thousand[] = "1000", *text = argc > 1 ? argv[1] : thousand, *end;
    struct pipeline p = {.last = strtol(text, &end, 10)};
    int r;

    if (argc > 2 || end == text || *end != '\0')
        return fprintf(stderr, "Usage: %s [N]\n", argv[0]), 2;
    r = rn_run(NULL, run, &p);
    if (r < 0)
        fprintf(stderr, "pipeline: %s\n", rn_strerror(r));
    else
        printf("%lu\n", p.sum);
    return r < 0;
}
