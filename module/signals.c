// SPDX-License-Identifier: GPL-2.0
/*
 * Signal actions and pending signals of frozen tasks.  Actions, timers and the signals that timers have sent are read
 * in one hold of siglock: a timer is either still armed or its signal is pending, never both or neither.
 */
#include <linux/sched/signal.h>
#include <linux/signal.h>

#include "out.h"

bool crk_sighand_lock(struct task_struct *t, struct sighand_struct **ret)
{
	struct sighand_struct *sighand;

	/* as the kernel's lock_task_sighand(), which isn't exported */
	rcu_read_lock();
	for (;;) {
		sighand = rcu_dereference(t->sighand);
		if (!sighand)
			break;
		spin_lock_irq(&sighand->siglock);
		if (sighand == rcu_access_pointer(t->sighand)) {
			__release(&sighand->siglock);	/* sparse: goes with crk_sighand_unlock() */
			break;
		}
		spin_unlock_irq(&sighand->siglock);
	}
	rcu_read_unlock();
	*ret = sighand;
	return sighand;
}

void crk_sighand_unlock(struct sighand_struct *sighand)
{
	__acquire(&sighand->siglock);
	spin_unlock_irq(&sighand->siglock);
}

static void actions_add(struct sighand_struct *sighand, struct crk_out *out)
{
	struct crk_rec_actions *rec;
	const struct sigaction *sa;
	struct crk_action *a;
	int i;

	rec = crk_out_add(out, CRK_REC_ACTIONS, struct_size(rec, actions, _NSIG));
	rec->nr = _NSIG;
	for (i = 0; i < _NSIG; i++) {
		sa = &sighand->action[i].sa;
		a = &rec->actions[i];
		a->handler = (unsigned long)sa->sa_handler;
		a->flags = sa->sa_flags & UAPI_SA_FLAGS;
#ifdef __ARCH_HAS_SA_RESTORER
		a->restorer = (unsigned long)sa->sa_restorer;
#endif
		a->mask = crk_sigset(&sa->sa_mask);
		a->abi = crk_arch.get_action_abi(sa->sa_flags);
	}
}

static unsigned int pending_count(const struct sigpending *pending)
{
	const struct sigqueue *q;
	unsigned int nr = 0;

	list_for_each_entry(q, &pending->list, list)
		nr++;
	return nr + _NSIG;
}

static struct crk_rec_siginfo *siginfo_add(struct crk_out *out, u32 signo, u32 flags)
{
	struct crk_rec_siginfo *rec = crk_out_add(out, CRK_REC_SIGINFO, sizeof(*rec));

	rec->signo = signo;
	rec->flags = flags;
	return rec;
}

static void pending_add(const struct sigpending *pending, u32 flags, struct crk_out *out)
{
	u64 bits = crk_sigset(&pending->signal);
	struct crk_rec_siginfo *rec;
	const struct sigqueue *q;
	siginfo_t *info;
	int signo;

	BUILD_BUG_ON(sizeof(rec->info) != sizeof(siginfo_t));
	list_for_each_entry(q, &pending->list, list) {
		signo = q->info.si_signo;
		rec = siginfo_add(out, signo, flags | (q->flags & SIGQUEUE_PREALLOC ? CRK_SIGINFO_TIMER : 0));
		info = (siginfo_t *)rec->info;
		copy_siginfo_to_external(info, &q->info);
		/* the kernel's own note, which it clears on delivery as well */
		if (q->info.si_code == SI_TIMER)
			info->si_sys_private = 0;
		bits &= ~(1ULL << (signo - 1));
	}
	/* sent when memory or RLIMIT_SIGPENDING was short, or by the kernel where nobody asks */
	for (signo = 1; bits; signo++, bits >>= 1) {
		if (!(bits & 1))
			continue;
		rec = siginfo_add(out, signo, flags | CRK_SIGINFO_NO_INFO);
		info = (siginfo_t *)rec->info;
		info->si_signo = signo;
		info->si_code = SI_USER;
	}
}

static size_t signals_size(struct task_struct *t, bool process)
{
	size_t size = pending_count(&t->pending) * sizeof(struct crk_rec_siginfo);

	if (process)
		size += struct_size((struct crk_rec_actions *)NULL, actions, _NSIG) +
			pending_count(&t->signal->shared_pending) * sizeof(struct crk_rec_siginfo) +
			3 * sizeof(struct crk_rec_itimer) +
			crk_timers_count(t) * sizeof(struct crk_rec_posix_timer);
	return size;
}

/* a process that is killed meanwhile has no handlers and no signals: CRK_IOC_VERIFY will tell */
int crk_capture_signals(struct crk_job *job, struct task_struct *t, bool process, struct crk_out *out)
{
	struct sighand_struct *sighand;
	size_t need = 0, len = out->len;
	int ret;

	for (;;) {
		ret = crk_out_reserve(out, need + PAGE_SIZE / 4);
		if (ret)
			return ret;
		if (!crk_sighand_lock(t, &sighand))
			return 0;
		out->len = len;
		need = signals_size(t, process);
		ret = -EAGAIN;
		if (need <= out->size - out->len) {
			ret = 0;
			if (process) {
				actions_add(sighand, out);
				ret = crk_timers_capture(t, out);
			}
			if (!ret && process)
				pending_add(&t->signal->shared_pending, CRK_SIGINFO_PROCESS, out);
			if (!ret)
				pending_add(&t->pending, 0, out);
		}
		crk_sighand_unlock(sighand);
		if (ret != -EAGAIN)
			return ret;
		cond_resched();
	}
}
