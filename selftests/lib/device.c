// SPDX-License-Identifier: GPL-2.0
/* See device.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "leak.h"

#define die(...) (fprintf(stderr, "# " __VA_ARGS__), fprintf(stderr, " (%s)\n", strerror(errno)), exit(1))

int device_open(void)
{
	return open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
}

int device_call(int fd, unsigned long nr, void *cmd)
{
	int err = ioctl(fd, nr, cmd) < 0 ? errno : 0;

	must_not_leak(nr, cmd, err);
	return err;
}

unsigned long long task_end(void)
{
#if defined(__x86_64__)
	return 0x7ffffffff000;
#elif defined(__i386__)
	return 0xffffe000;
#else
	/* depends on how the kernel shares the address space out: a mapping that would end beyond is ENOMEM */
	unsigned long end = 0xff000000;
	void *p;

	for (;; end -= 1UL << 24) {
		p = mmap((void *)(end - 4096), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (p != MAP_FAILED)
			munmap(p, 4096);
		if (p != MAP_FAILED || errno == EEXIST)
			return end;
	}
#endif
}

static void nap_ms(int ms)
{
	usleep(ms * 1000);
}

/* ---- cgroups ---- */

static const char *cgroup_root(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/tmp/crk-cgroup" };
	struct statfs fs;
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!statfs(places[i], &fs) && fs.f_type == 0x63677270)
			return places[i];
	mkdir(places[2], 0700);
	if (mount("none", places[2], "cgroup2", 0, NULL))
		die("no cgroup v2");
	return places[2];
}

static void put(const char *dir, const char *file, const char *text)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die("%s: cannot write %s", path, text);
	close(fd);
}

static bool has(const char *dir, const char *file, const char *what)
{
	char path[512], buf[4096] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
		die("%s: cannot read", path);
	close(fd);
	return strstr(buf, what);
}

char *cgroup_make(const char *parent, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/crk-%s-%d", parent ?: cgroup_root(), name, getpid()) < 0 || mkdir(path, 0755))
		die("%s: cannot make", path);
	return path;
}

/* cgroup.kill passes by a process whose leader has exited */
void cgroup_remove(char *path)
{
	char procs[512];
	int i, pid;
	FILE *f;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	f = fopen(procs, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (f)
		fclose(f);
	put(path, "cgroup.kill", "1");
	for (i = 0; rmdir(path) && i < 3000; i++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		nap_ms(10);
	}
	free(path);
}

int cgroup_fd(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die("%s: cannot open", path);
	return fd;
}

void cgroup_add(const char *path, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	put(path, "cgroup.procs", text);
}

bool cgroup_frozen(const char *path)
{
	return has(path, "cgroup.events", "frozen 1");
}

void cgroup_freeze(const char *path, bool freeze)
{
	put(path, "cgroup.freeze", freeze ? "1" : "0");
}

/* ---- tasks ---- */

static int ready_fd = -1;

void task_ready(void)
{
	if (write(ready_fd, "r", 1) != 1)
		_exit(1);
	close(ready_fd);
}

pid_t task_start(const char *cgroup, void (*fn)(void *arg), void *arg)
{
	int ready[2], go[2];
	pid_t pid;
	char c;

	if (pipe2(ready, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		close(go[1]);
		ready_fd = ready[1];
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		close(go[0]);
		fn(arg);
		_exit(0);
	}
	close(ready[1]);
	close(go[0]);
	cgroup_add(cgroup, pid);
	if (write(go[1], "g", 1) != 1 || read(ready[0], &c, 1) != 1)
		die("task did not start");
	close(ready[0]);
	close(go[1]);
	return pid;
}

/* the field after the name: its state */
static char thread_state(const char *pid, const char *tid)
{
	char path[300], buf[512] = "", *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/task/%s/stat", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = 0;
	close(fd);
	p = strrchr(buf, ')');
	return p ? p[2] : 0;
}

void task_wait_state(pid_t pid, char state)
{
	char path[64], name[16];
	struct dirent *e;
	bool all = false;
	DIR *dir;
	int i;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	snprintf(name, sizeof(name), "%d", pid);
	for (i = 0; !all && i < 6000; i++) {
		dir = opendir(path);
		if (!dir)
			die("%s", path);
		all = true;
		while ((e = readdir(dir)))
			if (e->d_name[0] != '.' && thread_state(name, e->d_name) != state)
				all = false;
		closedir(dir);
		if (!all)
			nap_ms(10);
	}
	if (!all)
		die("task %d never came to state %c", pid, state);
}

long long task_cpu_ns(pid_t pid)
{
	char path[64], buf[256] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
		die("%s", path);
	close(fd);
	return atoll(buf);
}

/* ---- dumps ---- */

int freeze(const char *cgroup)
{
	int fd = device_open(), dir = cgroup_fd(cgroup), err;
	CMD_LOG(crk_freeze, cmd, .cgroup_fd = dir, .timeout_ms = 10000);

	if (fd < 0)
		die("%s", CRK_DEVICE);
	err = device_call(fd, CRK_IOC_FREEZE, &cmd);
	errno = err;
	if (err)
		die("freeze of %s: %s", cgroup, cmd_log);
	close(dir);
	return fd;
}

struct crk_task *tasks_get(int fd, unsigned int *nr)
{
	CMD(crk_tasks, cmd, .entry_size = sizeof(struct crk_task));
	struct crk_task *tasks;

	if (device_call(fd, CRK_IOC_TASKS, &cmd))
		return NULL;
	tasks = calloc(cmd.out_nr + 1, sizeof(*tasks));
	memset(tasks, 0xcc, (cmd.out_nr + 1) * sizeof(*tasks));
	cmd.nr = cmd.out_nr;
	cmd.tasks_uptr = (uintptr_t)tasks;
	if (device_call(fd, CRK_IOC_TASKS, &cmd))
		return NULL;
	*nr = cmd.out_nr;
	return tasks;
}

struct capture capture_get(int fd, pid_t tid)
{
	size_t size = 64 << 20;
	struct capture c = { mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0 };
	CMD_LOG(crk_capture, cmd, .tid = tid, .buf_uptr = (uintptr_t)c.buf, .buf_len = size);

	errno = device_call(fd, CRK_IOC_CAPTURE, &cmd);
	if (errno)
		die("capture: %s", cmd_log);
	if (cmd.cursor != CRK_CURSOR_END)
		die("capture: not all");
	c.len = cmd.out_len;
	return c;
}

void capture_put(struct capture *c)
{
	munmap(c->buf, 64 << 20);
}

void *record(const struct capture *c, pid_t tid, uint32_t type, const void *last)
{
	const struct crk_rec *rec;
	pid_t owner = 0;
	size_t pos;

	for (pos = 0; pos < c->len; pos += rec->size) {
		rec = (const void *)(c->buf + pos);
		if (rec->size < sizeof(*rec) || rec->size % 8 || rec->size > c->len - pos)
			die("record %u at %zu: %u bytes", rec->type, pos, rec->size);
		if (rec->type == CRK_REC_TASK)
			owner = ((const struct crk_rec_task *)rec)->tid;
		if ((!last || (const void *)rec > last) && rec->type == type && (!tid || owner == tid))
			return (void *)rec;
	}
	return NULL;
}
