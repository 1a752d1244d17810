// SPDX-License-Identifier: GPL-2.0
/*
 * From images to what is to be made: processes, threads, descriptors.  All that can't work here is refused in this
 * file or in those that it calls, one sentence each, before anything is created.
 */
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../arch/host.h"
#include "restore.h"

/* descriptors that the helper needs for itself, besides those it opens for the target */
#define PLAN_OWN_FDS	64
/* how long what has ended may keep a pid */
#define ZOMBIE_WAIT_MS	2000

/* kinds of what is in the index */
static const char by_pid, by_files, by_fs, by_vm;

struct crk_rproc *crk_restore_proc(struct crk_rst *r, pid_t pid)
{
	return crk_index_find(&r->index, &by_pid, pid, 0);
}

static int cmp_pid(const void *a, const void *b)
{
	return *(const pid_t *)a - *(const pid_t *)b;
}

bool crk_pid_planned(const struct crk_rst *r, pid_t pid)
{
	return bsearch(&pid, r->sync->pids, r->sync->nr_pids, sizeof(pid), cmp_pid);
}

/* ---- reading ---- */

/* an image that a process can't be without */
static int read_needed(struct crk_rst *r, enum crk_img_type type, const char *name, unsigned int id, ProtobufCMessage **ret)
{
	int err = crk_img_read_one(r->dir, type, id, ret);

	if (err == -ENOENT)
		return crk_fail(-EBADMSG, "'%s' has no %s-%u.img", crk_imgdir_path(r->dir), name, id);
	return err;
}

static int read_records(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	ProtobufCMessage *msg;
	CrkCoreEntry *e;
	void *recs;
	int ret;

	ret = read_needed(r, CRK_IMG_CRK_CORE, "crk-core", t->tid, &msg);
	if (ret)
		return ret;
	e = (CrkCoreEntry *)msg;
	/* aligned, and ours: the message is not kept */
	recs = malloc(e->recs.len);
	if (recs) {
		memcpy(recs, e->recs.data, e->recs.len);
		t->recs = recs;
		t->recs_len = e->recs.len;
	}
	if (!recs)
		ret = crk_oom();
	else if ((pid_t)e->tid != t->tid || (pid_t)e->tgid != p->pid || e->recs.len < sizeof(struct crk_rec_task) ||
		 t->recs->type != CRK_REC_TASK)
		ret = crk_fail(-EBADMSG, "crk-core-%d.img is not of tid %d of pid %d", t->tid, t->tid, p->pid);
	crk_core_entry__free_unpacked(e, NULL);
	return ret;
}

static int read_threads(struct crk_rst *r, struct crk_rproc *p, const PstreeEntry *e)
{
	ProtobufCMessage *msg;
	size_t i;
	int ret;

	p->threads = calloc(e->n_threads, sizeof(*p->threads));
	if (!p->threads)
		return crk_oom();
	for (i = 0; i < e->n_threads; i++) {
		struct crk_rthread *t = &p->threads[i];

		t->tid = e->threads[i];
		p->nr_threads++;
		ret = read_needed(r, CRK_IMG_CORE, "core", t->tid, &msg);
		if (ret)
			return ret;
		t->core = (CoreEntry *)msg;
		if (!i) {
			if (!t->core->tc)
				return crk_fail(-EBADMSG, "core-%d.img tells nothing of the process", p->pid);
			p->zombie = t->core->tc->task_state == CRK_TASK_STATE_ZOMBIE;
			p->exit_code = t->core->tc->exit_code;
		}
		if (p->zombie)
			return 0;
		ret = read_records(r, p, t);
		if (ret)
			return ret;
	}
	return 0;
}

static int read_task(struct crk_rst *r, struct crk_rproc *p)
{
	ProtobufCMessage *msg;
	size_t i;
	int ret;

	ret = read_needed(r, CRK_IMG_CRK_TASK, "crk-task", p->pid, &msg);
	if (ret)
		return ret;
	p->task = (CrkTaskEntry *)msg;
	for (i = 0; i < p->task->n_threads; i++)
		if (i >= p->nr_threads || (pid_t)p->task->threads[i]->tid != p->threads[i].tid)
			return crk_fail(-EBADMSG, "crk-task-%d.img has other threads than pstree.img", p->pid);
	return 0;
}

static int cmp_fd(const void *a, const void *b)
{
	uint32_t x = (*(FdinfoEntry *const *)a)->fd, y = (*(FdinfoEntry *const *)b)->fd;

	return x < y ? -1 : x > y;
}

static int read_fds(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_img *img;
	ProtobufCMessage *msg;
	size_t room = 0;
	int ret, err;

	ret = crk_img_open(r->dir, CRK_IMG_FDINFO, p->files_img, &img);
	if (ret)	/* none open: no image */
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		FdinfoEntry **fd = array_add(p->fds, p->nr_fds, room);

		if (!fd) {
			protobuf_c_message_free_unpacked(msg, NULL);
			ret = crk_oom();
			break;
		}
		*fd = (FdinfoEntry *)msg;
	}
	if (p->nr_fds)
		qsort(p->fds, p->nr_fds, sizeof(*p->fds), cmp_fd);
	err = crk_img_close(img);
	return ret ?: err;
}

/* the first process with an object, NULL if that is @p */
static int first_with(struct crk_rst *r, struct crk_rproc *p, const void *kind, uint32_t id, struct crk_rproc **ret)
{
	*ret = crk_index_find(&r->index, kind, id, 0);
	return *ret ? 0 : crk_index_add(&r->index, kind, id, 0, p);
}

/* descriptors and directories, or with whom they are shared */
static int read_shared(struct crk_rst *r, struct crk_rproc *p)
{
	const TaskKobjIdsEntry *ids = p->threads[0].core->ids;
	ProtobufCMessage *msg;
	int ret;

	if (!ids)
		return crk_fail(-EBADMSG, "core-%d.img has no ids", p->pid);
	p->files_img = ids->files_id;
	ret = first_with(r, p, &by_files, ids->files_id, &p->files_of);
	ret = ret ?: first_with(r, p, &by_fs, ids->fs_id, &p->fs_of);
	ret = ret ?: first_with(r, p, &by_vm, ids->vm_id, &p->mm_of);
	if (ret)
		return ret;
	if (p->files_of) {
		p->files_of->files_shared = true;
	} else {
		ret = read_fds(r, p);
		if (ret)
			return ret;
	}
	ret = read_needed(r, CRK_IMG_FS, "fs", p->pid, &msg);
	if (ret)
		return ret;
	p->fs = (FsEntry *)msg;
	return 0;
}

static int read_process(struct crk_rst *r, struct crk_rproc *p, const PstreeEntry *e)
{
	int ret;

	p->pid = e->pid;
	p->ppid = e->ppid;
	p->pgid = e->pgid;
	p->sid = e->sid;
	if (!e->n_threads || e->threads[0] != e->pid)
		return crk_fail(-EBADMSG, "pstree.img: pid %d has no leading thread", p->pid);
	if (p->ppid && !crk_restore_proc(r, p->ppid))
		return crk_fail(-EBADMSG, "pstree.img: pid %d comes before its parent %d", p->pid, p->ppid);
	ret = crk_restore_proc(r, p->pid) ? 0 : crk_index_add(&r->index, &by_pid, p->pid, 0, p);
	ret = ret ?: read_threads(r, p, e);
	ret = ret ?: read_task(r, p);
	if (ret)
		return ret;
	if (p->task->orphan)
		p->ppid = 0;
	if (p->zombie)
		return 0;
	r->nr_tasks += p->nr_threads;
	return read_shared(r, p);
}

static int read_tree(struct crk_rst *r)
{
	PstreeEntry **entries = NULL;
	ProtobufCMessage *msg;
	size_t nr = 0, room = 0, i;
	struct crk_img *img;
	int ret, err;

	ret = crk_img_open(r->dir, CRK_IMG_PSTREE, 0, &img);
	if (ret == -ENOENT)
		return crk_fail(-EBADMSG, "'%s' has no pstree.img", crk_imgdir_path(r->dir));
	if (ret)
		return ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		PstreeEntry **e = array_add(entries, nr, room);

		if (!e) {
			protobuf_c_message_free_unpacked(msg, NULL);
			ret = crk_oom();
			break;
		}
		*e = (PstreeEntry *)msg;
	}
	err = crk_img_close(img);
	ret = ret ?: err;
	if (!ret && !nr)
		ret = crk_fail(-EBADMSG, "pstree.img is empty");
	/* pointers to processes are kept: the array never moves */
	r->procs = calloc(nr + 1, sizeof(*r->procs));
	if (!ret && !r->procs)
		ret = crk_oom();
	for (i = 0; i < nr; i++) {
		if (!ret)
			ret = read_process(r, &r->procs[r->nr_procs++], entries[i]);
		pstree_entry__free_unpacked(entries[i], NULL);
	}
	free(entries);
	return ret;
}

/* ---- this kernel and machine ---- */

static int check_cpu(struct crk_rst *r)
{
	const CrkInventoryEntry *inv = crk_imgdir_inventory(r->dir);
	_cleanup_free_ char *text = NULL;
	char missing[512] = "", *flags, *end;
	const char *const *flag;
	size_t i, len = 0;

	if (!inv->n_cpu_flags || read_file_at(AT_FDCWD, "/proc/cpuinfo", &text, NULL))
		return 0;
	flags = strstr(text, "\nflags");
	flags = flags ?: strstr(text, "\nFeatures");
	flags = flags ? strchr(flags, ':') : NULL;
	end = flags ? strchr(flags, '\n') : NULL;
	if (!end)
		return 0;
	/* a space on both sides of each word */
	end[0] = ' ';
	end[1] = '\0';
	for (flag = crk_host->cpu_flags; *flag; flag++) {
		char word[40];

		for (i = 0; i < inv->n_cpu_flags && strcmp(inv->cpu_flags[i], *flag); i++)
			;
		snprintf(word, sizeof(word), " %s ", *flag);
		if (i < inv->n_cpu_flags && !strstr(flags, word) && len < sizeof(missing))
			len += snprintf(missing + len, sizeof(missing) - len, "%s%s", len ? ", " : "", *flag);
	}
	if (!len)
		return 0;
	crk_fail(-EOPNOTSUPP, "this CPU lacks what the programs may use: %s", missing);
	crk_hint("restore on a machine like the one of the dump (%s)", inv->cpu_model ?: "model unknown");
	return -EOPNOTSUPP;
}

/* the ABIs that a thread needs, as bits */
static uint32_t thread_abis(const struct crk_info *info, const struct crk_rec_task *head,
			    const struct crk_rec_thread *t, const struct crk_rec_mm *mm)
{
	uint32_t mm_flags = mm ? mm->flags : 0;

	return (head->machine != info->out_machine || mm_flags & CRK_MM_COMPAT ? 1U << CRK_ABI_COMPAT : 0) |
	       (mm_flags & CRK_MM_X32 ? 1U << CRK_ABI_X32 : 0) |
	       (t->syscall_abi < 32 ? 1U << t->syscall_abi : 0);
}

/* the ABIs of a process's signal handlers, which return by a system call of the kind that installed them */
static uint32_t handler_abis(const struct crk_rproc *p)
{
	const struct crk_rthread *t = p->threads;
	const struct crk_rec_actions *rec = crk_rec_find(t->recs, t->recs_len, CRK_REC_ACTIONS, NULL);
	uint32_t i, abis = 0;

	_Static_assert(CRK_ACTION_COMPAT == CRK_ABI_COMPAT && CRK_ACTION_X32 == CRK_ABI_X32, "the same numbers");
	if (!rec || rec->rec.size < sizeof(*rec) || rec->nr > (rec->rec.size - sizeof(*rec)) / sizeof(rec->actions[0]))
		return 0;
	for (i = 0; i < rec->nr; i++)
		if (rec->actions[i].handler > (uintptr_t)SIG_IGN && rec->actions[i].abi < 32)
			abis |= 1U << rec->actions[i].abi;
	return abis;
}

/* what @info's kernel lacks for a thread, as words; the ABIs it needs are added to @abis */
static const char *thread_lacks(const struct crk_info *info, const struct crk_rec_task *head,
				const struct crk_rec_thread *t, const struct crk_rec_mm *mm, uint32_t *abis)
{
	uint32_t needed = thread_abis(info, head, t, mm), abi;

	for (abi = CRK_ABI_NATIVE + 1; abi < 32; abi++) {
		const struct crk_host_abi *a = needed >> abi & 1 ? crk_abi_find(abi) : NULL;

		if (needed >> abi & 1 && (!a || !(info->out_features & a->feature)))
			return a ? a->name : "ABI of its kind";
	}
	*abis |= needed;
	if (t->rseq && !(info->out_features & CRK_FEAT_RSEQ))
		return "restartable sequences";
	if (t->rseq && t->rseq_len != 32 && !(info->out_features & CRK_FEAT_RSEQ_LEN))
		return "rseq areas larger than 32 bytes";
	if (t->flags & CRK_THREAD_RSEQ_SLICE && !(info->out_features & CRK_FEAT_RSEQ_SLICE))
		return "time slice extension of rseq (CONFIG_RSEQ_SLICE_EXTENSION)";
	return NULL;
}

/* may be built in, and switched off by the kernel's command line */
static int check_abis(const struct crk_rproc *p, uint32_t abis)
{
	const struct crk_host_abi *a;

	for (a = crk_host->abis; a->name; a++)
		if (abis >> a->abi & 1 && !crk_abi_works(a))
			return crk_fail(-EOPNOTSUPP, "pid %d (%s): needs %s: %s", p->pid, crk_rproc_comm(p), a->name,
					a->off);
	return 0;
}

static int check_threads(const struct crk_rproc *p, const struct crk_info *info, uint32_t *abis)
{
	const struct crk_rec_mm *mm = crk_rec_find(p->threads[0].recs, p->threads[0].recs_len, CRK_REC_MM, NULL);
	size_t i;

	for (i = 0; i < p->nr_threads; i++) {
		const struct crk_rec_task *head = (const void *)p->threads[i].recs;
		const struct crk_rec_thread *t = crk_rec_find(p->threads[i].recs, p->threads[i].recs_len,
							      CRK_REC_THREAD, NULL);
		const char *what;

		if (head->flags & CRK_TASK_DEAD)
			continue;
		if (!t)
			return crk_fail(-EBADMSG, "crk-core-%d.img has no record of the thread", p->threads[i].tid);
		if (!crk_host->owns(head->machine))
			return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: is of another architecture than %s", p->pid,
					crk_rproc_comm(p), p->threads[i].tid, crk_host->name);
		what = thread_lacks(info, head, t, mm, abis);
		if (what)
			return crk_fail(-EOPNOTSUPP, "pid %d (%s) tid %d: this kernel has no %s", p->pid,
					crk_rproc_comm(p), p->threads[i].tid, what);
	}
	return 0;
}

static int check_kernel(struct crk_rst *r)
{
	const CrkInventoryEntry *inv = crk_imgdir_inventory(r->dir);
	struct crk_info info = {};
	const struct crk_rproc *p;
	uint32_t known = 0;
	int ret;

	ret = crk_dev_info(r->dev, &info);
	if (ret)
		return ret;
	if (inv->abi > info.out_abi)
		return crk_fail(-EOPNOTSUPP, "the images are of ABI %u, the module knows %u: load a newer crk.ko", inv->abi,
				info.out_abi);
	if (inv->page_size != info.out_page_size)
		return crk_fail(-EOPNOTSUPP, "the images are of %u-byte pages, this kernel has %u", inv->page_size,
				info.out_page_size);
	for (p = r->procs; p < r->procs + r->nr_procs && !ret; p++) {
		uint32_t abis;

		if (p->zombie)
			continue;
		abis = handler_abis(p);
		ret = check_threads(p, &info, &abis) ?: check_abis(p, abis & ~known);
		known |= abis;
	}
	return ret;
}

/* ---- pids ---- */

static int plan_pids(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	size_t i, j, nr = 0;

	for (i = 0; i < r->nr_procs; i++)
		nr += r->procs[i].nr_threads + 2;
	s->pids = calloc(nr, sizeof(*s->pids));
	if (!s->pids)
		return crk_oom();
	for (i = 0; i < r->nr_procs; i++)
		for (j = 0; j < r->procs[i].nr_threads; j++)
			s->pids[s->nr_pids++] = r->procs[i].threads[j].tid;
	qsort(s->pids, s->nr_pids, sizeof(*s->pids), cmp_pid);
	for (i = 1; i < s->nr_pids; i++)
		if (s->pids[i] == s->pids[i - 1])
			return crk_fail(-EBADMSG, "pid %d is in the images twice", s->pids[i]);
	return 0;
}

/* what a dump has just ended may not have been waited for: it has a moment, all of them together *@patience_ms */
static bool pid_is_taken(pid_t pid, int *patience_ms)
{
	while (!kill(pid, 0) || errno != ESRCH) {
		if (!*patience_ms || !crk_pid_ended(pid))
			return true;
		usleep(1000);
		(*patience_ms)--;
	}
	return false;
}

static int pid_taken(pid_t pid)
{
	char comm[17];

	crk_pid_comm(pid, comm);
	crk_fail(-EEXIST, "pid %d is taken (%s)", pid, comm);
	if (pid == getpid())
		crk_hint("that is crkhelper itself: the next try gets another number");
	else if (crk_pid_ended(pid))
		crk_hint("it has ended, and keeps the pid until its parent waits for it");
	else
		crk_hint("restore keeps the pids of the dump: end that process, or restore in a pid namespace of its own");
	return -EEXIST;
}

static int check_pids(const struct crk_rst *r)
{
	const struct crk_sync *s = r->sync;
	_cleanup_free_ char *text = NULL;
	int patience_ms = ZOMBIE_WAIT_MS;
	size_t i;
	pid_t max;

	max = read_file_at(AT_FDCWD, "/proc/sys/kernel/pid_max", &text, NULL) ? 0 : atoi(text);
	if (max && s->pids[s->nr_pids - 1] >= max) {
		crk_fail(-EINVAL, "pid %d is beyond this system's highest, %d", s->pids[s->nr_pids - 1], max - 1);
		crk_hint("sysctl kernel.pid_max=%d", s->pids[s->nr_pids - 1] + 1);
		return -EINVAL;
	}
	for (i = 0; i < s->nr_pids; i++)
		if (pid_is_taken(s->pids[i], &patience_ms))
			return pid_taken(s->pids[i]);
	return 0;
}

/* ---- descriptors ---- */

/* the target's numbers stay free; what the helper holds goes above them */
static int plan_fds(struct crk_rst *r)
{
	static const int limits[] = {
		RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_LOCKS, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NPROC,
		RLIMIT_SIGPENDING,
	};
	int fd, top = STDERR_FILENO, ret;
	size_t i, j;

	for (i = 0; i < r->nr_procs; i++)
		for (j = 0; j < r->procs[i].nr_fds; j++)
			top = max(top, (int)r->procs[i].fds[j]->fd);
	r->fd_base = top + 1;
	/* the target's limits are set in the end; until then ours must not be in the way */
	for (i = 0; i < ARRAY_SIZE(limits); i++)
		crk_limit_raise(limits[i], RLIM_INFINITY);
	ret = crk_limit_raise_files(r->fd_base + PLAN_OWN_FDS);
	if (ret)
		return crk_err(ret, "cannot have descriptors above %d, which the images need", r->fd_base);
	fd = fcntl(r->dev, F_DUPFD_CLOEXEC, r->fd_base);
	if (fd < 0)
		return crk_err(-errno, "cannot move a descriptor above %d", r->fd_base);
	close(r->dev);
	r->dev = fd;
	return crk_imgdir_raise_fd(r->dir, r->fd_base);
}

int crk_plan(struct crk_rst *r)
{
	size_t i;
	int ret;

	ret = check_cpu(r);
	ret = ret ?: read_tree(r);
	ret = ret ?: check_kernel(r);
	ret = ret ?: crk_sync_create(r);
	ret = ret ?: plan_pids(r);
	ret = ret ?: check_pids(r);
	ret = ret ?: crk_cgroups_plan(r);
	for (i = 0; i < r->nr_procs && !ret; i++)
		if (!r->procs[i].zombie)
			ret = crk_props_run(r, &r->procs[i], CRK_PROP_CHECK);
	ret = ret ?: plan_fds(r);
	ret = ret ?: crk_birth_plan(r);
	ret = ret ?: crk_files_plan(r);
	return ret ?: crk_mem_plan(r);
}

void crk_plan_free(struct crk_rst *r)
{
	size_t i, j;

	crk_birth_free(r);
	for (i = 0; i < r->nr_procs; i++) {
		struct crk_rproc *p = &r->procs[i];

		for (j = 0; j < p->nr_threads; j++) {
			core_entry__free_unpacked(p->threads[j].core, NULL);
			free((void *)p->threads[j].recs);
		}
		for (j = 0; j < p->nr_fds; j++)
			fdinfo_entry__free_unpacked(p->fds[j], NULL);
		free(p->fds);
		free(p->threads);
		crk_task_entry__free_unpacked(p->task, NULL);
		fs_entry__free_unpacked(p->fs, NULL);
	}
	crk_index_free(&r->index);
	free(r->procs);
	r->procs = NULL;
	r->nr_procs = 0;
	crk_cgroups_free(r);
	if (r->sync)
		free(r->sync->pids);
}
