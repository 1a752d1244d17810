// SPDX-License-Identifier: GPL-2.0
/*
 * What only this architecture has: what a thread sets for itself, and by which ABI a program calls the kernel, whether it
 * is in a call or not; arch/ knows what that is.
 */
#include <elf.h>
#include <fcntl.h>

#include "../../arch/host.h"
#include "task.h"

static int arch_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	_cleanup_close_ int fd = -1;
	uint8_t head[sizeof(Elf64_Ehdr)];
	ssize_t len;

	(void)d;
	(void)cores;
	if (!crk_host->program_abi)
		return 0;
	fd = openat(p->procfd, "exe", O_RDONLY | O_CLOEXEC);
	len = fd < 0 ? -1 : pread(fd, head, sizeof(head), 0);
	if (len < 0)
		return crk_err(-errno, "pid %d (%s): its program", p->pid, (const char *)p->leader->comm);
	te->program_abi = crk_host->program_abi(head, len);
	te->has_program_abi = te->program_abi != CRK_ABI_NATIVE;
	return 0;
}

static int program_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_host_abi *a;
	struct crk_info info = {};
	int ret;

	if (!p->task || !p->task->has_program_abi)
		return 0;
	a = crk_abi_find(p->task->program_abi);
	ret = crk_dev_info(r->dev, &info);
	if (ret || (a && info.out_features & a->feature && crk_abi_works(a)))
		return ret;
	return crk_fail(-EOPNOTSUPP, "pid %d (%s): this kernel has no %s, by which its program calls it", p->pid,
			crk_rproc_comm(p), a ? a->name : "ABI of the kind");
}

static int arch_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const char *what = NULL;
	size_t i;
	int ret;

	ret = program_check(r, p);
	if (ret)
		return ret;
	for (i = 0; i < p->nr_threads && crk_host->thread_check; i++) {
		ret = crk_host->thread_check(p->threads[i].recs, p->threads[i].recs_len, &what);
		if (ret)
			return crk_err(ret, TASK_FMT ": cannot get its %s again here", p->pid, crk_rproc_comm(p),
				       p->threads[i].tid, what);
	}
	return 0;
}

static int arch_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const char *what = NULL;
	int ret;

	(void)r;
	if (!crk_host->thread_set)
		return 0;
	ret = crk_host->thread_set(t->recs, t->recs_len, t == p->threads && !p->mm_of, &what);
	return ret ? crk_err(ret, TASK_FMT ": cannot get its %s", p->pid, crk_rproc_comm(p), t->tid, what) : 0;
}

const struct crk_prop_ops crk_prop_arch = {
	.name		= "state of the architecture",
	.dump		= arch_dump,
	.check		= arch_check,
	.restore_thread	= arch_restore_thread,
};
