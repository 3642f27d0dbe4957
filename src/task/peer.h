/*
 * peer.h - a descriptor's peer, written in a signal handler
 */
#ifndef RN_TASK_PEER_H
#define RN_TASK_PEER_H

#include "task/line.h"

/* ", peer 127.0.0.1:80", ", peer [::1]:80", ", peer /path"; nothing where there is none. */
void rn__line_peer(struct rn__line *l, int fd);

#endif
