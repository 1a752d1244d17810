/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of crkhelper show share: the model of a checkpoint, which show.c loads, words for what is in it
 * (show_words.c), and its forms: show_text.c, show_json.c.  For no one else.
 */
#ifndef _CRK_SHOW_H
#define _CRK_SHOW_H

#include "helper.h"

struct crk_show_thread {
	uint32_t tid;
	CoreEntry *core;
	CrkCoreEntry *recs;
};

struct crk_show_proc {
	PstreeEntry *ps;
	struct crk_show_thread *threads;	/* ps->n_threads, the leader's first */
	TaskCoreEntry *tc;		/* of the leader's core */
	MmEntry *mm;			/* these are NULL for a zombie */
	FsEntry *fs;
	CrkTaskEntry *task;
	CrkVmaEntry **crk_vmas;		/* same order as mm->vmas */
	size_t nr_crk_vmas;
	FdinfoEntry **fds;
	size_t nr_fds;
	uint64_t *saved;		/* bytes in the pages image, of each mapping */
	uint64_t mapped_sum, saved_sum, parent_sum, cow_sum;	/* parent: left to the parent checkpoint */
	unsigned int depth;		/* in the tree */
};

struct crk_show {
	struct crk_imgdir *dir;
	const CrkInventoryEntry *inv;
	struct crk_show_proc *procs;
	size_t nr_procs, nr_threads;
	FileEntry **files;
	size_t nr_files;
	CrkFileEntry **crk_files;
	size_t nr_crk_files;
	unsigned int nr_parents;	/* that are there, one behind the other */
	bool parents_usable;
};

/* bytes in the pages images of a process: of the checkpoint; of its parents, in *parent_ret */
int crk_show_pagemap(const struct crk_show *s, uint32_t pid, struct crk_show_proc *p, uint64_t *saved_ret,
		     uint64_t *parent_ret);

/* ---- show_words.c ---- */

const char *crk_show_state(const TaskCoreEntry *tc);
bool crk_show_is_zombie(const struct crk_show_proc *p);
const char *crk_show_comm(const struct crk_show_proc *p);

/* NULL if it has no records, or not that one */
const struct crk_rec_thread *crk_show_thread_rec(const struct crk_show_thread *t);
uint32_t crk_show_thread_machine(const struct crk_show_thread *t);	/* 0: not known */
const struct crk_rec_trace *crk_show_trace_rec(const struct crk_show_thread *t);	/* NULL: no tracer in the images */
/* what few threads have, by name; how many */
#define CRK_SHOW_SPECIAL_MAX	8
size_t crk_show_special(const struct crk_show_thread *t, const char *names[CRK_SHOW_SPECIAL_MAX]);
const char *crk_show_thread_comm(const struct crk_show_thread *t);

const char *crk_show_syscall(uint32_t state);		/* CRK_SYSCALL_* */
const char *crk_show_trace_stop(uint32_t stop);		/* CRK_TRACE_STOP_* */
const char *crk_show_restart(uint32_t kind);		/* CRK_RESTART_* */
const char *crk_show_abi(uint32_t abi);			/* CRK_ABI_* */

/* by id; NULL if there is none */
const FileEntry *crk_show_file(const struct crk_show *s, uint32_t id);
const CrkFileEntry *crk_show_file_more(const struct crk_show *s, uint32_t id);
const char *crk_show_file_name(const struct crk_show *s, uint32_t id);
const char *crk_show_kind(FdTypes type);
/* the one message in a file_entry that its type is about, and the name of its field */
const ProtobufCMessage *crk_show_file_body(const FileEntry *fe, const char **name_ret);
/* where a field is; NULL if the message has none of that name and type */
const void *crk_show_body_field(const ProtobufCMessage *body, const char *name, ProtobufCType type);

/* the @i-th mapping: what it is of, may be ""; as in /proc/PID/maps; what crk-vma-PID.img has of it, may be NULL */
const char *crk_show_vma_name(const struct crk_show *s, const struct crk_show_proc *p, size_t i, char buf[64]);
void crk_show_vma_prot(const struct crk_show_proc *p, size_t i, char buf[5]);
const CrkVmaEntry *crk_show_vma_more(const struct crk_show_proc *p, size_t i);

/* ---- the forms ---- */

void crk_show_text(const struct crk_show *s, FILE *to);
void crk_show_json(const struct crk_show *s, FILE *to);

#endif /* _CRK_SHOW_H */
