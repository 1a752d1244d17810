// SPDX-License-Identifier: GPL-2.0
/*
 * Who traces whom, and where a tracer holds its tracee, both ways.
 *
 * Restore: a tracer attaches itself, by PTRACE_SEIZE, while all wait at the gate.  A tracee that was held must be held
 * again before its tracer can look at it, so it leaves the gate first and runs into a stop of the kernel's own:
 *
 *   signal-delivery-stop	its signal is the first in its queue
 *   group-stop			the trap that PTRACE_INTERRUPT sets is pending
 *   syscall-enter-stop		it begins its system call again
 *   syscall-exit-stop, events	only from inside a system call: we call what the kernel calls there, and stay below
 *				it until the tracer lets go
 *
 * Until then all other signals are kept from it, and its tracer gets no SIGCHLD: it has had it, or it is pending.
 */
#include <linux/delay.h>
#include <linux/pid_namespace.h>
#include <linux/ptrace.h>
#include <linux/sched/jobctl.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/signal.h>
#include <asm/syscall.h>

#include "out.h"
#include "restore.h"
#include "symbols.h"

#define CRK_TRACE_KNOWN	(CRK_TRACE_SEIZED | CRK_TRACE_SYSCALL | CRK_TRACE_EMU | CRK_TRACE_STEP | \
			 CRK_TRACE_LISTENING | CRK_TRACE_INTERRUPT)
#define SYSCALL_STOP(good)	(SIGTRAP | ((good) ? 0x80 : 0))
#define STOP_TIMEOUT_MS	10000

#if defined(CONFIG_GENERIC_ENTRY) || defined(TIF_SYSCALL_EMU)
#define task_test_emu(t)	test_task_syscall_work(t, SYSCALL_EMU)
#define task_set_emu(t)		set_task_syscall_work(t, SYSCALL_EMU)
#else
#define task_test_emu(t)	false
#define task_set_emu(t)		do { } while (0)
#endif

/* ---- dump ---- */

/* CRK_TRACE_STOP_*; under siglock */
static u32 stop_kind(struct task_struct *t)
{
	const kernel_siginfo_t *info = t->last_siginfo;
	int event;

	if (!task_is_traced(t))
		return CRK_TRACE_STOP_NONE;
	if (!info)
		return CRK_TRACE_STOP_GROUP;
	event = info->si_code >> 8;
	if (event == PTRACE_EVENT_STOP && (info->si_code & 0xff) == info->si_signo)
		return CRK_TRACE_STOP_GROUP;
	if (info->si_signo != SIGTRAP)
		return CRK_TRACE_STOP_SIGNAL;
	if (event > 0 && event <= PTRACE_EVENT_SECCOMP && (info->si_code & 0xff) == SIGTRAP)
		return CRK_TRACE_STOP_EVENT;
	if (info->si_code == SYSCALL_STOP(true) || info->si_code == SYSCALL_STOP(false)) {
		if (t->ptrace_message == PTRACE_EVENTMSG_SYSCALL_ENTRY)
			return CRK_TRACE_STOP_ENTRY;
		if (t->ptrace_message == PTRACE_EVENTMSG_SYSCALL_EXIT)
			return CRK_TRACE_STOP_EXIT;
	}
	return CRK_TRACE_STOP_SIGNAL;
}

static u32 stop_kind_locked(struct task_struct *t)
{
	struct sighand_struct *sighand;
	u32 ret;

	if (!t->ptrace || !crk_sighand_lock(t, &sighand))
		return CRK_TRACE_STOP_NONE;
	ret = stop_kind(t);
	crk_sighand_unlock(sighand);
	return ret;
}

bool crk_trace_at_entry(struct task_struct *t)
{
	return stop_kind_locked(t) == CRK_TRACE_STOP_ENTRY;
}

static u32 trace_flags(struct task_struct *t)
{
	u32 flags = 0;

	if (t->ptrace & PT_SEIZED)
		flags |= CRK_TRACE_SEIZED;
	if (test_task_syscall_work(t, SYSCALL_TRACE))
		flags |= CRK_TRACE_SYSCALL;
	if (task_test_emu(t))
		flags |= CRK_TRACE_EMU;
#ifdef TIF_SINGLESTEP
	if (test_tsk_thread_flag(t, TIF_SINGLESTEP))
		flags |= CRK_TRACE_STEP;
#endif
	if (t->jobctl & JOBCTL_LISTENING)
		flags |= CRK_TRACE_LISTENING;
	if (t->jobctl & JOBCTL_TRAP_STOP)
		flags |= CRK_TRACE_INTERRUPT;
	return flags;
}

static void trace_get(struct task_struct *t, struct crk_rec_trace *rec)
{
	const kernel_siginfo_t *info = t->last_siginfo;

	rec->flags = trace_flags(t);
	rec->options = t->ptrace >> PT_OPT_FLAG_SHIFT & PTRACE_O_MASK;
	rec->message = t->ptrace_message;
	rec->stop = stop_kind(t);
	if (rec->stop == CRK_TRACE_STOP_NONE)
		return;
	rec->report = t->exit_code;
	if (!info) {
		rec->code = t->jobctl & JOBCTL_STOP_SIGMASK;
		return;
	}
	rec->code = rec->stop == CRK_TRACE_STOP_SIGNAL || rec->stop == CRK_TRACE_STOP_GROUP ? info->si_signo :
											     info->si_code;
	copy_siginfo_to_external((siginfo_t *)rec->info, info);
}

int crk_capture_trace(struct task_struct *t, struct crk_out *out)
{
	struct sighand_struct *sighand;
	struct task_struct *tracer;
	struct crk_rec_trace *rec;
	int ret;

	if (!t->ptrace)
		return 0;
	ret = crk_out_reserve(out, sizeof(*rec));
	if (ret || !crk_sighand_lock(t, &sighand))
		return ret;
	rec = crk_out_add(out, CRK_REC_TRACE, sizeof(*rec));
	trace_get(t, rec);
	rcu_read_lock();
	tracer = rcu_dereference(t->parent);
	rec->tracer_tid = task_pid_nr_ns(tracer, task_active_pid_ns(current));
	rcu_read_unlock();
	crk_sighand_unlock(sighand);
	return 0;
}

/* ---- restore: check and keep ---- */

/* the stops that restore can bring about, and so the events that a system call has */
static int stop_check(const struct crk_rec_trace *in, struct crk_log *log)
{
	switch (in->stop) {
	case CRK_TRACE_STOP_NONE:
		return 0;
	case CRK_TRACE_STOP_SIGNAL:
	case CRK_TRACE_STOP_GROUP:
		if (in->code && valid_signal(in->code) && in->code != SIGKILL)
			return 0;
		break;
	case CRK_TRACE_STOP_ENTRY:
	case CRK_TRACE_STOP_EXIT:
		if (in->code == SYSCALL_STOP(true) || in->code == SYSCALL_STOP(false))
			return 0;
		break;
	case CRK_TRACE_STOP_EVENT:
		switch (in->code >> 8) {
		case PTRACE_EVENT_FORK:
		case PTRACE_EVENT_VFORK:
		case PTRACE_EVENT_CLONE:
		case PTRACE_EVENT_EXEC:
		case PTRACE_EVENT_VFORK_DONE:
			if ((in->code & 0xff) == SIGTRAP && in->message <= INT_MAX)
				return 0;
		}
		return crk_log(log, -EOPNOTSUPP, "held by its tracer at event %u, where no restore can bring it",
			       in->code >> 8);
	}
	return crk_log(log, -EINVAL, "held by its tracer: stop %u, code %#x", in->stop, in->code);
}

int crk_trace_check(const struct crk_rec_trace *in, struct crk_log *log)
{
	if (in->flags & ~CRK_TRACE_KNOWN || in->options & ~PTRACE_O_MASK || in->tracer_tid < 0)
		return crk_log(log, -EINVAL, "tracer %d: flags %#x, options %#x", in->tracer_tid, in->flags,
			       in->options);
	if (in->tracer_tid && !crk_arch.sys_ptrace)
		return crk_log(log, -EOPNOTSUPP, "cannot be traced again on this architecture");
	return stop_check(in, log);
}

static void tracee_free(struct crk_tracee *e)
{
	if (e->tracer)
		put_task_struct(e->tracer);
	put_task_struct(e->task);
	kfree(e);
}

int crk_trace_apply(struct crk_gate *gate, struct crk_parked *p, const struct crk_rec_trace *in)
{
	struct crk_tracee *e = p->tracee;
	int ret;

	lockdep_assert_held(&gate->lock);
	if (!e && !in)
		return 0;
	if (!in) {
		p->tracee = NULL;
		xa_erase(&gate->tracees, p->tid);
		tracee_free(e);
		return 0;
	}
	if (!e) {
		e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
		if (!e)
			return -ENOMEM;
		e->task = get_task_struct(p->task);
		init_sigpending(&e->pending);
		ret = xa_insert(&gate->tracees, p->tid, e, GFP_KERNEL_ACCOUNT);
		if (ret) {
			tracee_free(e);
			return ret;
		}
		p->tracee = e;
	}
	if (e->tracer)
		put_task_struct(e->tracer);
	e->tracer = NULL;
	e->rec = *in;
	/* execve() forgets the old program's area when it goes on from there */
	if (in->stop == CRK_TRACE_STOP_EVENT && in->code >> 8 == PTRACE_EVENT_EXEC)
		p->state.rseq = 0;
	e->stop = p->stop;
	e->blocked = p->state.blocked;
	return 0;
}

void crk_tracees_free(struct crk_gate *gate)
{
	struct crk_tracee *e;
	unsigned long tid;

	xa_for_each(&gate->tracees, tid, e)
		tracee_free(e);
	xa_destroy(&gate->tracees);
}

/* ---- restore: who traces whom ---- */

static struct crk_parked *tracer_find(struct crk_gate *gate, s32 tid)
{
	struct crk_parked *p = NULL;
	struct task_struct *t;

	rcu_read_lock();
	t = pid_task(find_vpid(tid), PIDTYPE_PID);
	if (t)
		p = xa_load(&gate->tasks, task_pid_nr(t));
	rcu_read_unlock();
	return p && !p->dead ? p : NULL;
}

int crk_tracers_find(struct crk_gate *gate, struct crk_log *log)
{
	struct crk_parked *tracer;
	struct crk_tracee *e;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	xa_for_each(&gate->tracees, tid, e) {
		if (!e->rec.tracer_tid || e->tracer)
			continue;
		tracer = tracer_find(gate, e->rec.tracer_tid);
		if (!tracer || same_thread_group(tracer->task, e->task))
			return crk_log(log, -ESRCH, "tid %d: its tracer %d is no parked thread of another process",
				       task_pid_vnr(e->task), e->rec.tracer_tid);
		e->tracer = get_task_struct(tracer->task);
		gate->nr_tracers += !tracer->tracer;
		tracer->tracer = true;
	}
	return 0;
}

int crk_tracer_attach(struct crk_gate *gate, pid_t *tracee)
{
	struct crk_tracee *e;
	unsigned long tid;
	int ret;

	/* nobody changes what is looked at here while the gate is %CRK_GATE_ARMING */
	xa_for_each(&gate->tracees, tid, e) {
		if (e->tracer != current)
			continue;
		*tracee = task_pid_nr_ns(e->task, task_active_pid_ns(current));
		ret = crk_arch.sys_ptrace(PTRACE_SEIZE, *tracee, 0, e->rec.options);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- restore: to the stop ---- */

/* behind @e's back: @t's own queue holds just this one, so that it is the first to be taken */
static int signal_queue_first(struct crk_tracee *e)
{
	struct task_struct *t = e->task;
	struct sighand_struct *sighand;
	kernel_siginfo_t info;

	if (!crk_sighand_lock(t, &sighand))
		return -ESRCH;
	list_splice_init(&t->pending.list, &e->pending.list);
	e->pending.signal = t->pending.signal;
	sigemptyset(&t->pending.signal);
	crk_sighand_unlock(sighand);
	memcpy(&info, e->rec.info, sizeof(info));
	return crk_call(send_sig_info)(e->rec.code, &info, t);
}

static void signals_give_back(struct crk_tracee *e)
{
	struct task_struct *t = e->task;

	list_splice_tail_init(&e->pending.list, &t->pending.list);
	sigorsets(&t->pending.signal, &t->pending.signal, &e->pending.signal);
	sigemptyset(&e->pending.signal);
}

/* what is left of a stop when nobody holds the task: its signal, the result of its system call */
static int tracee_let_go(struct crk_tracee *e)
{
	struct sighand_struct *sighand;
	int ret = 0;

	if (e->rec.stop == CRK_TRACE_STOP_EVENT)
		syscall_set_return_value(e->task, task_pt_regs(e->task), 0,
					 e->rec.code >> 8 == PTRACE_EVENT_EXEC ? 0 : e->rec.message);
	if (e->rec.stop == CRK_TRACE_STOP_SIGNAL)
		ret = signal_queue_first(e);
	if (!crk_sighand_lock(e->task, &sighand))
		return -ESRCH;
	signals_give_back(e);
	crk_sighand_unlock(sighand);
	return ret;
}

/* no SIGCHLD for what the tracer knows; its own choice comes back before it runs */
static void tracer_cldstop(struct crk_tracee *e, bool on)
{
	struct sighand_struct *sighand;
	struct sigaction *sa;

	if (on != e->no_cldstop || !crk_sighand_lock(e->tracer, &sighand))
		return;
	sa = &sighand->action[SIGCHLD - 1].sa;
	/* one tracee's for all of the tracer */
	e->no_cldstop = !on && !(sa->sa_flags & SA_NOCLDSTOP);
	if (on)
		sa->sa_flags &= ~SA_NOCLDSTOP;
	else
		sa->sa_flags |= SA_NOCLDSTOP;
	crk_sighand_unlock(sighand);
}

static int tracee_start(struct crk_tracee *e)
{
	const struct crk_rec_trace *rec = &e->rec;
	struct sighand_struct *sighand;
	struct task_struct *t = e->task;

	tracer_cldstop(e, false);
	if (!(rec->flags & CRK_TRACE_SEIZED))
		t->ptrace &= ~PT_SEIZED;
	if (rec->flags & CRK_TRACE_SYSCALL)
		set_task_syscall_work(t, SYSCALL_TRACE);
	if (rec->flags & CRK_TRACE_EMU)
		task_set_emu(t);
	/* one that is held is told anew when it is let go */
	if (rec->flags & CRK_TRACE_STEP && rec->stop == CRK_TRACE_STOP_NONE && crk_have(user_enable_single_step))
		crk_call(user_enable_single_step)(t);
	if (rec->stop == CRK_TRACE_STOP_SIGNAL)
		return signal_queue_first(e);
	if (rec->stop == CRK_TRACE_STOP_GROUP || rec->flags & CRK_TRACE_INTERRUPT) {
		if (!crk_sighand_lock(t, &sighand))
			return -ESRCH;
		t->jobctl &= ~JOBCTL_STOP_SIGMASK;
		t->jobctl |= JOBCTL_TRAP_STOP | (rec->code ?: SIGTRAP);
		crk_sighand_unlock(sighand);
	}
	return 0;
}

void crk_tracees_start(struct crk_gate *gate)
{
	struct crk_tracee *e;
	unsigned long tid;
	int ret;

	lockdep_assert_held(&gate->lock);
	xa_for_each(&gate->tracees, tid, e) {
		ret = e->tracer ? tracee_start(e) : tracee_let_go(e);
		if (!ret)
			continue;
		__crk_gate_fail(gate, e->task, CRK_NO_OP, ret, "cannot be put back to where its tracer held it");
		return;
	}
}

bool crk_trace_is_held(const struct crk_parked *p)
{
	return p->tracee && p->tracee->tracer && p->tracee->rec.stop != CRK_TRACE_STOP_NONE;
}

static bool tracee_is_there(struct crk_tracee *e)
{
	return !e->tracer || e->rec.stop == CRK_TRACE_STOP_NONE ||
	       (stop_kind_locked(e->task) == e->rec.stop && !crk_task_on_cpu(e->task));
}

int crk_tracees_wait(struct crk_gate *gate)
{
	unsigned long until = jiffies + msecs_to_jiffies(STOP_TIMEOUT_MS), tid;
	struct crk_tracee *e;

	xa_for_each(&gate->tracees, tid, e) {
		while (!tracee_is_there(e)) {
			if (fatal_signal_pending(current))
				return -EINTR;
			if (READ_ONCE(gate->state) == CRK_GATE_DEAD)
				return 0;
			if (time_after(jiffies, until) || e->task->exit_state) {
				crk_gate_fail(gate, e->task, CRK_NO_OP, -ETIMEDOUT,
					      "a thread does not come to where its tracer held it");
				return 0;
			}
			usleep_range(10, 50);
		}
	}
	return 0;
}

static bool has_signal(struct task_struct *t)
{
	sigset_t pending;

	sigorsets(&pending, &t->pending.signal, &t->signal->shared_pending.signal);
	sigandnsets(&pending, &pending, &t->blocked);
	return !sigisemptyset(&pending);
}

static void tracee_finish(struct crk_tracee *e)
{
	const struct crk_rec_trace *rec = &e->rec;
	struct sighand_struct *sighand;
	struct task_struct *t = e->task;

	tracer_cldstop(e, true);
	if (rec->stop == CRK_TRACE_STOP_NONE || !crk_sighand_lock(t, &sighand))
		return;
	signals_give_back(e);
	crk_sigset_put(&t->blocked, e->blocked);
	t->exit_code = rec->report;
	t->ptrace_message = rec->message;
	if (t->last_siginfo)
		memcpy(t->last_siginfo, rec->info, sizeof(*t->last_siginfo));
	if (rec->flags & CRK_TRACE_LISTENING)
		t->jobctl |= JOBCTL_LISTENING;
	if (has_signal(t))
		set_tsk_thread_flag(t, TIF_SIGPENDING);
	crk_sighand_unlock(sighand);
}

void crk_tracees_finish(struct crk_gate *gate)
{
	struct crk_tracee *e;
	unsigned long tid;

	lockdep_assert_held(&gate->lock);
	xa_for_each(&gate->tracees, tid, e) {
		if (e->tracer)
			tracee_finish(e);
		if (thread_group_leader(e->task))
			crk_stop_tell(e->task, &e->stop);
	}
}

/* ---- restore: the tracee itself ---- */

static int notify(int code, unsigned long message)
{
	return crk_call(ptrace_notify)(code, message);
}

static void exit_stop(int code)
{
	int signo = notify(code, PTRACE_EVENTMSG_SYSCALL_EXIT);

	if (signo)
		send_sig(signo, current, 1);
}

void crk_trace_syscall_exit(void)
{
	if (current->ptrace & PT_PTRACED && test_syscall_work(SYSCALL_TRACE))
		exit_stop(SYSCALL_STOP(current->ptrace & PT_TRACESYSGOOD));
}

static void event_stop(struct crk_parked *p, const struct crk_rec_trace *rec)
{
	u32 event = rec->code >> 8;

	notify(rec->code, rec->message);
	/* it comes back from there with the result of the system call */
	if (p->vfork_child)
		return;
	syscall_set_return_value(current, task_pt_regs(current), 0, event == PTRACE_EVENT_EXEC ? 0 : rec->message);
	crk_trace_syscall_exit();
}

void crk_trace_go(struct crk_parked *p)
{
	const struct crk_rec_trace *rec = &p->tracee->rec;
	struct sighand_struct *sighand;

	if (!crk_sighand_lock(current, &sighand))
		return;
	sigfillset(&current->blocked);
	sigdelset(&current->blocked, SIGKILL);
	if (rec->stop == CRK_TRACE_STOP_SIGNAL)
		sigdelset(&current->blocked, rec->code);
	crk_sighand_unlock(sighand);
	if (rec->stop == CRK_TRACE_STOP_EXIT)
		exit_stop(rec->code);
	else if (rec->stop == CRK_TRACE_STOP_EVENT)
		event_stop(p, rec);
}
