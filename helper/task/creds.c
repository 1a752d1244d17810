// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials of a thread: ids, groups, capability sets, securebits, no_new_privs.  The module reads them; each
 * restored thread sets its own, by raw system calls, since the C library would change those of all threads.
 */
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>

#include "../raw_calls.h"
#include "task.h"

#define CAP_WORDS	_LINUX_CAPABILITY_U32S_3

/* ---- dump: for other tools; crk takes the record ---- */

static int cap_words(uint32_t **ret, size_t *nr_ret, uint64_t caps)
{
	*ret = calloc(CAP_WORDS, sizeof(**ret));
	if (!*ret)
		return crk_oom();
	(*ret)[0] = caps;
	(*ret)[1] = caps >> 32;
	*nr_ret = CAP_WORDS;
	return 0;
}

static int thread_dump(const struct crk_rec_creds *rec, CredsEntry *e)
{
	int ret;

	e->uid = rec->uid;
	e->gid = rec->gid;
	e->euid = rec->euid;
	e->egid = rec->egid;
	e->suid = rec->suid;
	e->sgid = rec->sgid;
	e->fsuid = rec->fsuid;
	e->fsgid = rec->fsgid;
	e->secbits = rec->securebits;
	e->has_no_new_privs = rec->flags & CRK_CREDS_NO_NEW_PRIVS;
	e->no_new_privs = e->has_no_new_privs;
	ret = cap_words(&e->cap_inh, &e->n_cap_inh, rec->cap_inheritable);
	ret = ret ?: cap_words(&e->cap_prm, &e->n_cap_prm, rec->cap_permitted);
	ret = ret ?: cap_words(&e->cap_eff, &e->n_cap_eff, rec->cap_effective);
	ret = ret ?: cap_words(&e->cap_bnd, &e->n_cap_bnd, rec->cap_bset);
	ret = ret ?: cap_words(&e->cap_amb, &e->n_cap_amb, rec->cap_ambient);
	if (ret || !rec->nr_groups)
		return ret;
	e->groups = calloc(rec->nr_groups, sizeof(*e->groups));
	if (!e->groups)
		return crk_oom();
	memcpy(e->groups, rec->groups, rec->nr_groups * sizeof(*e->groups));
	e->n_groups = rec->nr_groups;
	return 0;
}

static int creds_dump(struct crk_dump *d, struct crk_dproc *p, CrkTaskEntry *te, CoreEntry **cores)
{
	const struct crk_rec_creds *rec, *first = dproc_rec(p, 0, CRK_REC_CREDS, NULL);
	size_t i;
	int ret;

	(void)d;
	(void)te;
	for (i = 0; i < p->nr_threads; i++) {
		rec = dproc_rec(p, i, CRK_REC_CREDS, NULL);
		if (!rec)
			return crk_fail(-EPROTO, TASK_FMT ": the module gave no record of its credentials", DTASK_ARGS(p, i));
		if (rec->user_ns_id != first->user_ns_id)
			return crk_fail(-EOPNOTSUPP, TASK_FMT ": is in another user namespace than its process: not supported",
					DTASK_ARGS(p, i));
		cores[i]->thread_core->creds = msg_new(CredsEntry, creds_entry__init);
		if (!cores[i]->thread_core->creds)
			return -ENOMEM;
		ret = thread_dump(rec, cores[i]->thread_core->creds);
		if (ret)
			return ret;
	}
	return 0;
}

/* ---- restore ---- */

/* what a helper process has; the same in all of them, so it is asked once, by the coordinator, before any is made */
static struct {
	uint64_t bset;
	uint64_t permitted, effective, inheritable, ambient;
	uint32_t securebits;
	uid_t uid, euid, suid, fsuid;
	gid_t gid, egid, sgid, fsgid;
	uint32_t groups[256];
	int nr_groups;			/* -1: more than fit */
} own;

static int caps_get(uint64_t *permitted, uint64_t *effective, uint64_t *inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS];

	if (syscall(SYS_capget, &head, data))
		return -errno;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	*effective = data[0].effective | (uint64_t)data[1].effective << 32;
	*inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	return 0;
}

static int caps_set(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAP_WORDS] = {
		{ effective, permitted, inheritable },
		{ effective >> 32, permitted >> 32, inheritable >> 32 },
	};

	return syscall(SYS_capset, &head, data) ? -errno : 0;
}

static int own_get(void)
{
	gid_t groups[ARRAY_SIZE(own.groups)];
	int cap, has, i;

	for (cap = 0; cap < 64 && (has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0)) >= 0; cap++)
		own.bset |= (uint64_t)has << cap;
	for (cap = 0; cap < 64 && (has = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0)) >= 0; cap++)
		own.ambient |= (uint64_t)has << cap;
	own.securebits = prctl(PR_GET_SECUREBITS);
	if (getresuid(&own.uid, &own.euid, &own.suid) || getresgid(&own.gid, &own.egid, &own.sgid))
		return -errno;
	own.fsuid = syscall(SYS_SETFSUID, -1);
	own.fsgid = syscall(SYS_SETFSGID, -1);
	own.nr_groups = getgroups(ARRAY_SIZE(groups), groups);
	for (i = 0; i < own.nr_groups; i++)
		own.groups[i] = groups[i];
	return caps_get(&own.permitted, &own.effective, &own.inheritable);
}

static bool is_own(const struct crk_rec_creds *rec)
{
	return rec->uid == own.uid && rec->euid == own.euid && rec->suid == own.suid && rec->fsuid == own.fsuid &&
	       rec->gid == own.gid && rec->egid == own.egid && rec->sgid == own.sgid && rec->fsgid == own.fsgid &&
	       rec->securebits == own.securebits && rec->cap_bset == own.bset &&
	       rec->cap_permitted == own.permitted && rec->cap_effective == own.effective &&
	       rec->cap_inheritable == own.inheritable && rec->cap_ambient == own.ambient &&
	       (int)rec->nr_groups == own.nr_groups &&
	       !memcmp(rec->groups, own.groups, rec->nr_groups * sizeof(*rec->groups));
}

/* others than one's own take these, whatever it is that differs */
static bool may_set(void)
{
	uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID | 1ULL << CAP_SETPCAP;

	return (own.effective & needed) == needed;
}

/* capabilities that this process hasn't can't be given to anybody */
static int creds_check(struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_rec_creds *rec;
	uint64_t lacks;
	size_t i;

	(void)r;
	if (!own.bset && own_get())
		return crk_err(-errno, "cannot read the capabilities of crkhelper");
	for (i = 0; i < p->nr_threads; i++) {
		rec = rthread_rec(&p->threads[i], CRK_REC_CREDS, NULL);
		if (!rec)
			return crk_fail(-EBADMSG, TASK_FMT ": the images have no credentials of it", p->pid, crk_rproc_comm(p),
					p->threads[i].tid);
		lacks = rec->cap_permitted & ~own.permitted;
		if (!lacks && (is_own(rec) || may_set()))
			continue;
		if (!lacks) {
			crk_fail(-EPERM, TASK_FMT ": had other credentials (uid %u) than crkhelper has (uid %u)", p->pid,
				 crk_rproc_comm(p), p->threads[i].tid, rec->uid, own.uid);
			crk_hint("run crkhelper restore as that user, in the same groups and with the same capabilities, or as root");
			return -EPERM;
		}
		crk_fail(-EPERM, TASK_FMT ": had capability %d, which crkhelper itself hasn't", p->pid, crk_rproc_comm(p),
			 p->threads[i].tid, __builtin_ctzll(lacks));
		crk_hint("run crkhelper restore with all capabilities");
		return -EPERM;
	}
	return 0;
}

static int groups_set(const struct crk_rec_creds *rec)
{
	if ((int)rec->nr_groups == own.nr_groups &&
	    !memcmp(rec->groups, own.groups, rec->nr_groups * sizeof(*rec->groups)))
		return 0;
	return syscall(SYS_SETGROUPS, rec->nr_groups, rec->groups) ? -errno : 0;
}

static int ids_set(const struct crk_rec_creds *rec)
{
	/* the calls fail silently for fs ids, so they are asked back */
	if (syscall(SYS_SETRESGID, rec->gid, rec->egid, rec->sgid))
		return -errno;
	syscall(SYS_SETFSGID, rec->fsgid);
	if ((uint32_t)syscall(SYS_SETFSGID, -1) != rec->fsgid)
		return -EPERM;
	if (syscall(SYS_SETRESUID, rec->uid, rec->euid, rec->suid))
		return -errno;
	syscall(SYS_SETFSUID, rec->fsuid);
	if ((uint32_t)syscall(SYS_SETFSUID, -1) != rec->fsuid)
		return -EPERM;
	return 0;
}

static int bset_drop(uint64_t bset)
{
	uint64_t drop = own.bset & ~bset;

	for (; drop; drop &= drop - 1)
		if (prctl(PR_CAPBSET_DROP, __builtin_ctzll(drop), 0, 0, 0))
			return -errno;
	return 0;
}

static int ambient_set(uint64_t ambient)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
		return -errno;
	for (; ambient; ambient &= ambient - 1)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, __builtin_ctzll(ambient), 0, 0))
			return -errno;
	return 0;
}

static int creds_restore_thread(struct crk_rst *r, struct crk_rproc *p, struct crk_rthread *t)
{
	const struct crk_rec_creds *rec = rthread_rec(t, CRK_REC_CREDS, NULL);
	const char *what = "no_new_privs";
	int ret = 0;

	(void)r;
	if (!is_own(rec)) {
		what = "groups";
		ret = groups_set(rec);
		/* capabilities survive the change of ids; what is inheritable may be raised while the bounding set allows */
		if (!ret && prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS, 0, 0, 0))
			ret = -errno;
		what = ret ? what : "inheritable capabilities";
		ret = ret ?: caps_set(own.permitted, own.permitted, rec->cap_inheritable);
		what = ret ? what : "capability bounding set";
		ret = ret ?: bset_drop(rec->cap_bset);
		what = ret ? what : "ids";
		ret = ret ?: ids_set(rec);
		what = ret ? what : "ambient capabilities";
		ret = ret ?: ambient_set(rec->cap_ambient);
		what = ret ? what : "securebits";
		if (!ret && prctl(PR_SET_SECUREBITS, rec->securebits, 0, 0, 0))
			ret = -errno;
		what = ret ? what : "capabilities";
		ret = ret ?: caps_set(rec->cap_permitted, rec->cap_effective, rec->cap_inheritable);
		what = ret ? what : "no_new_privs";
	}
	if (!ret && rec->flags & CRK_CREDS_NO_NEW_PRIVS && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		ret = -errno;
	return ret ? crk_err(ret, TASK_FMT ": cannot set its %s", p->pid, crk_rproc_comm(p), t->tid, what) : 0;
}

const struct crk_prop_ops crk_prop_creds = {
	.name		= "credentials",
	.dump		= creds_dump,
	.check		= creds_check,
	.restore_thread	= creds_restore_thread,
};
