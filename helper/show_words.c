// SPDX-License-Identifier: GPL-2.0
/*
 * crkhelper show: words and facts for what a checkpoint has, as both forms need them.  Knows no kind of file by name,
 * but finds what its message has; prints nothing.
 */
#include <inttypes.h>

#include "show.h"

const char *crk_show_state(const TaskCoreEntry *tc)
{
	switch (tc ? tc->task_state : 0) {
	case CRK_TASK_STATE_ALIVE:	return "alive";
	case CRK_TASK_STATE_ZOMBIE:	return "zombie";
	case CRK_TASK_STATE_STOPPED:	return "stopped";
	default:			return "unknown";
	}
}

bool crk_show_is_zombie(const struct crk_show_proc *p)
{
	return p->tc && p->tc->task_state == CRK_TASK_STATE_ZOMBIE;
}

const char *crk_show_comm(const struct crk_show_proc *p)
{
	return p->tc ? p->tc->comm : "?";
}

const struct crk_rec_thread *crk_show_thread_rec(const struct crk_show_thread *t)
{
	const struct crk_rec_thread *rec;

	if (!t->recs)
		return NULL;
	rec = crk_rec_find((const struct crk_rec *)t->recs->recs.data, t->recs->recs.len, CRK_REC_THREAD, NULL);
	return rec && rec->rec.size >= sizeof(*rec) ? rec : NULL;
}

uint32_t crk_show_thread_machine(const struct crk_show_thread *t)
{
	const struct crk_rec_task *rec;

	if (!t->recs)
		return 0;
	rec = crk_rec_find((const struct crk_rec *)t->recs->recs.data, t->recs->recs.len, CRK_REC_TASK, NULL);
	return rec && rec->rec.size >= sizeof(*rec) ? rec->machine : 0;
}

const struct crk_rec_trace *crk_show_trace_rec(const struct crk_show_thread *t)
{
	const struct crk_rec_trace *rec;

	if (!t->recs)
		return NULL;
	rec = crk_rec_find((const struct crk_rec *)t->recs->recs.data, t->recs->recs.len, CRK_REC_TRACE, NULL);
	return rec && rec->rec.size >= sizeof(*rec) && rec->tracer_tid ? rec : NULL;
}

size_t crk_show_special(const struct crk_show_thread *t, const char *names[CRK_SHOW_SPECIAL_MAX])
{
	static const char *const arch[] = {
		[CRK_ARCH_BREAKPOINTS]	= "hardware breakpoints",
		[CRK_ARCH_PORTS]	= "I/O ports",
		[CRK_ARCH_SEGMENTS]	= "segments of its own",
	};
	const struct crk_rec_settings *settings;
	const struct crk_rec_arch *rec = NULL;
	const struct crk_rec *recs;
	size_t len, nr = 0;

	if (!t->recs)
		return 0;
	recs = (const void *)t->recs->recs.data;
	len = t->recs->recs.len;
	settings = crk_rec_find(recs, len, CRK_REC_SETTINGS, NULL);
	if (settings && settings->rec.size >= sizeof(*settings)) {
		if (settings->flags & CRK_SETTING_DISPATCH)
			names[nr++] = "dispatched system calls";
		if (settings->flags & CRK_SETTING_IO_FLUSHER)
			names[nr++] = "I/O flusher";
	}
	if (crk_rec_find(recs, len, CRK_REC_SEMUNDO, NULL))
		names[nr++] = "semaphore adjustments";
	while (nr < CRK_SHOW_SPECIAL_MAX && (rec = crk_rec_find(recs, len, CRK_REC_ARCH, rec)))
		if (rec->rec.size >= sizeof(*rec) && rec->what < ARRAY_SIZE(arch) && arch[rec->what])
			names[nr++] = arch[rec->what];
	return nr;
}

const char *crk_show_thread_comm(const struct crk_show_thread *t)
{
	const struct crk_rec_thread *rec = crk_show_thread_rec(t);

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

static const char *const trace_stops[] = {
	[CRK_TRACE_STOP_NONE]	= "none",
	[CRK_TRACE_STOP_SIGNAL]	= "signal",
	[CRK_TRACE_STOP_GROUP]	= "group-stop",
	[CRK_TRACE_STOP_ENTRY]	= "syscall-enter",
	[CRK_TRACE_STOP_EXIT]	= "syscall-exit",
	[CRK_TRACE_STOP_EVENT]	= "event",
};

#define NAME_OF(names, i)	((i) < ARRAY_SIZE(names) && (names)[i] ? (names)[i] : "unknown")

const char *crk_show_syscall(uint32_t state)
{
	return NAME_OF(syscall_kinds, state);
}

const char *crk_show_trace_stop(uint32_t stop)
{
	return NAME_OF(trace_stops, stop);
}

const char *crk_show_restart(uint32_t kind)
{
	return NAME_OF(restart_kinds, kind);
}

const char *crk_show_abi(uint32_t abi)
{
	return NAME_OF(abi_names, abi);
}

const FileEntry *crk_show_file(const struct crk_show *s, uint32_t id)
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

const CrkFileEntry *crk_show_file_more(const struct crk_show *s, uint32_t id)
{
	size_t i;

	for (i = 0; i < s->nr_crk_files; i++)
		if (s->crk_files[i]->id == id)
			return s->crk_files[i];
	return NULL;
}

const char *crk_show_kind(FdTypes type)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, type);

	return value ? value->name : "unknown";
}

const ProtobufCMessage *crk_show_file_body(const FileEntry *fe, const char **name_ret)
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

const void *crk_show_body_field(const ProtobufCMessage *body, const char *name, ProtobufCType type)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(body->descriptor, name);

	if (!field || field->type != type || field->label == PROTOBUF_C_LABEL_REPEATED)
		return NULL;
	return (const char *)body + field->offset;
}

const char *crk_show_file_name(const struct crk_show *s, uint32_t id)
{
	const FileEntry *fe = crk_show_file(s, id);
	const char *field;
	const ProtobufCMessage *body = fe ? crk_show_file_body(fe, &field) : NULL;
	char * const *name = body ? crk_show_body_field(body, "name", PROTOBUF_C_TYPE_STRING) : NULL;

	return name ? *name : NULL;
}

const CrkVmaEntry *crk_show_vma_more(const struct crk_show_proc *p, size_t i)
{
	return i < p->nr_crk_vmas && p->crk_vmas[i]->start == p->mm->vmas[i]->start ? p->crk_vmas[i] : NULL;
}

const char *crk_show_vma_name(const struct crk_show *s, const struct crk_show_proc *p, size_t i, char buf[64])
{
	const VmaEntry *vma = p->mm->vmas[i];
	const CrkVmaEntry *more = crk_show_vma_more(p, i);
	const char *name = NULL;

	if (vma->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
		name = crk_show_file_name(s, more && more->has_file_id ? more->file_id : vma->shmid);
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

void crk_show_vma_prot(const struct crk_show_proc *p, size_t i, char buf[5])
{
	const VmaEntry *vma = p->mm->vmas[i];

	buf[0] = vma->prot & 1 ? 'r' : '-';
	buf[1] = vma->prot & 2 ? 'w' : '-';
	buf[2] = vma->prot & 4 ? 'x' : '-';
	buf[3] = vma->flags & 1 ? 's' : 'p';
	buf[4] = '\0';
}
