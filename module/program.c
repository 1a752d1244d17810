// SPDX-License-Identifier: GPL-2.0
/*
 * CRK_IOC_PROGRAM: a process turns itself into the restored one.  Copies the program and the records in, checks all
 * that can be checked while refusing is still possible, then runs it in the caller's own context.  Knows the
 * order; what each record does is in ops.c, process.c and timers.c.
 */
#include <linux/file.h>
#include <linux/personality.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/uaccess.h>

#include "restore.h"

#define CRK_OPS_MAX	(1U << 20)

static struct crk_prog *prog_create(const struct crk_program *cmd, struct crk_log *log)
{
	struct crk_prog *prog = kvzalloc(sizeof(*prog), GFP_KERNEL_ACCOUNT);

	if (!prog)
		return ERR_PTR(-ENOMEM);
	prog->log = log;
	prog->own_log = (struct crk_log){ .buf = prog->text, .size = sizeof(prog->text) };
	prog->shared = cmd->flags & CRK_PROGRAM_SHARED;
	prog->nr_threads = cmd->nr_threads;
	prog->nr_sharers = cmd->nr_sharers;
	prog->close_from = cmd->close_from;
	return prog;
}

/* when they have run: the records of the process are needed longer, open files should go */
static void steps_destroy(struct crk_prog *prog)
{
	u32 i;

	for (i = 0; i < prog->nr; i++) {
		if (prog->steps[i].file)
			fput(prog->steps[i].file);
		kfree(prog->steps[i].text);
	}
	prog->nr = 0;
	kvfree(prog->steps);
	prog->steps = NULL;
	kvfree(prog->sources);
	prog->sources = NULL;
}

void crk_prog_destroy(struct crk_prog *prog)
{
	if (!prog)
		return;
	steps_destroy(prog);
	kvfree(prog->recs);
	kvfree(prog);
}

/* ---- records of memory ---- */

static int steps_copy(struct crk_prog *prog, const struct crk_program *cmd)
{
	u32 i;
	int ret;

	if (cmd->nr_ops > CRK_OPS_MAX || cmd->op_size < CRK_OP_SIZE_VER0 || cmd->op_size > PAGE_SIZE)
		return crk_log(prog->log, -EINVAL, "%u records of %u bytes", cmd->nr_ops, cmd->op_size);
	prog->steps = kvcalloc(cmd->nr_ops ?: 1, sizeof(*prog->steps), GFP_KERNEL_ACCOUNT);
	if (!prog->steps)
		return -ENOMEM;
	prog->nr = cmd->nr_ops;
	for (i = 0; i < prog->nr; i++) {
		ret = copy_struct_from_user(&prog->steps[i].op, sizeof(prog->steps[i].op),
					    u64_to_user_ptr(cmd->ops_uptr + (u64)i * cmd->op_size), cmd->op_size);
		if (ret)
			return crk_log(prog->log, ret, "cannot read record %u", i);
	}
	return 0;
}

/* a range that a record takes, with the record's index */
struct claim {
	u64 start;
	u64 end;
	u32 index;
};

static int claim_cmp(const void *a, const void *b)
{
	const struct claim *ca = a, *cb = b;

	return ca->start < cb->start ? -1 : ca->start > cb->start;
}

/* sorts; the index of a record that takes what another one takes too, or CRK_NO_OP */
static u32 claims_overlap(struct claim *claims, u32 nr)
{
	u32 i;

	sort(claims, nr, sizeof(*claims), claim_cmp, NULL);
	for (i = 1; i < nr; i++)
		if (claims[i].start < claims[i - 1].end)
			return max(claims[i].index, claims[i - 1].index);
	return CRK_NO_OP;
}

/* sources and targets of moves must not touch each other: all moves come first, one after the other */
static int moves_check(struct crk_prog *prog, struct claim *claims, u32 *bad_op)
{
	u32 nr = 0, i;

	for (i = 0; i < prog->nr; i++) {
		const struct crk_op *op = &prog->steps[i].op;

		if (op->op != CRK_OP_MOVE)
			continue;
		claims[nr++] = (struct claim){ op->arg, op->arg + op->len, i };
	}
	prog->nr_sources = nr;
	prog->sources = kvmalloc_array(nr ?: 1, sizeof(*prog->sources), GFP_KERNEL_ACCOUNT);
	if (!prog->sources)
		return -ENOMEM;
	*bad_op = claims_overlap(claims, nr);
	for (i = 0; i < nr; i++)
		prog->sources[i] = (struct crk_range){ claims[i].start, claims[i].end - claims[i].start };
	for (i = 0; i < prog->nr; i++) {
		const struct crk_op *op = &prog->steps[i].op;

		if (op->op == CRK_OP_MOVE)
			claims[nr++] = (struct claim){ op->addr, op->addr + op->len, i };
	}
	if (*bad_op == CRK_NO_OP)
		*bad_op = claims_overlap(claims, nr);
	return 0;
}

static int layout_check(struct crk_prog *prog, u32 *bad_op)
{
	struct claim *claims __free(kvfree) = kvmalloc_array(prog->nr * 2 + 1, sizeof(*claims), GFP_KERNEL_ACCOUNT);
	u32 nr = 0, i;
	int ret;

	if (!claims)
		return -ENOMEM;
	ret = moves_check(prog, claims, bad_op);
	if (ret)
		return ret;
	if (*bad_op == CRK_NO_OP) {
		for (i = 0; i < prog->nr; i++) {
			const struct crk_op *op = &prog->steps[i].op;

			if (crk_step_maps(&prog->steps[i]))
				claims[nr++] = (struct claim){ op->addr, op->addr + op->len, i };
		}
		*bad_op = claims_overlap(claims, nr);
	}
	if (*bad_op == CRK_NO_OP)
		return 0;
	return crk_step_err(prog, &prog->steps[*bad_op], -EINVAL, "overlaps the range of another record");
}

static int steps_check(struct crk_prog *prog, u32 *bad_op)
{
	u32 i;
	int ret;

	for (i = 0; i < prog->nr; i++) {
		ret = crk_step_check(prog, &prog->steps[i]);
		if (ret) {
			*bad_op = i;
			return ret;
		}
		cond_resched();
	}
	return layout_check(prog, bad_op);
}

/* ---- records of the process ---- */

static int proc_rec_check(struct crk_prog *prog, const struct crk_rec *rec)
{
	switch (rec->type) {
	case CRK_REC_MM:
		if (prog->mm.rec.type)
			return crk_log(prog->log, -EINVAL, "two records of an address space");
		return crk_rec_get(rec, &prog->mm, sizeof(prog->mm), prog->log) ?: crk_mm_check(&prog->mm, prog->log);
	case CRK_REC_ACTIONS:
		if (prog->actions)
			return crk_log(prog->log, -EINVAL, "two records of signal actions");
		prog->actions = (const void *)rec;
		return crk_actions_check(prog->actions, prog->log);
	case CRK_REC_ITIMER:
	case CRK_REC_POSIX_TIMER:
		prog->nr_timers++;
		return crk_timer_check(rec, prog->log);
	default:
		return 0;		/* of a thread, or of a newer dump */
	}
}

static int proc_recs_check(struct crk_prog *prog, const struct crk_program *cmd)
{
	const struct crk_rec *rec;
	u64 pos = 0;
	int ret;

	prog->recs_len = cmd->recs_len;
	prog->recs = crk_recs_copy(cmd->recs_uptr, cmd->recs_len, prog->log);
	if (IS_ERR(prog->recs)) {
		ret = PTR_ERR(prog->recs);
		prog->recs = NULL;
		return ret;
	}
	while ((rec = crk_rec_next(prog->recs, prog->recs_len, &pos, prog->log))) {
		if (IS_ERR(rec))
			return PTR_ERR(rec);
		ret = proc_rec_check(prog, rec);
		if (ret)
			return ret;
	}
	return prog->mm.rec.type ? 0 : crk_log(prog->log, -EINVAL, "no record of the address space");
}

/* ---- running: in the caller's context, on the way back to userspace; no return to the helper's code ---- */

static int run_fail(struct crk_prog *prog, int ret, const char *what)
{
	return crk_log(&prog->own_log, ret, "%s (%d)", what, ret);
}

static bool users_are_parked(const struct crk_proc *proc, const struct crk_prog *prog)
{
	return READ_ONCE(proc->nr_parked) >= prog->nr_threads - 1 && READ_ONCE(proc->nr_sharers) >= prog->nr_sharers;
}

/* other threads, and processes in the same memory, still run the helper's code until they are parked */
static int run_threads_wait(struct crk_parked *p, struct crk_prog *prog)
{
	if (wait_event_killable(p->proc->wq, users_are_parked(p->proc, prog)))
		return run_fail(prog, -EINTR, "killed before all that use its memory were parked");
	if (get_nr_threads(current) != prog->nr_threads)
		return run_fail(prog, -EINVAL, "it has other threads than were announced");
	return 0;
}

/* the first mappings between *start and @end that have no gap; false: there are none */
static bool next_mappings(unsigned long *start, unsigned long end, unsigned long *len)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	VMA_ITERATOR(vmi, mm, *start);
	unsigned long stop = 0;

	mmap_read_lock(mm);
	for_each_vma(vmi, vma) {
		if (vma->vm_start >= end || (stop && vma->vm_start != stop))
			break;
		*start = stop ? *start : max(*start, vma->vm_start);
		stop = vma->vm_end;
	}
	mmap_read_unlock(mm);
	*len = min(stop, end) - *start;
	return stop;
}

/*
 * Not all by one call: from the lowest to the highest of its pages an architecture may flush each single one from the
 * TLB, also where there is nothing (2 s for what a program of 32 bit has on emulated ARM).
 */
static int unmap_all(unsigned long from, unsigned long end)
{
	unsigned long len;
	int ret = 0;

	for (; !ret && next_mappings(&from, end, &len); from += len)
		ret = vm_munmap(from, len);
	return ret;
}

static int run_unmap(struct crk_prog *prog)
{
	unsigned long from = 0;
	u32 i;
	int ret = 0;

	for (i = 0; i < prog->nr_sources && !ret; i++) {
		if (prog->sources[i].addr > from)
			ret = unmap_all(from, prog->sources[i].addr);
		from = prog->sources[i].addr + prog->sources[i].len;
	}
	if (!ret && from < TASK_SIZE)
		ret = unmap_all(from, TASK_SIZE);
	return ret ? run_fail(prog, ret, "cannot unmap what it had") : 0;
}

static int run_steps(struct crk_prog *prog, bool moves, u32 *bad_op)
{
	u32 i;
	int ret;

	for (i = 0; i < prog->nr; i++) {
		bool is_move = prog->steps[i].op.op == CRK_OP_MOVE;

		if (is_move != moves)
			continue;
		ret = fatal_signal_pending(current) ? -EINTR : crk_step_run(prog, &prog->steps[i]);
		if (ret) {
			*bad_op = i;
			return ret;
		}
		cond_resched();
	}
	return 0;
}

static int run_memory(struct crk_parked *p, struct crk_prog *prog, u32 *bad_op)
{
	int ret;

	ret = run_threads_wait(p, prog);
	if (!ret)
		ret = run_unmap(prog);
	/* moves may come from anywhere or go anywhere, whatever the helper is; later records are below the new limit */
	if (!ret) {
		crk_arch.enter_abi(0);
		ret = run_steps(prog, true, bad_op);
	}
	if (!ret) {
		crk_arch.enter_abi(prog->mm.flags);
		current->personality &= ~READ_IMPLIES_EXEC;	/* it would change what MAP and PROTECT are asked for */
		ret = run_steps(prog, false, bad_op);
	}
	if (!ret)
		crk_mm_set(&prog->mm);
	return ret;
}

static int prog_run(struct crk_parked *p, struct crk_prog *prog, u32 *bad_op)
{
	int ret = prog->shared ? 0 : run_memory(p, prog, bad_op);

	if (ret)
		return ret;
	if (prog->actions)
		crk_actions_set(prog->actions);
	return 0;
}

static void program_work(struct callback_head *work)
{
	struct crk_parked *p = container_of(work, struct crk_parked, work);
	struct crk_prog *prog = p->prog;
	u32 bad_op = CRK_NO_OP, close_from = prog->close_from;
	int ret;

	prog->log = &prog->own_log;
	if (!crk_parked_begin(p)) {
		crk_parked_leave(p);
		return;
	}
	ret = prog_run(p, prog, &bad_op);
	if (ret) {
		crk_gate_fail(p->job->gate, current, bad_op, ret, prog->own_log.len ? prog->text : "killed");
		crk_parked_leave(p);
		return;
	}
	steps_destroy(prog);
	/*
	 * Waiting is another work: files that are closed here go when this function has returned, and they should be
	 * gone before the wait, not after it.
	 */
	ret = crk_parked_queue(p, crk_park_work);
	if (ret)
		crk_parked_leave(p);
	crk_files_close(close_from);
}

int crk_program(struct crk_job *job, struct crk_program *cmd, struct crk_log *log)
{
	struct crk_parked *p;
	struct crk_prog *prog;
	int ret;

	cmd->out_bad_op = CRK_NO_OP;
	if (!thread_group_leader(current))
		return -EINVAL;
	if (cmd->flags & CRK_PROGRAM_SHARED && (cmd->nr_ops || cmd->nr_sharers || cmd->nr_threads != 1))
		return crk_log(log, -EINVAL, "a process without memory of its own has %u records, %u threads",
			       cmd->nr_ops, cmd->nr_threads);
	if (cmd->nr_threads != get_nr_threads(current))
		return crk_log(log, -EINVAL, "%u threads announced, the process has %d", cmd->nr_threads,
			       get_nr_threads(current));
	p = crk_parked_create(job);
	if (IS_ERR(p))
		return PTR_ERR(p);
	prog = prog_create(cmd, log);
	ret = PTR_ERR_OR_ZERO(prog);
	if (ret)
		goto err;
	p->prog = prog;
	/* the records of the process first: its address limit bounds the records of memory */
	ret = proc_recs_check(prog, cmd);
	if (!ret)
		ret = steps_copy(prog, cmd);
	if (!ret)
		ret = steps_check(prog, &cmd->out_bad_op);
	/* who waits for nobody need not look at everybody */
	if (!ret && !prog->shared && prog->nr_sharers)
		crk_parked_brings_mm(p);
	if (!ret)
		ret = crk_parked_queue(p, program_work);
	if (!ret)
		return 0;
err:
	crk_parked_destroy(p);
	return ret;
}
