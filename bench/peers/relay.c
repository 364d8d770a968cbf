/* The floor of the bench: what the system calls of a proxy cost when nothing else is done.
 *
 * It passes bytes between visitors and application over kept connections. It reads a response only as far as its end has
 * to be known, which is a Content-Length, and a request only for "Connection: close". It is no proxy: it takes one whole
 * request at a time, and no other bytes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Connection {
    int fd;
    int is_upstream;
    int closes; /* the visitor wants the connection closed after the response */
    long long left; /* bytes of the response; -1: unknown, its head has not come */
    struct Connection *peer, *next;
} Connection;

static Connection *idle;
static int poller, origin_port;
static char buffer[1 << 18];

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static Connection *
watch(int fd, int is_upstream)
{
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        fail("calloc");
    connection->fd = fd;
    connection->is_upstream = is_upstream;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
    return connection;
}

static Connection *
take_upstream(void)
{
    if (idle != NULL) {
        Connection *taken = idle;
        idle = taken->next;
        return taken;
    }
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)origin_port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect");
    return watch(fd, 1);
}

/* Sends everything; a peer that reads slowly makes all others wait, which the bench's visitors do not do. */
static void
send_all(int fd, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t more = send(fd, buffer + sent, size - sent, MSG_NOSIGNAL);
        if (more >= 0)
            sent += (size_t)more;
        else if (errno != EAGAIN)
            return;
    }
}

static void
on_response(Connection *upstream, size_t size)
{
    Connection *visitor = upstream->peer;
    if (visitor == NULL)
        return;
    if (upstream->left == -1) {
        char *end = memmem(buffer, size, "\r\n\r\n", 4);
        char *length = memmem(buffer, size, "Content-Length: ", 16);
        if (end == NULL || length == NULL)
            fail("a head in pieces, or without a length");
        upstream->left = atoll(length + 16) + (end + 4 - buffer);
    }
    send_all(visitor->fd, size);
    upstream->left -= (long long)size;
    if (upstream->left <= 0) {
        upstream->peer = NULL;
        upstream->next = idle;
        idle = upstream;
        if (visitor->closes)
            shutdown(visitor->fd, SHUT_WR);
    }
}

static void
on_readable(Connection *connection)
{
    ssize_t size = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        close(connection->fd);
        if (!connection->is_upstream) {
            free(connection);
            return;
        }
        for (Connection **at = &idle; *at != NULL; at = &(*at)->next) {
            if (*at == connection) {
                *at = connection->next;
                break;
            }
        }
        return;
    }
    if (connection->is_upstream) {
        on_response(connection, (size_t)size);
        return;
    }
    Connection *upstream = take_upstream();
    upstream->peer = connection;
    upstream->left = -1;
    connection->closes = memmem(buffer, (size_t)size, "\r\nConnection: close\r\n", 21) != NULL;
    send_all(upstream->fd, (size_t)size);
}

int
main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: relay PORT ORIGIN_PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    origin_port = atoi(arguments[2]);
    poller = epoll_create1(0);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((unsigned short)atoi(arguments[1])),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0)
        fail("listen");
    Connection listening = {.fd = listener};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listening}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            Connection *connection = events[i].data.ptr;
            if (connection == &listening) {
                int fd = accept(listener, NULL, NULL);
                if (fd >= 0)
                    watch(fd, 0);
            } else {
                on_readable(connection);
            }
        }
    }
}
