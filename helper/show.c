// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper show: what is in a checkpoint, as text or as JSON.  Reads images only, of any machine; knows no kind of
 * file by name, but shows what its message has.
 */
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "helper.h"
#include "json.h"

#define NR_BIGGEST	3	/* mappings listed for each process */

struct show_thread {
	uint32_t tid;
	CoreEntry *core;
	CrkCoreEntry *recs;
};

struct show_proc {
	PstreeEntry *ps;
	struct show_thread *threads;	/* ps->n_threads, the leader's first */
	TaskCoreEntry *tc;		/* of the leader's core */
	MmEntry *mm;			/* these are NULL for a zombie */
	FsEntry *fs;
	CrkTaskEntry *task;
	CrkVmaEntry **crk_vmas;		/* same order as mm->vmas */
	size_t nr_crk_vmas;
	FdinfoEntry **fds;
	size_t nr_fds;
	uint64_t *saved;		/* bytes in the pages image, of each mapping */
	uint64_t mapped_sum, saved_sum, cow_sum;
	unsigned int depth;		/* in the tree */
};

struct show {
	struct crk_imgdir *dir;
	const CrkInventoryEntry *inv;
	struct show_proc *procs;
	size_t nr_procs, nr_threads;
	FileEntry **files;
	size_t nr_files;
	CrkFileEntry **crk_files;
	size_t nr_crk_files;
};

/* ---- loading ---- */

/* all messages of an image; none if it isn't there */
static int load_all(struct show *s, enum crk_img_type type, unsigned int id, void *items_ret, size_t *nr_ret)
{
	ProtobufCMessage **items = NULL, *msg;
	size_t room = 0;
	struct crk_img *img;
	int ret;

	ret = crk_img_open(s->dir, type, id, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		ProtobufCMessage **slot = array_add(items, *nr_ret, room);

		if (!slot) {
			protobuf_c_message_free_unpacked(msg, NULL);
			ret = crk_oom();
			break;
		}
		*slot = msg;
	}
	crk_img_close(img);
	*(ProtobufCMessage ***)items_ret = items;
	return ret;
}

static void free_all(void *items, size_t nr)
{
	while (nr)
		protobuf_c_message_free_unpacked(((ProtobufCMessage **)items)[--nr], NULL);
	free(items);
}

/* one message; NULL if the image isn't there */
static int load_one(struct show *s, enum crk_img_type type, unsigned int id, void *ret)
{
	int err = crk_img_read_one(s->dir, type, id, ret);

	return err == -ENOENT ? 0 : err;
}

static const CrkVmaEntry *crk_vma_of(const struct show_proc *p, size_t i)
{
	return i < p->nr_crk_vmas && p->crk_vmas[i]->start == p->mm->vmas[i]->start ? p->crk_vmas[i] : NULL;
}

/* adds @bytes at @addr to the mappings they are in, which are looked at from *@at on */
static void count_saved(struct show_proc *p, size_t *at, uint64_t addr, uint64_t bytes)
{
	while (bytes && *at < p->mm->n_vmas) {
		const VmaEntry *vma = p->mm->vmas[*at];
		uint64_t in;

		if (addr >= vma->end) {
			++*at;
			continue;
		}
		if (addr < vma->start)
			break;
		in = min(bytes, vma->end - addr);
		p->saved[*at] += in;
		addr += in;
		bytes -= in;
	}
}

static int load_pagemap(struct show *s, struct show_proc *p)
{
	struct crk_img *img;
	ProtobufCMessage *msg;
	bool is_head = true;
	size_t at = 0;
	int ret;

	ret = crk_img_open(s->dir, CRK_IMG_PAGEMAP, p->ps->pid, &img);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = crk_img_get(img, &msg)) > 0) {
		const PagemapEntry *e = (const PagemapEntry *)msg;

		if (!is_head && (!e->has_flags || e->flags & PE_PRESENT)) {
			uint64_t bytes = crk_pagemap_nr(e) * s->inv->page_size;

			count_saved(p, &at, e->vaddr, bytes);
			p->saved_sum += bytes;
		}
		is_head = false;
		protobuf_c_message_free_unpacked(msg, NULL);
	}
	crk_img_close(img);
	return ret;
}

static int load_memory(struct show *s, struct show_proc *p)
{
	CrkCowEntry **cow = NULL;
	size_t i, nr_cow = 0;
	int ret;

	ret = load_one(s, CRK_IMG_MM, p->ps->pid, &p->mm);
	if (ret || !p->mm)
		return ret;
	p->saved = calloc(p->mm->n_vmas + 1, sizeof(*p->saved));
	if (!p->saved)
		return crk_oom();
	for (i = 0; i < p->mm->n_vmas; i++)
		p->mapped_sum += p->mm->vmas[i]->end - p->mm->vmas[i]->start;
	ret = load_all(s, CRK_IMG_CRK_VMA, p->ps->pid, &p->crk_vmas, &p->nr_crk_vmas);
	ret = ret ?: load_pagemap(s, p);
	ret = ret ?: load_all(s, CRK_IMG_CRK_COW, p->ps->pid, &cow, &nr_cow);
	for (i = 0; i < nr_cow; i++)
		p->cow_sum += cow[i]->nr_pages * s->inv->page_size;
	free_all(cow, nr_cow);
	return ret;
}

static int load_threads(struct show *s, struct show_proc *p)
{
	size_t i;
	int ret = 0;

	p->threads = calloc(p->ps->n_threads + 1, sizeof(*p->threads));
	if (!p->threads)
		return crk_oom();
	for (i = 0; i < p->ps->n_threads && !ret; i++) {
		struct show_thread *t = &p->threads[i];

		t->tid = p->ps->threads[i];
		ret = load_one(s, CRK_IMG_CORE, t->tid, &t->core);
		ret = ret ?: load_one(s, CRK_IMG_CRK_CORE, t->tid, &t->recs);
		if (!ret && t->core && t->core->tc && !p->tc)
			p->tc = t->core->tc;
	}
	return ret;
}

static int load_proc(struct show *s, struct show_proc *p)
{
	const TaskKobjIdsEntry *ids;
	int ret;

	ret = load_threads(s, p);
	if (ret)
		return ret;
	ret = load_memory(s, p);
	ret = ret ?: load_one(s, CRK_IMG_FS, p->ps->pid, &p->fs);
	ret = ret ?: load_one(s, CRK_IMG_CRK_TASK, p->ps->pid, &p->task);
	ids = p->ps->n_threads && p->threads[0].core ? p->threads[0].core->ids : NULL;
	if (!ret && ids)
		ret = load_all(s, CRK_IMG_FDINFO, ids->files_id, &p->fds, &p->nr_fds);
	return ret;
}

static int load(struct show *s)
{
	PstreeEntry **ps = NULL;
	size_t i, j;
	int ret;

	s->inv = crk_imgdir_inventory(s->dir);
	ret = load_all(s, CRK_IMG_FILES, 0, &s->files, &s->nr_files);
	ret = ret ?: load_all(s, CRK_IMG_CRK_FILES, 0, &s->crk_files, &s->nr_crk_files);
	ret = ret ?: load_all(s, CRK_IMG_PSTREE, 0, &ps, &s->nr_procs);
	if (ret)
		return ret;
	s->procs = calloc(s->nr_procs + 1, sizeof(*s->procs));
	if (!s->procs)
		return crk_oom();
	for (i = 0; i < s->nr_procs; i++)
		s->procs[i].ps = ps[i];
	free(ps);
	for (i = 0; i < s->nr_procs && !ret; i++) {
		struct show_proc *p = &s->procs[i];

		s->nr_threads += p->ps->n_threads;
		/* parents come first in the image */
		for (j = 0; j < i; j++)
			if (s->procs[j].ps->pid == p->ps->ppid)
				p->depth = s->procs[j].depth + 1;
		ret = load_proc(s, p);
	}
	return ret;
}

static void unload(struct show *s)
{
	size_t i, j;

	for (i = 0; i < s->nr_procs; i++) {
		struct show_proc *p = &s->procs[i];

		for (j = 0; p->threads && j < p->ps->n_threads; j++) {
			if (p->threads[j].core)
				core_entry__free_unpacked(p->threads[j].core, NULL);
			if (p->threads[j].recs)
				crk_core_entry__free_unpacked(p->threads[j].recs, NULL);
		}
		free(p->threads);
		if (p->mm)
			mm_entry__free_unpacked(p->mm, NULL);
		if (p->fs)
			fs_entry__free_unpacked(p->fs, NULL);
		if (p->task)
			crk_task_entry__free_unpacked(p->task, NULL);
		free_all(p->crk_vmas, p->nr_crk_vmas);
		free_all(p->fds, p->nr_fds);
		free(p->saved);
		pstree_entry__free_unpacked(p->ps, NULL);
	}
	free(s->procs);
	free_all(s->files, s->nr_files);
	free_all(s->crk_files, s->nr_crk_files);
	crk_imgdir_close(s->dir);
}

/* ---- words for things ---- */

/* a name as a terminal may get it: no control characters; good until the fourth call from now */
static const char *printable(const char *name)
{
	static char bufs[4][4096];
	static unsigned int next;
	char *buf = bufs[next++ % ARRAY_SIZE(bufs)];
	size_t i;

	for (i = 0; name[i] && i < sizeof(bufs[0]) - 1; i++)
		buf[i] = (unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i];
	buf[i] = '\0';
	return buf;
}

static const char *state_name(const TaskCoreEntry *tc)
{
	switch (tc ? tc->task_state : 0) {
	case CRK_TASK_STATE_ALIVE:	return "alive";
	case CRK_TASK_STATE_ZOMBIE:	return "zombie";
	case CRK_TASK_STATE_STOPPED:	return "stopped";
	default:			return "unknown";
	}
}

static const char *comm_of(const struct show_proc *p)
{
	return p->tc ? p->tc->comm : "?";
}

/* 1023 B, 4.0 KiB, 12.3 MiB */
static const char *human(uint64_t bytes, char buf[16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = bytes;
	size_t i = 0;

	while (value >= 1000 && i < ARRAY_SIZE(units) - 1) {
		value /= 1024;
		i++;
	}
	snprintf(buf, 16, i ? "%.1f %s" : "%.0f %s", value, units[i]);
	return buf;
}

static const struct crk_rec_thread *thread_rec(const struct show_thread *t)
{
	const struct crk_rec_thread *rec;

	if (!t->recs)
		return NULL;
	rec = crk_rec_find((const struct crk_rec *)t->recs->recs.data, t->recs->recs.len, CRK_REC_THREAD, NULL);
	return rec && rec->rec.size >= sizeof(*rec) ? rec : NULL;
}

static uint32_t thread_machine(const struct show_thread *t)
{
	const struct crk_rec_task *rec;

	if (!t->recs)
		return 0;
	rec = crk_rec_find((const struct crk_rec *)t->recs->recs.data, t->recs->recs.len, CRK_REC_TASK, NULL);
	return rec && rec->rec.size >= sizeof(*rec) ? rec->machine : 0;
}

static const char *thread_comm(const struct show_thread *t)
{
	const struct crk_rec_thread *rec = thread_rec(t);

	if (rec)
		return (const char *)rec->comm;
	if (t->core && t->core->thread_core && t->core->thread_core->comm)
		return t->core->thread_core->comm;
	return "?";
}

static const char *const syscall_kinds[] = {
	[CRK_SYSCALL_NONE]	= "none",
	[CRK_SYSCALL_DONE]	= "done",
	[CRK_SYSCALL_RESTART]	= "restart",
	[CRK_SYSCALL_NOHAND]	= "restart-if-no-handler",
	[CRK_SYSCALL_BLOCK]	= "restart-block",
	[CRK_SYSCALL_EINTR]	= "eintr",
	[CRK_SYSCALL_ENTRY]	= "entry",
	[CRK_SYSCALL_VFORK]	= "vfork",
};

static const char *const restart_kinds[] = {
	[CRK_RESTART_NONE]		= "none",
	[CRK_RESTART_NANOSLEEP]		= "nanosleep",
	[CRK_RESTART_POLL]		= "poll",
	[CRK_RESTART_FUTEX]		= "futex",
	[CRK_RESTART_CPU_NANOSLEEP]	= "nanosleep on CPU time",
	[CRK_RESTART_ALARM_NANOSLEEP]	= "nanosleep that wakes the machine",
};

static const char *const abi_names[] = {
	[CRK_ABI_NATIVE]	= "native",
	[CRK_ABI_COMPAT]	= "compat",
	[CRK_ABI_X32]		= "x32",
	[CRK_ABI_OABI]		= "oabi",
};

#define NAME_OF(names, i)	((i) < ARRAY_SIZE(names) && (names)[i] ? (names)[i] : "unknown")

/* what a thread was doing */
static void thread_print(const struct show_thread *t, FILE *to)
{
	const struct crk_rec_thread *rec = thread_rec(t);
	const struct crk_restart *r;

	if (!rec) {
		fputs("no records", to);
		return;
	}
	r = &rec->restart;
	switch (rec->syscall) {
	case CRK_SYSCALL_NONE:
		fputs("running", to);
		break;
	case CRK_SYSCALL_DONE:
		fprintf(to, "leaving system call %d", rec->syscall_nr);
		break;
	case CRK_SYSCALL_BLOCK:
		fprintf(to, "in %s", NAME_OF(restart_kinds, r->kind));
		if (r->flags & CRK_RESTART_HAS_TIME)
			fprintf(to, ", %.3f s left", r->remaining_ns / 1e9);
		break;
	case CRK_SYSCALL_VFORK:
		fputs("in vfork", to);
		break;
	default:
		fprintf(to, "in system call %d", rec->syscall_nr);
	}
	if (rec->syscall != CRK_SYSCALL_NONE && rec->syscall_abi != CRK_ABI_NATIVE)
		fprintf(to, " (%s)", NAME_OF(abi_names, rec->syscall_abi));
}

static const FileEntry *file_by_id(const struct show *s, uint32_t id)
{
	size_t i;

	/* ids are given in order, mostly from 1 */
	if (id && id <= s->nr_files && s->files[id - 1]->id == id)
		return s->files[id - 1];
	for (i = 0; i < s->nr_files; i++)
		if (s->files[i]->id == id)
			return s->files[i];
	return NULL;
}

static const CrkFileEntry *crk_file_by_id(const struct show *s, uint32_t id)
{
	size_t i;

	for (i = 0; i < s->nr_crk_files; i++)
		if (s->crk_files[i]->id == id)
			return s->crk_files[i];
	return NULL;
}

static const char *kind_name(FdTypes type)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, type);

	return value ? value->name : "unknown";
}

/* the one message in a file_entry that its type is about, and the name of its field */
static const ProtobufCMessage *file_body(const FileEntry *fe, const char **name_ret)
{
	unsigned int i;

	for (i = 0; i < fe->base.descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &fe->base.descriptor->fields[i];
		const ProtobufCMessage *body;

		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		body = *(ProtobufCMessage * const *)((const char *)fe + field->offset);
		if (body) {
			*name_ret = field->name;
			return body;
		}
	}
	return NULL;
}

static const void *body_field(const ProtobufCMessage *body, const char *name, ProtobufCType type)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(body->descriptor, name);

	if (!field || field->type != type || field->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return (const char *)body + field->offset;
}

static const char *file_name(const struct show *s, uint32_t id)
{
	const FileEntry *fe = file_by_id(s, id);
	const char *field;
	const ProtobufCMessage *body = fe ? file_body(fe, &field) : NULL;
	char * const *name = body ? body_field(body, "name", PROTOBUF_C_TYPE_STRING) : NULL;

	return name ? *name : NULL;
}

/* fields that say nothing to a reader, or are shown otherwise */
static bool is_dull(const char *name)
{
	static const char *const dull[] = { "id", "flags", "fown", "name", "mnt_id", "size", "mode", "regf_id",
					    "ino", "opts", "uflags" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(dull); i++)
		if (!strcmp(name, dull[i]))
			return true;
	return false;
}

/* "pipe_id 7", "counter 3", "2 tfd": what the message has, zeros left out */
static void body_print(const ProtobufCMessage *body, FILE *to)
{
	unsigned int i;

	for (i = 0; i < body->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &body->descriptor->fields[i];
		const char *base = (const char *)body;
		uint64_t value;

		if (is_dull(field->name))
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			value = *(const size_t *)(base + field->quantifier_offset);
			if (value)
				fprintf(to, "  %" PRIu64 " %s", value, field->name);
			continue;
		}
		switch (field->type) {
		case PROTOBUF_C_TYPE_UINT32:
			value = *(const uint32_t *)(base + field->offset);
			break;
		case PROTOBUF_C_TYPE_UINT64:
			value = *(const uint64_t *)(base + field->offset);
			break;
		default:
			continue;
		}
		if (!value)
			continue;
		if (strstr(field->name, "mask"))
			fprintf(to, "  %s 0x%" PRIx64, field->name, value);
		else
			fprintf(to, "  %s %" PRIu64, field->name, value);
	}
}

static void file_print(const struct show *s, uint32_t id, FILE *to)
{
	static const char *const modes[] = { "read", "write", "read-write", "" };
	const FileEntry *fe = file_by_id(s, id);
	const CrkFileEntry *more = crk_file_by_id(s, id);
	const uint32_t *flags, *path_id;
	const ProtobufCMessage *body;
	const char *field, *name;
	int width;

	if (!fe) {
		fputs("?\n", to);
		return;
	}
	for (name = kind_name(fe->type), width = 10; *name; name++, width--)
		putc(tolower((unsigned char)*name), to);
	fprintf(to, "%*s", max(width, 1), "");
	body = file_body(fe, &field);
	if (!body) {
		putc('\n', to);
		return;
	}
	path_id = body_field(body, "regf_id", PROTOBUF_C_TYPE_UINT32);
	name = file_name(s, path_id && *path_id ? *path_id : id);
	if (!name || !*name)
		name = more && more->desc ? more->desc : "";
	fputs(printable(name), to);
	if (more && more->has_unlinked && more->unlinked)
		fputs(" (deleted)", to);
	flags = body_field(body, "flags", PROTOBUF_C_TYPE_UINT32);
	if (flags)
		fprintf(to, "%s%s%s%s%s", *name ? "  " : "",
			*flags & O_PATH ? "path only" : modes[*flags & O_ACCMODE],
			*flags & O_APPEND ? ", append" : "", *flags & O_NONBLOCK ? ", non-blocking" : "",
			*flags & O_ASYNC ? ", async" : "");
	body_print(body, to);
	putc('\n', to);
}

/* what a mapping is of; may be "" */
static const char *vma_name(const struct show *s, const struct show_proc *p, size_t i, char buf[64])
{
	const VmaEntry *vma = p->mm->vmas[i];
	const CrkVmaEntry *more = crk_vma_of(p, i);
	const char *name = NULL;

	if (vma->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
		name = file_name(s, more && more->has_file_id ? more->file_id : vma->shmid);
	if (name)
		return name;
	if (more && more->name)
		return more->name;
	if (vma->status & VMA_AREA_SYSVIPC)
		snprintf(buf, 64, "[SysV segment %" PRIu64 "]", vma->shmid);
	else if (vma->status & VMA_ANON_SHARED)
		snprintf(buf, 64, "[shared %" PRIu64 "]", vma->shmid);
	else
		snprintf(buf, 64, "%s", vma->status & VMA_AREA_STACK ? "[stack]" :
			 vma->status & VMA_AREA_HEAP ? "[heap]" : vma->status & VMA_AREA_VDSO ? "[vdso]" :
			 vma->status & VMA_AREA_VVAR ? "[vvar]" : "");
	return buf;
}

static void vma_prot(const struct show_proc *p, size_t i, char buf[5])
{
	const VmaEntry *vma = p->mm->vmas[i];

	buf[0] = vma->prot & 1 ? 'r' : '-';
	buf[1] = vma->prot & 2 ? 'w' : '-';
	buf[2] = vma->prot & 4 ? 'x' : '-';
	buf[3] = vma->flags & 1 ? 's' : 'p';
	buf[4] = '\0';
}

static void exit_print(uint32_t code, FILE *to)
{
	if (WIFSIGNALED(code))
		fprintf(to, "killed by SIG%s", sigabbrev_np(WTERMSIG(code)) ?: "?");
	else
		fprintf(to, "exited with %d", WEXITSTATUS(code));
}

static bool is_zombie(const struct show_proc *p)
{
	return p->tc && p->tc->task_state == CRK_TASK_STATE_ZOMBIE;
}

static void time_text(uint64_t ns, char *buf, size_t size, const char *format)
{
	time_t t = ns / 1000000000;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(buf, size, format, &tm))
		*buf = '\0';
}

/* ---- text ---- */

static void text_head(const struct show *s, FILE *to)
{
	const CrkInventoryEntry *inv = s->inv;
	char size[16], when[64];

	time_text(inv->dump_time_ns, when, sizeof(when), "%Y-%m-%d %H:%M:%S");
	fprintf(to, "checkpoint  %s, %s\n", crk_imgdir_path(s->dir), human(crk_imgdir_size(s->dir), size));
	fprintf(to, "made        %s by crkhelper %s on %s, Linux %s, %s\n", when, inv->crk_version,
		inv->nodename ?: "?", inv->kernel_release ?: "?", crk_machine_name(inv->machine));
	if (inv->cgroup)
		fprintf(to, "cgroup      %s\n", inv->cgroup);
	if (inv->has_frozen_ns)
		fprintf(to, "frozen for  %.1f ms\n", inv->frozen_ns / 1e6);
	fprintf(to, "contains    %zu process%s, %zu thread%s, %zu open or mapped file%s\n\n", s->nr_procs,
		s->nr_procs == 1 ? "" : "es", s->nr_threads, s->nr_threads == 1 ? "" : "s", s->nr_files,
		s->nr_files == 1 ? "" : "s");
}

static void text_tree(const struct show *s, FILE *to)
{
	char mapped[16], saved[16];
	size_t i;

	fprintf(to, "%8s %8s %8s %8s  %-8s %7s %11s %11s  %s\n", "PID", "PPID", "PGID", "SID", "STATE", "THREADS",
		"MAPPED", "SAVED", "COMMAND");
	for (i = 0; i < s->nr_procs; i++) {
		const struct show_proc *p = &s->procs[i];

		fprintf(to, "%8u %8u %8u %8u  %-8s %7zu %11s %11s  %*s%s", p->ps->pid, p->ps->ppid, p->ps->pgid,
			p->ps->sid, state_name(p->tc), p->ps->n_threads, p->mm ? human(p->mapped_sum, mapped) : "-",
			p->mm ? human(p->saved_sum, saved) : "-", 2 * (int)p->depth, "", printable(comm_of(p)));
		if (is_zombie(p)) {
			fputs(", ", to);
			exit_print(p->tc->exit_code, to);
		}
		putc('\n', to);
	}
}

static void text_threads(const struct show *s, const struct show_proc *p, FILE *to)
{
	size_t i;

	fputs("  threads\n", to);
	for (i = 0; i < p->ps->n_threads; i++) {
		const struct show_thread *t = &p->threads[i];
		uint32_t machine = thread_machine(t);

		fprintf(to, "%8u  %-15.15s  ", t->tid, printable(thread_comm(t)));
		thread_print(t, to);
		if (machine && machine != s->inv->machine)
			fprintf(to, "  [%s]", crk_machine_name(machine));
		putc('\n', to);
	}
}

static void text_memory(const struct show *s, const struct show_proc *p, FILE *to)
{
	char mapped[16], saved[16], name[64], prot[5];
	size_t i, n, best[NR_BIGGEST], nr_best = 0;

	if (!p->mm)
		return;
	fprintf(to, "  memory   %zu mappings, %s mapped, %s saved", p->mm->n_vmas, human(p->mapped_sum, mapped),
		human(p->saved_sum, saved));
	if (p->cow_sum)
		fprintf(to, ", %s shared with ancestors", human(p->cow_sum, saved));
	putc('\n', to);
	for (i = 0; i < p->mm->n_vmas; i++) {
		if (!p->saved[i])
			continue;
		/* sorted, the biggest first */
		for (n = nr_best; n && p->saved[best[n - 1]] < p->saved[i]; n--)
			if (n < NR_BIGGEST)
				best[n] = best[n - 1];
		if (n < NR_BIGGEST)
			best[n] = i;
		nr_best = min(nr_best + 1, (size_t)NR_BIGGEST);
	}
	for (i = 0; i < nr_best; i++) {
		const VmaEntry *vma = p->mm->vmas[best[i]];

		vma_prot(p, best[i], prot);
		fprintf(to, "  %11s of %-11s %012" PRIx64 "-%012" PRIx64 " %s  %s\n",
			human(p->saved[best[i]], saved), human(vma->end - vma->start, mapped), vma->start, vma->end,
			prot,
			*vma_name(s, p, best[i], name) ? printable(vma_name(s, p, best[i], name)) : "anonymous");
	}
}

static void text_files(const struct show *s, const struct show_proc *p, FILE *to)
{
	const struct show_proc *q;
	size_t i;

	if (p->fs) {
		fprintf(to, "  cwd      %s\n", printable(file_name(s, p->fs->cwd_id) ?: "?"));
		if (strcmp(file_name(s, p->fs->root_id) ?: "/", "/"))
			fprintf(to, "  root     %s\n", printable(file_name(s, p->fs->root_id)));
	}
	if (p->mm)
		fprintf(to, "  exe      %s\n", printable(file_name(s, p->mm->exe_file_id) ?: "?"));
	for (q = s->procs; q < p; q++)
		if (p->fds && q->fds && p->threads[0].core->ids->files_id == q->threads[0].core->ids->files_id) {
			fprintf(to, "  files    those of pid %u\n", q->ps->pid);
			return;
		}
	if (!p->nr_fds)
		return;
	fputs("  files\n", to);
	for (i = 0; i < p->nr_fds; i++) {
		fprintf(to, "%8u  ", p->fds[i]->fd);
		file_print(s, p->fds[i]->id, to);
	}
}

static void show_text(const struct show *s, FILE *to)
{
	size_t i;

	text_head(s, to);
	text_tree(s, to);
	for (i = 0; i < s->nr_procs; i++) {
		const struct show_proc *p = &s->procs[i];

		if (is_zombie(p))
			continue;
		fprintf(to, "\nprocess %u (%s)\n", p->ps->pid, printable(comm_of(p)));
		text_threads(s, p, to);
		text_memory(s, p, to);
		text_files(s, p, to);
	}
}

/* ---- JSON ---- */

static void json_thread(struct json *j, const struct show_thread *t)
{
	const struct crk_rec_thread *rec = thread_rec(t);

	json_object(j, NULL);
	json_uint(j, "tid", t->tid);
	json_string(j, "comm", thread_comm(t));
	if (thread_machine(t))
		json_string(j, "machine", crk_machine_name(thread_machine(t)));
	if (rec) {
		json_object(j, "syscall");
		json_string(j, "state", NAME_OF(syscall_kinds, rec->syscall));
		if (rec->syscall != CRK_SYSCALL_NONE) {
			json_int(j, "nr", rec->syscall_nr);
			json_string(j, "abi", NAME_OF(abi_names, rec->syscall_abi));
		}
		if (rec->syscall == CRK_SYSCALL_BLOCK) {
			json_string(j, "restart", NAME_OF(restart_kinds, rec->restart.kind));
			if (rec->restart.flags & CRK_RESTART_HAS_TIME)
				json_int(j, "remaining_ns", rec->restart.remaining_ns);
		}
		json_end(j);
		json_hex(j, "blocked", rec->blocked);
		json_uint(j, "utime_ns", rec->utime_ns);
		json_uint(j, "stime_ns", rec->stime_ns);
	}
	if (t->core && t->core->thread_core)
		json_message(j, "core", &t->core->thread_core->base);
	json_end(j);
}

static void json_memory(struct json *j, const struct show *s, const struct show_proc *p)
{
	char name[64], prot[5];
	size_t i;

	json_object(j, "memory");
	json_uint(j, "mapped_bytes", p->mapped_sum);
	json_uint(j, "saved_bytes", p->saved_sum);
	json_uint(j, "shared_with_ancestors_bytes", p->cow_sum);
	json_string(j, "exe", file_name(s, p->mm->exe_file_id));
	json_array(j, "mappings");
	for (i = 0; i < p->mm->n_vmas; i++) {
		const VmaEntry *vma = p->mm->vmas[i];
		const CrkVmaEntry *more = crk_vma_of(p, i);

		vma_prot(p, i, prot);
		json_object(j, NULL);
		json_hex(j, "start", vma->start);
		json_hex(j, "end", vma->end);
		json_string(j, "prot", prot);
		json_uint(j, "offset", vma->pgoff);
		json_uint(j, "saved_bytes", p->saved[i]);
		if (*vma_name(s, p, i, name))
			json_string(j, "name", vma_name(s, p, i, name));
		if (more)
			json_hex(j, "flags", more->flags);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

static void json_proc(struct json *j, const struct show *s, const struct show_proc *p)
{
	size_t i;

	json_object(j, NULL);
	json_uint(j, "pid", p->ps->pid);
	json_uint(j, "ppid", p->ps->ppid);
	json_uint(j, "pgid", p->ps->pgid);
	json_uint(j, "sid", p->ps->sid);
	json_string(j, "comm", comm_of(p));
	json_string(j, "state", state_name(p->tc));
	if (is_zombie(p)) {
		if (WIFSIGNALED(p->tc->exit_code))
			json_uint(j, "term_signal", WTERMSIG(p->tc->exit_code));
		else
			json_uint(j, "exit_status", WEXITSTATUS(p->tc->exit_code));
	}
	json_array(j, "threads");
	for (i = 0; i < p->ps->n_threads; i++)
		json_thread(j, &p->threads[i]);
	json_end(j);
	if (p->mm)
		json_memory(j, s, p);
	if (p->fs) {
		json_string(j, "cwd", file_name(s, p->fs->cwd_id));
		json_string(j, "root", file_name(s, p->fs->root_id));
		json_uint(j, "umask", p->fs->umask);
	}
	if (p->mm) {
		json_array(j, "fds");
		for (i = 0; i < p->nr_fds; i++) {
			json_object(j, NULL);
			json_uint(j, "fd", p->fds[i]->fd);
			json_uint(j, "file", p->fds[i]->id);
			json_bool(j, "cloexec", p->fds[i]->flags & FD_CLOEXEC);
			json_end(j);
		}
		json_end(j);
	}
	if (p->task)
		json_message(j, "task", &p->task->base);
	json_end(j);
}

static void show_json(const struct show *s, FILE *to)
{
	struct json j = { .to = to };
	size_t i;

	json_object(&j, NULL);
	json_string(&j, "directory", crk_imgdir_path(s->dir));
	json_uint(&j, "bytes", crk_imgdir_size(s->dir));
	json_string(&j, "machine", crk_machine_name(s->inv->machine));
	json_message(&j, "inventory", &s->inv->base);
	json_array(&j, "processes");
	for (i = 0; i < s->nr_procs; i++)
		json_proc(&j, s, &s->procs[i]);
	json_end(&j);
	json_array(&j, "files");
	for (i = 0; i < s->nr_files; i++) {
		const CrkFileEntry *more = crk_file_by_id(s, s->files[i]->id);
		const char *field = NULL;
		const ProtobufCMessage *body = file_body(s->files[i], &field);

		json_object(&j, NULL);
		json_uint(&j, "id", s->files[i]->id);
		json_string(&j, "kind", kind_name(s->files[i]->type));
		if (body)
			json_message(&j, field, body);
		if (more)
			json_message(&j, "more", &more->base);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}

static int crk_show(const char *path, bool json)
{
	struct show s = {};
	int ret;

	ret = crk_imgdir_open(path, CRK_VERIFY_TABLES, &s.dir);
	if (ret)
		return ret;
	ret = load(&s);
	if (!ret) {
		if (json)
			show_json(&s, stdout);
		else
			show_text(&s, stdout);
		if (fflush(stdout) || ferror(stdout))
			ret = crk_err(-errno, "cannot write");
	}
	unload(&s);
	return ret;
}

int crk_cmd_show(const struct crk_opts *opts)
{
	return crk_show(opts->images_dir, opts->json) ? CRK_EXIT_FAILED : CRK_EXIT_DONE;
}
