// SPDX-License-Identifier: GPL-2.0
/*
 * Who makes whom: turns "this process has that parent, session and group" into an order of births that gives it.
 * A session can only be inherited, so a process whose session is neither its parent's now nor was before the parent
 * made its own needs a stand-in: a short-lived process that has the session, makes it, exits, and leaves it to init
 * or to a subreaper, as happened to it the first time.  Groups whose leader is gone get a stand-in for the leader.
 * Creates nothing; tree.c does what is decided here.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "restore.h"

static size_t proc_index(const struct crk_rst *r, const struct crk_rproc *p)
{
	const struct crk_sync *s = r->sync;

	if (p >= r->procs && p < r->procs + r->nr_procs)
		return p - r->procs;
	return r->nr_procs + (p - s->stand_ins);
}

struct crk_birth *crk_birth_of(const struct crk_rst *r, const struct crk_rproc *p)
{
	return &r->sync->births[proc_index(r, p)];
}

static struct crk_rproc *stand_in_find(const struct crk_rst *r, pid_t pid)
{
	struct crk_sync *s = r->sync;
	size_t i;

	for (i = 0; i < s->nr_stand_ins; i++)
		if (s->stand_ins[i].pid == pid)
			return &s->stand_ins[i];
	return NULL;
}

/* the births array was made large enough for all that can be needed */
static struct crk_rproc *stand_in_add(struct crk_rst *r, struct crk_rproc *parent, pid_t pid, pid_t sid)
{
	struct crk_sync *s = r->sync;
	struct crk_rproc *p = &s->stand_ins[s->nr_stand_ins++];
	struct crk_birth *b = &s->births[s->nr_births++];

	p->stand_in = true;
	p->parent = parent;
	p->pid = pid;
	p->sid = sid;
	b->proc = p;
	b->sid = parent ? parent->sid : getsid(0);
	return p;
}

static int pid_is_free(const struct crk_rproc *p, pid_t pid, const char *what)
{
	char comm[17];

	if (kill(pid, 0) && errno == ESRCH)
		return 0;
	crk_pid_comm(pid, comm);
	return crk_fail(-EEXIST, "pid %d (%s): cannot make its %s %d again: pid %d is taken (%s)", p->pid,
			crk_rproc_comm(p), what, pid, pid, comm);
}

/*
 * The session that @p must be born in because of its children: a session leader can only hand on another session
 * to those that it makes before it makes its own.  0: any.
 */
static pid_t wanted_sid(const struct crk_rst *r, const struct crk_rproc *p)
{
	size_t i;

	if (p->sid != p->pid)
		return p->sid;
	for (i = 0; i < r->nr_procs; i++) {
		const struct crk_rproc *c = &r->procs[i];
		pid_t sid;

		if (crk_birth_of(r, c)->final_parent != p)
			continue;
		sid = wanted_sid(r, c);
		/* a leader that is gone has no session to be born in */
		if (sid && sid != p->sid && (sid == getsid(0) || crk_restore_proc((struct crk_rst *)r, sid)))
			return sid;
	}
	return 0;
}

static bool is_below(const struct crk_rproc *p, const struct crk_rproc *ancestor)
{
	for (; p; p = p->parent)
		if (p == ancestor)
			return true;
	return false;
}

/* @p, an orphan whose session can't be inherited from @parent, its parent to be (NULL: init or the like) */
static int place_orphan(struct crk_rst *r, struct crk_rproc *p, struct crk_rproc *parent)
{
	struct crk_rproc *leader = crk_restore_proc(r, p->sid);
	struct crk_rproc *h;
	int ret;

	if (leader) {
		if (parent && !is_below(leader, parent))
			return crk_fail(-EOPNOTSUPP, "pid %d (%s): its session %d is not its parent's and not made below it",
					p->pid, crk_rproc_comm(p), p->sid);
		h = stand_in_add(r, leader, 0, p->sid);
	} else {
		h = stand_in_find(r, p->sid);
		if (!h) {
			ret = pid_is_free(p, p->sid, "session");
			if (ret) {
				crk_hint("if the session is that of a shell, go on in the one you are in with --shell-job");
				return ret;
			}
			h = stand_in_add(r, parent, p->sid, p->sid);
			h->pgid = p->sid;
		} else if (h->parent != parent) {
			return crk_fail(-EOPNOTSUPP, "pid %d (%s): members of its session %d, whose leader is gone, have different parents",
					p->pid, crk_rproc_comm(p), p->sid);
		}
	}
	if (parent)
		crk_birth_of(r, parent)->adopts = true;
	p->parent = h;
	return 0;
}

/* the coordinator's exit would be taken for its parent's death */
static bool has_pdeath_signal(const struct crk_rproc *p)
{
	const CoreEntry *core = p->nr_threads ? p->threads[0].core : NULL;

	return core && core->thread_core && core->thread_core->pdeath_sig;
}

static int place(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_birth *b = crk_birth_of(r, p);
	struct crk_rproc *parent = b->final_parent;
	pid_t own = getsid(0), parent_sid, older_sid, want;
	int ret;

	p->parent = parent;
	parent_sid = parent ? parent->sid : own;
	older_sid = parent ? crk_birth_of(r, parent)->sid : own;
	want = wanted_sid(r, p);
	if (!want || want == parent_sid) {
		b->sid = parent_sid;
	} else if (want == older_sid) {
		b->sid = older_sid;
		b->before_setsid = true;
	} else if (p->sid == p->pid) {
		/* its children will be placed on their own */
		b->sid = parent_sid;
	} else {
		ret = place_orphan(r, p, parent);
		if (ret)
			return ret;
		b->sid = p->sid;
		return 0;
	}
	/*
	 * Not a child of the coordinator: orphans are init's, or of the subreaper above us.  The root stays with the
	 * coordinator, which waits for it, or leaves it to init by exiting.
	 */
	if (!parent && (p != r->procs || (r->opts->detach && has_pdeath_signal(p)))) {
		p->parent = stand_in_add(r, NULL, 0, own);
		crk_birth_of(r, p->parent)->sid = own;
	}
	return 0;
}

/* it comes last, made by a parent that has taken its own place */
static int refuse_sharer(const struct crk_rproc *p)
{
	return crk_fail(-EOPNOTSUPP, "pid %d (%s): shares the memory of pid %d, but its session %d or group %d cannot be had from its parent",
			p->pid, crk_rproc_comm(p), p->mm_of->pid, p->sid, p->pgid);
}

static int place_group(struct crk_rst *r, struct crk_rproc *p)
{
	struct crk_rproc *h;
	int ret;

	if (p->pgid == p->pid || crk_restore_proc(r, p->pgid) || stand_in_find(r, p->pgid))
		return 0;
	if (p->mm_of && p->pgid != getpgrp() && kill(-p->pgid, 0))
		return refuse_sharer(p);
	if (p->sid == getsid(0)) {
		if (!p->pgid || (r->opts->shell_job && kill(-p->pgid, 0) && errno == ESRCH))
			p->pgid = getpgrp();
		if (p->pgid == getpgrp() || !kill(-p->pgid, 0))
			return 0;
	}
	ret = pid_is_free(p, p->pgid, "process group");
	if (ret)
		return ret;
	h = stand_in_add(r, p, p->pgid, p->sid);
	h->pgid = p->pgid;
	return 0;
}

/*
 * A session that nobody in the images leads, but that lives: that of the shell it was started from.  0 is a session
 * from outside the pid namespace, which nobody can make.
 */
static void take_shell_session(struct crk_rst *r)
{
	pid_t sid = r->procs[0].sid, pgid = r->procs[0].pgid;
	size_t i;

	if ((sid && !r->opts->shell_job) || crk_restore_proc(r, sid))
		return;
	for (i = 0; i < r->nr_procs; i++) {
		if (r->procs[i].sid != sid)
			continue;
		r->procs[i].sid = getsid(0);
		if (r->procs[i].pgid == pgid && !crk_restore_proc(r, pgid))
			r->procs[i].pgid = getpgrp();
	}
}

/* stand-ins that exit must leave their children to the right process: the nearest subreaper above, or init */
static int check_adoption(struct crk_rst *r, const struct crk_rproc *p)
{
	struct crk_rproc *want = crk_birth_of(r, p)->final_parent, *above;

	if (p->parent == want)
		return 0;
	for (above = p->parent; above && !crk_birth_of(r, above)->adopts; above = above->parent)
		;
	if (above == want)
		return 0;
	return crk_fail(-EOPNOTSUPP, "pid %d (%s): its parent was pid %d, but pid %d would adopt it", p->pid,
			crk_rproc_comm(p), want ? want->pid : 1, above ? above->pid : 1);
}

/* tables of open files and directories are shared by being made with CLONE_FILES, CLONE_FS: by a parent that has it */
static bool parent_has(const struct crk_rproc *p, const struct crk_rproc *of, const struct crk_rproc *parents_of)
{
	return !of || (p->parent && (p->parent == of || parents_of == of));
}

static int check_shared(const struct crk_rproc *p)
{
	const struct crk_rproc *parent = p->parent;

	if (parent_has(p, p->files_of, parent ? parent->files_of : NULL) &&
	    parent_has(p, p->fs_of, parent ? parent->fs_of : NULL))
		return 0;
	return crk_fail(-EOPNOTSUPP, "pid %d (%s): shares its open files or directories with pid %d, which its parent does not",
			p->pid, crk_rproc_comm(p), p->files_of ? p->files_of->pid : p->fs_of->pid);
}

static int link_children(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	size_t i;

	for (i = 0; i < s->nr_births; i++) {
		struct crk_rproc *p = s->births[i].proc, *q = p->parent, **more;

		if (!q)
			continue;
		more = reallocarray(q->children, q->nr_children + 1, sizeof(*more));
		if (!more)
			return crk_oom();
		q->children = more;
		q->children[q->nr_children++] = p;
	}
	return 0;
}

int crk_birth_plan(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	size_t i, max = 4 * r->nr_procs + 4;
	int ret;

	s->births = calloc(max, sizeof(*s->births));
	s->stand_ins = calloc(max - r->nr_procs, sizeof(*s->stand_ins));
	if (!s->births || !s->stand_ins)
		return crk_oom();
	s->nr_births = r->nr_procs;
	take_shell_session(r);
	for (i = 0; i < r->nr_procs; i++) {
		s->births[i].proc = &r->procs[i];
		s->births[i].final_parent = crk_restore_proc(r, r->procs[i].ppid);
	}
	for (i = 0; i < r->nr_procs; i++) {
		ret = place(r, &r->procs[i]);
		if (!ret && r->procs[i].mm_of && (s->births[i].before_setsid || r->procs[i].parent != s->births[i].final_parent))
			ret = refuse_sharer(&r->procs[i]);
		if (ret)
			return ret;
	}
	for (i = 0; i < r->nr_procs; i++) {
		ret = place_group(r, &r->procs[i]);
		ret = ret ?: check_adoption(r, &r->procs[i]);
		ret = ret ?: check_shared(&r->procs[i]);
		if (ret)
			return ret;
	}
	return link_children(r);
}

void crk_birth_free(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	size_t i;

	if (!s)
		return;
	for (i = 0; i < s->nr_births; i++) {
		free(s->births[i].proc->children);
		s->births[i].proc->children = NULL;
		s->births[i].proc->nr_children = 0;
	}
	free(s->births);
	free(s->stand_ins);
	s->births = NULL;
	s->stand_ins = NULL;
	s->nr_births = 0;
}
