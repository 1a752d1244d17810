// SPDX-License-Identifier: GPL-2.0
/*
 * The images of processes and threads: pstree, ids, core, crk-core, crk-task.  Fills what needs no property of its
 * own and calls the properties in turn, for the dump and for the steps of a restore.
 */
#include <string.h>

#include "../../arch/host.h"
#include "task.h"

#define CRK_PROP(prop)	extern const struct crk_prop_ops crk_prop_##prop;
#include "props.def"
#undef CRK_PROP

static const struct crk_prop_ops *const props[] = {
#define CRK_PROP(prop)	&crk_prop_##prop,
#include "props.def"
#undef CRK_PROP
};

/* struct robust_list_head of a 64-bit task */
#define ROBUST_LIST_LEN	24

const char *crk_rproc_comm(const struct crk_rproc *p)
{
	const CoreEntry *core = p->nr_threads ? p->threads[0].core : NULL;

	if (!core || !core->tc || !core->tc->comm)
		return "?";
	return core->tc->comm;
}

/* ---- steps of a restore ---- */

static int prop_run(const struct crk_prop_ops *ops, struct crk_rst *r, struct crk_rproc *p, enum crk_prop_step step)
{
	switch (step) {
	case CRK_PROP_CHECK:
		return ops->check ? ops->check(r, p) : 0;
	case CRK_PROP_EARLY:
		return ops->restore_early ? ops->restore_early(r, p) : 0;
	case CRK_PROP_OUTSIDE:
		return ops->restore_outside ? ops->restore_outside(r, p) : 0;
	}
	return -EINVAL;
}

int crk_props_run(struct crk_rst *r, struct crk_rproc *p, enum crk_prop_step step)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(props) && !ret; i++)
		ret = prop_run(props[i], r, p, step);
	return ret;
}

int crk_props_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < ARRAY_SIZE(props) && !ret; i++)
		if (props[i]->restore_thread)
			ret = props[i]->restore_thread(r, p, t);
	return ret;
}

/* ---- dump ---- */

static int comm_fill(char **ret, const uint8_t *comm)
{
	*ret = strndup((const char *)comm, 15);
	return *ret ? 0 : crk_oom();
}

static int thread_core_fill(ThreadCoreEntry *tc, const struct crk_rec_thread *rec)
{
	tc->futex_rla = rec->robust_list;
	tc->futex_rla_len = rec->robust_list ? ROBUST_LIST_LEN : 0;
	tc->has_blk_sigset = true;
	tc->blk_sigset = rec->flags & CRK_THREAD_RESTORE_MASK ? rec->saved_mask : rec->blocked;
	tc->sas = msg_new(ThreadSasEntry, thread_sas_entry__init);
	if (!tc->sas)
		return -ENOMEM;
	tc->sas->ss_sp = rec->altstack_sp;
	tc->sas->ss_size = rec->altstack_size;
	tc->sas->ss_flags = rec->altstack_flags;
	if (rec->rseq) {
		tc->rseq_entry = msg_new(RseqEntry, rseq_entry__init);
		if (!tc->rseq_entry)
			return -ENOMEM;
		tc->rseq_entry->rseq_abi_pointer = rec->rseq;
		tc->rseq_entry->rseq_abi_size = rec->rseq_len;
		tc->rseq_entry->signature = rec->rseq_sig;
	}
	return comm_fill(&tc->comm, rec->comm);
}

static int task_core_fill(TaskCoreEntry *tc, const struct crk_dproc *p, const struct crk_rec_thread *rec)
{
	tc->task_state = p->zombie ? CRK_TASK_STATE_ZOMBIE : CRK_TASK_STATE_ALIVE;
	tc->exit_code = p->leader->flags & (CRK_TASK_ZOMBIE | CRK_TASK_DEAD) ? p->leader->exit_code : 0;
	if (rec) {
		tc->personality = rec->personality;
		tc->blk_sigset = rec->flags & CRK_THREAD_RESTORE_MASK ? rec->saved_mask : rec->blocked;
	}
	return comm_fill(&tc->comm, p->leader->comm);
}

static int core_fill(const struct crk_dproc *p, size_t i, CoreEntry *core)
{
	const struct crk_rec_thread *rec = dproc_rec(p, i, CRK_REC_THREAD, NULL);
	int ret;

	core->mtype = crk_host->march;
	if (!i) {
		core->tc = msg_new(TaskCoreEntry, task_core_entry__init);
		if (!core->tc)
			return -ENOMEM;
		ret = task_core_fill(core->tc, p, rec);
		if (ret)
			return ret;
	}
	if (p->zombie)
		return 0;
	if (!rec && !(p->leader[i].flags & CRK_TASK_DEAD))
		return crk_fail(-EPROTO, TASK_FMT ": the module gave no record of it", DTASK_ARGS(p, i));
	core->thread_core = msg_new(ThreadCoreEntry, thread_core_entry__init);
	if (!core->thread_core)
		return -ENOMEM;
	/* of a leader that has exited only the name is left, and the credentials */
	if (!rec)
		return comm_fill(&core->thread_core->comm, p->leader[i].comm);
	ret = thread_core_fill(core->thread_core, rec);
	return ret ?: crk_host->core_fill(core, p->recs[i], p->recs_len[i]);
}

/* the first process that has it gives the number: @of, or NULL if that is @p */
static uint32_t id_of(const struct crk_dump *d, const struct crk_dproc *p, const struct crk_dproc *of)
{
	return (of ?: p) - d->procs + 1;
}

static int ids_fill(const struct crk_dump *d, const struct crk_dproc *p, CoreEntry *core)
{
	TaskKobjIdsEntry *ids = msg_new(TaskKobjIdsEntry, task_kobj_ids_entry__init);

	core->ids = ids;
	if (!ids)
		return -ENOMEM;
	ids->vm_id = id_of(d, p, p->mm_of);
	ids->files_id = id_of(d, p, p->files_of);
	ids->fs_id = id_of(d, p, p->fs_of);
	ids->sighand_id = id_of(d, p, NULL);
	return crk_img_write_one(d->dir, CRK_IMG_IDS, p->pid, &ids->base);
}

static int entry_fill(const struct crk_dproc *p, const struct crk_dproc *root, CrkTaskEntry *te)
{
	size_t i;

	te->pid = p->pid;
	te->has_orphan = te->orphan = !p->parent && p != root;
	te->has_exit_signal = p->leader->exit_signal >= 0;
	te->exit_signal = te->has_exit_signal ? p->leader->exit_signal : 0;
	te->has_start_boottime_ns = te->has_utime_ns = te->has_stime_ns = true;
	te->start_boottime_ns = p->leader->start_ns;
	te->threads = calloc(p->nr_threads, sizeof(*te->threads));
	if (!te->threads)
		return crk_oom();
	for (i = 0; i < p->nr_threads; i++) {
		CrkThreadEntry *e = msg_new(CrkThreadEntry, crk_thread_entry__init);

		if (!e)
			return -ENOMEM;
		te->threads[te->n_threads++] = e;
		e->tid = p->leader[i].tid;
		te->utime_ns += p->leader[i].utime_ns;
		te->stime_ns += p->leader[i].stime_ns;
	}
	return 0;
}

static int records_write(struct crk_dump *d, const struct crk_dproc *p, size_t i)
{
	CrkCoreEntry e = CRK_CORE_ENTRY__INIT;

	e.tid = p->leader[i].tid;
	e.tgid = p->pid;
	e.abi = CRK_ABI;
	e.recs.data = (uint8_t *)p->recs[i];
	e.recs.len = p->recs_len[i];
	return crk_img_write_one(d->dir, CRK_IMG_CRK_CORE, e.tid, &e.base);
}

static int images_write(struct crk_dump *d, const struct crk_dproc *p, const CrkTaskEntry *te, CoreEntry **cores)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < p->nr_threads && !ret; i++) {
		ret = crk_img_write_one(d->dir, CRK_IMG_CORE, p->leader[i].tid, &cores[i]->base);
		if (!ret && !p->zombie)
			ret = records_write(d, p, i);
	}
	return ret ?: crk_img_write_one(d->dir, CRK_IMG_CRK_TASK, p->pid, &te->base);
}

static int proc_fill(struct crk_dump *d, struct crk_dproc *p, const struct crk_dproc *root, CrkTaskEntry *te,
		     CoreEntry **cores)
{
	size_t i;
	int ret;

	ret = entry_fill(p, root, te);
	for (i = 0; i < p->nr_threads && !ret; i++) {
		cores[i] = msg_new(CoreEntry, core_entry__init);
		ret = cores[i] ? core_fill(p, i, cores[i]) : -ENOMEM;
	}
	if (ret || p->zombie)
		return ret;
	ret = ids_fill(d, p, cores[0]);
	for (i = 0; i < ARRAY_SIZE(props) && !ret; i++)
		if (props[i]->dump)
			ret = props[i]->dump(d, p, te, cores);
	return ret;
}

static int proc_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_dproc *root)
{
	CrkTaskEntry *te = msg_new(CrkTaskEntry, crk_task_entry__init);
	CoreEntry **cores = calloc(p->nr_threads, sizeof(*cores));
	size_t i;
	int ret;

	ret = te && cores ? proc_fill(d, p, root, te, cores) : -ENOMEM;
	ret = ret ?: images_write(d, p, te, cores);
	for (i = 0; cores && i < p->nr_threads; i++)
		if (cores[i])
			core_entry__free_unpacked(cores[i], NULL);
	free(cores);
	if (te)
		crk_task_entry__free_unpacked(te, NULL);
	return ret;
}

/* orphans show as children of the root: readers of pstree.img want one tree */
static int pstree_put(struct crk_img *img, const struct crk_dproc *p, const struct crk_dproc *root)
{
	PstreeEntry e = PSTREE_ENTRY__INIT;
	size_t i;
	int ret;

	e.pid = p->pid;
	e.ppid = p->parent ? p->parent->pid : p == root ? 0 : root->pid;
	e.pgid = p->leader->pgid;
	e.sid = p->leader->sid;
	e.n_threads = p->nr_threads;
	e.threads = calloc(p->nr_threads, sizeof(*e.threads));
	if (!e.threads)
		return crk_oom();
	for (i = 0; i < p->nr_threads; i++)
		e.threads[i] = p->leader[i].tid;
	ret = crk_img_put(img, &e.base);
	free(e.threads);
	return ret;
}

/* a dead process that nobody in the dump waits for is not brought back */
static bool is_left_out(const struct crk_dproc *p)
{
	return p->zombie && !p->parent;
}

static struct crk_dproc *find_root(struct crk_dump *d)
{
	struct crk_dproc *p = d->opts->tree ? crk_dump_proc(d, d->opts->tree) : NULL;

	if (p && !p->parent && !p->zombie)
		return p;
	for (p = d->procs; p < d->procs + d->nr_procs; p++)
		if (!p->parent && !p->zombie)
			return p;
	return NULL;
}

/* @p with its parents before it, @done says who is written already */
static int tree_put(struct crk_dump *d, struct crk_img *img, struct crk_dproc *p, const struct crk_dproc *root, bool *done)
{
	int ret;

	if (done[p - d->procs] || is_left_out(p))
		return 0;
	done[p - d->procs] = true;
	ret = p->parent ? tree_put(d, img, p->parent, root, done) : 0;
	ret = ret ?: pstree_put(img, p, root);
	return ret ?: proc_dump(d, p, root);
}

int crk_task_dump(struct crk_dump *d)
{
	_cleanup_free_ bool *done = calloc(d->nr_procs, sizeof(*done));
	struct crk_dproc *root = find_root(d);
	struct crk_img *img = NULL;
	int ret, err;
	size_t i;

	if (!done)
		return crk_oom();
	if (!root)
		return crk_fail(-ESRCH, "no process of the cgroup is alive");
	ret = crk_img_create(d->dir, CRK_IMG_PSTREE, 0, &img);
	if (ret)
		return ret;
	/* the root is the first one */
	ret = tree_put(d, img, root, root, done);
	for (i = 0; i < d->nr_procs && !ret; i++)
		ret = tree_put(d, img, &d->procs[i], root, done);
	err = crk_img_close(img);
	return ret ?: err;
}
