// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper show: a checkpoint as JSON, for programs.  Messages go out whole, field by field (json.c).
 */
#include <fcntl.h>
#include <sys/wait.h>

#include "json.h"
#include "show.h"

/* what it waits for, as far as a restart block tells */
static void json_restart(struct json *j, const struct crk_restart *r)
{
	json_string(j, "restart", crk_show_restart(r->kind));
	if (r->flags & CRK_RESTART_HAS_TIME)
		json_int(j, "remaining_ns", r->remaining_ns);
	switch (r->kind) {
	case CRK_RESTART_NANOSLEEP:
	case CRK_RESTART_CPU_NANOSLEEP:
	case CRK_RESTART_ALARM_NANOSLEEP:
		json_int(j, "clockid", r->clockid);
		break;
	case CRK_RESTART_POLL:
		json_hex(j, "pollfds", r->uaddr);
		json_uint(j, "nr_pollfds", r->val);
		break;
	case CRK_RESTART_FUTEX:
		json_hex(j, "futex", r->uaddr);
		json_uint(j, "value", r->val);
		break;
	}
}

static void json_thread(struct json *j, const struct crk_show_thread *t)
{
	const struct crk_rec_thread *rec = crk_show_thread_rec(t);
	const struct crk_rec_trace *trace = crk_show_trace_rec(t);
	const char *special[CRK_SHOW_SPECIAL_MAX];
	size_t nr, i;

	json_object(j, NULL);
	json_uint(j, "tid", t->tid);
	json_string(j, "comm", crk_show_thread_comm(t));
	if (crk_show_thread_machine(t))
		json_string(j, "machine", crk_machine_name(crk_show_thread_machine(t)));
	if (rec) {
		json_object(j, "syscall");
		json_string(j, "state", crk_show_syscall(rec->syscall));
		if (rec->syscall != CRK_SYSCALL_NONE) {
			json_int(j, "nr", rec->syscall_nr);
			json_string(j, "abi", crk_show_abi(rec->syscall_abi));
		}
		if (rec->syscall == CRK_SYSCALL_BLOCK)
			json_restart(j, &rec->restart);
		json_end(j);
		json_hex(j, "blocked", rec->blocked);
		json_uint(j, "utime_ns", rec->utime_ns);
		json_uint(j, "stime_ns", rec->stime_ns);
	}
	nr = crk_show_special(t, special);
	if (nr) {
		json_array(j, "special");
		for (i = 0; i < nr; i++)
			json_string(j, NULL, special[i]);
		json_end(j);
	}
	if (trace) {
		json_object(j, "trace");
		json_int(j, "tracer", trace->tracer_tid);
		json_string(j, "held_at", crk_show_trace_stop(trace->stop));
		json_end(j);
	}
	if (t->core && t->core->thread_core)
		json_message(j, "core", &t->core->thread_core->base);
	json_end(j);
}

static void json_memory(struct json *j, const struct crk_show *s, const struct crk_show_proc *p)
{
	char name[64], prot[5];
	size_t i;

	json_object(j, "memory");
	json_uint(j, "mapped_bytes", p->mapped_sum);
	json_uint(j, "saved_bytes", p->saved_sum);
	json_uint(j, "in_parents_bytes", p->parent_sum);
	json_uint(j, "shared_with_ancestors_bytes", p->cow_sum);
	json_string(j, "exe", crk_show_file_name(s, p->mm->exe_file_id));
	json_array(j, "mappings");
	for (i = 0; i < p->mm->n_vmas; i++) {
		const VmaEntry *vma = p->mm->vmas[i];
		const CrkVmaEntry *more = crk_show_vma_more(p, i);

		crk_show_vma_prot(p, i, prot);
		json_object(j, NULL);
		json_hex(j, "start", vma->start);
		json_hex(j, "end", vma->end);
		json_string(j, "prot", prot);
		json_uint(j, "offset", vma->pgoff);
		json_uint(j, "saved_bytes", p->saved[i]);
		if (*crk_show_vma_name(s, p, i, name))
			json_string(j, "name", crk_show_vma_name(s, p, i, name));
		if (more)
			json_hex(j, "flags", more->flags);
		json_end(j);
	}
	json_end(j);
	json_end(j);
}

static void json_proc(struct json *j, const struct crk_show *s, const struct crk_show_proc *p)
{
	size_t i;

	json_object(j, NULL);
	json_uint(j, "pid", p->ps->pid);
	json_uint(j, "ppid", p->ps->ppid);
	json_uint(j, "pgid", p->ps->pgid);
	json_uint(j, "sid", p->ps->sid);
	json_string(j, "comm", crk_show_comm(p));
	json_string(j, "state", crk_show_state(p->tc));
	if (crk_show_is_zombie(p)) {
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
		json_string(j, "cwd", crk_show_file_name(s, p->fs->cwd_id));
		json_string(j, "root", crk_show_file_name(s, p->fs->root_id));
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

void crk_show_json(const struct crk_show *s, FILE *to)
{
	struct json j = { .to = to };
	enum crk_pack_algorithm how;
	uint64_t before, after;
	size_t i;

	json_object(&j, NULL);
	json_string(&j, "directory", crk_imgdir_path(s->dir));
	json_uint(&j, "bytes", crk_imgdir_size(s->dir));
	json_string(&j, "machine", crk_machine_name(s->inv->machine));
	json_message(&j, "inventory", &s->inv->base);
	if (crk_imgdir_dead(s->dir))
		json_uint(&j, "given_up_bytes", crk_imgdir_dead(s->dir));
	how = crk_imgdir_packed(s->dir, &before, &after);
	if (how) {
		json_string(&j, "compression", crk_pack_names[how]);
		json_uint(&j, "pages_bytes", before);
		json_uint(&j, "pages_bytes_stored", after);
	}
	if (s->inv->parent) {
		json_uint(&j, "parents", s->nr_parents);
		json_bool(&j, "parents_usable", s->parents_usable);
	}
	json_array(&j, "processes");
	for (i = 0; i < s->nr_procs; i++)
		json_proc(&j, s, &s->procs[i]);
	json_end(&j);
	json_array(&j, "files");
	for (i = 0; i < s->nr_files; i++) {
		const CrkFileEntry *more = crk_show_file_more(s, s->files[i]->id);
		const char *field = NULL;
		const ProtobufCMessage *body = crk_show_file_body(s->files[i], &field);

		json_object(&j, NULL);
		json_uint(&j, "id", s->files[i]->id);
		json_string(&j, "kind", crk_show_kind(s->files[i]->type));
		if (body)
			json_message(&j, field, body);
		if (more)
			json_message(&j, "more", &more->base);
		json_end(&j);
	}
	json_end(&j);
	json_end(&j);
}
