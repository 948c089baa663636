/* What else can have the file: a duplicate, a child, a stranger, a mapping. */
#include "writer.h"

static void dup_closed(void) { first_half(), close(dup(out)), second_half(), finish(); }
static void dup_killed(void) { first_half(), close(dup(out)), raise(SIGKILL); }

/* in_child runs in a child that has inherited the descriptor. */
static pid_t in_child(void (*body)(void))
{
	pid_t pid = fork();
	if (pid < 0)
		err(3, "fork");
	if (pid == 0) {
		body();
		_exit(0);
	}
	return pid;
}

static void await(pid_t pid)
{
	if (waitpid(pid, NULL, 0) < 0)
		err(3, "wait");
}

static void nothing(void) {}
static void die(void) { raise(SIGKILL); }
static void beside(void (*body)(void)) { first_half(), await(in_child(body)), second_half(), finish(); }
static void child_exits(void) { beside(nothing); }
static void child_killed(void) { beside(die); }
static void child_closes(void) { beside(finish); }

/* The child goes on once the parent has closed: the end of the pipe tells it. */
static int ready[2];

static void await_parent(void)
{
	char c;
	close(ready[1]);
	if (read(ready[0], &c, 1) < 0)
		err(3, "read");
}

static void outlive(void (*body)(void), void (*before)(void))
{
	if (pipe(ready) < 0)
		err(3, "pipe");
	before();
	pid_t pid = in_child(body);
	finish();
	close(ready[1]);
	await(pid);
}

static void goes_on(void) { await_parent(), second_half(), finish(); }
static void dies_later(void) { await_parent(), raise(SIGKILL); }
static void child_goes_on(void) { outlive(goes_on, first_half); }
static void child_dies_later(void) { outlive(dies_later, whole); }

/* A descriptor that is sent over a socket; the receiver did not inherit it. */
static int sockets[2];

static int receive(void)
{
	char c, room[CMSG_SPACE(sizeof(int))];
	struct iovec io = {&c, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	if (recvmsg(sockets[1], &m, 0) < 0)
		err(3, "recvmsg");
	int fd;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

static void send_it(void)
{
	char c = 0, room[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec io = {&c, 1};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &out, sizeof out);
	if (sendmsg(sockets[0], &m, 0) < 0)
		err(3, "sendmsg");
}

static void receiver_writes(void) { close(out), out = receive(), await_parent(), second_half(), finish(); }
static void receiver_dies(void) { close(out), out = receive(), await_parent(), raise(SIGKILL); }

static void pass_on(void (*body)(void), void (*before)(void))
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0)
		err(3, "socketpair");
	if (pipe(ready) < 0)
		err(3, "pipe");
	before();
	pid_t pid = in_child(body);
	send_it();
	finish();
	close(ready[1]);
	await(pid);
}

static void passed_on(void) { pass_on(receiver_writes, first_half); }
static void passed_on_killed(void) { pass_on(receiver_dies, whole); }

static char *map(void)
{
	if (ftruncate(out, size) < 0)
		err(3, "truncate");
	char *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0);
	if (m == MAP_FAILED)
		err(3, "map");
	finish();
	return m;
}

static void mapped(void) { char *m = map(); memcpy(m, data, size), munmap(m, size); }
static void mapped_exit(void) { memcpy(map(), data, size), exit(0); }
static void mapped_killed(void) { memcpy(map(), data, size), raise(SIGKILL); }

const struct way shares[] = {
	{"a duplicate is closed", dup_closed},
	{"a duplicate is closed, then killed", dup_killed},
	{"a child exits with it", child_exits},
	{"a child is killed with it", child_killed},
	{"a child closes it", child_closes},
	{"a child goes on after the close", child_goes_on},
	{"a child is killed after the close", child_dies_later},
	{"passed on, the receiver goes on", passed_on},
	{"passed on, the receiver is killed", passed_on_killed},
	{"mapped, closed, written, unmapped", mapped},
	{"mapped, closed, written, exit 0", mapped_exit},
	{"mapped, closed, written, killed", mapped_killed},
	{0},
};
