/*
 * text.h - text that grows
 *
 * Appending never fails to the caller's face: without memory it does nothing any more, and
 * rn__text_take says so at the end. No number depends on the locale.
 */
#ifndef RN_OBSERVE_TEXT_H
#define RN_OBSERVE_TEXT_H

#include "base/base.h"

struct rn__text {
    char *at; /* NUL at [len], once there is any */
    size_t len, room;
    bool failed;
};

void rn__text_put(struct rn__text *t, const char *text);
void rn__text_format(struct rn__text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Nanoseconds as seconds: 1.5, 0.000000256. */
void rn__text_seconds(struct rn__text *t, uint64_t ns);

/* Within quotes, for JSON: bytes that are no ASCII are taken for Latin-1. */
void rn__text_string(struct rn__text *t, const char *text);

/* 0: *ret is the text; -ENOMEM. */
int rn__text_take(struct rn__text *t, char **ret);

#endif
