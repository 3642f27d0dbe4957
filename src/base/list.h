/*
 * list.h - intrusive lists: a FIFO (one pointer a node) and a ring (two, O(1) removal)
 *
 * The node lives in the object, so nothing here allocates or fails. One thread at a time; the
 * owner of the list holds whatever lock guards it.
 */
#ifndef RN_BASE_LIST_H
#define RN_BASE_LIST_H

#include "base/base.h"

struct rn__snode {
    struct rn__snode *next;
};

/* Singly linked FIFO. An empty one is all zero; tail is only meaningful while head is set. */
struct rn__fifo {
    struct rn__snode *head;
    struct rn__snode *tail;
};

static inline bool rn__fifo_empty(const struct rn__fifo *q)
{
    return q->head == NULL;
}

static inline void rn__fifo_push(struct rn__fifo *q, struct rn__snode *n)
{
    n->next = NULL;
    if (q->head == NULL)
        q->head = n;
    else
        q->tail->next = n;
    q->tail = n;
}

static inline void rn__fifo_push_front(struct rn__fifo *q, struct rn__snode *n)
{
    n->next = q->head;
    if (q->head == NULL)
        q->tail = n;
    q->head = n;
}

static inline struct rn__snode *rn__fifo_pop(struct rn__fifo *q)
{
    struct rn__snode *n = q->head;

    if (n != NULL)
        q->head = n->next;
    return n;
}

/* Doubly linked ring with a sentinel. A node that is in no list points to itself. */
struct rn__list {
    struct rn__list *next;
    struct rn__list *prev;
};

static inline void rn__list_init(struct rn__list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool rn__list_empty(const struct rn__list *l)
{
    return l->next == l;
}

static inline void rn__list_push(struct rn__list *l, struct rn__list *n)
{
    n->prev = l->prev;
    n->next = l;
    l->prev->next = n;
    l->prev = n;
}

/* Removing a node that is in no list is harmless. */
static inline void rn__list_remove(struct rn__list *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    rn__list_init(n);
}

static inline struct rn__list *rn__list_pop(struct rn__list *l)
{
    struct rn__list *n = l->next;

    if (n == l)
        return NULL;
    rn__list_remove(n);
    return n;
}

#endif
