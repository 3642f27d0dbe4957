/*
 * library.c - a thread-local of a shared library: found by __tls_get_addr
 */
static _Thread_local long count;

long library_add(long n);
long library_add(long n)
{
    return count += n;
}
