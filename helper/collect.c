// SPDX-License-Identifier: GPL-2.0
/*
 * The model of a dump: processes and threads of the frozen cgroup with their records, descriptors and mappings, as the
 * module gives them.  What crk can't carry is refused here by name, before a page is copied; kinds of files refuse
 * for themselves in files/, properties of tasks in task/.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "../arch/host.h"
#include "dump.h"

#define COMM(p)	((const char *)(p)->leader->comm)

const void *crk_rec_find(const struct crk_rec *recs, size_t len, uint32_t type, const void *prev)
{
	const char *p = (const char *)recs, *end = p + len;

	if (prev)
		p = (const char *)prev + ((const struct crk_rec *)prev)->size;
	while (p + sizeof(struct crk_rec) <= end) {
		const struct crk_rec *rec = (const struct crk_rec *)p;

		if (rec->size < sizeof(*rec) || rec->size > (size_t)(end - p))
			break;
		if (rec->type == type)
			return rec;
		p += rec->size;
	}
	return NULL;
}

/* kinds of what is in the index besides objects that processes share */
static const char by_pid, by_tid;

struct crk_dproc *crk_dump_proc(struct crk_dump *d, pid_t pid)
{
	return crk_index_find(&d->index, &by_pid, pid, 0);
}

pid_t crk_dump_owner(struct crk_dump *d, pid_t tid)
{
	const struct crk_task *t = crk_index_find(&d->index, &by_tid, tid, 0);

	return t ? t->tgid : 0;
}

/* the kernel's own way leads over the leader, which has no files any more when it has exited */
int crk_dump_getfd(const struct crk_dump *d, const struct crk_dproc *p, int fd)
{
	if (p->live == p->leader)
		return syscall(SYS_pidfd_getfd, p->pidfd, fd, 0);
	fd = crk_dev_fd_get(d->dev, p->live->tid, fd);
	if (fd >= 0)
		return fd;
	errno = -fd;
	return -1;
}

/* ---- tasks ---- */

static int proc_open(struct crk_dproc *p)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", p->live->tid);
	p->procfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->procfd < 0)
		return crk_err(-errno, "%s", path);
	if (p->zombie || p->live != p->leader)
		return 0;
	p->pidfd = syscall(SYS_pidfd_open, p->pid, 0);
	return p->pidfd < 0 ? crk_err(-errno, "pid %d (%s)", p->pid, COMM(p)) : 0;
}

/* the first process with the object that @p has at @id_off of its task, NULL if that is @p */
static int first_with(struct crk_dump *d, struct crk_dproc *p, size_t id_off, struct crk_dproc **ret)
{
	/* one kind per member of struct crk_task */
	static const char kinds[sizeof(struct crk_task)];
	uint64_t id = *(const uint64_t *)((const char *)p->live + id_off);

	*ret = id ? crk_index_find(&d->index, &kinds[id_off], id, 0) : NULL;
	return !id || *ret ? 0 : crk_index_add(&d->index, &kinds[id_off], id, 0, p);
}

#define FIRST_WITH(d, p, field, ret) first_with(d, p, offsetof(struct crk_task, field), ret)

/* the process of a tracer, NULL if that is not in the dump */
static struct crk_dproc *tracer_of(struct crk_dump *d, int32_t tid)
{
	pid_t pid = tid ? crk_dump_owner(d, tid) : 0;

	return pid ? crk_dump_proc(d, pid) : NULL;
}

static int refuse_traced(struct crk_dump *d, const struct crk_dproc *p, const struct crk_task *t)
{
	const struct crk_dproc *tracer = tracer_of(d, t->tracer_tid);
	char comm[17];

	if (!(t->flags & CRK_TASK_TRACED))
		return 0;
	if (d->opts->refuse_traced) {
		crk_pid_comm(t->tracer_tid, comm);
		return crk_fail(-EBUSY, "pid %d (%s) tid %d: is traced by pid %d (%s), and --refuse-traced was given", p->pid,
				COMM(p), t->tid, t->tracer_tid, comm);
	}
	if (!(t->flags & (CRK_TASK_ZOMBIE | CRK_TASK_DEAD)))
		return 0;
	/* a process that its parent traces is waited for just once */
	if (t->tid == t->tgid && (!tracer || tracer == p->parent))
		return 0;
	return crk_fail(-EAGAIN, "pid %d (%s) tid %d: has exited and its tracer, pid %d, has not waited for it yet: try again",
			p->pid, COMM(p), t->tid, t->tracer_tid);
}

static int refuse_thread(struct crk_dump *d, const struct crk_dproc *p, const struct crk_task *t)
{
	if (t->flags & CRK_TASK_WORKER)
		return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: io_uring and vhost workers are not supported", p->pid,
				COMM(p), t->tid);
	if (t->flags & CRK_TASK_SECCOMP)
		return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: seccomp filters are not supported", p->pid, COMM(p),
				t->tid);
	if (t->flags & CRK_TASK_MEMPOLICY)
		return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: NUMA memory policies (set_mempolicy) are not supported", p->pid,
				COMM(p), t->tid);
	return refuse_traced(d, p, t);
}

static const char * const namespaces[] = {
	"cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts",
};

/* those that crkhelper is in; 0 for a kind that the kernel has not */
struct own_namespaces {
	uint64_t id;			/* struct crk_task.ns_id of tasks that are in the same */
	dev_t dev[ARRAY_SIZE(namespaces)];
	ino_t ino[ARRAY_SIZE(namespaces)];
};

static void namespaces_look(struct own_namespaces *own)
{
	struct stat st;
	char path[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(namespaces); i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", namespaces[i]);
		if (stat(path, &st))
			continue;
		own->dev[i] = st.st_dev;
		own->ino[i] = st.st_ino;
	}
}

/* a namespace of its own: created within the tree, or the tree lives in a container */
static int refuse_namespaces(const struct crk_dproc *p, struct own_namespaces *own)
{
	char path[64];
	size_t i;

	if (p->live->ns_id && p->live->ns_id == own->id)
		return 0;
	for (i = 0; i < ARRAY_SIZE(namespaces); i++) {
		struct stat theirs = {};

		if (!own->ino[i])
			continue;
		snprintf(path, sizeof(path), "ns/%s", namespaces[i]);
		/* pid_for_children is not there until the first child is: surely not ours; others go with their task */
		if (fstatat(p->procfd, path, &theirs, 0) && (errno != ENOENT || !strstr(namespaces[i], "_for_children")))
			return crk_err(-errno, "pid %d (%s): ns/%s", p->pid, COMM(p), namespaces[i]);
		if (own->ino[i] != theirs.st_ino || own->dev[i] != theirs.st_dev)
			return crk_fail(-EOPNOTSUPP, "pid %d (%s): is in a foreign %s namespace: not supported", p->pid,
					COMM(p), namespaces[i]);
	}
	own->id = p->live->ns_id;
	return 0;
}

/*
 * The child of a vfork, or of CLONE_VM.  When it is made again its parent waits, and all others are there already: so
 * nobody may depend on it.
 */
static int refuse_sharer(const struct crk_dump *d, const struct crk_dproc *p)
{
	const char *why = NULL;
	size_t i;

	if (!p->parent || (p->parent != p->mm_of && p->parent->mm_of != p->mm_of))
		why = "which is not its parent's";
	else if (p->nr_threads > 1)
		why = "and has threads";
	for (i = 0; i < d->nr_procs && !why; i++) {
		const struct crk_dproc *q = &d->procs[i];

		if (q == p)
			continue;
		if (q->leader->pgid == p->pid || q->leader->sid == p->pid)
			why = "and leads a process group or session of others";
		else if (q->parent == p && q->live->mm_id != p->live->mm_id)
			why = "and has children of its own";
	}
	if (!why)
		return 0;
	return crk_fail(-EOPNOTSUPP, "pid %d (%s): shares the memory of pid %d (%s), %s: not supported", p->pid, COMM(p),
			p->mm_of->pid, COMM(p->mm_of), why);
}

static int refuse_process(struct crk_dump *d, struct crk_dproc *p, struct own_namespaces *own)
{
	struct crk_dproc *q;
	size_t i;
	int err;

	for (i = 0; i < p->nr_threads; i++) {
		err = refuse_thread(d, p, p->leader + i);
		if (err)
			return err;
	}
	err = FIRST_WITH(d, p, mm_id, &p->mm_of);
	if (!err && p->mm_of)
		err = refuse_sharer(d, p);
	err = err ?: FIRST_WITH(d, p, sighand_id, &q);
	if (err)
		return err;
	if (q)
		return crk_fail(-EOPNOTSUPP, "pid %d (%s): shares its signal actions with pid %d (%s): not supported",
				p->pid, COMM(p), q->pid, COMM(q));
	for (i = 0; i < p->nr_threads; i++) {
		const struct crk_task *t = p->leader + i;

		if (!p->zombie && !(t->flags & CRK_TASK_DEAD) &&
		    (t->files_id != p->live->files_id || t->fs_id != p->live->fs_id))
			return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: has open files or a working directory of its own",
					p->pid, COMM(p), t->tid);
	}
	return p->zombie ? 0 : refuse_namespaces(p, own);
}

int crk_collect_tasks(struct crk_dump *d)
{
	struct own_namespaces own = {};
	size_t i, nr = 0;
	int err;

	err = crk_dev_tasks(d->dev, &d->tasks, &d->nr_tasks);
	if (err)
		return err;
	if (!d->nr_tasks)
		return crk_fail(-ESRCH, "the cgroup is empty");
	for (i = 0; i < d->nr_tasks && !err; i++) {
		nr += d->tasks[i].tid == d->tasks[i].tgid;
		err = crk_index_add(&d->index, &by_tid, d->tasks[i].tid, 0, &d->tasks[i]);
	}
	if (err)
		return err;
	d->procs = calloc(nr, sizeof(*d->procs));
	if (!d->procs)
		return crk_oom();
	for (i = 0; i < d->nr_tasks; i++) {
		const struct crk_task *t = &d->tasks[i];
		struct crk_dproc *p;

		if (t->tid != t->tgid) {
			if (!d->nr_procs || d->procs[d->nr_procs - 1].pid != t->tgid)
				return crk_fail(-ESTALE, "tid %d: its process %d is not in the cgroup", t->tid, t->tgid);
			p = &d->procs[d->nr_procs - 1];
			p->nr_threads++;
			if (p->live->flags & CRK_TASK_DEAD)
				p->live = t;
			continue;
		}
		p = &d->procs[d->nr_procs++];
		p->leader = p->live = t;
		p->nr_threads = 1;
		p->pid = t->tgid;
		p->zombie = t->flags & CRK_TASK_ZOMBIE;
		p->pidfd = p->procfd = -1;
		p->parent = crk_dump_proc(d, t->ppid);
		if (p->parent && !p->zombie)
			p->parent->has_children = true;
		err = crk_index_add(&d->index, &by_pid, p->pid, 0, p);
		if (err)
			return err;
	}
	namespaces_look(&own);
	for (i = 0; i < d->nr_procs; i++) {
		struct crk_dproc *p = &d->procs[i];

		err = proc_open(p);
		err = err ?: refuse_process(d, p, &own);
		if (!err && !p->zombie)
			err = FIRST_WITH(d, p, files_id, &p->files_of) ?: FIRST_WITH(d, p, fs_id, &p->fs_of);
		if (err)
			return err;
	}
	return 0;
}

/* ---- records, descriptors, mappings ---- */

static int split_records(struct crk_dump *d)
{
	const char *pos = d->recs, *end = pos + d->recs_len;
	struct crk_dproc *p;
	size_t i;

	/* one set per task, in the order of the tasks */
	for (p = d->procs; p < d->procs + d->nr_procs; p++) {
		p->recs = calloc(p->nr_threads, sizeof(*p->recs));
		p->recs_len = calloc(p->nr_threads, sizeof(*p->recs_len));
		if (!p->recs || !p->recs_len)
			return crk_oom();
		for (i = 0; i < p->nr_threads; i++) {
			const struct crk_rec_task *head = (const void *)pos;
			const void *next;

			if (pos + sizeof(*head) > end || head->rec.type != CRK_REC_TASK || head->tid != p->leader[i].tid)
				return crk_fail(-ESTALE, "pid %d (%s) tid %d: came or went while its state was read",
						p->pid, COMM(p), p->leader[i].tid);
			next = crk_rec_find((const void *)pos, end - pos, CRK_REC_TASK, pos);
			p->recs[i] = (const void *)pos;
			p->recs_len[i] = (next ? (const char *)next : end) - pos;
			pos += p->recs_len[i];
		}
		if (p->zombie)
			continue;
		p->mm = crk_rec_find(p->recs[0], p->recs_len[0], CRK_REC_MM, NULL);
		p->actions = crk_rec_find(p->recs[0], p->recs_len[0], CRK_REC_ACTIONS, NULL);
		if (!p->mm || !p->actions)
			return crk_fail(-EPROTO, "pid %d (%s): the module gave no record of its %s", p->pid, COMM(p),
					p->mm ? "signal actions" : "address space");
	}
	return 0;
}

/* asleep in vfork: the child must come along */
static int refuse_vfork(struct crk_dump *d, const struct crk_dproc *p)
{
	size_t i;

	for (i = 0; i < p->nr_threads; i++) {
		const struct crk_rec_thread *t = crk_rec_find(p->recs[i], p->recs_len[i], CRK_REC_THREAD, NULL);
		const struct crk_dproc *child;

		if (!t || t->syscall != CRK_SYSCALL_VFORK)
			continue;
		child = crk_dump_proc(d, t->vfork_tid);
		if (!child || child->parent != p)
			return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: waits in vfork for pid %d, which is no child of it in the cgroup: not supported",
					p->pid, COMM(p), p->leader[i].tid, t->vfork_tid);
	}
	return 0;
}

/*
 * A tracer outside stays where it is, and the copy goes on as if it had let go: with the signal that it was about to
 * get, but not with what is the debugger's own affair: the trap of a breakpoint or a step, and the SIGSTOP by which it
 * attaches and holds threads.  Its hardware breakpoints go too: nobody would be there to take their traps.
 */
static bool is_debuggers(const struct crk_rec_trace *rec)
{
	if (rec->stop != CRK_TRACE_STOP_SIGNAL)
		return false;
	return rec->code == SIGTRAP ? ((const siginfo_t *)rec->info)->si_code > 0 :
				      rec->code == SIGSTOP && !rec->report;
}

static void drop_breakpoints(const struct crk_dproc *p, size_t i)
{
	struct crk_rec_arch *rec = NULL;

	while ((rec = (void *)crk_rec_find(p->recs[i], p->recs_len[i], CRK_REC_ARCH, rec)))
		if (rec->what == CRK_ARCH_BREAKPOINTS)
			rec->what = CRK_ARCH_NONE;
}

/*
 * A debugger that stops all threads sends each a SIGSTOP; one that has run into a breakpoint meanwhile is held for that,
 * with the SIGSTOP still pending.  The debugger would get rid of it when it lets go.
 */
static void drop_stops(const struct crk_dproc *p, size_t i, pid_t tracer_tid)
{
	struct crk_rec_siginfo *rec = NULL;
	char path[48];

	while ((rec = (void *)crk_rec_find(p->recs[i], p->recs_len[i], CRK_REC_SIGINFO, rec))) {
		const siginfo_t *info = (const void *)rec->info;	/* but for the pid, where ABIs differ */
		pid_t sender;

		if (rec->signo != SIGSTOP || rec->flags & CRK_SIGINFO_PROCESS || info->si_code != SI_TKILL)
			continue;
		memcpy(&sender, rec->info + crk_host->info_pid, sizeof(sender));
		snprintf(path, sizeof(path), "/proc/%d/task/%d", sender, tracer_tid);
		if (!access(path, F_OK))
			rec->rec.type = CRK_REC_NONE;
	}
}

static int traced_adjust(struct crk_dump *d, const struct crk_dproc *p)
{
	struct crk_rec_trace *rec;
	char comm[17];
	size_t i;

	for (i = 0; i < p->nr_threads; i++) {
		rec = (void *)crk_rec_find(p->recs[i], p->recs_len[i], CRK_REC_TRACE, NULL);
		if (!rec)
			continue;
		if (rec->stop == CRK_TRACE_STOP_EVENT && rec->code >> 8 == PTRACE_EVENT_EXIT)
			return crk_fail(-EAGAIN, "pid %d (%s) tid %d: is about to exit, held by its tracer: try again when it has",
					p->pid, COMM(p), p->leader[i].tid);
		if (tracer_of(d, rec->tracer_tid))
			continue;
		crk_pid_comm(rec->tracer_tid, comm);
		crk_warn("pid %d (%s) tid %d: is traced by pid %d (%s), which is not in the dump: its copy is not traced, and keeps breakpoints that are in its memory now",
			 p->pid, COMM(p), p->leader[i].tid, rec->tracer_tid, comm);
		drop_stops(p, i, rec->tracer_tid);
		drop_breakpoints(p, i);
		rec->tracer_tid = 0;
		if (is_debuggers(rec))
			rec->stop = CRK_TRACE_STOP_NONE;
	}
	return 0;
}

/* the vDSO, whole and with its data, or no part of it */
static const char *special_refusal(const struct crk_rec_mm *mm, const struct crk_vma *v)
{
	if (crk_host->trampolines && !strcmp((const char *)v->name, crk_host->trampolines))
		return mm->vdso ? NULL : "signal trampolines without a vDSO";
	if (strncmp((const char *)v->name, "[vvar", 5) && strcmp((const char *)v->name, "[vdso]"))
		return "made by the kernel";
	if (!mm->vvar || v->start < mm->vvar || v->end > mm->vvar + mm->vdso_len)
		return "is not as the kernel made it, a part of the vDSO was moved, changed or unmapped";
	return NULL;
}

static const char *vma_refusal(const struct crk_rec_mm *mm, const struct crk_vma *v)
{
	if (v->flags & CRK_VMA_SPECIAL)
		return special_refusal(mm, v);
	if (v->flags & CRK_VMA_AIO_RING)
		return "ring of asynchronous I/O (io_setup)";
	if (v->flags & CRK_VMA_IO)
		return "device memory";
	if (v->flags & CRK_VMA_UFFD)
		return "registered with userfaultfd";
	if (v->flags & CRK_VMA_SECRETMEM)
		return "secret memory (memfd_secret)";
	if (v->flags & CRK_VMA_SHADOW_STACK)
		return "shadow stack";
	if (v->pkey)
		return "protection keys";
	if (v->flags & CRK_VMA_MEMPOLICY)
		return "NUMA memory policy (mbind)";
	return NULL;
}

static int refuse_mappings(const struct crk_dproc *p)
{
	size_t i;

	for (i = 0; i < p->nr_vmas; i++) {
		const struct crk_vma *v = &p->vmas[i];
		const char *why = vma_refusal(p->mm, v);
		pid_t filler = v->flags & CRK_VMA_UFFD ? crk_lazy_find() : 0;

		if (filler)
			return crk_fail(-EBUSY, "pid %d (%s) mapping %llx-%llx: crkhelper lazy-pages (pid %d) has not brought all of it yet: wait until that has ended",
					p->pid, COMM(p), (unsigned long long)v->start, (unsigned long long)v->end, filler);
		if (why)
			return crk_fail(-EOPNOTSUPP, "pid %d (%s) mapping %llx-%llx%s%.80s: %s: not supported", p->pid,
					COMM(p), (unsigned long long)v->start, (unsigned long long)v->end,
					*v->name ? " " : "", (const char *)v->name, why);
	}
	return 0;
}

static int refuse_state(const struct crk_dproc *p)
{
	const char *why;
	size_t i;

	why = crk_host->mm_refusal ? crk_host->mm_refusal(p->mm) : NULL;
	if (why)
		return crk_fail(-EOPNOTSUPP, "pid %d (%s): %s", p->pid, COMM(p), why);
	for (i = 0; i < p->nr_threads && crk_host->thread_refusal; i++) {
		why = p->recs[i] ? crk_host->thread_refusal(p->recs[i], p->recs_len[i]) : NULL;
		if (why)
			return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: %s", p->pid, COMM(p), p->leader[i].tid, why);
	}
	return 0;
}

int crk_collect_capture(struct crk_dump *d)
{
	struct crk_dproc *p;
	int err;

	err = crk_dev_capture(d->dev, &d->recs, &d->recs_len);
	if (!err)
		err = split_records(d);
	for (p = d->procs; p < d->procs + d->nr_procs && !err; p++) {
		if (p->zombie)
			continue;
		err = refuse_vfork(d, p);
		err = err ?: refuse_state(p);
		err = err ?: traced_adjust(d, p);
		if (!err)
			err = crk_dev_vmas(d->dev, p->live->tid, &p->vmas, &p->nr_vmas);
		if (!err)
			err = refuse_mappings(p);
		if (!err && !p->files_of)
			err = crk_dev_files(d->dev, p->live->tid, &p->fds, &p->nr_fds);
	}
	return err;
}

void crk_collect_free(struct crk_dump *d)
{
	struct crk_dproc *p;

	for (p = d->procs; p < d->procs + d->nr_procs; p++) {
		if (p->pidfd >= 0)
			close(p->pidfd);
		if (p->procfd >= 0)
			close(p->procfd);
		free(p->recs);
		free(p->recs_len);
		free(p->fds);
		free(p->vmas);
	}
	crk_index_free(&d->index);
	free(d->procs);
	free(d->tasks);
	free(d->recs);
}
