// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_CAPTURE: the state of frozen threads and processes as records.  Registers come from the kernel's own views
 * of regset.h, what they don't hold from the architecture; this file knows neither.
 *
 * Why the fields of another task may be read here: a frozen task sleeps in the kernel, its user registers are complete
 * on its kernel stack (which crk_frozen holds) and in its task_struct (referenced), and it was seen off its CPU after
 * it had gone to sleep, so the scheduler has saved its FPU state as well; the acquire in crk_task_on_cpu() pairs
 * with the release when it was switched out.  regset.h asks for a stopped task for the same reason.  A signal wakes it
 * for a moment, but it goes to sleep again without touching any of this.  Only SIGKILL ends the freeze: then it
 * lets go of mm, files and signal handlers, so those are taken under the lock that protects them; what was read of a
 * dying task is of no use, and CRK_IOC_VERIFY tells.
 */
#include <linux/cred.h>
#include <linux/elf.h>
#include <linux/key.h>
#include <linux/mm.h>
#include <linux/regset.h>
#include <linux/sched/coredump.h>
#include <linux/sched/cputime.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>

#include "out.h"

/* ---- the buffer ---- */

int crk_out_reserve(struct crk_out *out, size_t len)
{
	size_t size = ALIGN(out->len + len, PAGE_SIZE);
	u8 *buf;

	if (out->len + len <= out->size)
		return 0;
	buf = kvmalloc(size, GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	memcpy(buf, out->buf, out->len);
	kvfree(out->buf);
	out->buf = buf;
	out->size = size;
	return 0;
}

void *crk_out_add(struct crk_out *out, u32 type, size_t size)
{
	struct crk_rec *rec = (struct crk_rec *)(out->buf + out->len);

	size = ALIGN(size, 8);
	if (WARN_ON_ONCE(size > out->size - out->len))	/* reserved too little */
		rec = (struct crk_rec *)out->buf;
	else
		out->len += size;
	memset(rec, 0, size);
	rec->type = type;
	rec->size = size;
	return rec;
}

static void *out_rec(struct crk_out *out, u32 type, size_t size)
{
	return crk_out_reserve(out, ALIGN(size, 8)) ? NULL : crk_out_add(out, type, size);
}

/* ---- thread ---- */

static int task_capture(const struct crk_frozen_task *e, struct crk_out *out)
{
	struct task_struct *t = e->task;
	struct crk_rec_task *rec = out_rec(out, CRK_REC_TASK, sizeof(*rec));

	if (!rec)
		return -ENOMEM;
	rec->tid = task_pid_vnr(t);
	rec->tgid = task_tgid_vnr(t);
	rec->flags = crk_task_flags(e);
	if (rec->flags & CRK_TASK_DEAD)
		rec->exit_code = crk_task_exit_code(t);
	rec->machine = e->stack ? crk_arch.view_machine(t) : crk_arch.machine;
	return 0;
}

static int regset_capture(struct task_struct *t, const struct user_regset *rs, struct crk_out *out)
{
	size_t max = rs->n * rs->size;
	struct crk_rec_regset *rec;
	int len;

	if (crk_out_reserve(out, sizeof(*rec) + ALIGN(max, 8)))
		return -ENOMEM;
	rec = crk_out_add(out, CRK_REC_REGSET, sizeof(*rec) + max);
	len = regset_get(t, rs, max, rec->data);
	if (len <= 0) {
		out->len -= rec->rec.size;	/* not for this thread or CPU */
		return 0;
	}
	out->len -= rec->rec.size;
	rec->rec.size = ALIGN(sizeof(*rec) + len, 8);
	out->len += rec->rec.size;
	rec->note = rs->core_note_type;
	rec->len = len;
	return 0;
}

static int regsets_capture(struct task_struct *t, struct crk_out *out)
{
	const struct user_regset_view *view = task_user_regset_view(t);
	const struct user_regset *rs;
	int ret = 0;
	u32 i;

	for (i = 0; i < view->n && !ret; i++) {
		rs = &view->regsets[i];
		if (!rs->regset_get || !rs->set)
			continue;
		if (crk_arch.want_regset && !crk_arch.want_regset(t, rs))
			continue;
		if (rs->active && rs->active(t, rs) <= 0)
			continue;
		ret = regset_capture(t, rs, out);
	}
	return ret;
}

static void thread_times(struct task_struct *t, struct crk_rec_thread *rec)
{
	u64 utime, stime;

	task_cputime_adjusted(t, &utime, &stime);
	rec->utime_ns = utime;
	rec->stime_ns = stime;
	rec->timer_slack_ns = t->timer_slack_ns;
}

static void thread_rseq(struct task_struct *t, struct crk_rec_thread *rec)
{
	struct crk_rseq_state rseq = crk_rseq_get(t);

	rec->rseq = rseq.addr;
	rec->rseq_len = rseq.len;
	rec->rseq_sig = rseq.sig;
	rec->rseq_version = rseq.version;
	if (rseq.slice)
		rec->flags |= CRK_THREAD_RSEQ_SLICE;
}

static int thread_capture(struct crk_frozen *frozen, u32 i, struct crk_out *out)
{
	const struct crk_frozen_task *e = &frozen->tasks[i];
	struct task_struct *t = e->task;
	struct crk_rec_thread *rec = out_rec(out, CRK_REC_THREAD, sizeof(*rec));

	if (!rec)
		return -ENOMEM;
	rec->syscall = e->vfork ? CRK_SYSCALL_VFORK : crk_trace_at_entry(t) ? CRK_SYSCALL_ENTRY : CRK_SYSCALL_NONE;
	rec->syscall_nr = -1;
	crk_arch.get_thread(t, rec);
	if (e->vfork)
		rec->vfork_tid = task_pid_vnr(e->vfork);
	if (rec->syscall == CRK_SYSCALL_BLOCK)
		crk_restart_get(t, &rec->restart);
	if (test_tsk_restore_sigmask(t))
		rec->flags |= CRK_THREAD_RESTORE_MASK;
	if (crk_semundo_is_own(frozen, i))
		rec->flags |= CRK_THREAD_OWN_SEMUNDO;
	rec->personality = t->personality;
	crk_stop_get(t, rec);
	rec->blocked = crk_sigset(&t->blocked);
	rec->saved_mask = crk_sigset(&t->saved_sigmask);
	rec->altstack_sp = t->sas_ss_sp;
	rec->altstack_size = t->sas_ss_size;
	rec->altstack_flags = t->sas_ss_flags;
	rec->set_child_tid = (unsigned long)t->set_child_tid;
	rec->clear_child_tid = (unsigned long)t->clear_child_tid;
#ifdef CONFIG_FUTEX
	rec->robust_list = (unsigned long)crk_robust_list(t);
#ifdef CONFIG_COMPAT
	rec->compat_robust_list = (unsigned long)crk_compat_robust_list(t);
#endif
#endif
	thread_rseq(t, rec);
	thread_times(t, rec);
	strscpy(rec->comm, t->comm, sizeof(rec->comm));
	return 0;
}

static int creds_capture(struct crk_job *job, struct task_struct *t, struct crk_out *out)
{
	struct user_namespace *ns = current_user_ns();
	const struct cred *cred = get_task_cred(t);
	const struct group_info *groups = cred->group_info;
	struct crk_rec_creds *rec = out_rec(out, CRK_REC_CREDS, struct_size(rec, groups, groups->ngroups));
	int i;

	if (!rec) {
		put_cred(cred);
		return -ENOMEM;
	}
	if (task_no_new_privs(t))
		rec->flags |= CRK_CREDS_NO_NEW_PRIVS;
	rec->securebits = cred->securebits;
	rec->uid = from_kuid_munged(ns, cred->uid);
	rec->euid = from_kuid_munged(ns, cred->euid);
	rec->suid = from_kuid_munged(ns, cred->suid);
	rec->fsuid = from_kuid_munged(ns, cred->fsuid);
	rec->gid = from_kgid_munged(ns, cred->gid);
	rec->egid = from_kgid_munged(ns, cred->egid);
	rec->sgid = from_kgid_munged(ns, cred->sgid);
	rec->fsgid = from_kgid_munged(ns, cred->fsgid);
	rec->cap_inheritable = crk_cap_bits(&cred->cap_inheritable);
	rec->cap_permitted = crk_cap_bits(&cred->cap_permitted);
	rec->cap_effective = crk_cap_bits(&cred->cap_effective);
	rec->cap_bset = crk_cap_bits(&cred->cap_bset);
	rec->cap_ambient = crk_cap_bits(&cred->cap_ambient);
	rec->user_ns_id = crk_job_id(job, cred->user_ns);
	rec->nr_groups = groups->ngroups;
	for (i = 0; i < groups->ngroups; i++)
		rec->groups[i] = from_kgid_munged(ns, groups->gid[i]);
	put_cred(cred);
	return 0;
}

/* ---- process ---- */

/* the words of a 32-bit exec are half as wide; ends with AT_NULL */
static void auxv_get(struct mm_struct *mm, struct crk_rec_mm *rec)
{
	bool narrow = rec->flags & (CRK_MM_COMPAT | CRK_MM_X32);
	const u32 *words32 = (const u32 *)mm->saved_auxv;
	u32 i, max = AT_VECTOR_SIZE * (narrow ? sizeof(long) / sizeof(u32) : 1);

	for (i = 0; i + 1 < min(max, CRK_AUXV_MAX); i += 2) {
		rec->auxv[i] = narrow ? words32[i] : mm->saved_auxv[i];
		rec->auxv[i + 1] = narrow ? words32[i + 1] : mm->saved_auxv[i + 1];
		if (rec->auxv[i] == AT_NULL) {
			i += 2;
			break;
		}
	}
	rec->nr_auxv = i;
}

/* a registration is in force when the kernel calls it ready */
static u32 mm_barriers(const struct mm_struct *mm)
{
#ifdef CONFIG_MEMBARRIER
	int state = atomic_read(&mm->membarrier_state);

	return (state & MEMBARRIER_STATE_GLOBAL_EXPEDITED_READY ? CRK_MM_BARRIER_GLOBAL : 0) |
	       (state & MEMBARRIER_STATE_PRIVATE_EXPEDITED_READY ? CRK_MM_BARRIER_PRIVATE : 0) |
	       (state & MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE_READY ? CRK_MM_BARRIER_SYNC_CORE : 0) |
	       (state & MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ_READY ? CRK_MM_BARRIER_RSEQ : 0);
#else
	return 0;
#endif
}

static void mm_fields(struct mm_struct *mm, struct crk_rec_mm *rec)
{
	spin_lock(&mm->arg_lock);
	rec->start_code = mm->start_code;
	rec->end_code = mm->end_code;
	rec->start_data = mm->start_data;
	rec->end_data = mm->end_data;
	rec->start_brk = mm->start_brk;
	rec->brk = mm->brk;
	rec->start_stack = mm->start_stack;
	rec->arg_start = mm->arg_start;
	rec->arg_end = mm->arg_end;
	rec->env_start = mm->env_start;
	rec->env_end = mm->env_end;
	spin_unlock(&mm->arg_lock);
	rec->mmap_base = mm->mmap_base;
	rec->mmap_legacy_base = mm->mmap_legacy_base;
	rec->task_size = mm->task_size;
	rec->coredump_filter = crk_mm_dump_filter(mm);
	if (crk_mm_thp_disabled(mm))
		rec->flags |= CRK_MM_THP_DISABLE;
	if (crk_mm_bottom_up(mm))
		rec->flags |= CRK_MM_BOTTOM_UP;
	if (crk_mm_thp_advised(mm))
		rec->flags |= CRK_MM_THP_ADVISED;
	if (crk_mm_merge_any(mm))
		rec->flags |= CRK_MM_MERGE_ANY;
	if (crk_mm_mdwe(mm))
		rec->flags |= CRK_MM_MDWE;
	if (crk_mm_mdwe_no_inherit(mm))
		rec->flags |= CRK_MM_MDWE_NO_INHERIT;
	rec->flags |= mm_barriers(mm);
	if (mm->def_flags & VM_LOCKED)
		rec->flags |= CRK_MM_LOCK_FUTURE;
	if (mm->def_flags & VM_LOCKONFAULT)
		rec->flags |= CRK_MM_LOCK_ONFAULT;
}

static int mm_capture(struct task_struct *t, struct crk_out *out)
{
	struct crk_rec_mm *rec = out_rec(out, CRK_REC_MM, sizeof(*rec));
	struct mm_struct *mm;
	int ret = 0;

	if (!rec)
		return -ENOMEM;
	mm = get_task_mm(t);
	if (!mm) {
		out->len -= rec->rec.size;
		return 0;
	}
	mmap_read_lock(mm);
	rec->dumpable = crk_task_dumpable(t, mm);
	mm_fields(mm, rec);
	crk_arch.get_mm(mm, rec);
	auxv_get(mm, rec);
	mmap_read_unlock(mm);
	if (crk_arch.capture_mm)
		ret = crk_arch.capture_mm(mm, out);
	mmput(mm);
	return ret;
}

/* the leader may have exited before the other threads: then one of them knows the mm */
static struct task_struct *living_thread(struct crk_frozen *frozen, u32 i)
{
	struct task_struct *leader = frozen->tasks[i].task;

	for (; i < frozen->nr && frozen->tasks[i].task->signal == leader->signal; i++)
		if (!frozen->tasks[i].dead)
			return frozen->tasks[i].task;
	return leader;
}

/* ---- all of them ---- */

static int one_capture(struct crk_job *job, u32 i, struct crk_out *out)
{
	const struct crk_frozen_task *e = &job->frozen->tasks[i];
	u32 flags = crk_task_flags(e);
	bool leader = flags & CRK_TASK_LEADER;
	int ret;

	out->len = 0;
	ret = task_capture(e, out);
	if (ret || (flags & (CRK_TASK_ZOMBIE | CRK_TASK_WORKER)))
		return ret;
	if (e->stack) {
		ret = thread_capture(job->frozen, i, out) ?: crk_capture_trace(e->task, out);
		ret = ret ?: crk_capture_semundo(job->frozen, i, out);
		ret = ret ?: crk_capture_settings(e->task, out);
		ret = ret ?: regsets_capture(e->task, out);
		if (!ret && crk_arch.capture_thread)
			ret = crk_arch.capture_thread(e->task, out);
	}
	if (!ret && (leader || e->stack))
		ret = creds_capture(job, e->task, out) ?: crk_capture_times(e->task, leader, out);
	if (!ret && leader)
		ret = mm_capture(living_thread(job->frozen, i), out);
	if (!ret && leader)
		ret = crk_capture_stop(e->task, out);
	if (!ret && (leader || e->stack))
		ret = crk_capture_signals(job, e->task, leader, out);
	return ret;
}

static int find_task(struct crk_job *job, s32 tid, u64 *cursor)
{
	struct task_struct *t = crk_frozen_task_get(job, tid);

	if (IS_ERR(t))
		return PTR_ERR(t);
	*cursor = crk_frozen_find(job->frozen, t) - job->frozen->tasks;
	put_task_struct(t);
	return 0;
}

static int capture_range(struct crk_job *job, struct crk_capture *cmd, u64 i, u64 end, struct crk_log *log)
{
	u8 __user *to = u64_to_user_ptr(cmd->buf_uptr);
	struct crk_out out = {};
	int ret = 0;

	for (; i < end; i++) {
		ret = one_capture(job, i, &out);
		if (ret)
			break;
		if (out.len > cmd->buf_len - cmd->out_len) {
			if (!cmd->out_len)
				ret = crk_log(log, -ENOSPC, "the state of task %d needs %zu bytes",
					      task_pid_vnr(job->frozen->tasks[i].task), out.len);
			break;
		}
		if (copy_to_user(to + cmd->out_len, out.buf, out.len)) {
			ret = -EFAULT;
			break;
		}
		cmd->out_len += out.len;
		ret = fatal_signal_pending(current) ? -EINTR : 0;
		if (ret)
			break;
		cond_resched();
	}
	cmd->cursor = i < job->frozen->nr ? i : CRK_CURSOR_END;
	kvfree(out.buf);
	return ret;
}

int crk_capture(struct crk_job *job, struct crk_capture *cmd, struct crk_log *log)
{
	u64 first = cmd->cursor;
	int ret;

	lockdep_assert_held(&job->lock);
	cmd->out_len = 0;
	if (!cmd->tid) {
		if (first == CRK_CURSOR_END)
			return 0;
		if (first > job->frozen->nr)
			return -EINVAL;
		return capture_range(job, cmd, first, job->frozen->nr, log);
	}
	ret = find_task(job, cmd->tid, &first);
	if (ret)
		return ret;
	ret = capture_range(job, cmd, first, first + 1, log);
	if (!ret)
		cmd->cursor = CRK_CURSOR_END;
	return ret;
}
