// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper show: a checkpoint as text, for people and terminals.  Knows no kind of file by name, but shows what its
 * message has.
 */
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "show.h"

#define NR_BIGGEST	3	/* mappings listed for each process */

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

static void time_text(uint64_t ns, char *buf, size_t size, const char *format)
{
	time_t t = ns / 1000000000;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(buf, size, format, &tm))
		*buf = '\0';
}

/* what a thread was doing */
static void thread_print(const struct crk_show_thread *t, FILE *to)
{
	const struct crk_rec_thread *rec = crk_show_thread_rec(t);
	const struct crk_rec_trace *trace = crk_show_trace_rec(t);
	const char *special[CRK_SHOW_SPECIAL_MAX];
	const struct crk_restart *r;
	size_t nr, i;

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
		fprintf(to, "in %s", crk_show_restart(r->kind));
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
		fprintf(to, " (%s)", crk_show_abi(rec->syscall_abi));
	if (trace)
		fprintf(to, ", traced by %d", trace->tracer_tid);
	if (trace && trace->stop != CRK_TRACE_STOP_NONE)
		fprintf(to, ", held at %s", crk_show_trace_stop(trace->stop));
	nr = crk_show_special(t, special);
	for (i = 0; i < nr; i++)
		fprintf(to, "%s%s", i ? ", " : ", has ", special[i]);
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

static void file_print(const struct crk_show *s, uint32_t id, FILE *to)
{
	static const char *const modes[] = { "read", "write", "read-write", "" };
	const FileEntry *fe = crk_show_file(s, id);
	const CrkFileEntry *more = crk_show_file_more(s, id);
	const uint32_t *flags, *path_id;
	const ProtobufCMessage *body;
	const char *field, *name;
	int width;

	if (!fe) {
		fputs("?\n", to);
		return;
	}
	for (name = crk_show_kind(fe->type), width = 10; *name; name++, width--)
		putc(tolower((unsigned char)*name), to);
	fprintf(to, "%*s", max(width, 1), "");
	body = crk_show_file_body(fe, &field);
	if (!body) {
		putc('\n', to);
		return;
	}
	path_id = crk_show_body_field(body, "regf_id", PROTOBUF_C_TYPE_UINT32);
	name = crk_show_file_name(s, path_id && *path_id ? *path_id : id);
	if (!name || !*name)
		name = more && more->desc ? more->desc : "";
	fputs(printable(name), to);
	if (more && more->has_unlinked && more->unlinked)
		fputs(" (deleted)", to);
	flags = crk_show_body_field(body, "flags", PROTOBUF_C_TYPE_UINT32);
	if (flags)
		fprintf(to, "%s%s%s%s%s", *name ? "  " : "",
			*flags & O_PATH ? "path only" : modes[*flags & O_ACCMODE],
			*flags & O_APPEND ? ", append" : "", *flags & O_NONBLOCK ? ", non-blocking" : "",
			*flags & O_ASYNC ? ", async" : "");
	body_print(body, to);
	putc('\n', to);
}

static void exit_print(uint32_t code, FILE *to)
{
	if (WIFSIGNALED(code))
		fprintf(to, "killed by SIG%s", sigabbrev_np(WTERMSIG(code)) ?: "?");
	else
		fprintf(to, "exited with %d", WEXITSTATUS(code));
}

static bool is_pre_dump(const struct crk_show *s)
{
	return s->inv->pre_dump && !s->nr_procs;
}

static const char *human_parents(unsigned int nr)
{
	static char buf[64];

	snprintf(buf, sizeof(buf), "%u checkpoint%s before this one in all", nr, nr == 1 ? "" : "s");
	return buf;
}

static void text_head(const struct crk_show *s, FILE *to)
{
	const CrkInventoryEntry *inv = s->inv;
	enum crk_pack_algorithm how;
	char size[16], when[64];
	uint64_t before, after;

	time_text(inv->dump_time_ns, when, sizeof(when), "%Y-%m-%d %H:%M:%S");
	fprintf(to, "checkpoint  %s, %s\n", crk_imgdir_path(s->dir), human(crk_imgdir_size(s->dir), size));
	fprintf(to, "made        %s by crkhelper %s on %s, Linux %s, %s\n", when, inv->crk_version,
		inv->nodename ?: "?", inv->kernel_release ?: "?", crk_machine_name(inv->machine));
	if (inv->cgroup)
		fprintf(to, "cgroup      %s\n", inv->cgroup);
	if (crk_imgdir_dead(s->dir))
		fprintf(to, "given up    %s of pages, for a checkpoint on top of it\n", human(crk_imgdir_dead(s->dir), size));
	how = crk_imgdir_packed(s->dir, &before, &after);
	if (how)
		fprintf(to, "compressed  %s of pages (%s)", human(before, size), crk_pack_names[how]);
	if (how)
		fprintf(to, ", which take %s\n", human(after, size));
	if (inv->parent)
		fprintf(to, "parent      %s, %s\n", printable(inv->parent),
			s->parents_usable ? human_parents(s->nr_parents) : "which can't be used");
	if (inv->has_frozen_ns)
		fprintf(to, "frozen for  %.1f ms\n", inv->frozen_ns / 1e6);
	if (is_pre_dump(s))
		return;
	fprintf(to, "contains    %zu process%s, %zu thread%s, %zu open or mapped file%s\n\n", s->nr_procs,
		s->nr_procs == 1 ? "" : "es", s->nr_threads, s->nr_threads == 1 ? "" : "s", s->nr_files,
		s->nr_files == 1 ? "" : "s");
}

static void text_tree(const struct crk_show *s, FILE *to)
{
	char mapped[16], saved[16];
	size_t i;

	fprintf(to, "%8s %8s %8s %8s  %-8s %7s %11s %11s  %s\n", "PID", "PPID", "PGID", "SID", "STATE", "THREADS",
		"MAPPED", "SAVED", "COMMAND");
	for (i = 0; i < s->nr_procs; i++) {
		const struct crk_show_proc *p = &s->procs[i];

		fprintf(to, "%8u %8u %8u %8u  %-8s %7zu %11s %11s  %*s%s", p->ps->pid, p->ps->ppid, p->ps->pgid,
			p->ps->sid, crk_show_state(p->tc), p->ps->n_threads, p->mm ? human(p->mapped_sum, mapped) : "-",
			p->mm ? human(p->saved_sum, saved) : "-", 2 * (int)p->depth, "", printable(crk_show_comm(p)));
		if (crk_show_is_zombie(p)) {
			fputs(", ", to);
			exit_print(p->tc->exit_code, to);
		}
		putc('\n', to);
	}
}

static void text_threads(const struct crk_show *s, const struct crk_show_proc *p, FILE *to)
{
	size_t i;

	fputs("  threads\n", to);
	for (i = 0; i < p->ps->n_threads; i++) {
		const struct crk_show_thread *t = &p->threads[i];
		uint32_t machine = crk_show_thread_machine(t);

		fprintf(to, "%8u  %-15.15s  ", t->tid, printable(crk_show_thread_comm(t)));
		thread_print(t, to);
		if (machine && machine != s->inv->machine)
			fprintf(to, "  [%s]", crk_machine_name(machine));
		putc('\n', to);
	}
}

static void text_memory(const struct crk_show *s, const struct crk_show_proc *p, FILE *to)
{
	char mapped[16], saved[16], name[64], prot[5];
	size_t i, n, best[NR_BIGGEST], nr_best = 0;

	if (!p->mm)
		return;
	fprintf(to, "  memory   %zu mappings, %s mapped, %s saved", p->mm->n_vmas, human(p->mapped_sum, mapped),
		human(p->saved_sum, saved));
	if (p->parent_sum)
		fprintf(to, ", %s in parents", human(p->parent_sum, saved));
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

		crk_show_vma_prot(p, best[i], prot);
		fprintf(to, "  %11s of %-11s %012" PRIx64 "-%012" PRIx64 " %s  %s\n",
			human(p->saved[best[i]], saved), human(vma->end - vma->start, mapped), vma->start, vma->end,
			prot, *crk_show_vma_name(s, p, best[i], name) ?
			printable(crk_show_vma_name(s, p, best[i], name)) : "anonymous");
	}
}

static void text_files(const struct crk_show *s, const struct crk_show_proc *p, FILE *to)
{
	const struct crk_show_proc *q;
	size_t i;

	if (p->fs) {
		fprintf(to, "  cwd      %s\n", printable(crk_show_file_name(s, p->fs->cwd_id) ?: "?"));
		if (strcmp(crk_show_file_name(s, p->fs->root_id) ?: "/", "/"))
			fprintf(to, "  root     %s\n", printable(crk_show_file_name(s, p->fs->root_id)));
	}
	if (p->mm)
		fprintf(to, "  exe      %s\n", printable(crk_show_file_name(s, p->mm->exe_file_id) ?: "?"));
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

/* pages only, so there is no tree to show */
static void text_pre_dump(const struct crk_show *s, FILE *to)
{
	char saved_text[16], parent_text[16];
	uint64_t saved, parent;
	size_t i;

	fputs("a pre-dump: has pages only, for a dump on top of it\n\n", to);
	fprintf(to, "%8s %11s %11s\n", "PID", "SAVED", "IN PARENTS");
	for (i = 0; i < s->inv->n_tracked; i++)
		if (!crk_show_pagemap(s, s->inv->tracked[i]->pid, NULL, &saved, &parent))
			fprintf(to, "%8u %11s %11s\n", s->inv->tracked[i]->pid, human(saved, saved_text),
				human(parent, parent_text));
}

void crk_show_text(const struct crk_show *s, FILE *to)
{
	size_t i;

	text_head(s, to);
	if (is_pre_dump(s)) {
		text_pre_dump(s, to);
		return;
	}
	text_tree(s, to);
	for (i = 0; i < s->nr_procs; i++) {
		const struct crk_show_proc *p = &s->procs[i];

		if (crk_show_is_zombie(p))
			continue;
		fprintf(to, "\nprocess %u (%s)\n", p->ps->pid, printable(crk_show_comm(p)));
		text_threads(s, p, to);
		text_memory(s, p, to);
		text_files(s, p, to);
	}
}
