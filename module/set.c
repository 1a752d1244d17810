// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_SET: gives parked threads their registers and keeps the rest of their state until they leave the gate.
 * Knows records and regsets; what may be in a set and which comes first is the architecture's.
 *
 * regset->set() wants a task that is off its CPU and stays so; current is no good, since its FPU registers are
 * in use.  A parked task sleeps until the gate opens.  SIGKILL may wake it, but before it leaves our text it takes
 * gate->lock, which is held here: it can't reach its registers, and its kernel stack, where pt_regs are, stays.
 */
#include <linux/delay.h>
#include <linux/elf.h>
#include <linux/regset.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/signal.h>
#include <linux/uaccess.h>

#include "restore.h"

#define CRK_MAX_SETS	32	/* more than any view has */
#define CRK_MAX_ARCH	8	/* more than there are kinds of */

/* the records of one thread */
struct thread_recs {
	struct crk_rec_task task;
	struct crk_rec_thread thread;
	struct crk_rec_stop stop;
	struct crk_rec_trace trace;
	struct crk_rec_settings settings;
	struct crk_rec_times times;
	bool want_times;	/* CRK_SET_TIMES */
	bool has_times;
	bool has_thread;
	bool has_trace;
	u32 nr_sets;
	u32 nr_arch;
	const struct crk_rec_regset *sets[CRK_MAX_SETS];
	const struct crk_rec_arch *arch[CRK_MAX_ARCH];
};

/* ---- reading ---- */

static int regset_rec_check(const struct crk_rec *rec, struct crk_log *log)
{
	const struct crk_rec_regset *set = (const void *)rec;

	if (rec->size < sizeof(*set) || set->len > rec->size - sizeof(*set))
		return crk_log(log, -EINVAL, "record of a register set of %u bytes is too short", rec->size);
	return 0;
}

static int arch_rec_add(struct thread_recs *tr, const struct crk_rec_arch *rec, struct crk_log *log)
{
	if (rec->rec.size < sizeof(*rec) || rec->len > rec->rec.size - sizeof(*rec))
		return crk_log(log, -EINVAL, "record of the architecture of %u bytes is too short", rec->rec.size);
	if (tr->nr_arch == CRK_MAX_ARCH)
		return crk_log(log, -EINVAL, "tid %d: too many records of the architecture", tr->task.tid);
	tr->arch[tr->nr_arch++] = rec;
	return 0;
}

static int thread_rec_add(struct thread_recs *tr, const struct crk_rec *rec, struct crk_log *log)
{
	int ret;

	switch (rec->type) {
	case CRK_REC_REGSET:
		ret = regset_rec_check(rec, log);
		if (ret)
			return ret;
		if (tr->nr_sets == CRK_MAX_SETS)
			return crk_log(log, -EINVAL, "tid %d: too many register sets", tr->task.tid);
		tr->sets[tr->nr_sets++] = (const void *)rec;
		return 0;
	case CRK_REC_THREAD:
		if (tr->has_thread)
			return crk_log(log, -EINVAL, "tid %d: two thread records", tr->task.tid);
		tr->has_thread = true;
		return crk_rec_get(rec, &tr->thread, sizeof(tr->thread), log);
	case CRK_REC_STOP:
		return crk_rec_get(rec, &tr->stop, sizeof(tr->stop), log) ?: crk_stop_check(&tr->stop, log);
	case CRK_REC_TRACE:
		tr->has_trace = true;
		return crk_rec_get(rec, &tr->trace, sizeof(tr->trace), log) ?: crk_trace_check(&tr->trace, log);
	case CRK_REC_SETTINGS:
		return crk_rec_get(rec, &tr->settings, sizeof(tr->settings), log) ?:
		       crk_settings_check(&tr->settings, log);
	case CRK_REC_ARCH:
		return arch_rec_add(tr, (const void *)rec, log);
	case CRK_REC_TIMES:
		tr->has_times = tr->want_times;
		return crk_rec_get(rec, &tr->times, sizeof(tr->times), log);
	default:
		return 0;		/* of the process, or of a newer dump */
	}
}

/* the records of one thread from *pos on; 1: got them, 0: there are no more */
static int thread_recs_get(const void *recs, u64 len, u64 *pos, struct thread_recs *tr, struct crk_log *log)
{
	const struct crk_rec *rec = crk_rec_next(recs, len, pos, log);
	u64 next;
	int ret;

	if (IS_ERR_OR_NULL(rec))
		return PTR_ERR_OR_ZERO(rec);
	if (rec->type != CRK_REC_TASK)
		return crk_log(log, -EINVAL, "the records of a thread begin with record type %u, not with its task",
			       rec->type);
	tr->nr_sets = 0;
	tr->nr_arch = 0;
	tr->has_thread = false;
	tr->has_trace = false;
	tr->has_times = false;
	memset(&tr->stop, 0, sizeof(tr->stop));
	memset(&tr->settings, 0, sizeof(tr->settings));
	ret = crk_rec_get(rec, &tr->task, sizeof(tr->task), log);
	for (next = *pos; !ret; *pos = next) {
		rec = crk_rec_next(recs, len, &next, log);
		if (IS_ERR(rec))
			return PTR_ERR(rec);
		if (!rec || rec->type == CRK_REC_TASK)
			return 1;
		ret = thread_rec_add(tr, rec, log);
	}
	return ret;
}

/* ---- checking ---- */

static int rseq_check(const struct crk_rec_thread *in)
{
	bool slice = in->flags & CRK_THREAD_RSEQ_SLICE;

	if (!in->rseq)
		return slice ? -EINVAL : 0;
	if (!IS_ENABLED(CONFIG_RSEQ) || (!CRK_HAVE_RSEQ_LEN && in->rseq_len != 32))
		return -EOPNOTSUPP;
	if (slice && in->rseq_version < 2)
		return -EINVAL;
	if (!in->rseq_version || in->rseq_version > 2 || in->rseq_len < 32 || !IS_ALIGNED(in->rseq, sizeof(u64)) ||
	    !access_ok(u64_to_user_ptr(in->rseq), in->rseq_len))
		return -EINVAL;
	return 0;
}

static bool user_addr_ok(u64 addr)
{
	return addr == (unsigned long)addr && access_ok(u64_to_user_ptr(addr), 1);
}

static int thread_check(const struct thread_recs *tr, struct crk_log *log)
{
	const struct crk_rec_thread *in = &tr->thread;
	s32 tid = tr->task.tid;
	bool in_vfork;
	int ret;

	if (in->flags & ~(CRK_THREAD_RESTORE_MASK | CRK_THREAD_COMPAT | CRK_THREAD_ADDR32 |
			  CRK_THREAD_STOPPED | CRK_THREAD_STOPPING | CRK_THREAD_NO_TSC | CRK_THREAD_NO_CPUID |
			  CRK_THREAD_OWN_SEMUNDO | CRK_THREAD_RSEQ_SLICE))
		return crk_log(log, -EINVAL, "tid %d: unknown flags %#x", tid, in->flags);
	if (in->altstack_flags & ~(SS_ONSTACK | SS_DISABLE | SS_AUTODISARM))
		return crk_log(log, -EINVAL, "tid %d: unknown signal stack flags %#x", tid, in->altstack_flags);
	if (!user_addr_ok(in->set_child_tid) || !user_addr_ok(in->clear_child_tid) ||
	    !user_addr_ok(in->robust_list) || !user_addr_ok(in->compat_robust_list) ||
	    in->altstack_sp != (unsigned long)in->altstack_sp || in->altstack_size != (size_t)in->altstack_size)
		return crk_log(log, -EINVAL, "tid %d: a pointer is not a user address", tid);
	in_vfork = in->syscall == CRK_SYSCALL_VFORK;
	if (in_vfork ? in->vfork_tid <= 0 : in->vfork_tid)
		return crk_log(log, -EINVAL, "tid %d: waits in vfork for %d", tid, in->vfork_tid);
	ret = crk_stop_check_thread(in, log);
	if (ret)
		return crk_log(log, ret, "tid %d: its job control state is wrong", tid);
	if (in->flags & CRK_THREAD_RSEQ_SLICE && !IS_ENABLED(CONFIG_RSEQ_SLICE_EXTENSION))
		return crk_log(log, -EOPNOTSUPP, "tid %d: this kernel has no CONFIG_RSEQ_SLICE_EXTENSION", tid);
	ret = rseq_check(in);
	if (ret)
		return crk_log(log, ret, "tid %d: rseq area at %#llx of %u bytes can't be used here", tid, in->rseq,
			       in->rseq_len);
	ret = crk_restart_check(&in->restart, log);
	if (ret)
		return crk_log(log, ret, "tid %d: its interrupted system call can't be continued", tid);
	ret = crk_arch.check_thread(in, tr->task.machine, log);
	if (ret)
		return crk_log(log, ret, "tid %d: its state can't be restored here", tid);
	return 0;
}

static const struct user_regset *regset_find(const struct user_regset_view *view, u32 note)
{
	unsigned int i;

	for (i = 0; i < view->n; i++)
		if (view->regsets[i].core_note_type == note && view->regsets[i].set)
			return &view->regsets[i];
	return NULL;
}

static int sets_check(const struct thread_recs *tr, struct task_struct *t, struct crk_log *log)
{
	const struct user_regset_view *view = task_user_regset_view(t);
	const struct crk_rec_regset *set;
	const struct user_regset *rs;
	bool has_regs = false;
	u32 i;
	int ret;

	if (view->e_machine != tr->task.machine)
		return crk_log(log, -EOPNOTSUPP, "tid %d: no registers of machine %u here", tr->task.tid,
			       tr->task.machine);
	for (i = 0; i < tr->nr_sets; i++) {
		set = tr->sets[i];
		rs = regset_find(view, set->note);
		if (!rs)
			return crk_log(log, -EOPNOTSUPP, "tid %d: no register set %#x here", tr->task.tid, set->note);
		if (!set->len || set->len % rs->size || set->len > rs->size * rs->n)
			return crk_log(log, -EOPNOTSUPP, "tid %d: register set %#x has %u bytes, here it has %u",
				       tr->task.tid, set->note, set->len, rs->size * rs->n);
		ret = crk_arch.check_regset(tr->task.machine, set->note, set->data, set->len, log);
		if (ret)
			return crk_log(log, ret, "tid %d: register set %#x is wrong", tr->task.tid, set->note);
		has_regs |= set->note == NT_PRSTATUS;
	}
	return has_regs ? 0 : crk_log(log, -EINVAL, "tid %d: no general registers", tr->task.tid);
}

static int arch_check(const struct thread_recs *tr, struct crk_log *log)
{
	u32 i;
	int ret = 0;

	for (i = 0; i < tr->nr_arch && !ret; i++) {
		if (tr->arch[i]->what == CRK_ARCH_NONE)
			continue;
		ret = crk_arch.check_record ? crk_arch.check_record(tr->arch[i], log) : -EOPNOTSUPP;
		if (ret)
			crk_log(log, 0, "tid %d: record %u of the architecture can't be restored here", tr->task.tid,
				tr->arch[i]->what);
	}
	return ret;
}

static struct crk_parked *parked_find(struct crk_gate *gate, s32 tid)
{
	struct crk_parked *p = NULL;
	struct task_struct *t;

	lockdep_assert_held(&gate->lock);
	rcu_read_lock();
	t = pid_task(find_vpid(tid), PIDTYPE_PID);
	if (t)
		p = xa_load(&gate->tasks, task_pid_nr(t));
	rcu_read_unlock();
	return p;
}

/*
 * It has said that it is parked, but may be preempted before its last schedule().  To be off its CPU is not enough:
 * it would come back once more and leave again, and what the scheduler saves of the CPU (fs base, FPU) would replace
 * what is set meanwhile.
 */
static int asleep_wait(struct task_struct *t)
{
	int tries;

	for (tries = 0; crk_task_on_cpu(t) || !crk_task_dequeued(t); tries++) {
		if (tries == 20000)
			return -EBUSY;
		usleep_range(10, 50);
	}
	return 0;
}

/* a leader that exits alone; a signal would have ended the others too */
static int dead_check(const struct thread_recs *tr, struct task_struct *t, struct crk_log *log)
{
	if (!thread_group_leader(t) || get_nr_threads(t) < 2 || tr->has_thread || tr->nr_sets)
		return crk_log(log, -EINVAL, "tid %d: is no leader that can exit before its threads", tr->task.tid);
	if (!crk_arch.sys_exit || tr->task.exit_code & ~0xff00)
		return crk_log(log, -EOPNOTSUPP, "tid %d: cannot end with exit code %#x before its threads",
			       tr->task.tid, tr->task.exit_code);
	return 0;
}

static int vfork_check(struct crk_gate *gate, const struct thread_recs *tr, struct task_struct *t, struct crk_log *log)
{
	struct crk_parked *child;

	if (!tr->thread.vfork_tid)
		return 0;
	child = parked_find(gate, tr->thread.vfork_tid);
	if (child && child->parked && thread_group_leader(child->task) && !same_thread_group(child->task, t))
		return 0;
	return crk_log(log, -ESRCH, "tid %d: waits in vfork for %d, which is no parked process", tr->task.tid,
		       tr->thread.vfork_tid);
}

static int one_check(struct crk_gate *gate, struct thread_recs *tr, struct crk_log *log)
{
	struct crk_parked *p = parked_find(gate, tr->task.tid);
	int ret;

	if (!p || !p->parked)
		return crk_log(log, -ESRCH, "tid %d: no such parked thread", tr->task.tid);
	if (tr->task.flags & CRK_TASK_DEAD)
		return dead_check(tr, p->task, log);
	if (!tr->has_thread)
		return crk_log(log, -EINVAL, "tid %d: no thread record", tr->task.tid);
	ret = thread_check(tr, log);
	if (ret)
		return ret;
	ret = vfork_check(gate, tr, p->task, log);
	if (ret)
		return ret;
	ret = asleep_wait(p->task);
	if (ret)
		return crk_log(log, ret, "tid %d: does not come to rest", tr->task.tid);
	/* which view a task has depends on its registers; these are the helper's, and nobody will miss them */
	crk_arch.set_prepare(p->task, tr->task.machine);
	return sets_check(tr, p->task, log) ?: arch_check(tr, log);
}

/* ---- applying ---- */

static void sets_sort(struct thread_recs *tr)
{
	u32 i, j;

	if (!crk_arch.set_order)
		return;
	for (i = 1; i < tr->nr_sets; i++)	/* a handful, and stable */
		for (j = i; j && crk_arch.set_order(tr->sets[j - 1]->note) >
			       crk_arch.set_order(tr->sets[j]->note); j--)
			swap(tr->sets[j - 1], tr->sets[j]);
}

static void parked_is_ready(struct crk_gate *gate, struct crk_parked *p)
{
	gate->nr_ready += !p->ready;
	p->ready = true;
}

static int dead_apply(struct crk_gate *gate, struct crk_parked *p, u32 exit_code)
{
	int ret;

	p->exit_code = exit_code;
	if (!p->dead) {
		ret = xa_insert(&gate->dead, p->tid, p->task, GFP_KERNEL_ACCOUNT);
		if (ret)
			return ret;
		get_task_struct(p->task);
		gate->nr_dead++;
		p->dead = true;
	}
	parked_is_ready(gate, p);
	return 0;
}

static void vfork_apply(struct crk_gate *gate, struct crk_parked *p, s32 tid)
{
	struct crk_parked *child = tid ? parked_find(gate, tid) : NULL;

	if (p->vfork_child)
		put_task_struct(p->vfork_child);
	p->vfork_child = child ? get_task_struct(child->task) : NULL;
}

static int one_apply(struct crk_gate *gate, struct thread_recs *tr, struct crk_log *log)
{
	struct crk_parked *p = parked_find(gate, tr->task.tid);
	const struct user_regset_view *view;
	const struct user_regset *rs;
	u32 i;
	int ret;

	if (!p)
		return crk_log(log, -ESRCH, "tid %d: was killed", tr->task.tid);
	p->stop = tr->stop;
	if (tr->has_times)
		crk_times_set(p->task, &tr->times);
	if (tr->task.flags & CRK_TASK_DEAD)
		return dead_apply(gate, p, tr->task.exit_code);
	view = task_user_regset_view(p->task);
	sets_sort(tr);
	for (i = 0; i < tr->nr_sets; i++) {
		rs = regset_find(view, tr->sets[i]->note);
		ret = rs->set(p->task, rs, 0, tr->sets[i]->len, tr->sets[i]->data, NULL);
		if (ret)	/* it is written for ptrace, where EFAULT and EIO mean a bad size, a bad value */
			return crk_log(log, ret == -ENOMEM ? ret : -EOPNOTSUPP,
				       "tid %d: the kernel refuses register set %#x of %u bytes (%d)", tr->task.tid,
				       tr->sets[i]->note, tr->sets[i]->len, ret);
		if (crk_arch.set_rest)
			crk_arch.set_rest(p->task, tr->task.machine, tr->sets[i]->note, tr->sets[i]->data);
	}
	for (i = 0; i < tr->nr_arch; i++) {
		ret = tr->arch[i]->what == CRK_ARCH_NONE ? 0 : crk_arch.set_record(p->task, tr->arch[i]);
		if (ret)
			return crk_log(log, ret == -ENOMEM ? ret : -EOPNOTSUPP,
				       "tid %d: the kernel refuses record %u of the architecture (%d)", tr->task.tid,
				       tr->arch[i]->what, ret);
	}
	p->state = tr->thread;
	p->settings = tr->settings;
	vfork_apply(gate, p, tr->thread.vfork_tid);
	ret = crk_trace_apply(gate, p, tr->has_trace ? &tr->trace : NULL);
	if (ret)
		return ret;
	parked_is_ready(gate, p);
	return 0;
}

/* a SET that failed half-way has let nobody go: GO needs the state of all */
static int all_do(struct crk_gate *gate, const struct crk_set *cmd, const void *recs, struct crk_log *log,
		  int (*fn)(struct crk_gate *, struct thread_recs *, struct crk_log *))
{
	struct thread_recs *tr __free(kfree) = kmalloc(sizeof(*tr), GFP_KERNEL_ACCOUNT);
	u64 pos = 0;
	int ret;

	if (!tr)
		return -ENOMEM;
	tr->want_times = cmd->flags & CRK_SET_TIMES;
	do {
		ret = thread_recs_get(recs, cmd->recs_len, &pos, tr, log);
		if (ret > 0)
			ret = fn(gate, tr, log) ?: 1;
	} while (ret > 0);
	return ret;
}

int crk_set(struct crk_job *job, struct crk_set *cmd, struct crk_log *log)
{
	struct crk_gate *gate = job->gate;
	void *recs;
	int ret;

	if (!gate)
		return -EBUSY;
	recs = crk_recs_copy(cmd->recs_uptr, cmd->recs_len, log);
	if (IS_ERR(recs))
		return PTR_ERR(recs);
	scoped_guard(mutex, &gate->lock) {
		if (gate->state == CRK_GATE_CLOSED && gate->nr_parked == gate->nr_tasks) {
			ret = all_do(gate, cmd, recs, log, one_check);
			if (!ret)
				ret = all_do(gate, cmd, recs, log, one_apply);
		} else if (gate->state == CRK_GATE_DEAD) {
			ret = crk_gate_failure(gate, log, -ESRCH);
		} else {
			ret = crk_log(log, -EBUSY, "%u of %u tasks are parked", gate->nr_parked, gate->nr_tasks);
		}
		cmd->out_nr = gate->nr_ready;
	}
	kvfree(recs);
	return ret;
}
