/*
 * fault.c - a stack overflow names its coroutine
 *
 * SIGSEGV on an alternate stack, one for each P's thread. An address in a guard is reported with
 * the coroutine's name, number, stack size and spawn site; then, as for any other fault, the
 * handler that was there before takes over, so that core dumps and sanitizers work as ever.
 * Everything called here is async-signal-safe but dladdr, which only reads the loader's lists.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "task/line.h"
#include "task/proc.h"

/* Larger than any frame the kernel writes (AVX-512 state is 2.7 KiB, AMX 11 KiB). */
#define SIGNAL_STACK ((size_t)64 << 10)

static struct sigaction before; /* [C] while installed */
static bool installed;

static void report(const struct rn__coro *co)
{
    struct rn__line l = {.len = 0};

    rn__line_text(&l, "runnel: stack overflow in coroutine ");
    rn__line_number(&l, atomic_load(&co->id), 10);
    rn__line_text(&l, " \"");
    rn__line_text(&l, co->name == NULL ? "" : co->name);
    rn__line_text(&l, "\": stack of ");
    rn__line_number(&l, rn__stack_bytes(co->size_class) >> 10, 10);
    rn__line_text(&l, " KiB (guard of ");
    rn__line_number(&l, rn__stack_guard(co->size_class) >> 10, 10);
    rn__line_text(&l, " KiB included), started at ");
    rn__line_site(&l, co->site);
    rn__line_text(&l, "; give it more by rn_go_options.stack_bytes\n");
    (void)rn__panic_write(STDERR_FILENO, l.text, l.len);
}

#ifdef RN_DEBUG
/* What a system call of ours, and the sanitizers around it, may still need. */
#define MARGIN ((size_t)2048)

void rn__check_stack(void)
{
    const char *here = __builtin_frame_address(0);
    struct rn__coro *co = rn__self();
    const char *low;

    if (co == NULL)
        return;
    low = co->top - rn__stack_bytes(co->size_class) + rn__stack_guard(co->size_class);
    if (here < low + MARGIN + RN_CACHE_LINE * 16) { /* top is staggered by that much */
        report(co);
        abort();
    }
}
#endif

static void on_fault(int sig, siginfo_t *info, void *context)
{
    bool in_guard = false;
    const struct rn__coro *co = rn__stack_find(info->si_addr, &in_guard);

    if (co != NULL && in_guard)
        report(co);
    if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction != NULL) {
        before.sa_sigaction(sig, info, context);
        return;
    }
    /* Back to what was; the instruction runs again, and faults again. */
    (void)sigaction(sig, &before, NULL);
}

int rn__fault_install(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGSEGV, &sa, &before) < 0)
        return -EINVAL;
    installed = true;
    return 0;
}

void rn__fault_uninstall(void)
{
    struct sigaction now;

    if (!installed)
        return;
    installed = false;
    /* Somebody who came after us stays. */
    if (sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) &&
        now.sa_sigaction == on_fault)
        (void)sigaction(SIGSEGV, &before, NULL);
}

int rn__fault_thread_begin(struct rn__signal_stack *s)
{
    stack_t alt = {.ss_size = SIGNAL_STACK};

    s->memory = rn__malloc(SIGNAL_STACK);
    if (s->memory == NULL)
        return -ENOMEM;
    alt.ss_sp = s->memory;
    if (sigaltstack(&alt, &s->before) < 0) {
        rn__free(s->memory);
        s->memory = NULL;
        return -EINVAL;
    }
    return 0;
}

void rn__fault_thread_end(struct rn__signal_stack *s)
{
    if (s->memory == NULL)
        return;
    (void)sigaltstack(&s->before, NULL);
    rn__free(s->memory);
    s->memory = NULL;
}
