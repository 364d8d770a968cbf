/* Counts the calls of fsync, fdatasync and connect of a process, for the benchmark of the crawler.

   Preloaded (LD_PRELOAD). The file named by LBC_CALLS holds the two numbers: syncs, then connections over TCP. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned long *counts;

__attribute__((constructor)) static void open_counts(void)
{
    const char *path = getenv("LBC_CALLS");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, 2 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED)
        counts = mapped;
}

static void count(int which)
{
    if (counts)
        __atomic_fetch_add(&counts[which], 1, __ATOMIC_RELAXED);
}

int fsync(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    count(0);
    return real(file);
}

int fdatasync(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    count(0);
    return real(file);
}

int connect(int socket, const struct sockaddr *address, socklen_t length)
{
    static int (*real)(int, const struct sockaddr *, socklen_t);
    if (!real)
        real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    int result = real(socket, address, length), failure = errno;
    /* Without blocking there is a second call when the connection stands: only the first one counts. */
    int blocks = !(fcntl(socket, F_GETFL) & O_NONBLOCK);
    if (address && (address->sa_family == AF_INET || address->sa_family == AF_INET6))
        if (blocks ? result == 0 : result != 0 && failure == EINPROGRESS)
            count(1);
    errno = failure;
    return result;
}
