// SPDX-License-Identifier: GPL-2.0
/*
 * Dump: what has not been written to since an earlier dump is left to that one.  The kernel's soft-dirty bits tell, from
 * the moment they are cleared; this file clears them, and knows whose they are.
 *
 * There is one set of bits, and who clears them can't be seen in them.  So a note outlives the dump, in NOTES/PID: the
 * process, by its start time, and the id of the dump that cleared its bits last.  It is written before they are cleared:
 * a dump that fails then, or is thrown away, makes the next one save all, never too little.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#include "mem.h"

#define NOTES		"/run/crk/tracking"
#define NOTE_MAX	(24 + 2 * CRK_IMG_ID_LEN)

static size_t note_text(char text[NOTE_MAX], uint64_t start_ns, const uint8_t *id)
{
	int len = snprintf(text, NOTE_MAX, "%" PRIu64 " ", start_ns), i;

	for (i = 0; i < CRK_IMG_ID_LEN; i++)
		len += snprintf(text + len, NOTE_MAX - len, "%02x", id[i]);
	return len;
}

static bool is_tracked(const struct crk_dproc *p)
{
	return !p->zombie && !p->mm_of && p->nr_vmas;
}

/* ---- what the parent checkpoint has ---- */

static bool note_is_of(const struct crk_dproc *p, const CrkInventoryEntry *parent)
{
	_cleanup_free_ char *have = NULL;
	char path[64], want[NOTE_MAX];

	snprintf(path, sizeof(path), NOTES "/%d", p->pid);
	note_text(want, p->leader->start_ns, parent->id.data);
	return !read_file_at(AT_FDCWD, path, &have, NULL) && !strcmp(have, want);
}

/* the process's place in the list of those that @parent tracks, -1 if it has none */
static ssize_t tracked_by(const struct crk_dproc *p, const CrkInventoryEntry *parent)
{
	size_t i;

	for (i = 0; i < parent->n_tracked; i++)
		if ((pid_t)parent->tracked[i]->pid == p->pid && parent->tracked[i]->start_boottime_ns == p->leader->start_ns)
			return i;
	return -1;
}

/* pages that it has, or its own parent */
static int pages_of(struct crk_imgdir *parent, pid_t pid, struct crk_ranges *to)
{
	ProtobufCMessage *msg;
	struct crk_img *img;
	bool is_head = true;
	int ret;

	ret = crk_img_open(parent, CRK_IMG_PAGEMAP, pid, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) == 1) {
		const PagemapEntry *e = (const PagemapEntry *)msg;
		int err = is_head ? 0 : crk_ranges_append(to, e->vaddr, e->vaddr + crk_pagemap_nr(e) * PAGE_SIZE);

		is_head = false;
		protobuf_c_message_free_unpacked(msg, NULL);
		ret = err ?: ret;
		if (err)
			break;
	}
	crk_img_close(img);
	crk_ranges_sort(to);
	return ret < 0 ? ret : 0;
}

/* the pages that the parent has of each process that it tracks, as far as a write to them would be known */
static int parent_read(struct crk_dump *d, struct crk_imgdir *parent)
{
	const CrkInventoryEntry *inv = crk_imgdir_inventory(parent);
	struct crk_dump_mem *m = d->mem;
	size_t i, j;
	int err = 0;

	m->in_parent = calloc(inv->n_tracked + 1, sizeof(*m->in_parent));
	if (!m->in_parent)
		return crk_oom();
	m->nr_in_parent = inv->n_tracked;
	for (i = 0; i < inv->n_tracked && !err; i++) {
		const CrkTrackedEntry *t = inv->tracked[i];
		struct crk_ranges untracked = {};

		err = pages_of(parent, t->pid, &m->in_parent[i]);
		for (j = 0; j + 1 < t->n_untracked && !err; j += 2)
			err = crk_ranges_append(&untracked, t->untracked[j], t->untracked[j + 1]);
		err = err ?: crk_ranges_sub(&m->in_parent[i], &untracked);
		crk_ranges_free(&untracked);
	}
	return err;
}

static void parent_look(struct crk_dump *d, const struct crk_dproc *p)
{
	struct crk_imgdir *parent = crk_imgdir_parent(d->dir);
	const CrkInventoryEntry *inv = crk_imgdir_inventory(parent);
	ssize_t at = tracked_by(p, inv);

	if (at < 0) {
		crk_info("pid %d (%s): all pages are saved: this process is not in the parent checkpoint", p->pid,
			 (const char *)p->leader->comm);
	} else if (!note_is_of(p, inv)) {
		crk_warn("pid %d (%s): all pages are saved: its writes were tracked anew after the parent checkpoint '%s', by another dump",
			 p->pid, (const char *)p->leader->comm, crk_imgdir_path(parent));
	} else {
		d->mem->private[p - d->procs].in_parent = d->mem->in_parent[at];
		d->mem->in_parent[at] = (struct crk_ranges){};
	}
}

/* notes of those who are gone */
static void notes_clean(void)
{
	_cleanup_closedir_ DIR *d = opendir(NOTES);
	struct dirent *de;
	char path[64];

	while (d && (de = readdir(d))) {
		pid_t pid = atoi(de->d_name);

		snprintf(path, sizeof(path), "/proc/%d", pid);
		if (pid > 0 && access(path, F_OK))
			unlinkat(dirfd(d), de->d_name, 0);
	}
}

int crk_tracking_prepare(struct crk_dump *d)
{
	struct crk_imgdir *parent = crk_imgdir_parent(d->dir);
	const struct crk_opts *opts = d->opts;
	struct crk_info info = {};
	int err;

	if (!parent && !opts->track_mem)
		return 0;
	/* those that end write no more */
	d->mem->tracking = opts->track_mem && (opts->leave_running || opts->leave_stopped || opts->leave_frozen);
	err = crk_dev_info(d->dev, &info);
	if (err)
		return err;
	if (!(info.out_features & CRK_FEAT_SOFT_DIRTY)) {
		crk_warn("this kernel does not track writes to memory (CONFIG_MEM_SOFT_DIRTY is off): all pages are saved each time");
		return 0;
	}
	d->mem->can_clear = d->mem->tracking;
	if (d->mem->can_clear) {
		if ((mkdir("/run/crk", 0700) && errno != EEXIST) || (mkdir(NOTES, 0700) && errno != EEXIST))
			return crk_err(-errno, "cannot make " NOTES ", for notes of whose memory is tracked");
		notes_clean();
	}
	if (!parent)
		return 0;
	if (crk_imgdir_inventory(parent)->id.len == CRK_IMG_ID_LEN)
		return parent_read(d, parent);
	crk_warn("all pages are saved: '%s' was made without --track-mem, so what has changed since is not known",
		 crk_imgdir_path(parent));
	return 0;
}

void crk_tracking_look(struct crk_dump *d)
{
	size_t i;

	for (i = 0; i < d->nr_procs; i++) {
		d->mem->private[i].tracking = d->mem->tracking;
		if (d->mem->in_parent && is_tracked(&d->procs[i]))
			parent_look(d, &d->procs[i]);
	}
}

void crk_tracking_free(struct crk_dump_mem *m)
{
	size_t i;

	for (i = 0; i < m->nr_in_parent; i++)
		crk_ranges_free(&m->in_parent[i]);
	free(m->in_parent);
	free(m->tracked);
	free(m->tracked_ptrs);
}

/* ---- from now on ---- */

int crk_tracking_inventory(struct crk_dump *d, CrkInventoryEntry *inv)
{
	struct crk_imgdir *parent = crk_imgdir_parent(d->dir);
	struct crk_dump_mem *m = d->mem;
	size_t i;

	/* one that nothing is left to is not needed */
	if (parent && d->pages_in_parent) {
		inv->parent = (char *)d->opts->prev_images;
		inv->has_parent_id = 1;
		inv->parent_id = crk_imgdir_inventory(parent)->id;
	}
	inv->has_pre_dump = inv->pre_dump = d->opts->pre_dump;
	if (!m->tracking)
		return 0;
	if (getrandom(m->id, sizeof(m->id), 0) != sizeof(m->id))
		return crk_err(-errno, "no random number");
	inv->has_id = 1;
	inv->id = (ProtobufCBinaryData){ sizeof(m->id), m->id };
	m->tracked = calloc(d->nr_procs, sizeof(*m->tracked));
	m->tracked_ptrs = calloc(d->nr_procs, sizeof(*m->tracked_ptrs));
	if (!m->tracked || !m->tracked_ptrs)
		return crk_oom();
	for (i = 0; i < d->nr_procs; i++) {
		struct crk_ranges *untracked = &m->private[i].untracked;
		CrkTrackedEntry *e = &m->tracked[inv->n_tracked];

		if (!is_tracked(&d->procs[i]))
			continue;
		crk_tracked_entry__init(e);
		e->pid = d->procs[i].pid;
		e->start_boottime_ns = d->procs[i].leader->start_ns;
		e->untracked = (uint64_t *)untracked->spans;
		e->n_untracked = 2 * untracked->nr;
		m->tracked_ptrs[inv->n_tracked++] = e;
	}
	inv->tracked = m->tracked_ptrs;
	return 0;
}

static int note_write(const struct crk_dproc *p, const uint8_t *id)
{
	char path[64], text[NOTE_MAX];
	_cleanup_close_ int fd = -1;
	int err;

	snprintf(path, sizeof(path), NOTES "/%d", p->pid);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : write_all(fd, text, note_text(text, p->leader->start_ns, id));
	return err ? crk_err(err, "cannot note in %s that writes of pid %d are tracked", path, p->pid) : 0;
}

int crk_tracking_start(struct crk_dump *d)
{
	size_t i;
	int err = 0;

	for (i = 0; i < d->nr_procs && d->mem->can_clear && !err; i++) {
		const struct crk_dproc *p = &d->procs[i];

		if (!is_tracked(p))
			continue;
		err = note_write(p, d->mem->id);
		if (err)
			break;
		err = write_file_at(p->procfd, "clear_refs", "4");
		if (err)
			crk_err(err, "pid %d (%s): cannot clear the soft-dirty bits of its pages (/proc/PID/clear_refs)", p->pid,
				(const char *)p->leader->comm);
	}
	return err;
}
