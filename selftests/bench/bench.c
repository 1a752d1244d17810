// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in a guest: times dump, freeze and restore of the loads by crk, and by CRIU where there is one, and prints a
 * line per case and figure that a script can compare:
 *	bench CASE FIGURE crk=S criu=S ratio=R limit=R
 * S are seconds (bytes for the figures "size" and "peak", the most memory that the tool itself used), ratio is crk/criu,
 * limit is crk divided by one tmpfs write (dump) or one read into fresh memory (restore) of the bytes in the images; of "peak"
 * by 64 MiB and the images without pages.  "-" where there is nothing to compare with.
 *
 * And how time grows, without CRIU:
 *	bench CASE FIGURE small=T large=T ratio=R
 * T are microseconds per item ("peak": bytes) of two sizes, of each the best run, ratio is large/small: 1 is linear.
 *
 * usage: bench [-l] [-n RUNS] [-d DIR] [-c CRIU] [CASE...]
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "beat.h"

#define MAX_RUNS 15

static const char *work_dir = "/tmp/crk-bench";
static const char *criu = "criu";
static char load_path[4096];
static int nr_runs = 3;
static int failures;

struct bench_case {
	const char *name;
	const char *mode;
	const char *arg;
	bool crk_only;
	bool lazy;			/* restore: until it runs, before its memory is there */
	const char *compress;		/* NULL: not; with it the limit is that of what was compressed */
};

static const struct bench_case cases[] = {
	{ "small", "small", NULL },
	{ "mem-1g", "mem", "1024" },
	{ "mem-64m", "mem", "64" },
	{ "mem-1g-lz4", "mem", "1024", .crk_only = true, .compress = "--compress=lz4" },
	{ "mem-1g-zstd", "mem", "1024", .crk_only = true, .compress = "--compress=zstd" },
	{ "dirty-1g", "dirty", "1024" },
	{ "threads-1000", "threads", "1000" },
	{ "tree-200", "tree", "200" },
	{ "maps-5000", "maps", "5000" },
	{ "sparse-1t", "sparse", "100", .crk_only = true },
	{ "lazy-1g", "mem", "1024", .crk_only = true, .lazy = true },
};

static const struct scale_case {
	const char *name;
	const char *mode;
	const char *small, *large;
} scale_cases[] = {
	{ "threads-10000", "threads", "2500", "10000" },
	{ "tree-2000", "tree", "500", "2000" },
	{ "maps-100000", "maps", "25000", "100000" },
	{ "files-100000", "files", "25000", "100000" },
};

enum figure { DUMP, FROZEN, RESTORE, SIZE, PEAK, NR_FIGURES };
static const char * const figure_names[] = { "dump", "frozen", "restore", "size", "peak" };

struct tool {
	const char *name;
	char *const *(*dump)(const struct bench_case *c, const char *images, const char *pid);
	char *const *(*restore)(const char *images, bool lazy);
	bool available;
	double values[NR_FIGURES][MAX_RUNS];
	double records;			/* bytes of its last images, without pages */
	int nr;
};

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static char *const *crk_dump(const struct bench_case *c, const char *images, const char *pid)
{
	static char *argv[] = { "crkhelper", "dump", "-R", "-t", NULL, "-D", NULL, NULL, NULL };

	argv[4] = (char *)pid;
	argv[6] = (char *)images;
	argv[7] = (char *)c->compress;
	return argv;
}

static char *const *crk_restore(const char *images, bool lazy)
{
	static char *argv[] = { "crkhelper", "restore", "-d", "-D", NULL, NULL, NULL };

	argv[4] = (char *)images;
	argv[5] = lazy ? "--lazy-pages" : NULL;
	return argv;
}

static char *const *criu_dump(const struct bench_case *c, const char *images, const char *pid)
{
	static char *argv[] = { NULL, "dump", "-R", "-t", NULL, "-D", NULL, "-v0", NULL };

	argv[0] = (char *)criu;
	argv[4] = (char *)pid;
	argv[6] = (char *)images;
	return argv;
}

static char *const *criu_restore(const char *images, bool lazy)
{
	static char *argv[] = { NULL, "restore", "-d", "-D", NULL, "-v0", NULL };

	(void)lazy;
	argv[0] = (char *)criu;
	argv[4] = (char *)images;
	return argv;
}

static struct tool tools[] = {
	{ .name = "crk", .dump = crk_dump, .restore = crk_restore, .available = true },
	{ .name = "criu", .dump = criu_dump, .restore = criu_restore },
};

/* runs a command; its wall time, or -1; its peak of memory is added to @peak if that is less */
static double run(char *const *argv, double *peak)
{
	double start = seconds();
	pid_t pid = fork();
	struct rusage usage;
	int status;

	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(null, 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0 || status)
		return -1;
	if (peak && usage.ru_maxrss * 1024.0 > *peak)
		*peak = usage.ru_maxrss * 1024.0;
	return seconds() - start;
}

/* the load in a cgroup and session of its own */
static struct beat *load_start(const struct bench_case *c, const char *beat_file)
{
	struct beat *beat;
	pid_t pid;
	int fd, i;

	unlink(beat_file);
	pid = fork();
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		if (fork())
			_exit(0);
		setsid();
		for (i = 0; i < 3; i++)
			dup2(null, i);
		if (null > 2)
			close(null);
		execl(load_path, load_path, beat_file, c->mode, c->arg, NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	for (i = 0; i < 6000; i++, usleep(10000)) {
		struct stat st;

		fd = open(beat_file, O_RDWR);
		if (fd < 0)
			continue;
		if (fstat(fd, &st) || st.st_size < (off_t)sizeof(*beat)) {
			close(fd);
			continue;
		}
		beat = mmap(NULL, sizeof(*beat), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		close(fd);
		if (beat == MAP_FAILED)
			return NULL;
		for (; i < 6000 && (!beat->pid || beat->count < 20); i++)
			usleep(10000);
		if (beat->count >= 20)
			return beat;
		munmap(beat, sizeof(*beat));
		return NULL;
	}
	return NULL;
}

static int pid_parent(int pid)
{
	char path[64], text[512];
	int fd, len, parent = 0;
	char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return 0;
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[len > 0 ? len : 0] = 0;
	p = strrchr(text, ')');
	if (p)
		sscanf(p + 1, " %*c %d", &parent);
	return parent;
}

/* kills the load and waits until its pids are free; init reaps it */
static void load_stop(int root)
{
	int pids[4096], nr = 0, i, tries;
	struct dirent *e;
	DIR *d = opendir("/proc");

	while (d && (e = readdir(d)) && nr < 4095) {
		int pid = atoi(e->d_name);

		if (pid && (pid == root || pid_parent(pid) == root))
			pids[nr++] = pid;
	}
	if (d)
		closedir(d);
	kill(root, SIGSTOP);
	for (i = 0; i < nr; i++)
		kill(pids[i], SIGKILL);
	for (tries = 0; tries < 3000; tries++, usleep(10000)) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		for (i = 0; i < nr && kill(pids[i], 0); i++)
			;
		if (i == nr)
			return;
	}
}

static double dir_size(const char *path, bool pages)
{
	struct dirent *e;
	DIR *d = opendir(path);
	struct stat st;
	double sum = 0;

	while (d && (e = readdir(d)))
		if (!fstatat(dirfd(d), e->d_name, &st, 0) && S_ISREG(st.st_mode) && (pages || strncmp(e->d_name, "pages-", 6)))
			sum += st.st_size;
	if (d)
		closedir(d);
	return sum;
}

static void dir_remove(const char *path)
{
	struct dirent *e;
	DIR *d = opendir(path);

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
}

static bool complain(const struct tool *t, const struct bench_case *c, const char *what)
{
	fprintf(stderr, "bench: %s: %s %s\n", c->name, t->name, what);
	failures++;
	return false;
}

static bool run_once(struct tool *t, const struct bench_case *c)
{
	char images[4096], beat_file[4096], pid[16];
	unsigned long long count;
	struct beat *beat;
	double dump, restore;
	int i, root;

	snprintf(images, sizeof(images), "%s/images", work_dir);
	snprintf(beat_file, sizeof(beat_file), "%s/beat", work_dir);
	dir_remove(images);
	mkdir(images, 0700);
	beat = load_start(c, beat_file);
	if (!beat)
		return complain(t, c, "can't start the load");
	root = beat->pid;
	snprintf(pid, sizeof(pid), "%d", root);
	beat->longest_ns = 0;
	t->values[PEAK][t->nr] = 0;
	dump = run(t->dump(c, images, pid), &t->values[PEAK][t->nr]);
	usleep(20000);
	t->values[FROZEN][t->nr] = beat->longest_ns / 1e9;
	load_stop(root);
	if (dump < 0)
		return complain(t, c, "dump failed");
	restore = run(t->restore(images, c->lazy), &t->values[PEAK][t->nr]);
	if (restore < 0)
		return complain(t, c, "restore failed");
	count = beat->count;
	for (i = 0; i < 1000 && beat->count < count + 3; i++)
		usleep(10000);
	t->values[DUMP][t->nr] = dump;
	t->values[RESTORE][t->nr] = restore;
	t->values[SIZE][t->nr] = dir_size(images, true);
	t->records = dir_size(images, false);
	load_stop(root);
	munmap(beat, sizeof(*beat));
	if (i == 1000)
		return complain(t, c, "restored, but the load does not run");
	t->nr++;
	return true;
}

static int compare(const void *a, const void *b)
{
	return (*(double *)a > *(double *)b) - (*(double *)a < *(double *)b);
}

static double median(double *values, int nr)
{
	qsort(values, nr, sizeof(*values), compare);
	return nr % 2 ? values[nr / 2] : (values[nr / 2 - 1] + values[nr / 2]) / 2;
}

/* the machine's limit for @bytes: one write to tmpfs, one read of it into fresh memory */
static void limits(double bytes, double *write_ret, double *read_ret)
{
	size_t chunk = 4 << 20, left, n;
	char path[4096], *buf;
	double start;
	int fd;

	snprintf(path, sizeof(path), "%s/limit", work_dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	buf = mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(buf, 1, chunk);
	start = seconds();
	for (left = bytes; left; left -= n) {
		n = left < chunk ? left : chunk;
		if (write(fd, buf, n) != (ssize_t)n)
			break;
	}
	*write_ret = seconds() - start;
	munmap(buf, chunk);
	buf = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(buf, bytes, MADV_NOHUGEPAGE);
	start = seconds();
	for (left = 0; left < (size_t)bytes; left += n) {
		n = bytes - left < chunk ? bytes - left : chunk;
		if (pread(fd, buf + left, n, left) != (ssize_t)n)
			break;
	}
	*read_ret = seconds() - start;
	munmap(buf, bytes + 1);
	close(fd);
	unlink(path);
}

static void print_number(const char *name, double value, bool valid, bool bytes)
{
	if (!valid)
		printf(" %s=-", name);
	else
		printf(bytes ? " %s=%.0f" : " %s=%.4f", name, value);
}

static void report(const struct bench_case *c)
{
	double limit[NR_FIGURES] = {}, size = tools[0].nr ? median(tools[0].values[SIZE], tools[0].nr) : 0;
	int f;

	if (c->compress)
		size = strtod(c->arg, NULL) * 1048576;
	if (size)
		limits(size, &limit[DUMP], &limit[RESTORE]);
	limit[FROZEN] = limit[DUMP];
	limit[SIZE] = 0;
	limit[PEAK] = 64 * 1048576.0 + tools[0].records;
	for (f = 0; f < NR_FIGURES; f++) {
		bool has_crk = tools[0].nr, has_criu = tools[1].nr;
		double crk = has_crk ? median(tools[0].values[f], tools[0].nr) : 0;
		double other = has_criu ? median(tools[1].values[f], tools[1].nr) : 0;

		printf("bench %s %s", c->name, figure_names[f]);
		print_number("crk", crk, has_crk, f >= SIZE);
		print_number("criu", other, has_criu, f >= SIZE);
		print_number("ratio", other ? crk / other : 0, has_crk && other, false);
		print_number("limit", limit[f] ? crk / limit[f] : 0, has_crk && limit[f], false);
		printf("\n");
	}
	fflush(stdout);
}

static double best(const struct tool *t, int f)
{
	double value = t->values[f][0];
	int i;

	for (i = 1; i < t->nr; i++)
		value = t->values[f][i] < value ? t->values[f][i] : value;
	return value;
}

static void run_scale(const struct scale_case *c)
{
	const char *sizes[] = { c->small, c->large };
	double per_item[2][NR_FIGURES];
	int i, f, n;

	for (i = 0; i < 2; i++) {
		const struct bench_case one = { c->name, c->mode, sizes[i] };
		struct tool t = { .name = tools[0].name, .dump = crk_dump, .restore = crk_restore };

		for (n = 0; n < nr_runs; n++)
			run_once(&t, &one);
		if (!t.nr)
			return;
		for (f = 0; f < NR_FIGURES; f++)
			per_item[i][f] = best(&t, f) / strtoul(sizes[i], NULL, 0) * (f >= SIZE ? 1 : 1e6);
	}
	for (f = 0; f < NR_FIGURES; f++)
		printf("bench %s %s small=%.1f large=%.1f ratio=%.4f\n", c->name, figure_names[f], per_item[0][f],
		       per_item[1][f], per_item[1][f] / per_item[0][f]);
	fflush(stdout);
}

/* what the kernel doesn't allow as it comes */
static void raise_limits(void)
{
	static const char * const limits[][2] = {
		{ "/proc/sys/vm/max_map_count", "1000000" },
		{ "/proc/sys/kernel/threads-max", "200000" },
		{ "/proc/sys/kernel/pid_max", "200000" },
	};
	size_t i;

	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		int fd = open(limits[i][0], O_WRONLY);

		if (fd < 0 || write(fd, limits[i][1], strlen(limits[i][1])) < 0)
			fprintf(stderr, "bench: %s: %s\n", limits[i][0], strerror(errno));
		close(fd);
	}
}

static void print_machine(void)
{
	char *version[] = { (char *)criu, "--version", NULL };
	struct utsname uts;

	uname(&uts);
	tools[1].available = run(version, NULL) >= 0;
	printf("# kernel %s %s, %ld cpus, %ld MiB, %d runs, medians, images on %s, criu %s\n", uts.release, uts.machine,
	       sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_PHYS_PAGES) >> 8, nr_runs, work_dir,
	       tools[1].available ? criu : "not there");
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/*
 * The host gives memory to a guest page by page, when it is touched first: without this, whoever comes first would pay for
 * all that come after.
 */
static void touch_memory(void)
{
	size_t len = (size_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE) / 10 * 9, i;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return;
	for (i = 0; i < len; i += 4096)
		p[i] = 1;
	munmap(p, len);
}

int main(int argc, char **argv)
{
	size_t i, k;
	int opt, n;

	while ((opt = getopt(argc, argv, "ln:d:c:")) != -1) {
		if (opt == 'l') {
			for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
				puts(cases[i].name);
			for (i = 0; i < sizeof(scale_cases) / sizeof(scale_cases[0]); i++)
				puts(scale_cases[i].name);
			return 0;
		} else if (opt == 'n') {
			nr_runs = atoi(optarg);
		} else if (opt == 'd') {
			work_dir = optarg;
		} else if (opt == 'c') {
			criu = optarg;
		} else {
			return 2;
		}
	}
	if (nr_runs < 1 || nr_runs > MAX_RUNS)
		return 2;
	snprintf(load_path, sizeof(load_path), "%s-load", argv[0]);
	if (mkdir(work_dir, 0700) && errno != EEXIST)
		return 1;
	print_machine();
	raise_limits();
	touch_memory();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!wanted(cases[i].name, argv + optind))
			continue;
		tools[0].nr = 0;
		tools[1].nr = 0;
		for (n = 0; n < nr_runs; n++)
			for (k = 0; k < 2; k++)
				if (tools[k].available && !(k && cases[i].crk_only))
					run_once(&tools[k], &cases[i]);
		report(&cases[i]);
	}
	for (i = 0; i < sizeof(scale_cases) / sizeof(scale_cases[0]); i++)
		if (wanted(scale_cases[i].name, argv + optind))
			run_scale(&scale_cases[i]);
	return failures ? 1 : 0;
}
