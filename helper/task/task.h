/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the properties of tasks have in common.
 */
#ifndef _CRK_TASK_H
#define _CRK_TASK_H

#include "../restore.h"

/* a record of a thread of a frozen process; NULL if there is none */
static inline const void *dproc_rec(const struct crk_dproc *p, size_t thread, uint32_t type, const void *prev)
{
	return crk_rec_find(p->recs[thread], p->recs_len[thread], type, prev);
}

static inline const void *rthread_rec(const struct crk_rthread *t, uint32_t type, const void *prev)
{
	return crk_rec_find(t->recs, t->recs_len, type, prev);
}

/* "pid 41 (nginx) tid 43" */
#define TASK_FMT	"pid %d (%s) tid %d"
#define DTASK_ARGS(p, i)	(p)->pid, (const char *)(p)->leader->comm, (p)->leader[i].tid

/* entry in crk-task-PID.img of thread @t of @p; NULL if the image is not crk's */
static inline const CrkThreadEntry *rthread_entry(const struct crk_rproc *p, const struct crk_rthread *t)
{
	size_t i = t - p->threads;

	return p->task && i < p->task->n_threads ? p->task->threads[i] : NULL;
}

/* protobuf-c messages that free_unpacked() frees later; NULL after crk_oom() */
#define msg_new(type, init) ({				\
	type *_msg = malloc(sizeof(*_msg));		\
	if (_msg)					\
		init(_msg);				\
	else						\
		crk_oom();				\
	_msg; })

#endif /* _CRK_TASK_H */
