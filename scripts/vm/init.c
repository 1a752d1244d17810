// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of a guest.  Loads the modules it is told to, mounts the root, shares and kernel file systems, puts crk in
 * place, runs one command, relays its output, and reports.  Then nothing of the command may be left: every process is
 * killed, crk.ko removed, and what the kernel had to say goes to the host.
 *
 * Everything to the host goes over named virtio-serial ports, never over the console: out and err carry the command's
 * own bytes, log the kernel's messages, ctl one word a line:
 *	up		the command is about to start
 *	fail TEXT	the guest could not do its part
 *	exit N		the command's status, as a shell counts it
 *	end		all done, all of the above is complete
 *
 * /crk in the initramfs comes from scripts/guest: conf (lines "key value"), argv (NUL-terminated strings), stdin,
 * crk.ko, crkhelper.  Static, no libc services that need files.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "files.h"

#define NEWROOT		"/newroot"
#define SHARES_MAX	64

static int out_fd = -1, err_fd = -1, ctl_fd = -1, log_fd = -1;
static char *shares[SHARES_MAX];
static int nr_shares;
static bool have_crk;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void nap(int ms)
{
	poll(NULL, 0, ms);
}

__attribute__((format(printf, 1, 2)))
static void tell(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if (len > (int)sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	write_all(ctl_fd >= 0 ? ctl_fd : STDERR_FILENO, line, len);
}

static void leave(void)
{
	reboot(RB_AUTOBOOT);	/* QEMU runs with -no-reboot */
	for (;;)
		pause();
}

#define fail(...)	do { tell("fail " __VA_ARGS__); leave(); } while (0)

/* start: modules, ports, mounts */

static int load_module(const char *path, const char *args)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, args, 0) && errno != EEXIST)
		ret = -errno;
	close(fd);
	return ret;
}

static int open_port(const char *name)
{
	struct dirent *d;
	DIR *dir = opendir("/sys/class/virtio-ports");
	int fd = -1;

	while (dir && fd < 0 && (d = readdir(dir))) {
		char path[PATH_MAX];
		char *got;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", d->d_name);
		got = slurp(path, NULL);
		if (!got)
			continue;
		got[strcspn(got, "\n")] = 0;
		if (!strcmp(got, name)) {
			snprintf(path, sizeof(path), "/dev/%s", d->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		free(got);
	}
	if (dir)
		closedir(dir);
	return fd;
}

/* The ports of a device come up one by one, after its driver's probe */
static int wait_port(const char *name)
{
	double deadline = now() + 60;
	int fd;

	while ((fd = open_port(name)) < 0) {
		if (now() > deadline)
			fail("no virtio port %s", name);
		nap(2);
	}
	return fd;
}

static void try_mount(const char *dev, const char *dir, const char *type, unsigned long flags, const char *opts)
{
	struct stat st;

	if (stat(dir, &st) && !strncmp(dir, "/sys/", 5))
		return;		/* this kernel has no such thing */
	mkdirs(dir);
	mount(dev, dir, type, flags, opts);
}

static void mount_share(const char *tag, const char *dir)
{
	static const char opts[] = "trans=virtio,version=9p2000.L,msize=262144,cache=mmap";

	mkdirs(dir);
	if (mount(tag, dir, "9p", 0, opts))
		fail("share at %s: cannot mount: %m", dir);
	if (nr_shares < SHARES_MAX)
		shares[nr_shares++] = strdup(dir);
}

static void switch_root(void)
{
	if (chdir(NEWROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		fail("cannot switch to the root file system: %m");
}

/*
 * The module tree of the running kernel, so that modprobe finds everything; extra/ is where crk.ko belongs, and
 * modules.dep was made with it.
 */
static void mount_modules(void)
{
	static const char opts[] = "trans=virtio,version=9p2000.L,msize=262144,cache=loose";
	char dir[256], path[512];
	struct utsname u;

	uname(&u);
	snprintf(dir, sizeof(dir), "/lib/modules/%s", u.release);
	mkdirs(dir);
	if (mount("crk.modules", dir, "9p", MS_RDONLY, opts))
		fail("cannot mount the kernel modules at %s: %m", dir);
	snprintf(path, sizeof(path), "%s/extra", dir);
	if (have_crk && !mount("tmpfs", path, "tmpfs", 0, "mode=755")) {
		snprintf(path, sizeof(path), "%s/extra/crk.ko", dir);
		copy_file("/run/crk/crk.ko", path, 0644);
	}
}

static void lo_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return;
	ioctl(fd, SIOCSIFFLAGS, &ifr);
	close(fd);
}

static void mount_all(void)
{
	try_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	try_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	try_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
	try_mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666");
	try_mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
	try_mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	try_mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=60%");
	try_mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	try_mount("debugfs", "/sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	try_mount("tracefs", "/sys/kernel/tracing", "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	symlink("pts/ptmx", "/dev/ptmx");
	mkdirs("/root");
	mkdirs("/run/lock");
}

/* the command */

static pid_t start(char **argv, int stdin_fd, int out, int err)
{
	struct rlimit nofile = { 1024, 524288 };
	sigset_t none;
	pid_t pid = fork();

	if (pid)
		return pid;
	setsid();
	dup2(stdin_fd, 0);
	dup2(out, 1);
	dup2(err, 2);
	close_range(3, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setrlimit(RLIMIT_NOFILE, &nofile);
	umask(022);
	clearenv();
	setenv("PATH", "/run/crk/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("USER", "root", 1);
	setenv("LOGNAME", "root", 1);
	setenv("SHELL", "/bin/sh", 1);
	setenv("TERM", "dumb", 1);
	setenv("LANG", "C.UTF-8", 1);
	if (chdir("/root") && chdir("/"))
		_exit(125);
	execvp(argv[0], argv);
	dprintf(2, "guest: %s: %m\n", argv[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

static bool relay(int from, int to)
{
	char buf[65536];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	write_all(to, buf, n);
	return true;
}

/* Returns what is in the pipe, not what may come: a daemon may hold it open for ever */
static void drain(int from, int to)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		write_all(to, buf, n);
}

static int run(char **argv, int stdin_fd)
{
	struct signalfd_siginfo si;
	int out[2], err[2], sig, wstatus = 0;
	sigset_t chld;
	bool done = false;
	pid_t child, pid;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	sig = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sig < 0 || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		fail("pipe: %m");
	tell("up");
	child = start(argv, stdin_fd, out[1], err[1]);
	if (child < 0)
		fail("fork: %m");
	close(stdin_fd);
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);

	struct pollfd fds[] = {
		{ .fd = sig, .events = POLLIN },
		{ .fd = out[0], .events = POLLIN },
		{ .fd = err[0], .events = POLLIN },
	};
	while (!done) {
		int st;

		if (poll(fds, 3, -1) < 0)
			continue;
		if (fds[1].revents && !relay(out[0], out_fd))
			fds[1].fd = -1;
		if (fds[2].revents && !relay(err[0], err_fd))
			fds[2].fd = -1;
		if (!fds[0].revents)
			continue;
		while (read(sig, &si, sizeof(si)) > 0)
			;
		while ((pid = waitpid(-1, &st, WNOHANG)) > 0) {
			if (pid == child) {
				wstatus = st;
				done = true;
			}
		}
	}
	drain(out[0], out_fd);
	drain(err[0], err_fd);
	return WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
}

/* the end */

static void name_survivors(void)
{
	struct dirent *d;
	DIR *dir = opendir("/proc");

	while (dir && (d = readdir(dir))) {
		char path[PATH_MAX];
		char *stat, *cmd;
		size_t len = 0;

		if (atoi(d->d_name) <= 1)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/cmdline", d->d_name);
		cmd = slurp(path, &len);
		free(cmd);
		snprintf(path, sizeof(path), "/proc/%s/stat", d->d_name);
		stat = slurp(path, NULL);
		if (stat && len) {	/* kernel threads have no command line */
			stat[strcspn(stat, "\n")] = 0;
			tell("fail SIGKILL did not end a process: %.60s", stat);
		}
		free(stat);
	}
	if (dir)
		closedir(dir);
}

static void end_processes(void)
{
	double deadline = now() + 20;

	kill(-1, SIGKILL);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (pid > 0)
			continue;
		if (now() > deadline) {
			name_survivors();
			return;
		}
		kill(-1, SIGKILL);
		nap(2);
	}
}

/* Nobody is left to hold a reference, so it must go */
static void remove_crk(void)
{
	double deadline = now() + 10;

	while (syscall(SYS_delete_module, "crk", O_NONBLOCK)) {
		if (errno == ENOENT)
			return;
		if (now() > deadline) {
			tell("fail crk.ko: cannot be removed: %m");
			return;
		}
		nap(5);
	}
}

/* /dev/kmsg writes tabs, newlines and backslashes as \xNN */
static void unescape(char *text)
{
	char *from = text, *to = text;
	unsigned int c;

	while (*from) {
		if (from[0] == '\\' && sscanf(from, "\\x%2x", &c) == 1) {
			*to++ = c;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = 0;
}

/* The kernel's own messages; what user space wrote to /dev/kmsg has another facility and is left out */
static void send_log(void)
{
	static char all[4 << 20];
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	size_t len = 0;

	while (fd >= 0 && len < sizeof(all) - 9000) {
		unsigned long long usec, seq;
		unsigned int prio;
		char rec[8192];
		char *text;
		ssize_t n;

		n = read(fd, rec, sizeof(rec) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			break;
		rec[n] = 0;
		text = strchr(rec, ';');
		if (!text || sscanf(rec, "%u,%llu,%llu", &prio, &seq, &usec) != 3 || prio >> 3)
			continue;
		text++;
		text[strcspn(text, "\n")] = 0;
		unescape(text);
		len += sprintf(all + len, "[%5llu.%06llu] %s\n", usec / 1000000, usec % 1000000, text);
	}
	write_all(log_fd, all, len);
}

int main(void)
{
	char *conf, *line, *next, *buf, *root = NULL, *insmod_args = NULL;
	char *share_tag[SHARES_MAX], *share_dir[SHARES_MAX];
	int nr = 0, i, stdin_fd, status, ret;
	bool insmod = false, modules = false;
	size_t len, nr_args = 0;
	char **argv;

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);

	conf = slurp("/crk/conf", NULL);
	if (!conf)
		fail("no /crk/conf");
	for (line = conf; line && *line; line = next) {
		char *val;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		val = strchr(line, ' ');
		if (val)
			*val++ = 0;
		if (!strcmp(line, "load")) {
			ret = load_module(val, "");
			if (ret)
				dprintf(2, "crk guest: %s: %s\n", val, strerror(-ret));
		} else if (!strcmp(line, "ports")) {
			/* right after the drivers, so that the next steps can report */
			ctl_fd = wait_port("crk.ctl");
			out_fd = wait_port("crk.out");
			err_fd = wait_port("crk.err");
			log_fd = wait_port("crk.log");
		} else if (!strcmp(line, "root")) {
			root = val;
		} else if (!strcmp(line, "share") && nr < SHARES_MAX) {
			share_tag[nr] = strsep(&val, " ");
			share_dir[nr++] = val;
		} else if (!strcmp(line, "modules")) {
			modules = true;
		} else if (!strcmp(line, "insmod")) {
			insmod = true;
			insmod_args = val ? val : "";
		}
	}

	mkdir(NEWROOT, 0755);
	if (!strcmp(root, "minimal")) {
		if (mount("tmpfs", NEWROOT, "tmpfs", 0, "mode=755"))
			fail("tmpfs: %m");
		ret = copy_tree("/minimal", NEWROOT);
		if (ret)
			fail("copy to %s: %s", NEWROOT, strerror(-ret));
	} else {
		double deadline = now() + 30;

		while (mount("/dev/vda", NEWROOT, "ext4", MS_NOATIME, NULL)) {
			if ((errno != ENOENT && errno != ENXIO) || now() > deadline)
				fail("cannot mount the root file system: %m");
			nap(2);
		}
	}

	/* Read what is needed from the initramfs before it is out of sight */
	buf = slurp("/crk/argv", &len);
	if (!buf || !len)
		fail("no command");
	argv = calloc(len + 1, sizeof(*argv));
	for (line = buf; line < buf + len; line += strlen(line) + 1)
		argv[nr_args++] = line;
	stdin_fd = open("/crk/stdin", O_RDONLY | O_CLOEXEC);
	mkdirs(NEWROOT "/run");
	mkdirs(NEWROOT "/tmp");
	if (mount("tmpfs", NEWROOT "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"))
		fail("/run: %m");
	mkdirs(NEWROOT "/run/crk");
	have_crk = !copy_file("/crk/crk.ko", NEWROOT "/run/crk/crk.ko", 0644);
	ret = copy_tree("/crk/bin", NEWROOT "/run/crk/bin");
	if (ret)
		fail("copy to %s: %s", NEWROOT "/run/crk/bin", strerror(-ret));
	umount2("/proc", MNT_DETACH);
	umount2("/sys", MNT_DETACH);
	umount2("/dev", MNT_DETACH);
	switch_root();

	mount_all();
	sethostname("crk", 3);
	lo_up();
	if (modules)
		mount_modules();
	for (i = 0; i < nr; i++)
		mount_share(share_tag[i], share_dir[i]);
	if (insmod) {
		ret = load_module("/run/crk/crk.ko", insmod_args);
		if (ret) {
			send_log();
			fail("crk.ko: cannot be loaded: %s", strerror(-ret));
		}
	}
	if (stdin_fd < 0)
		stdin_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	status = run(argv, stdin_fd);
	tell("exit %d", status);

	end_processes();
	for (i = nr_shares - 1; i >= 0; i--) {
		umount(shares[i]);
		sync();
	}
	if (insmod)
		remove_crk();
	send_log();
	tell("end");
	leave();
}
