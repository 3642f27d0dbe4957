/*
 * message.h - receiving and sending messages, for message.c, msg.c, batch.c and ancillary.c
 */
#ifndef RN_NET_MESSAGE_H
#define RN_NET_MESSAGE_H

#include <runnel/ancillary.h>

#include "net/net.h"

/* What the kernel takes beside one message (SCM_MAX_FD). */
#define RN__FDS_MOST 253

/* Room for all that rn_set_ancillary asks for; descriptors come on top. */
#define RN__BESIDE_ROOM                                                                            \
    (CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(struct timespec)) +                      \
     CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)))

union rn__control {
    struct cmsghdr align;
    char bytes[RN__BESIDE_ROOM + CMSG_SPACE(RN__FDS_MOST * sizeof(int))];
};

/* message.c. The kernel's flags for ours. */
int rn__message_flags(int flags);
/* One message, or some bytes of a stream, by its reader; m as recvmsg takes it: without a name it
 * is only the first iovec. */
ssize_t rn__message_recv(rn_conn *c, struct msghdr *m, int flags);
int rn__message_wait_one(rn_conn *c); /* after -EAGAIN */
/* With its turn. */
ssize_t rn__message_send(rn_conn *c, const struct msghdr *m, int flags);
int rn__message_wait_room(rn_conn *c, const struct msghdr *m, rn_time *pause); /* after -EAGAIN */

/* ancillary.c. The sum of the bytes, or -EINVAL. */
ssize_t rn__msg_check_recv(const rn_conn *c, const rn_msg *m);
ssize_t rn__msg_check_send(const rn_conn *c, const rn_msg *m);
/* Inside: may what is beside the bytes be sent there? The kernel would drop it without a word. */
int rn__msg_check_family(rn_conn *c, const rn_msg *m);
/* Bytes of room for what is beside the bytes, at most a union rn__control, and its filling in. */
size_t rn__msg_control_room(const rn_msg *m);
void rn__msg_to_recv(rn_msg *m, void *control, struct msghdr *ret);
void rn__msg_to_send(const rn_msg *m, void *control, struct msghdr *ret);
/* What recvmsg has filled in, and its result. */
void rn__msg_received(rn_msg *m, struct msghdr *h, size_t len);

/* msg.c. With its turn: segments go by one call or, where the kernel refuses, by one each. h is
 * what rn__msg_to_send made of m. Bytes sent: fewer than sum where a later one failed. */
ssize_t rn__msg_send_packet(rn_conn *c, const rn_msg *m, struct msghdr *h, size_t sum, int flags);
bool rn__msg_segments_refused(const rn_msg *m, ssize_t r);

#endif
