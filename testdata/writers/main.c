/* writer WAY FROM TO

   writes the files of the checkpoint FROM over those of TO, the last one in the
   way that is asked for, and returns 0 when that way does not end the process. */
#include "writer.h"

int out;
char *data;
size_t size;

static void put(size_t from, size_t to)
{
	while (from < to) {
		ssize_t n = pwrite(out, data + from, to - from, from);
		if (n < 0)
			err(3, "write");
		from += n;
	}
}

void first_half(void) { put(0, size / 2); }
void second_half(void) { put(size / 2, size); }
void whole(void) { put(0, size); }

void finish(void)
{
	if (close(out) < 0)
		err(3, "close");
}

static void load(const char *dir, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *in = fopen(path, "rb");
	if (!in || fseek(in, 0, SEEK_END) < 0)
		err(3, "%s", path);
	size = ftell(in);
	rewind(in);
	data = realloc(data, size);
	if (!data || fread(data, 1, size, in) != size)
		err(3, "read %s", path);
	fclose(in);
}

static void create(const char *dir, const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (out < 0)
		err(3, "%s", path);
}

static void (*find(const struct way *all, const char *name))(void)
{
	for (; all->name; all++)
		if (!strcmp(all->name, name))
			return all->run;
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "go on with descriptor")) {
		if (close(atoi(argv[2])) < 0)
			err(3, "close");
		return 0;
	}
	if (argc != 4)
		errx(2, "usage: writer WAY FROM TO");
	void (*run)(void) = find(ends, argv[1]);
	if (!run)
		run = find(shares, argv[1]);
	if (!run)
		run = find(execs, argv[1]);
	if (!run)
		errx(2, "there is no way \"%s\"", argv[1]);
	const char *before[] = {"config.json", "pytorch_model.bin"};
	for (int i = 0; i < 2; i++) {
		load(argv[2], before[i]);
		create(argv[3], before[i]);
		whole();
		finish();
	}
	load(argv[2], "training_state.pth");
	create(argv[3], "training_state.pth");
	run();
	return 0;
}
