/* execve while the file is open: the kernel closes it while it holds a lock that
   every reader of /proc/PID/stat waits for. */
#include "writer.h"

static void run_true(void)
{
	execl("/bin/true", "true", (char *)NULL);
	err(3, "exec");
}

static void in_forked(void)
{
	pid_t pid = fork();
	if (pid == 0)
		run_true();
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		err(3, "fork");
}

static void by_system(void)
{
	if (system("true"))
		errx(3, "system");
}

static void by_popen(void)
{
	FILE *p = popen("true", "r");
	if (!p || pclose(p))
		errx(3, "popen");
}

static void keep(void)
{
	if (fcntl(out, F_SETFD, 0) < 0)
		err(3, "fcntl");
}

static void around(void (*body)(void)) { first_half(), body(), second_half(), finish(); }
static void forked(void) { around(in_forked); }
static void forked_kept(void) { keep(), around(in_forked); }
static void systems(void) { around(by_system); }
static void popens(void) { around(by_popen); }

/* It lives on, so that its end is not what decides. */
static void half_self(void)
{
	first_half();
	execl("/bin/sleep", "sleep", "1", (char *)NULL);
	err(3, "exec");
}

static void whole_self(void) { whole(), run_true(); }

static void *runs_true(void *arg)
{
	run_true();
	return arg;
}

static void in_thread(void)
{
	pthread_t t;
	whole();
	if (pthread_create(&t, NULL, runs_true, NULL))
		errx(3, "no thread");
	for (;;)
		pause();
}

static void kept_self(void)
{
	char fd[16];
	keep();
	whole();
	snprintf(fd, sizeof fd, "%d", out);
	execl("/proc/self/exe", "writer", "go on with descriptor", fd, (char *)NULL);
	err(3, "exec");
}

const struct way execs[] = {
	{"fork and exec, close-on-exec", forked},
	{"fork and exec, inherited", forked_kept},
	{"system()", systems},
	{"popen()", popens},
	{"half, exec of itself, close-on-exec", half_self},
	{"whole, exec of itself, close-on-exec", whole_self},
	{"whole, exec from another thread", in_thread},
	{"exec of itself, inherited and closed", kept_self},
	{0},
};
