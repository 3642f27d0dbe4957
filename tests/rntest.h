/*
 * rntest.h - a small test harness: each test in a child process of its own, with a time limit
 *
 *     RN_TEST(read_deadline_leaves_conn_usable) { CHECK_EQ(rn_read(...), -ETIME); }
 *
 * Link tests/rntest.c, which brings main: `prog [-l] [--no-fork] [NAME...]`; NAME is any part of a
 * name. A test ends by exit, so leak checkers run. Limits are 6 times longer under a sanitizer, and
 * times RNTEST_TIMEOUT_SCALE. The last line printed is "N passed, N failed, N skipped".
 */
#ifndef RNTEST_H
#define RNTEST_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct rntest {
    const char *name;
    void (*fn)(void);
    int seconds;
    struct rntest *next;
};

void rntest_register(struct rntest *t);
_Noreturn void rntest_fail_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void rntest_skip(const char *reason);

#define RN_TEST_TIMEOUT(ident, limit)                                                              \
    static void rntest_body_##ident(void);                                                         \
    static __attribute__((constructor)) void rntest_add_##ident(void)                              \
    {                                                                                              \
        static struct rntest t = {.name = #ident, .fn = rntest_body_##ident, .seconds = (limit)};  \
        rntest_register(&t);                                                                       \
    }                                                                                              \
    static void rntest_body_##ident(void)

#define RN_TEST(ident) RN_TEST_TIMEOUT(ident, 20)

#define RN_TEST_SKIP(reason) rntest_skip(reason)

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            rntest_fail_at(__FILE__, __LINE__, "%s", #cond);                                       \
    } while (0)

#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_)                                                                              \
            rntest_fail_at(__FILE__, __LINE__, "%s == %s: %lld, not %lld", #a, #b, a_, b_);        \
    } while (0)

#define CHECK_OK(r)                                                                                \
    do {                                                                                           \
        long long r_ = (long long)(r);                                                             \
        if (r_ < 0)                                                                                \
            rntest_fail_at(__FILE__, __LINE__, "%s: %lld", #r, r_);                                \
    } while (0)

#define CHECK_STR(a, b)                                                                            \
    do {                                                                                           \
        const char *a_ = (a), *b_ = (b);                                                           \
        if (strcmp(a_, b_) != 0)                                                                   \
            rntest_fail_at(__FILE__, __LINE__, "%s: \"%s\", not \"%s\"", #a, a_, b_);              \
    } while (0)

#define CHECK_MEM(a, b, len) CHECK(memcmp((a), (b), (len)) == 0)

#endif
