/*
 * probe.c - the semaphores of the probes, where the notes of <sys/sdt.h> look for them
 */
#include "base/probe.h"

/* No file is empty. */
typedef int rn__probes_are_optional;

#ifdef RN_USDT

#define DEFINE(name)                                                                               \
    volatile unsigned short runnel_##name##_semaphore __attribute__((section(".probes"), used));
RN__PROBES(DEFINE)

#endif
