/* SPDX-License-Identifier: Apache-2.0 */
/* listener: accepting over TCP and Unix sockets, what is refused at the opening, and life without descriptors. */
#include "net_lab.h"

#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct door {
    struct loop *loop;
    struct listener *listener;
    struct accepted last;
    unsigned count;
    unsigned stop_after; /* 0: never */
    bool keep;
    int kept[64];
};

static void take(void *arg, const struct accepted *accepted)
{
    struct door *door = arg;

    door->last = *accepted;
    if (door->keep) {
        door->kept[door->count] = accepted->fd;
    } else {
        close(accepted->fd);
    }
    door->count++;
    if (door->count == door->stop_after) {
        listener_stop(door->listener);
        door->listener = NULL;
    }
}

static void door_open(struct door *door, int fd, unsigned batch)
{
    *door = (struct door){0};
    assert_int_equal(loop_new(&door->loop), ERR_NONE);
    assert_int_equal(listener_start(door->loop, fd, batch, take, door, &door->listener), ERR_NONE);
}

static void door_close(struct door *door)
{
    listener_stop(door->listener);
    loop_free(door->loop);
}

static int tcp_client(uint16_t port, const char *bytes)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    if (bytes != NULL) {
        assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    }
    return fd;
}

static int tcp_listener(uint16_t *out_port)
{
    struct ipaddr loopback = lab_loopback();
    int fd = -1;

    assert_int_equal(listen_tcp(&loopback, 0, &fd, out_port), ERR_NONE);
    assert_true(*out_port != 0);
    return fd;
}

static int int_option(int fd, int level, int name)
{
    int value = -1;

    assert_int_equal(getsockopt(fd, level, name, &value, &(socklen_t){sizeof(value)}), 0);
    return value;
}

static void test_tcp(void **state)
{
    (void)state;
    struct door door;
    struct ipaddr loopback = lab_loopback();
    struct sockaddr_in local;
    uint16_t port;
    char bytes[8];

    door_open(&door, tcp_listener(&port), 16);
    door.keep = true;
    int client = tcp_client(port, "hello");

    UNTIL(door.loop, door.count == 1);
    int fd = door.last.fd;

    /* Deferred until bytes are there, so the first read finds them. */
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 5);
    assert_int_equal(int_option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_true(ipaddr_equal(&door.last.peer, &loopback));
    assert_int_equal(getsockname(client, (struct sockaddr *)&local, &(socklen_t){sizeof(local)}), 0);
    assert_int_equal(door.last.peer_port, ntohs(local.sin_port));
    assert_false(door.last.has_uid);
    close(fd);
    close(client);
    door_close(&door);
}

/* Who sends nothing is accepted all the same, a little later. */
static void test_silent_client_is_accepted(void **state)
{
    (void)state;
    struct door door;
    uint16_t port;

    door_open(&door, tcp_listener(&port), 16);
    int client = tcp_client(port, NULL);

    UNTIL(door.loop, door.count == 1);
    close(client);
    door_close(&door);
}

static void test_port_is_shared_or_taken(void **state)
{
    (void)state;
    struct ipaddr loopback = lab_loopback();
    uint16_t port;
    uint16_t again = 0;
    int first = tcp_listener(&port);
    int second = -1;
    int foreign;
    uint16_t foreign_port;

    assert_int_equal(listen_tcp(&loopback, port, &second, &again), ERR_NONE); /* reuse-port: one a worker */
    assert_int_equal(again, port);
    close(first);
    close(second);
    foreign = lab_tcp_listen(1, &foreign_port);
    second = -1;
    assert_int_equal(listen_tcp(&loopback, foreign_port, &second, &again), ERR_EXISTS);
    assert_int_equal(second, -1);
    close(foreign);
}

static void test_batches(void **state)
{
    (void)state;
    struct door door;
    uint16_t port;
    int clients[30];

    door_open(&door, tcp_listener(&port), 4);
    for (int i = 0; i < 30; i++) {
        clients[i] = tcp_client(port, "x");
    }
    /* One at first, then twice as many after three turns that left some, and never more than a batch. */
    static const unsigned after_turn[] = {1, 2, 3, 5, 7, 9, 13, 17, 21, 25, 29, 30};

    for (size_t i = 0; i < sizeof(after_turn) / sizeof(after_turn[0]); i++) {
        loop_turn(door.loop, 1000);
        assert_int_equal(door.count, after_turn[i]);
    }
    for (int i = 0; i < 30; i++) {
        close(clients[i]);
    }
    door_close(&door);
}

static void test_stop_inside_the_callback(void **state)
{
    (void)state;
    struct door door;
    uint16_t port;
    int clients[3];

    door_open(&door, tcp_listener(&port), 16);
    door.stop_after = 2;
    for (int i = 0; i < 3; i++) {
        clients[i] = tcp_client(port, "x");
    }
    UNTIL(door.loop, door.count == 2);
    loop_turn(door.loop, 10);
    assert_int_equal(door.count, 2);
    for (int i = 0; i < 3; i++) {
        close(clients[i]);
    }
    door_close(&door);
}

/* No descriptor is left: who waits is closed, and after a pause life goes on. */
static void test_out_of_descriptors(void **state)
{
    (void)state;
    struct door door;
    uint16_t port;
    struct rlimit before;
    struct rlimit tight;
    int clients[3];
    int probe;
    char byte;

    door_open(&door, tcp_listener(&port), 16);
    for (int i = 0; i < 3; i++) {
        clients[i] = tcp_client(port, "x");
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    probe = dup(0);
    close(probe);
    tight = before;
    tight.rlim_cur = (rlim_t)probe; /* the next free one is not allowed any more */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    loop_turn(door.loop, 1000);
    assert_int_equal(door.count, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(read(clients[i], &byte, 1) <= 0); /* closed or reset, not left waiting */
        close(clients[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    uint64_t since = lab_now_ms();

    clients[0] = tcp_client(port, "x");
    UNTIL(door.loop, door.count == 1);
    assert_in_range(lab_now_ms() - since, 50, 5000); /* it paused */
    close(clients[0]);
    door_close(&door);
}

static void test_start_refuses(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct listener *listener = NULL;
    uint16_t port;
    int fd = tcp_listener(&port);

    assert_int_equal(loop_new(&loop), ERR_NONE);
    assert_int_equal(listener_start(loop, fd, 0, take, NULL, &listener), ERR_INVALID);
    assert_int_equal(listener_start(loop, -1, 1, take, NULL, &listener), ERR_INVALID);
    listener_stop(NULL);
    close(fd);
    loop_free(loop);
}

/* Unix sockets. */

static char dir[64];
static char message[256];

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/net-listener-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int remove_dir(void **state)
{
    (void)state;
    char path[100];

    (void)snprintf(path, sizeof(path), "%s/s", dir);
    (void)unlink(path);
    return rmdir(dir);
}

static const char *in_dir(const char *name)
{
    static char path[200];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static int unix_client(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(sa.sun_path, path, strlen(path));
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static void test_unix(void **state)
{
    (void)state;
    struct door door;
    struct stat st;
    int fd = -1;
    mode_t before = umask(0077);

    assert_int_equal(listen_unix(in_dir("s"), 0660, &fd, message, sizeof(message)), ERR_NONE);
    umask(before);
    assert_int_equal(stat(in_dir("s"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    door_open(&door, fd, 16);
    door.keep = true;
    int client = unix_client(in_dir("s"));

    UNTIL(door.loop, door.count == 1);
    assert_true(door.last.has_uid);
    assert_int_equal(door.last.uid, geteuid());
    assert_int_equal(door.last.gid, getegid());
    assert_int_equal(door.last.pid, getpid());
    assert_int_equal(door.last.peer.family, 0);
    assert_int_equal(fcntl(door.last.fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    close(door.last.fd);
    close(client);
    door_close(&door);
}

static void test_unix_replaces_only_the_dead(void **state)
{
    (void)state;
    int first = -1;
    int second = -1;

    assert_int_equal(listen_unix(in_dir("s"), 0600, &first, message, sizeof(message)), ERR_NONE);
    assert_int_equal(listen_unix(in_dir("s"), 0600, &second, message, sizeof(message)), ERR_EXISTS);
    assert_non_null(strstr(message, "another process listens"));
    close(first);
    assert_int_equal(listen_unix(in_dir("s"), 0600, &second, message, sizeof(message)), ERR_NONE);
    int client = unix_client(in_dir("s"));

    close(client);
    close(second);
    assert_int_equal(unlink(in_dir("s")), 0);
}

static void test_unix_leaves_other_files(void **state)
{
    (void)state;
    struct stat st;
    int fd = open(in_dir("s"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    close(fd);
    fd = -1;
    assert_int_equal(listen_unix(in_dir("s"), 0600, &fd, message, sizeof(message)), ERR_EXISTS);
    assert_non_null(strstr(message, "not a socket"));
    assert_int_equal(stat(in_dir("s"), &st), 0);
    assert_int_equal(unlink(in_dir("s")), 0);
    /* A symbolic link, to nowhere or to somewhere, is not followed. */
    assert_int_equal(symlink("nowhere", in_dir("s")), 0);
    assert_int_equal(listen_unix(in_dir("s"), 0600, &fd, message, sizeof(message)), ERR_EXISTS);
    assert_int_equal(lstat(in_dir("nowhere"), &st), -1);
    assert_int_equal(unlink(in_dir("s")), 0);
    assert_int_equal(fd, -1);
}

static void test_unix_refuses_open_directories(void **state)
{
    (void)state;
    static const mode_t modes[] = {0777, 01777, 0770, 0702};
    int fd = -1;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        assert_int_equal(chmod(dir, modes[i]), 0);
        assert_int_equal(listen_unix(in_dir("s"), 0600, &fd, message, sizeof(message)), ERR_DENIED);
        assert_non_null(strstr(message, "others may write"));
    }
    assert_int_equal(chmod(dir, 0750), 0);
    assert_int_equal(listen_unix(in_dir("s"), 0600, &fd, message, sizeof(message)), ERR_NONE);
    close(fd);
}

static void test_unix_refuses_paths(void **state)
{
    (void)state;
    char path[200];
    int fd = -1;

    memset(path, 'a', sizeof(path));
    memcpy(path, dir, strlen(dir));
    path[strlen(dir)] = '/';
    path[108] = '\0';
    assert_int_equal(listen_unix(path, 0600, &fd, message, sizeof(message)), ERR_TOO_BIG);
    assert_non_null(strstr(message, "107"));
    path[107] = '\0';
    assert_int_equal(listen_unix(path, 0600, &fd, message, sizeof(message)), ERR_NONE);
    close(fd);
    assert_int_equal(unlink(path), 0);
    fd = -1;
    assert_int_equal(listen_unix("", 0600, &fd, message, sizeof(message)), ERR_INVALID);
    assert_int_equal(listen_unix("/nonexistent/s", 0600, &fd, message, sizeof(message)), ERR_IO);
    assert_int_equal(listen_unix("/etc/passwd/s", 0600, &fd, message, sizeof(message)), ERR_DENIED);
    assert_int_equal(listen_unix("/nonexistent/s", 0600, &fd, message, 0), ERR_IO);
    assert_int_equal(listen_unix("/nonexistent/s", 0600, &fd, message, 5), ERR_IO);
    assert_true(memchr(message, '\0', 5) != NULL);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_silent_client_is_accepted),
        cmocka_unit_test(test_port_is_shared_or_taken),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_stop_inside_the_callback),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_start_refuses),
        cmocka_unit_test_setup_teardown(test_unix, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_unix_replaces_only_the_dead, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_unix_leaves_other_files, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_unix_refuses_open_directories, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_unix_refuses_paths, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
