// SPDX-License-Identifier: GPL-2.0
/*
 * restore --lazy-pages: which memory may come when its process runs, how userfaultfds get from the processes to the
 * coordinator, and the start of crkhelper lazy-pages, which then is filler.c.
 *
 * Each process makes its userfaultfd before it turns into what it was: its address space stays the same, only what is
 * mapped changes.  If crkhelper lazy-pages dies early the module kills who waits for memory; the watcher kills the rest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../restore.h"
#include "filler.h"

#define LAZY_MIN	(1UL << 20)	/* bytes of a mapping: less is there at once as fast */
#define FILLER_COMM	"crk-lazy-pages"
#define HOT_SIZE	65536ULL	/* around words that the kernel reads when a thread exits: it does not wait then */

#define EVENTS	(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP)

/* ---- which ---- */

static int uffd_start(int fd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = EVENTS };

	return ioctl(fd, UFFDIO_API, &api) ? -errno : 0;
}

const char *crk_lazy_off(void)
{
	_cleanup_close_ int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	int err = fd < 0 ? -errno : uffd_start(fd);

	if (err == -ENOSYS)
		return "this kernel has no userfaultfd (CONFIG_USERFAULTFD)";
	if (err == -EPERM)
		return "userfaultfd takes CAP_SYS_PTRACE, which root has";
	return err ? "userfaultfd of this kernel tells no events" : NULL;
}

static int hot_add(struct crk_ranges *hot, uint64_t addr)
{
	uint64_t at = align_down(addr, HOT_SIZE);

	return addr ? crk_ranges_append(hot, at, at + HOT_SIZE) : 0;
}

static int hot_pages(const struct crk_rproc *p, struct crk_ranges *hot)
{
	size_t i;
	int err = 0;

	for (i = 0; i < p->nr_threads && !err; i++) {
		const struct crk_rec_thread *t = crk_rec_find(p->threads[i].recs, p->threads[i].recs_len,
							      CRK_REC_THREAD, NULL);

		if (!t)
			continue;
		err = hot_add(hot, t->robust_list);
		err = err ?: hot_add(hot, t->compat_robust_list);
		err = err ?: hot_add(hot, t->clear_child_tid);
		err = err ?: hot_add(hot, t->rseq);
	}
	crk_ranges_sort(hot);
	return err;
}

static bool may_wait(const struct crk_rmem *m, const struct crk_rvma *v)
{
	return crk_vma_is_anon(v) && v->prot == (PROT_READ | PROT_WRITE) && v->end - v->start >= LAZY_MIN &&
	       !v->e->n_guards && !(m->nr_areas && crk_area_of(m, v, v->start)) &&
	       !(v->e->flags & (CRK_VMA_LOCKED | CRK_VMA_LOCKONFAULT | CRK_VMA_GROWSDOWN | CRK_VMA_WIPEONFORK |
				CRK_VMA_SEALED));
}

static uint64_t bytes_of(const struct crk_ranges *s)
{
	uint64_t ret = 0;
	size_t i;

	for (i = 0; i < s->nr; i++)
		ret += s->spans[i].end - s->spans[i].start;
	return ret;
}

static int plan_vma(struct crk_rmem *m, const struct crk_rvma *v, const struct crk_ranges *hot)
{
	struct crk_span span = { v->start, v->end };
	const struct crk_ranges all = { &span, 1, 1 };
	struct crk_ranges pages = {};
	int err = 0;
	size_t i;

	for (i = crk_rrun_from(m, v->start); i < m->nr_runs && m->runs[i].addr < v->end && !err; i++)
		err = crk_ranges_append(&pages, m->runs[i].addr, crk_rrun_end(&m->runs[i]));
	err = err ?: crk_ranges_and(&pages, &all);
	err = err ?: crk_ranges_sub(&pages, hot);
	if (!err && bytes_of(&pages) >= LAZY_MIN)
		err = crk_ranges_add(&m->lazy, &pages);
	crk_ranges_free(&pages);
	return err;
}

static int plan_proc(const struct crk_rproc *p)
{
	struct crk_rmem *m = p->mem;
	struct crk_ranges hot = {};
	int err = hot_pages(p, &hot);
	size_t i;

	for (i = 0; i < m->nr_vmas && !err; i++)
		if (may_wait(m, &m->vmas[i]))
			err = plan_vma(m, &m->vmas[i], &hot);
	crk_ranges_free(&hot);
	return err;
}

/* chunks of the pages images: what comes later (@later) is verified later, but not those with anything else */
static int verify_later(const struct crk_rmem *m, bool later)
{
	size_t i, j;
	int err = 0;

	for (i = 0; i < m->nr_runs && !err; i++) {
		const struct crk_rrun *run = &m->runs[i];
		const struct crk_rsource *s = &m->sources[run->source];
		struct crk_ranges pages = {};

		err = crk_ranges_append(&pages, run->addr, crk_rrun_end(run));
		if (!err)
			err = later ? crk_ranges_and(&pages, &m->lazy) : crk_ranges_sub(&pages, &m->lazy);
		for (j = 0; j < pages.nr && !err; j++)
			err = crk_imgdir_verify_later(s->dir, s->pages_id, run->off + pages.spans[j].start - run->addr,
						      run->off + pages.spans[j].end - run->addr, later);
		crk_ranges_free(&pages);
	}
	return err;
}

/* what comes later is read, verified and handed over by the chunk of the checksums */
static int refuse_packed(const struct crk_rmem *m)
{
	uint64_t before, after;
	size_t i;

	for (i = 0; i < m->nr_sources; i++) {
		if (!crk_imgdir_packed(m->sources[i].dir, &before, &after))
			continue;
		crk_fail(-EOPNOTSUPP, "--lazy-pages: '%s' is compressed", crk_imgdir_path(m->sources[i].dir));
		crk_hint("restore it without --lazy-pages");
		return -EOPNOTSUPP;
	}
	return 0;
}

int crk_lazy_plan(struct crk_rst *r)
{
	struct crk_info info = {};
	const char *off;
	size_t i;
	int err;

	if (!r->opts->lazy_pages)
		return 0;
	err = crk_dev_info(r->dev, &info);
	if (err)
		return err;
	off = crk_lazy_off();
	if (!off && !(info.out_features & CRK_FEAT_LAZY))
		off = "crk.ko was built for a kernel without userfaultfd";
	if (off)
		return crk_fail(-EOPNOTSUPP, "--lazy-pages: %s", off);
	for (i = 0; i < r->nr_procs && !err; i++) {
		const struct crk_rproc *p = &r->procs[i];

		/* a descriptor of its own it can't have where others open and close some in the same table */
		if (!p->mem || p->files_of || p->files_shared)
			continue;
		err = refuse_packed(p->mem);
		err = err ?: plan_proc(p);
		r->mem->nr_lazy += p->mem->lazy.nr > 0;
		err = err ?: verify_later(p->mem, true);
	}
	for (i = 0; i < r->nr_procs && !err && r->mem->nr_lazy; i++)
		if (r->procs[i].mem)
			err = verify_later(r->procs[i].mem, false);
	return err;
}

/* ---- from the processes to the coordinator ---- */

static int high_fd(struct crk_rst *r, int fd)
{
	int ret = fcntl(fd, F_DUPFD_CLOEXEC, r->fd_base);

	close(fd);
	return ret < 0 ? crk_err(-errno, "cannot move a descriptor above %d", r->fd_base) : ret;
}

int crk_lazy_open(struct crk_rst *r)
{
	int pair[2];

	if (!r->mem->nr_lazy)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return crk_err(-errno, "cannot make a socket");
	r->mem->lazy_in = high_fd(r, pair[0]);
	r->mem->lazy_out = high_fd(r, pair[1]);
	return min(0, min(r->mem->lazy_in, r->mem->lazy_out));
}

void crk_lazy_close(struct crk_rst *r)
{
	if (r->mem->lazy_in >= 0)
		close(r->mem->lazy_in);
	if (r->mem->lazy_out >= 0)
		close(r->mem->lazy_out);
	r->mem->lazy_in = -1;
	r->mem->lazy_out = -1;
}

union fd_message {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int crk_lazy_hand_over(struct crk_rst *r, struct crk_rproc *p)
{
	_cleanup_close_ int fd = -1;
	union fd_message control = {};
	struct iovec iov = { &p->pid, sizeof(p->pid) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!p->mem || !p->mem->lazy.nr)
		return 0;
	fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return crk_err(-errno, "pid %d: cannot make its userfaultfd", p->pid);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(r->mem->lazy_out, &msg, MSG_NOSIGNAL) != sizeof(p->pid))
		return crk_err(-errno, "pid %d: cannot hand over its userfaultfd", p->pid);
	return 0;
}

int crk_lazy_collect(struct crk_rst *r)
{
	while (r->mem->nr_lazy) {
		union fd_message control = {};
		struct crk_rproc *p;
		pid_t pid;
		struct iovec iov = { &pid, sizeof(pid) };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		struct cmsghdr *c;
		int fd = -1;

		if (recvmsg(r->mem->lazy_in, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof(pid)) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : crk_err(-errno, "cannot take userfaultfds");
		}
		c = CMSG_FIRSTHDR(&msg);
		if (c && c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		p = crk_restore_proc(r, pid);
		if (fd < 0 || !p || !p->mem)
			return crk_fail(-EPROTO, "pid %d: its userfaultfd did not come", pid);
		p->mem->uffd = fd;
	}
	return 0;
}

/* ---- crkhelper lazy-pages ---- */

/* whole mappings: parts would not merge again */
static int register_proc(const struct crk_rproc *p)
{
	const struct crk_rmem *m = p->mem;
	size_t i;
	int err;

	if (m->uffd < 0)
		return crk_fail(-EPROTO, "pid %d: its userfaultfd did not come", p->pid);
	err = uffd_start(m->uffd);
	for (i = 0; i < m->nr_vmas && !err; i++) {
		struct uffdio_register reg = { .range = { m->vmas[i].start, m->vmas[i].end - m->vmas[i].start },
					       .mode = UFFDIO_REGISTER_MODE_MISSING };

		if (crk_ranges_touch(&m->lazy, m->vmas[i].start, m->vmas[i].end) &&
		    ioctl(m->uffd, UFFDIO_REGISTER, &reg))
			err = -errno;
	}
	return err ? crk_err(err, "pid %d: cannot have its memory come later", p->pid) : 0;
}

/* what the filler has is its own: a copy of each descriptor, above all others */
static int filler_take(struct crk_rst *r, struct crk_filler *f, const struct crk_rmem *m)
{
	struct crk_filled *p = array_add(f->procs, f->nr_procs, f->room_procs);
	uint32_t base = f->nr_sources;
	size_t i, j;
	int err = 0;

	if (!p)
		return crk_oom();
	p->uffd = fcntl(m->uffd, F_DUPFD_CLOEXEC, r->fd_base);
	if (p->uffd < 0)
		return crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	for (i = 0; i < m->nr_sources && !err; i++) {
		struct crk_filler_source *s = array_add(f->sources, f->nr_sources, f->room_sources);

		if (!s)
			return crk_oom();
		*s = (struct crk_filler_source){ m->sources[i].dir, m->sources[i].pages_id, -1 };
		if (!m->sources[i].pages)
			continue;
		s->fd = fcntl(crk_pages_fd(m->sources[i].pages), F_DUPFD_CLOEXEC, r->fd_base);
		if (s->fd < 0)
			err = crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	}
	for (i = 0; i < m->nr_runs && !err; i++) {
		uint64_t addr = m->runs[i].addr, end = crk_rrun_end(&m->runs[i]);

		for (j = crk_ranges_from(&m->lazy, addr); j < m->lazy.nr && m->lazy.spans[j].start < end && !err; j++) {
			uint64_t from = max(addr, m->lazy.spans[j].start), to = min(end, m->lazy.spans[j].end);
			struct crk_rrun run = { from, (to - from) / PAGE_SIZE, m->runs[i].off + (from - addr),
						base + m->runs[i].source };

			err = crk_missing_append(&p->missing, &run);
			f->bytes += to - from;
		}
	}
	return err;
}

static int cmp_int(const void *a, const void *b)
{
	return *(const int *)a < *(const int *)b ? -1 : *(const int *)a > *(const int *)b;
}

/* of the coordinator's descriptors only these stay, and standard error */
static int close_others(const struct crk_filler *f, int ready)
{
	size_t nr = 0, i, room = f->nr_procs + f->nr_sources + 2;
	_cleanup_free_ int *keep = calloc(room, sizeof(*keep));
	int from = STDERR_FILENO + 1;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (!keep || null < 0)
		return crk_err(-errno, "cannot open /dev/null");
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (fcntl(STDERR_FILENO, F_GETFD) < 0)
		dup2(null, STDERR_FILENO);
	keep[nr++] = ready;
	for (i = 0; i < f->nr_procs; i++)
		keep[nr++] = f->procs[i].uffd;
	for (i = 0; i < f->nr_sources; i++)
		if (f->sources[i].fd >= 0)
			keep[nr++] = f->sources[i].fd;
	qsort(keep, nr, sizeof(*keep), cmp_int);
	for (i = 0; i < nr; i++) {
		if (keep[i] > from)
			syscall(SYS_close_range, from, keep[i] - 1, 0);
		from = keep[i] + 1;
	}
	syscall(SYS_close_range, from, ~0U, 0);
	return 0;
}

/* what ps shows */
static void set_title(void)
{
	static const char words[] = "crkhelper\0lazy-pages";
	char *title = malloc(sizeof(words));	/* for good */

	prctl(PR_SET_NAME, FILLER_COMM);
	if (!title)
		return;
	memcpy(title, words, sizeof(words));
	prctl(PR_SET_MM, PR_SET_MM_ARG_START, title, 0, 0);
	prctl(PR_SET_MM, PR_SET_MM_ARG_END, title + sizeof(words), 0, 0);
}

static int filler_prepare(struct crk_filler *f, int ready)
{
	int dev = -1, err;

	set_title();
	setsid();
	if (chdir("/"))
		crk_warn("cannot leave its directory");
	crk_log_phase("lazy-pages");
	crk_progress(NULL, 0);
	/* to kill it would free nothing, and cost all that it fills */
	write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
	err = close_others(f, ready);
	err = err ?: crk_dev_open(&dev);
	/* see CRK_IOC_LAZY: userfaultfds have higher numbers, those of children, which are yet to come, too */
	if (!err && dev != STDERR_FILENO + 1)
		err = crk_fail(-EPROTO, "the device is descriptor %d", dev);
	err = err ?: crk_dev_lazy(dev);
	if (!err && write(ready, "", 1) != 1)
		err = -EPIPE;
	close(ready);
	return err;
}

static void __attribute__((noreturn)) filler_main(struct crk_rst *r, struct crk_filler *f, int ready)
{
	uint64_t start = now_ns();
	int err = filler_prepare(f, ready);

	if (err) {
		/* nothing has run yet, and the restore fails of it */
		__atomic_store_n(&r->sync->lazy, CRK_LAZY_FAILED, __ATOMIC_SEQ_CST);
		_exit(CRK_EXIT_FAILED);
	}
	err = crk_filler_run(f);
	if (err) {
		crk_fail(err, "the processes restored to cgroup %s are killed: not all of their memory could be brought",
			 r->sync->cgroup);
		__atomic_store_n(&r->sync->lazy, CRK_LAZY_FAILED, __ATOMIC_SEQ_CST);
		_exit(CRK_EXIT_FAILED);
	}
	__atomic_store_n(&r->sync->lazy, CRK_LAZY_DONE, __ATOMIC_SEQ_CST);
	crk_info("%ju MiB in %.3f ms", (uintmax_t)(f->bytes >> 20), (now_ns() - start) / 1e6);
	_exit(0);
}

/* in the watcher, when crkhelper lazy-pages has ended; those that wait for memory are dead by now */
static void filler_ended(void *arg)
{
	struct crk_rst *r = arg;
	uint32_t stage = __atomic_load_n(&r->sync->lazy, __ATOMIC_SEQ_CST);
	int fd;

	if (stage == CRK_LAZY_DONE)
		return;
	crk_log_phase("lazy-pages");
	if (stage == CRK_LAZY_FILLING)
		crk_fail(-ECANCELED, "crkhelper lazy-pages was killed before all memory was there: the processes restored to cgroup %s are killed with it",
			 r->sync->cgroup);
	crk_log_fd(-1);
	if (!crk_cgroup_open(r->sync->cgroup, &fd))
		write_file_at(fd, "cgroup.kill", "1");
}

static int watcher_start(struct crk_rst *r, pid_t filler)
{
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, filler, 0);
	pid_t pid;

	if (pidfd < 0)
		return crk_err(-errno, "cannot open a pidfd");
	pid = fork();
	if (!pid)
		crk_watch_main(pidfd, true, filler_ended, r);
	return pid < 0 ? crk_err(-errno, "cannot fork") : 0;
}

/* signals that end what one types or a shell runs, or are meant for the tree, are not for it; they stay blocked */
static int filler_start(struct crk_rst *r, struct crk_filler *f)
{
	_cleanup_close_ int in = -1, out = -1;
	sigset_t all, old;
	int ends[2], err;
	pid_t pid;
	char c;

	if (pipe2(ends, O_CLOEXEC))
		return crk_err(-errno, "cannot make a pipe");
	in = ends[0];
	out = high_fd(r, ends[1]);
	if (out < 0)
		return out;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = fork();
	if (!pid)
		filler_main(r, f, out);
	err = pid < 0 ? crk_err(-errno, "cannot fork") : watcher_start(r, pid);
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(steal_fd(&out));
	if (err)
		return err;
	while (read(in, &c, 1) != 1)
		if (errno != EINTR)
			return crk_fail(-ECANCELED, "crkhelper lazy-pages did not start");
	return 0;
}

int crk_lazy_start(struct crk_rst *r)
{
	struct crk_filler f = {};
	int err = crk_lazy_collect(r);
	size_t i;

	if (!r->mem->nr_lazy)
		return 0;
	for (i = 0; i < r->nr_procs && !err; i++) {
		if (!r->procs[i].mem || !r->procs[i].mem->lazy.nr)
			continue;
		err = register_proc(&r->procs[i]);
		err = err ?: filler_take(r, &f, r->procs[i].mem);
	}
	f.on_demand = r->opts->fault && !strcmp(r->opts->fault, "lazy");
	err = err ?: filler_start(r, &f);
	/* its alone: the last close is what lets a process go on with all that it has */
	crk_filler_free(&f);
	for (i = 0; i < r->nr_procs; i++) {
		if (r->procs[i].mem && r->procs[i].mem->uffd >= 0)
			close(steal_fd(&r->procs[i].mem->uffd));
	}
	crk_lazy_close(r);
	return err;
}

pid_t crk_lazy_find(void)
{
	_cleanup_closedir_ DIR *dir = opendir("/proc");
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		pid_t pid = atoi(e->d_name);
		char comm[17];

		if (pid <= 0)
			continue;
		crk_pid_comm(pid, comm);
		if (!strcmp(comm, FILLER_COMM))
			return pid;
	}
	return 0;
}
