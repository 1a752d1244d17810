// SPDX-License-Identifier: GPL-2.0
/*
 * Scheduling of threads: policy with its parameters, nice, affinity, I/O priority.  Set from outside when all threads
 * are parked, and only where a thread differs from what it has by being made here.
 */
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <string.h>
#include <sys/syscall.h>

#include "task.h"

#define CPUS_MAX	1024	/* bytes: 8192 CPUs */

static int attr_get(pid_t tid, struct sched_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	return syscall(SYS_sched_getattr, tid, attr, sizeof(*attr), 0) ? -errno : 0;
}

/* bytes of the mask, or negative errno */
static long affinity_get(pid_t tid, uint8_t mask[CPUS_MAX])
{
	long len = syscall(SYS_sched_getaffinity, tid, CPUS_MAX, mask);

	return len < 0 ? -errno : len;
}

/* what was read last, and struct crk_task.sched_id of who has it */
static struct {
	uint64_t id;
	struct sched_attr attr;
	uint8_t cpus[CPUS_MAX];
	long cpus_len, ioprio;
} last;

/* into @last */
static int thread_read(const struct crk_dproc *p, size_t i)
{
	pid_t tid = p->leader[i].tid;
	uint64_t id = p->leader[i].sched_id;
	int ret;

	if (id && id == last.id)
		return 0;
	last.id = 0;
	ret = attr_get(tid, &last.attr);
	if (ret)
		return crk_err(ret, TASK_FMT ": cannot read its scheduling policy", DTASK_ARGS(p, i));
	last.cpus_len = affinity_get(tid, last.cpus);
	if (last.cpus_len < 0)
		return crk_err(last.cpus_len, TASK_FMT ": cannot read its CPU affinity", DTASK_ARGS(p, i));
	last.ioprio = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, tid);
	last.id = id;
	return 0;
}

static int thread_dump(const struct crk_dproc *p, size_t i, CrkThreadEntry *te, ThreadCoreEntry *core)
{
	const struct sched_attr *attr = &last.attr;
	int ret = thread_read(p, i);

	if (ret)
		return ret;
	core->has_sched_policy = te->has_sched_policy = true;
	core->sched_policy = te->sched_policy = attr->sched_policy;
	core->has_sched_nice = te->has_nice = true;
	core->sched_nice = te->nice = attr->sched_nice;
	core->has_sched_prio = te->has_sched_priority = true;
	core->sched_prio = te->sched_priority = attr->sched_priority;
	te->has_sched_flags = true;
	te->sched_flags = attr->sched_flags;
	te->has_sched_runtime = te->has_sched_deadline = te->has_sched_period = true;
	te->sched_runtime = attr->sched_runtime;
	te->sched_deadline = attr->sched_deadline;
	te->sched_period = attr->sched_period;
	if (attr->size >= SCHED_ATTR_SIZE_VER1) {
		te->has_sched_util_min = te->has_sched_util_max = true;
		te->sched_util_min = attr->sched_util_min;
		te->sched_util_max = attr->sched_util_max;
	}
	te->cpu_affinity.data = malloc(last.cpus_len);
	if (!te->cpu_affinity.data)
		return crk_oom();
	memcpy(te->cpu_affinity.data, last.cpus, last.cpus_len);
	te->cpu_affinity.len = last.cpus_len;
	te->has_cpu_affinity = true;
	if (last.ioprio >= 0) {
		te->has_ioprio = true;
		te->ioprio = last.ioprio;
	}
	return 0;
}

static int sched_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	size_t i;
	int ret;

	(void)d;
	for (i = 0; i < p->nr_threads; i++) {
		ret = thread_dump(p, i, te->threads[i], cores[i]->thread_core);
		if (ret)
			return ret;
	}
	return 0;
}

#define CLAMP_MAX	1024	/* SCHED_CAPACITY_SCALE */

/*
 * Kernels without clamps of utilization (CONFIG_UCLAMP_TASK) show 0 and 0, others 0 and the maximum, or twice the maximum
 * for real-time policies, unless a thread asked for something.
 */
static bool clamp_wanted(const struct crk_rproc *p, const CrkThreadEntry *e, const struct sched_attr *own)
{
	bool real_time = e->sched_policy == SCHED_FIFO || e->sched_policy == SCHED_RR;

	if (!e->has_sched_util_min || !e->sched_util_max ||
	    (e->sched_util_min == own->sched_util_min && e->sched_util_max == own->sched_util_max))
		return false;
	if (own->sched_util_max)
		return true;
	if (e->sched_util_min != (real_time ? CLAMP_MAX : 0) || e->sched_util_max != CLAMP_MAX)
		crk_warn(TASK_FMT ": this kernel does not clamp the utilization of threads, as it had asked for", p->pid,
			 crk_rproc_comm(p), e->tid);
	return false;
}

static int policy_restore(const struct crk_rproc *p, const CrkThreadEntry *e, const struct sched_attr *own)
{
	struct sched_attr attr = {
		.size = SCHED_ATTR_SIZE_VER1,
		.sched_policy = e->sched_policy,
		.sched_flags = e->sched_flags,
		.sched_nice = e->nice,
		.sched_priority = e->sched_priority,
		.sched_runtime = e->sched_runtime,
		.sched_deadline = e->sched_deadline,
		.sched_period = e->sched_period,
		.sched_util_min = e->sched_util_min,
		.sched_util_max = e->sched_util_max,
	};

	bool clamp = clamp_wanted(p, e, own);

	if (attr.sched_policy == own->sched_policy && attr.sched_flags == own->sched_flags &&
	    attr.sched_nice == own->sched_nice && attr.sched_priority == own->sched_priority &&
	    attr.sched_runtime == own->sched_runtime && !clamp)
		return 0;
	if (clamp)
		attr.sched_flags |= SCHED_FLAG_UTIL_CLAMP;
	if (syscall(SYS_sched_setattr, e->tid, &attr, 0))
		return crk_err(-errno, TASK_FMT ": cannot set its scheduling policy %u", p->pid, crk_rproc_comm(p), e->tid,
			       e->sched_policy);
	return 0;
}

static int affinity_restore(const struct crk_rproc *p, const CrkThreadEntry *e, const uint8_t *own, long own_len)
{
	if (!e->has_cpu_affinity || ((long)e->cpu_affinity.len == own_len &&
				     !memcmp(e->cpu_affinity.data, own, own_len)))
		return 0;
	if (!syscall(SYS_sched_setaffinity, e->tid, e->cpu_affinity.len, e->cpu_affinity.data))
		return 0;
	if (errno != EINVAL)
		return crk_err(-errno, TASK_FMT ": cannot set its CPU affinity", p->pid, crk_rproc_comm(p), e->tid);
	crk_warn(TASK_FMT ": none of the CPUs it was bound to is here, it may use all", p->pid, crk_rproc_comm(p), e->tid);
	return 0;
}

static int ioprio_restore(const struct crk_rproc *p, const CrkThreadEntry *e, long own)
{
	if (!e->has_ioprio || (long)e->ioprio == own)
		return 0;
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, e->tid, e->ioprio))
		return crk_err(-errno, TASK_FMT ": cannot set its I/O priority 0x%x", p->pid, crk_rproc_comm(p), e->tid,
			       e->ioprio);
	return 0;
}

static int sched_restore_outside(struct crk_rst *r, struct crk_rproc *p)
{
	uint8_t own_cpus[CPUS_MAX];
	struct sched_attr own;
	long own_len, own_ioprio;
	size_t i;
	int ret;

	(void)r;
	/* what the threads inherited from us */
	ret = attr_get(0, &own);
	own_len = affinity_get(0, own_cpus);
	own_ioprio = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	if (ret || own_len < 0)
		return crk_err(ret ? ret : (int)own_len, "cannot read the scheduling policy");
	for (i = 0; p->task && i < p->task->n_threads; i++) {
		const CrkThreadEntry *e = p->task->threads[i];

		/* a deadline is only granted to threads that may use every CPU: affinity after the policy */
		ret = policy_restore(p, e, &own);
		ret = ret ?: affinity_restore(p, e, own_cpus, own_len);
		ret = ret ?: ioprio_restore(p, e, own_ioprio);
		if (ret)
			return ret;
	}
	return 0;
}

const struct crk_prop_ops crk_prop_sched = {
	.name		= "scheduling",
	.dump		= sched_dump,
	.restore_outside = sched_restore_outside,
};
