/*
 * base.h - the few macros every private file uses
 */
#ifndef RN_BASE_BASE_H
#define RN_BASE_BASE_H

#include <runnel/base.h>

#define RN_LIKELY(x) __builtin_expect(!!(x), 1)
#define RN_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define RN_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define RN_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Private, but also used by the libraries of this build that stand beside librunnel (runnel-dns): a
 * shared one sees nothing else of its inside. */
#define RN__BESIDE __attribute__((visibility("default")))

/* Two objects that different threads write must not share one of these. */
#define RN_CACHE_LINE 64

/*
 * An invariant of runnel itself, kept in release builds too: a broken one means that memory is no
 * longer what the code believes, and going on would serve wrong bytes. Never used on user input.
 */
#define RN_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (RN_UNLIKELY(!(cond)))                                                                  \
            rn__assert_failed(#cond, __FILE__, __LINE__);                                          \
    } while (0)

_Noreturn void rn__assert_failed(const char *cond, const char *file, int line);

#endif
