// SPDX-License-Identifier: GPL-2.0
/*
 * The only file that calls the module: one thin function per ioctl of uapi/crk.h.  Each failure is printed here, with the module's own log text as the reason where it gave one.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "helper.h"

#define LOG_SIZE	1024
#define FREEZE_LOG_SIZE	16384	/* with the kernel stacks of those that did not stop */

/* @log is the module's text, "" if it had nothing to say; several lines become several messages */
static int dev_err(int err, const char *log, const char *what)
{
	const char *line = log, *end;
	int len;

	if (!*log)
		return crk_err(err, "%s", what);
	while (*line) {
		end = strchrnul(line, '\n');
		len = end - line;
		if (len)
			crk_fail(err, "%.*s", len, line);
		line = *end ? end + 1 : end;
	}
	return err;
}

static int dev_ioctl(int dev, unsigned long nr, void *cmd)
{
	int ret;

	do {
		ret = ioctl(dev, nr, cmd);
	} while (ret < 0 && errno == EINTR && nr != CRK_IOC_FREEZE && nr != CRK_IOC_WAIT);
	return ret < 0 ? -errno : 0;
}

/* ---- open ---- */

int crk_dev_open(int *ret)
{
	int i, fd, err;

	fd = open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV)) {
		err = crk_module_insert();
		if (err)
			return err;
		/* devtmpfs or udev makes the node */
		for (i = 0; i < 100 && fd < 0; i++) {
			fd = open(CRK_DEVICE, O_RDWR | O_CLOEXEC);
			if (fd < 0)
				usleep(10000);
		}
	}
	if (fd < 0) {
		err = -errno;
		crk_err(err, "cannot open %s", CRK_DEVICE);
		if (err == -EPERM)
			crk_hint("it takes CAP_CHECKPOINT_RESTORE, which root has");
		else if (err == -EACCES)
			crk_hint("it is root's: be root, or have root give you a right to it and CAP_CHECKPOINT_RESTORE");
		return err;
	}
	*ret = fd;
	return 0;
}

int crk_dev_lazy(int dev)
{
	struct crk_lazy cmd = { .size = sizeof(cmd) };
	int ret = dev_ioctl(dev, CRK_IOC_LAZY, &cmd);

	return ret ? crk_err(ret, "the module cannot watch over memory that is missing") : 0;
}

int crk_dev_info(int dev, struct crk_info *out)
{
	int ret;

	out->size = sizeof(*out);
	ret = dev_ioctl(dev, CRK_IOC_INFO, out);
	return ret ? crk_err(ret, "cannot ask the module what it can do") : 0;
}

/* ---- dump ---- */

int crk_dev_freeze(int dev, int cgroup_fd, unsigned int timeout_ms, struct crk_freeze *out)
{
	char log[FREEZE_LOG_SIZE] = "";
	int ret;

	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->cgroup_fd = cgroup_fd;
	out->timeout_ms = timeout_ms;
	out->log_uptr = (uintptr_t)log;
	out->log_size = sizeof(log);
	ret = dev_ioctl(dev, CRK_IOC_FREEZE, out);
	if (!ret)
		return 0;
	dev_err(ret, log, "cannot freeze the cgroup");
	if (ret == -ETIMEDOUT)
		crk_hint("a task in state D waits for a device, a file server or another process: end that wait; one in state R was given no CPU: the machine is busy, or the task is throttled (cpu.max). Or give the freeze longer with --timeout");
	return ret;
}

int crk_dev_verify(int dev, uint32_t *nr_thaws_ret)
{
	char log[LOG_SIZE] = "";
	struct crk_verify cmd = {
		.size = sizeof(cmd), .log_uptr = (uintptr_t)log, .log_size = sizeof(log),
	};
	int ret;

	ret = dev_ioctl(dev, CRK_IOC_VERIFY, &cmd);
	if (ret)
		return dev_err(ret, log, "a task ran, came or went while the cgroup was frozen");
	if (nr_thaws_ret)
		*nr_thaws_ret = cmd.out_nr_thaws;
	return 0;
}

int crk_dev_thaw(int dev, bool leave_frozen, uint64_t *frozen_ns_ret)
{
	struct crk_thaw cmd = { .size = sizeof(cmd), .flags = leave_frozen ? CRK_THAW_LEAVE_FROZEN : 0 };
	int ret;

	ret = dev_ioctl(dev, CRK_IOC_THAW, &cmd);
	if (ret)
		return crk_err(ret, "cannot thaw the cgroup");
	if (frozen_ns_ret)
		*frozen_ns_ret = cmd.out_frozen_ns;
	return 0;
}

int crk_dev_tasks(int dev, struct crk_task **ret, size_t *nr_ret)
{
	struct crk_tasks cmd = { .size = sizeof(cmd), .entry_size = sizeof(struct crk_task) };
	_cleanup_free_ struct crk_task *tasks = NULL;
	int err;

	do {
		struct crk_task *more = realloc(tasks, (cmd.nr + 1) * sizeof(*tasks));

		if (!more)
			return crk_oom();
		tasks = more;
		memset(tasks, 0, cmd.nr * sizeof(*tasks));
		cmd.tasks_uptr = (uintptr_t)tasks;
		err = dev_ioctl(dev, CRK_IOC_TASKS, &cmd);
		if (!err && cmd.nr >= cmd.out_nr)
			break;
		cmd.nr = cmd.out_nr;
	} while (!err || err == -ENOSPC);
	if (err)
		return crk_err(err, "cannot list the tasks of the cgroup");
	*nr_ret = cmd.out_nr;
	*ret = steal_ptr(&tasks);
	return 0;
}

int crk_dev_capture(int dev, void **ret, size_t *len_ret)
{
	char log[LOG_SIZE] = "";
	struct crk_capture cmd = {
		.size = sizeof(cmd), .log_uptr = (uintptr_t)log, .log_size = sizeof(log),
	};
	_cleanup_free_ char *buf = NULL;
	size_t len = 0, room = 0, want = 1 << 20;
	int err = 0;

	while (cmd.cursor != CRK_CURSOR_END) {
		if (room - len < want) {
			char *more;

			room = max(room * 2, len + want);
			more = realloc(buf, room);
			if (!more)
				return crk_oom();
			buf = more;
		}
		cmd.buf_uptr = (uintptr_t)(buf + len);
		cmd.buf_len = room - len;
		cmd.out_len = 0;
		err = dev_ioctl(dev, CRK_IOC_CAPTURE, &cmd);
		if (err == -ENOSPC && want < (64 << 20)) {	/* not even one task fits */
			want *= 2;
			continue;
		}
		if (err)
			return dev_err(err, log, "cannot read the state of the tasks");
		len += cmd.out_len;
	}
	*len_ret = len;
	*ret = steal_ptr(&buf);
	return 0;
}

int crk_dev_vmas(int dev, pid_t pid, struct crk_vma **ret, size_t *nr_ret)
{
	struct crk_vmas cmd = { .size = sizeof(cmd), .pid = pid, .entry_size = sizeof(struct crk_vma) };
	_cleanup_free_ struct crk_vma *vmas = NULL;
	size_t nr = 0, room = 0;
	int err;

	while (cmd.start != CRK_CURSOR_END) {
		if (nr + 64 > room) {
			struct crk_vma *more;

			room = room ? room * 2 : 256;
			more = realloc(vmas, room * sizeof(*vmas));
			if (!more)
				return crk_oom();
			vmas = more;
		}
		cmd.vmas_uptr = (uintptr_t)(vmas + nr);
		cmd.nr = room - nr;
		cmd.out_nr = 0;
		err = dev_ioctl(dev, CRK_IOC_VMAS, &cmd);
		if (err)
			return crk_err(err, "pid %d: cannot list its mappings", pid);
		nr += cmd.out_nr;
	}
	*nr_ret = nr;
	*ret = steal_ptr(&vmas);
	return 0;
}

int crk_dev_pages(int dev, struct crk_pagerun *cmd)
{
	int ret;

	cmd->size = sizeof(*cmd);
	cmd->entry_size = sizeof(struct crk_pages);
	ret = dev_ioctl(dev, CRK_IOC_PAGES, cmd);
	return ret ? crk_err(ret, "pid %d: cannot list its pages", cmd->pid) : 0;
}

int crk_dev_read(int dev, pid_t pid, int file_fd, uint64_t off, const struct crk_range *ranges, uint32_t nr)
{
	char log[LOG_SIZE] = "", what[64];
	struct crk_read cmd = {
		.size = sizeof(cmd), .pid = pid, .file_fd = file_fd, .file_off = off,
		.ranges_uptr = (uintptr_t)ranges, .nr = nr, .log_uptr = (uintptr_t)log, .log_size = sizeof(log),
	};
	int ret;

	ret = dev_ioctl(dev, CRK_IOC_READ, &cmd);
	if (!ret)
		return 0;
	snprintf(what, sizeof(what), "pid %d: cannot save its pages", pid);
	return dev_err(ret, log, what);
}

int crk_dev_snapshot(int dev, pid_t pid, bool locked_too, uint32_t *id_ret, char *why, size_t size)
{
	struct crk_snapshot cmd = {
		.size = sizeof(cmd), .flags = locked_too ? CRK_SNAPSHOT_LOCKED : 0, .pid = pid,
		.log_uptr = (uintptr_t)why, .log_size = size,
	};
	int ret;

	*why = '\0';
	ret = dev_ioctl(dev, CRK_IOC_SNAPSHOT, &cmd);
	if (ret && !*why)
		snprintf(why, size, "the module cannot duplicate its memory: %s", strerrordesc_np(-ret) ?: "unknown error");
	*id_ret = cmd.out_id;
	return ret;
}

int crk_dev_read_snapshot(int dev, uint32_t id, pid_t pid, int file_fd, uint64_t off, const struct crk_range *ranges,
			  uint32_t nr)
{
	char log[LOG_SIZE] = "", what[64];
	struct crk_read cmd = {
		.size = sizeof(cmd), .flags = CRK_READ_DROP, .snapshot = id, .file_fd = file_fd, .file_off = off,
		.ranges_uptr = (uintptr_t)ranges, .nr = nr, .log_uptr = (uintptr_t)log, .log_size = sizeof(log),
	};
	int ret;

	ret = dev_ioctl(dev, CRK_IOC_READ, &cmd);
	if (!ret || ret == -ESTALE)
		return ret;
	snprintf(what, sizeof(what), "pid %d: cannot save its pages", pid);
	return dev_err(ret, log, what);
}

int crk_dev_files(int dev, pid_t pid, struct crk_fd **ret, size_t *nr_ret)
{
	struct crk_files cmd = { .size = sizeof(cmd), .pid = pid, .entry_size = sizeof(struct crk_fd) };
	_cleanup_free_ struct crk_fd *fds = NULL;
	size_t nr = 0, room = 0;
	int err;

	while (cmd.first_fd != CRK_FD_END) {
		if (nr + 64 > room) {
			struct crk_fd *more;

			room = room ? room * 2 : 128;
			more = realloc(fds, room * sizeof(*fds));
			if (!more)
				return crk_oom();
			fds = more;
		}
		cmd.fds_uptr = (uintptr_t)(fds + nr);
		cmd.nr = room - nr;
		cmd.out_nr = 0;
		err = dev_ioctl(dev, CRK_IOC_FILES, &cmd);
		if (err)
			return crk_err(err, "pid %d: cannot list its open files", pid);
		nr += cmd.out_nr;
	}
	*nr_ret = nr;
	*ret = steal_ptr(&fds);
	return 0;
}

int crk_dev_file_id(int dev, int fd, uint64_t *ret)
{
	struct crk_fd own = {};
	struct crk_files cmd = {
		.size = sizeof(cmd), .entry_size = sizeof(own), .fds_uptr = (uintptr_t)&own, .nr = 1, .first_fd = fd,
	};
	int err = dev_ioctl(dev, CRK_IOC_FILES, &cmd);

	if (!err && (!cmd.out_nr || own.fd != (uint32_t)fd))
		err = -EBADF;
	*ret = own.file_id;
	return err;
}

int crk_dev_fd_get(int dev, pid_t tid, int fd)
{
	struct crk_fd_get cmd = { .size = sizeof(cmd), .pid = tid, .fd = fd };
	int ret = dev_ioctl(dev, CRK_IOC_FD_GET, &cmd);

	return ret ? ret : cmd.out_fd;
}

int crk_dev_queue(int dev, int fd, uint32_t **ret, size_t *nr_ret)
{
	struct crk_queue cmd = { .size = sizeof(cmd), .fd = fd };
	_cleanup_free_ uint32_t *lens = NULL;
	int err;

	do {
		free(lens);
		cmd.nr = cmd.out_nr + 16;
		lens = malloc(cmd.nr * sizeof(*lens));
		if (!lens)
			return crk_oom();
		cmd.lens_uptr = (uintptr_t)lens;
		err = dev_ioctl(dev, CRK_IOC_QUEUE, &cmd);
		if (err)
			return crk_err(err, "cannot list what waits in a socket");
	} while (cmd.out_nr > cmd.nr);
	*nr_ret = cmd.out_nr;
	*ret = steal_ptr(&lens);
	return 0;
}

int crk_dev_events(int dev, int fd, void **ret, size_t *len_ret, uint32_t *next_wd_ret)
{
	struct crk_events cmd = { .size = sizeof(cmd), .fd = fd };
	_cleanup_free_ char *buf = NULL;
	int err;

	do {
		free(buf);
		cmd.buf_len = cmd.out_len + 1024;
		buf = malloc(cmd.buf_len);
		if (!buf)
			return crk_oom();
		cmd.buf_uptr = (uintptr_t)buf;
		err = dev_ioctl(dev, CRK_IOC_EVENTS, &cmd);
		if (err)
			return err == -EOPNOTSUPP || err == -EINVAL ? err : crk_err(err, "cannot list the events that wait");
	} while (cmd.out_len > cmd.buf_len);
	*next_wd_ret = cmd.out_next_wd;
	*len_ret = cmd.out_len;
	*ret = steal_ptr(&buf);
	return 0;
}

/* ---- restore ---- */

int crk_dev_vdso(int dev, uint32_t kind, void *text, uint32_t len, uint64_t *text_len_ret, uint64_t *data_len_ret)
{
	struct crk_vdso cmd = { .size = sizeof(cmd), .kind = kind, .text_uptr = (uintptr_t)text, .text_len = len };
	int ret = dev_ioctl(dev, CRK_IOC_VDSO, &cmd);

	*text_len_ret = cmd.out_text_len;
	*data_len_ret = cmd.out_data_len;
	return ret ? crk_err(ret, "cannot look at this kernel's vDSO of kind %u", kind) : 0;
}

int crk_dev_restore(int dev, uint32_t nr_tasks)
{
	struct crk_restore cmd = { .size = sizeof(cmd), .nr_tasks = nr_tasks };
	int ret;

	ret = dev_ioctl(dev, CRK_IOC_RESTORE, &cmd);
	return ret ? crk_err(ret, "cannot begin a restore") : 0;
}

int crk_dev_program(int dev, struct crk_program *cmd)
{
	char log[LOG_SIZE] = "", what[80];
	int ret;

	cmd->size = sizeof(*cmd);
	cmd->op_size = sizeof(struct crk_op);
	cmd->log_uptr = (uintptr_t)log;
	cmd->log_size = sizeof(log);
	cmd->out_bad_op = ~0U;
	ret = dev_ioctl(dev, CRK_IOC_PROGRAM, cmd);
	if (!ret)
		ret = -EPROTO;		/* it does not return when all is well */
	if (cmd->out_bad_op != ~0U)
		snprintf(what, sizeof(what), "memory program refused at record %u", cmd->out_bad_op);
	else
		snprintf(what, sizeof(what), "memory program refused");
	return dev_err(ret, log, what);
}

int crk_dev_park(int dev)
{
	struct crk_park cmd = { .size = sizeof(cmd) };
	int ret = dev_ioctl(dev, CRK_IOC_PARK, &cmd);

	return crk_err(ret ? ret : -EPROTO, "cannot wait at the gate");
}

int crk_dev_wait(int dev, unsigned int timeout_ms, struct crk_wait *out)
{
	char log[LOG_SIZE] = "", what[80];
	int ret;

	memset(out, 0, sizeof(*out));
	out->size = sizeof(*out);
	out->timeout_ms = timeout_ms;
	out->log_uptr = (uintptr_t)log;
	out->log_size = sizeof(log);
	ret = dev_ioctl(dev, CRK_IOC_WAIT, out);
	/* no failure of the tasks: the caller looks around and waits again */
	if (!ret || ret == -ETIMEDOUT || ret == -EINTR)
		return ret;
	if (ret == -ECHILD && out->out_err) {
		if (*log) {
			crk_err(-(int)out->out_err, "pid %d: %s", out->out_pid, log);
			return ret;
		}
		snprintf(what, sizeof(what), "pid %d failed at memory record %d", out->out_pid, (int)out->out_bad_op);
		crk_err(-(int)out->out_err, "%s", what);
		return ret;
	}
	snprintf(what, sizeof(what), "waiting for the restored tasks, %u are ready", out->out_nr_parked);
	return dev_err(ret, log, what);
}

int crk_dev_set(int dev, const void *recs, size_t len, bool times)
{
	char log[LOG_SIZE] = "";
	struct crk_set cmd = {
		.size = sizeof(cmd), .flags = times ? CRK_SET_TIMES : 0, .recs_uptr = (uintptr_t)recs, .recs_len = len,
		.log_uptr = (uintptr_t)log, .log_size = sizeof(log),
	};
	int ret;

	ret = dev_ioctl(dev, CRK_IOC_SET, &cmd);
	return ret ? dev_err(ret, log, "cannot give the threads their state") : 0;
}

int crk_dev_events_put(int dev, int fd, const void *buf, size_t len)
{
	struct crk_events_put cmd = { .size = sizeof(cmd), .fd = fd, .buf_uptr = (uintptr_t)buf, .buf_len = len };

	return dev_ioctl(dev, CRK_IOC_EVENTS_PUT, &cmd);
}

int crk_dev_go(int dev, bool prepare)
{
	char log[LOG_SIZE] = "";
	struct crk_go cmd = { .size = sizeof(cmd), .log_uptr = (uintptr_t)log, .log_size = sizeof(log) };
	int ret;

	if (prepare)
		cmd.flags = CRK_GO_PREPARE;
	ret = dev_ioctl(dev, CRK_IOC_GO, &cmd);
	return ret ? dev_err(ret, log, "cannot let the restored tasks go") : 0;
}
