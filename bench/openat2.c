/*
 * openat2.c - for LD_PRELOAD: openat in the place of openat2, which valgrind does not know
 *
 * A stand-in for libc's syscall() that does the same in as many instructions, but for that one
 * call, so that what callgrind counts of `runnel serve` is what it costs. Without RESOLVE_BENEATH
 * it is for a bench's own directory and nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <sys/syscall.h>

long syscall(long number, long a, long b, long c, long d, long e, long f);

static __attribute__((noinline, cold)) long open_plainly(long dir, long path, long how)
{
    return openat((int)dir, (const char *)path, (int)((const struct open_how *)how)->flags, 0);
}

static __attribute__((noinline, cold)) long fail(long r)
{
    errno = (int)-r;
    return -1;
}

#if defined(__x86_64__)
static inline long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}
#elif defined(__aarch64__)
static inline long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b,
                     x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e,
                     x5 __asm__("x5") = f;

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#endif

__attribute__((visibility("default"))) long syscall(long number, long a, long b, long c, long d,
                                                    long e, long f)
{
    long r;

    if (__builtin_expect(number == SYS_openat2, 0))
        return open_plainly(a, b, c);
    r = call(number, a, b, c, d, e, f);
    return __builtin_expect(r < 0 && r >= -4095, 0) ? fail(r) : r;
}
