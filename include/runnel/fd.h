/*
 * fd.h - descriptors: their flags, copies and owners, pipes, record locks, what is queued
 *
 * fcntl(2) and ioctl(2), without their numbers. A call that takes a descriptor takes any, belongs
 * to no coroutine and may be made on any thread, but for the wait of rn_file_lock. O_NONBLOCK and
 * the owner are the description's, which copies and other processes share; FD_CLOEXEC is the
 * descriptor's alone.
 */
#ifndef RUNNEL_FD_H
#define RUNNEL_FD_H

#include <runnel/net.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- flags, copies, owner ---- */

/*
 * rn_fd_blocking - would a call on a descriptor wait in the kernel?
 *   fd  descriptor
 * Returns 1 where O_NONBLOCK is off, 0 where it is on; -EBADF.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_fd_blocking(int fd);

/*
 * rn_fd_set_blocking - turn O_NONBLOCK off or on
 *   fd  descriptor; not one that a connection has, which needs it on
 *   on  true: calls wait in the kernel, and stop the P; false: they say EAGAIN, as rn_wait_fd wants
 * Returns 0; -EBADF.
 * Effects: does not switch; any thread. All who share the description notice: on 0, 1, 2 that is
 * often the shell. Source: src/net/fd.c
 */
RN_API int rn_fd_set_blocking(int fd, bool on);

/*
 * rn_fd_cloexec - is a descriptor closed on exec?
 *   fd  descriptor
 * Returns 1 or 0; -EBADF.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_fd_cloexec(int fd);

/*
 * rn_fd_set_cloexec - have a descriptor closed on exec, or not
 *   fd  descriptor; all that runnel opens begin with true
 *   on  true: closed; false: the next program that is started has it, whoever starts it
 * Returns 0; -EBADF.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_fd_set_cloexec(int fd, bool on);

/*
 * rn_fd_dup - another descriptor of the same description
 *   fd  descriptor
 * Returns a number of 3 or more, the caller's to close, closed on exec (F_DUPFD_CLOEXEC);
 * -EBADF, -EMFILE.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_fd_dup(int fd);

/*
 * rn_conn_file - a connection's descriptor once more, for another library or process
 *   conn  connection not yet closed
 * Both read from, and write to, one socket, which is non-blocking. It lives, and the peer sees no
 * end of stream, until both are closed; what rn_close does to it before that (shutdown, where it
 * lingers) the copy notices.
 * Returns a descriptor, the caller's to close, closed on exec; -ECANCELED closed here, -EBUSY 63
 * such calls are inside, -EDEADLK on a plain thread; -EMFILE.
 * Effects: does not switch. Source: src/net/fd.c
 */
RN_API int rn_conn_file(rn_conn *conn);

/*
 * rn_fd_owner - who gets the signals of a descriptor
 *   fd   descriptor
 *   ret  a process; negative: a process group; 0: nobody
 * Returns 0; -EBADF. *ret is untouched on failure.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_fd_owner(int fd, pid_t *ret);

/*
 * rn_fd_set_owner - have a signal sent when a descriptor becomes ready
 *   fd     socket, pipe or terminal
 *   owner  process, getpid() for this one; negative: process group; 0: nobody, no signals any more
 *   signo  which; 0: SIGIO. Real-time ones are queued, one for each event; where the queue is full
 *          SIGIO comes instead
 * The signal is sent when input, room for output, an error or, on TCP, the urgent byte arrives
 * (F_SETOWN, F_SETSIG, O_ASYNC); rn_signal_notify has it delivered to a channel. Its default ends
 * the process.
 * Returns 0; -EBADF; -EINVAL no such signal; -ESRCH no such process: then the old owner stays, but
 * would get the new signal.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_fd_set_owner(int fd, pid_t owner, int signo);

/* ---- pipes ---- */

/*
 * rn_pipe_size - how much a pipe holds
 *   fd  either end
 * Returns bytes (F_GETPIPE_SZ), 65536 unless somebody changed it, or has too many pipes; -EBADF,
 * also for what is no pipe.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_pipe_size(int fd);

/*
 * rn_pipe_set_size - make a pipe hold more, or less
 *   fd     either end
 *   bytes  at least; 1..INT_MAX. Rounded up to a power of two of pages
 * Returns bytes that it now holds; -EPERM more than fs.pipe-max-size, and no CAP_SYS_RESOURCE;
 * -EBUSY less than is in it; -EINVAL; -EBADF, also for what is no pipe; -ENOMEM.
 * Effects: does not switch; any thread. Source: src/net/fd.c
 */
RN_API int rn_pipe_set_size(int fd, size_t bytes);

/* ---- record locks ---- */

/* How rn_file_lock locks. */
enum rn_lock_kind {
    RN_LOCK_SHARED = 0, /* with others that are shared; fd open for reading */
    RN_LOCK_EXCLUSIVE   /* alone; fd open for writing */
};

/*
 * rn_file_lock - lock a range of a file against other open descriptions, also of this process
 *   fd        regular file
 *   kind      RN_LOCK_SHARED or RN_LOCK_EXCLUSIVE
 *   from      first byte
 *   len       bytes; 0: to the end, wherever that will be
 *   deadline  absolute; 0: none; one that has passed: only where it need not wait
 * An advisory lock (F_OFD_SETLK) of the description: copies of fd share it, whatever thread or
 * process they are in, and the close of the last one ends it. Where the description has part of
 * the range locked already, that part becomes of the new kind. Locks of fcntl(F_SETLK) count, those
 * of flock(2) do not.
 * Returns 0; -ETIME deadline passed; -ECANCELED this coroutine was cancelled; -EBADF, also where fd
 * is not open for that; -EINVAL; -ENOLCK; -EDEADLK it had to wait, on a plain thread.
 * Effects: may switch coroutines: while another has the range it tries again after 1 ms, doubling
 * to 50 ms, so the P is free, and no thread is kept. Who comes first is not served first, and the
 * kernel does not look for circles of waiting: a deadline ends them. Source: src/net/filelock.c
 */
RN_API int rn_file_lock(int fd, int kind, off_t from, off_t len, rn_time deadline);

/*
 * rn_file_unlock - let go of a range, or of a part of one
 *   fd         as locked, or a copy
 *   from, len  as for rn_file_lock; it need not have been locked
 * Returns 0; -EBADF, -EINVAL; -ENOLCK no memory for the second of two parts.
 * Effects: does not switch; any thread. Source: src/net/filelock.c
 */
RN_API int rn_file_unlock(int fd, off_t from, off_t len);

/* ---- what is queued ---- */

/*
 * rn_input_queued - bytes that can be read without waiting
 *   conn  connection; by its reader, between reads
 * Returns what rn_unread handed back and what the kernel has (FIONREAD): of a packet socket that is
 * the first message; up to the urgent mark. 0 tells nothing of the end of stream.
 *   -ECANCELED closed here   -EBUSY 63 such calls are inside   -EDEADLK on a plain thread
 *   and what ioctl(2) says
 * Effects: does not switch. Source: src/net/fd.c
 */
RN_API ssize_t rn_input_queued(rn_conn *conn);

/*
 * rn_output_queued - bytes written that the kernel still keeps
 *   conn  socket or terminal
 * Returns, of TCP, what the peer has not acknowledged, unsent bytes included (SIOCOUTQ); of others
 * what has not left, or was not read, as the kernel counts it: unix sockets with its overhead.
 *   -ENOTTY a pipe   otherwise as rn_input_queued
 * Effects: does not switch. Source: src/net/fd.c
 */
RN_API ssize_t rn_output_queued(rn_conn *conn);

/*
 * rn_output_unsent - of these, the bytes that TCP has not sent even once
 *   conn  TCP connection
 * Returns bytes (SIOCOUTQNSD); -ENOTSUP no TCP; otherwise as rn_input_queued.
 * Effects: does not switch. Source: src/net/fd.c
 */
RN_API ssize_t rn_output_unsent(rn_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
