/*
 * server.h - static files over HTTP/1.1
 */
#ifndef RN_HTTP_SERVER_H
#define RN_HTTP_SERVER_H

#include <runnel/net.h>

struct rn__http_server;

/*
 * Opens a directory to serve. 0; -ENOENT, -ENOTDIR, -EACCES…; -ENOSYS where openat2 is missing or
 * filtered; -ENOMEM; -EDEADLK outside of a coroutine.
 */
int rn__http_server_open(const char *dir, struct rn__http_server **ret);

/* No connection uses it any more. */
void rn__http_server_close(struct rn__http_server *s);

/* The handler for rn_serve, with .when_readable; arg is the server. */
void rn__http_handle(rn_conn *conn, void *server);

/* How long a connection may take until its first byte, and between requests. */
#define RN__HTTP_IDLE (75 * RN_SECOND)

#endif
