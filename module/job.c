// SPDX-License-Identifier: GPL-2.0
/*
 * A job is one open of /dev/crk: its state, its references, and the only cleanup path, crk_job_close().
 */
#include <linux/random.h>
#include <linux/slab.h>

#include "private.h"

struct crk_job *crk_job_create(void)
{
	struct crk_job *job = kzalloc(sizeof(*job), GFP_KERNEL_ACCOUNT);

	if (!job)
		return ERR_PTR(-ENOMEM);
	kref_init(&job->ref);
	mutex_init(&job->lock);
	INIT_LIST_HEAD(&job->snapshots);
	job->opener = get_pid(task_tgid(current));
	get_random_bytes(&job->key, sizeof(job->key));
	return job;
}

static void job_free(struct kref *ref)
{
	struct crk_job *job = container_of(ref, struct crk_job, ref);

	if (job->gate)
		crk_gate_destroy(job->gate);
	put_pid(job->opener);
	mutex_destroy(&job->lock);
	kfree(job);
}

void crk_job_get(struct crk_job *job)
{
	kref_get(&job->ref);
}

void crk_job_put(struct crk_job *job)
{
	if (job)
		kref_put(&job->ref, job_free);
}

void crk_job_close(struct crk_job *job)
{
	mutex_lock(&job->lock);
	if (job->frozen)
		crk_freeze_end(job, false, NULL);
	if (job->gate)
		crk_gate_kill(job);
	crk_snapshots_end(job);
	job->state = CRK_JOB_DONE;
	mutex_unlock(&job->lock);
}

/* an address never leaves the kernel; a keyed hash of it does, and it can't be taken for one */
u64 crk_job_id(struct crk_job *job, const void *object)
{
	return object ? (siphash_1u64((unsigned long)object, &job->key) >> 1) ?: 1 : 0;
}
