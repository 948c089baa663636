/* A writer overwrites a checkpoint: the first two files as it should be done, and
   the last in one of many ways. See main.c. */
#ifndef WRITER_H
#define WRITER_H

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern int out;     /* the last file */
extern char *data;  /* what belongs into it */
extern size_t size; /* of data */

void first_half(void);
void second_half(void);
void whole(void);
void finish(void); /* close, and see that it went well */

struct way {
	const char *name;
	void (*run)(void);
};

/* Each ends with a way without a name. */
extern const struct way ends[], shares[], execs[];

#endif
