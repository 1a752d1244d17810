// SPDX-License-Identifier: GPL-2.0
/* See shot.h. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shot.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* ---- what may differ ---- */

static const struct may_differ {
	const char *file;	/* name in /proc/PID or /proc/PID/task/TID; ending in '/': all of a directory */
	const char *line;	/* those that begin with it; NULL: all of the file */
	int when;
	const char *why;
} may_differ[] = {
	{ "mem",	NULL,			ALWAYS, "compared by mapping" },
	{ "pagemap",	NULL,			ALWAYS, "compared by mapping" },
	{ "net/",	NULL,			ALWAYS, "the network namespace's, not the process's" },
	{ "sched",	NULL,			ALWAYS, "tells how long it takes to read the clock" },
	{ "arch_status", NULL,			ALWAYS, "time since AVX-512 was used" },
	{ "fdinfo/",	"it_value:",		ALWAYS, "timerfd: the clock goes on" },
	{ "smaps",	"Pss",			ALWAYS, "who else has a page mapped, crkhelper's and the test's pages of libc" },
	{ "smaps",	"Shared_",		ALWAYS, "the same" },
	{ "smaps",	"Private_",		ALWAYS, "the same" },
	{ "smaps",	"Referenced:",		ALWAYS, "the kernel's note that a page was read lately, by anybody" },
	{ "smaps_rollup", "Referenced:",	ALWAYS, "the same" },
	{ "smaps_rollup", "Pss",		ALWAYS, "the same" },
	{ "smaps_rollup", "Shared_",		ALWAYS, "the same" },
	{ "smaps_rollup", "Private_",		ALWAYS, "the same" },
	{ "numa_maps",	NULL,			ALWAYS, "mapcount: the same" },
	{ "status",	"voluntary_ctxt_switches", THAWED, "the freeze's, counted in costs_a_freeze" },
	{ "status",	"nonvoluntary_ctxt_switches", THAWED, "the same" },
	{ "schedstat",	NULL,			THAWED, "the same" },
	{ "io",		"syscr:",		THAWED, "a read that a freeze interrupted begins again" },
};

/* numbered as in proc(5); also those of /proc/PID/task/TID/stat */
static const struct { int field, when; const char *why; } stat_may_differ[] = {
	{ 14, THAWED, "utime" }, { 15, THAWED, "stime" },
};

static bool file_may_differ(const char *name, int when)
{
	const struct may_differ *m;

	for (m = may_differ; m < may_differ + ARRAY_SIZE(may_differ); m++)
		if (!m->line && m->when & when && !strcmp(name, m->file))
			return true;
	return false;
}

static bool line_may_differ(const char *name, const char *line, int when)
{
	const struct may_differ *m;

	for (m = may_differ; m < may_differ + ARRAY_SIZE(may_differ); m++)
		if (m->line && m->when & when && !strcmp(name, m->file) && !strncmp(line, m->line, strlen(m->line)))
			return true;
	return false;
}

/* ---- snapshots ---- */

static void shot_add(struct shot *s, const char *name, char *text)
{
	s->items = reallocarray(s->items, s->nr + 1, sizeof(*s->items));
	s->items[s->nr++] = (struct item){ strdup(name), text };
}

void shot_free(struct shot *s)
{
	while (s->nr--) {
		free(s->items[s->nr].name);
		free(s->items[s->nr].text);
	}
	free(s->items);
}

char *slurp(const char *path)
{
	size_t room = 1 << 20, len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = malloc(room);
	while ((n = read(fd, text + len, room - len - 1)) > 0)
		if ((len += n) + 1 >= room)
			text = realloc(text, room *= 2);
	close(fd);
	text[len] = '\0';
	/* cmdline, environ, auxv */
	for (size_t i = 0; i < len; i++)
		if (!text[i])
			text[i] = '.';
	return text;
}

static char *without_fields(char *text, int when)
{
	char *rest = strrchr(text, ')'), *out = NULL, *word, *save = NULL;
	int field = 3;
	size_t i, size;
	FILE *f = open_memstream(&out, &size);

	fprintf(f, "%.*s)", (int)(rest - text), text);
	for (word = strtok_r(rest + 1, " \n", &save); word; word = strtok_r(NULL, " \n", &save), field++) {
		for (i = 0; i < ARRAY_SIZE(stat_may_differ); i++)
			if (stat_may_differ[i].field == field && stat_may_differ[i].when & when)
				break;
		fprintf(f, "\n%d:%s", field, i < ARRAY_SIZE(stat_may_differ) ? "-" : word);
	}
	fclose(f);
	free(text);
	return out;
}

static char *without_lines(const char *name, char *text, int when)
{
	char *from, *to = text, *end;

	for (from = text; *from; from = end) {
		end = strchrnul(from, '\n');
		end += *end == '\n';
		if (line_may_differ(name, from, when))
			continue;
		memmove(to, from, end - from);
		to += end - from;
	}
	*to = '\0';
	return text;
}

static void shot_dir(struct shot *s, const char *path, const char *base, int when);

static void shot_entry(struct shot *s, const char *path, const char *base, const char *name, int when)
{
	char full[PATH_MAX], link[PATH_MAX] = "", below[300], *text;
	struct stat st;

	snprintf(full, sizeof(full), "%s/%s", path, name);
	snprintf(below, sizeof(below), "%s/", name);
	if (lstat(full, &st))
		return;
	if (S_ISDIR(st.st_mode)) {
		/* threads have the files that processes have, so only the last name counts */
		if (!file_may_differ(below, when))
			shot_dir(s, full, below, when);
	} else if (S_ISLNK(st.st_mode)) {
		if (readlink(full, link, sizeof(link) - 1) >= 0)
			shot_add(s, full, strdup(link));
	} else if (!file_may_differ(name, when)) {
		text = slurp(full);
		if (!text)
			return;
		text = !strcmp(name, "stat") ? without_fields(text, when) :
		       without_lines(!strcmp(base, "fdinfo/") ? base : name, text, when);
		shot_add(s, full, text);
	}
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strverscmp((*a)->d_name, (*b)->d_name);
}

static void shot_dir(struct shot *s, const char *path, const char *base, int when)
{
	struct dirent **names;
	int i, n = scandir(path, &names, NULL, by_name);

	for (i = 0; i < n; i++) {
		if (names[i]->d_name[0] != '.')
			shot_entry(s, path, base, names[i]->d_name, when);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

static uint64_t hash(const void *data, size_t len)
{
	const uint64_t *p = data;
	uint64_t h = 0xcbf29ce484222325;

	for (; len >= 8; len -= 8)
		h = (h ^ *p++) * 0x100000001b3, h ^= h >> 29;
	return h;
}

/* the kernel writes the number of the CPU there whenever the thread comes back from a sleep */
static void blank_rseq(const struct look *look, char *buf, uint64_t start, size_t len)
{
	size_t i;

	for (i = 0; i < look->nr_rseq; i++)
		if (look->rseq[i] >= start && look->rseq[i] + 32 <= start + len)
			memset(buf + (look->rseq[i] - start), 0, 32);
}

/* of a page of a file, which anyone may map: whether somebody does besides */
static void blank_mapped_by_others(uint64_t *entry, size_t nr)
{
	const uint64_t exclusive = 1ULL << 56, file = 1ULL << 61;

	for (; nr--; entry++)
		if (*entry & file)
			*entry &= ~exclusive;
}

/* contents (page by page, so that a difference can be found) and page tables of all mappings */
static void shot_memory(struct shot *s, pid_t pid, const struct look *look)
{
	char path[64], line[PATH_MAX + 200], perms[8], name[PATH_MAX + 300], *buf;
	int mem, map;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	map = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		uint64_t start, end, at;
		char *text;

		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) != 3)
			continue;
		/* the clock, and what is no mapping */
		if (strstr(line, "[vvar") || strstr(line, "[vsyscall]"))
			continue;
		buf = malloc(end - start);
		snprintf(name, sizeof(name), "%d pages of %s", pid, line);
		if (pread(map, buf, (end - start) / 512, start / 512) == (ssize_t)((end - start) / 512)) {
			blank_mapped_by_others((uint64_t *)buf, (end - start) / 4096);
			if (asprintf(&text, "%016" PRIx64, hash(buf, (end - start) / 512)) > 0)
				shot_add(s, name, text);
		}
		for (at = start; look->contents && perms[0] == 'r' && at < end; at += 4096) {
			snprintf(name, sizeof(name), "%d contents at %" PRIx64 " of %s", pid, at, line);
			if (pread(mem, buf, 4096, at) != 4096) {
				shot_add(s, name, strdup("cannot be read"));
				continue;
			}
			blank_rseq(look, buf, at, 4096);
			if (asprintf(&text, "%016" PRIx64, hash(buf, 4096)) > 0)
				shot_add(s, name, text);
		}
		free(buf);
	}
	if (maps)
		fclose(maps);
	close(mem);
	close(map);
}

struct shot shot_take(const char *cgroup, const struct look *look)
{
	struct shot s = {};
	char path[PATH_MAX], *procs, *p;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	procs = slurp(path);
	for (p = procs; p && (pid = atoi(p)); p = strchr(p, '\n') + 1) {
		snprintf(path, sizeof(path), "/proc/%d", pid);
		shot_dir(&s, path, "", look->when);
		shot_memory(&s, pid, look);
	}
	shot_add(&s, "processes", procs);
	return s;
}

char *shot_differs(const struct shot *a, const struct shot *b)
{
	char *out = NULL;
	size_t size, i, nr = 0;
	FILE *f = open_memstream(&out, &size);

	for (i = 0; i < a->nr || i < b->nr; i++) {
		if (i >= a->nr || i >= b->nr || strcmp(a->items[i].name, b->items[i].name)) {
			fprintf(f, "%s instead of %s\n", i < b->nr ? b->items[i].name : "nothing",
				i < a->nr ? a->items[i].name : "nothing");
			nr++;
			break;
		}
		if (!strcmp(a->items[i].text, b->items[i].text))
			continue;
		if (nr++ < 10) {
			const char *x = a->items[i].text, *y = b->items[i].text;

			while (*x == *y)
				x++, y++;
			while (x > a->items[i].text && x[-1] != '\n')
				x--, y--;
			fprintf(f, "%s: \"%.*s\" became \"%.*s\"\n", a->items[i].name, (int)strcspn(x, "\n"), x,
				(int)strcspn(y, "\n"), y);
		}
	}
	fclose(f);
	if (nr)
		return out;
	free(out);
	return NULL;
}
