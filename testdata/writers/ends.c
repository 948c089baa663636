/* How a process comes to its end, with one thread or with two. */
#include "writer.h"

static void closed(void) { whole(), finish(); }
static void closed_1(void) { closed(), exit(1); }
static void closed_killed(void) { closed(), raise(SIGKILL); }

static void open_0(void) { whole(), exit(0); }
static void half_0(void) { first_half(), exit(0); }
static void open_1(void) { whole(), _exit(1); }

static void killed(void) { whole(), raise(SIGKILL); }
static void half_killed(void) { first_half(), raise(SIGKILL); }
static void terminated(void) { first_half(), raise(SIGTERM); }
static void segmentation(void) { first_half(), raise(SIGSEGV); }
static void aborted(void) { first_half(), abort(); }

static void *sleeps(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void another_thread(void *(*body)(void *))
{
	pthread_t t;
	if (pthread_create(&t, NULL, body, NULL))
		errx(3, "no thread");
}

static void threads_0(void) { another_thread(sleeps), whole(), exit(0); }
static void threads_1(void) { another_thread(sleeps), whole(), exit(1); }
static void threads_killed(void) { another_thread(sleeps), first_half(), raise(SIGKILL); }

static void *writes_alone(void *arg)
{
	char stat[64], state = 0;
	snprintf(stat, sizeof stat, "/proc/self/task/%d/stat", getpid());
	while (state != 'Z') { /* until the leader is gone */
		FILE *f = fopen(stat, "r");
		if (!f || fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
			err(3, "%s", stat);
		fclose(f);
	}
	closed();
	exit(0);
	return arg;
}

static void leader_gone(void) { another_thread(writes_alone), pthread_exit(NULL); }

/* The signal comes from another thread while this one is in write(2). */
static void *kills(void *arg)
{
	usleep(20000);
	kill(getpid(), SIGKILL);
	return arg;
}

static void killed_in_write(void)
{
	another_thread(kills);
	for (;;)
		first_half();
}

const struct way ends[] = {
	{"closed, exit 0", closed},
	{"closed, exit 1", closed_1},
	{"closed, then killed", closed_killed},
	{"left open, exit 0", open_0},
	{"half, exit 0", half_0},
	{"left open, exit 1", open_1},
	{"left open, killed", killed},
	{"half, killed", half_killed},
	{"killed in the middle of write(2)", killed_in_write},
	{"half, SIGTERM", terminated},
	{"half, SIGSEGV", segmentation},
	{"half, SIGABRT", aborted},
	{"two threads, left open, exit 0", threads_0},
	{"two threads, left open, exit 1", threads_1},
	{"two threads, half, killed", threads_killed},
	{"the leader is gone, another thread closes", leader_gone},
	{0},
};
