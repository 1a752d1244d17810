/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The restore half of /dev/crk without the helper: a child of the test turns itself into a tiny process made of a page
 * of code and a page of data, gets registers from the test, and shows by its exit status what it found.
 *
 *	FIXTURE(crk) {
 *		struct child c;
 *	};
 *	…
 *	PLAN_CODE(code_exit);
 *	child_begin(&self->c);
 *	ALL_PARKED();
 *	leader_state(&self->c);
 *	SET();
 *	GO();
 *	EXPECT_EQ(42, child_status(&self->c));
 *
 * Functions that cannot go on print why and exit.
 */
#ifndef _CHILD_H
#define _CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "crk.h"
#include "crk_regs.h"

#define PAGE		4096UL
#define CODE		0x10000000UL
#define DATA		0x20000000UL
#define STAGE		0x30000000UL
#define RETURNED	7		/* exit status of a child whose ioctl came back */
#define MAX_THREADS	128

/* ---- records ---- */

struct recs {
	size_t len;
	char buf[131072];
};

void *rec_add(struct recs *r, unsigned int type, size_t size);
void set_add(struct recs *r, unsigned int note, const void *data, size_t len);
/* a thread with those general registers; its other state is that of one which did nothing yet */
struct crk_rec_thread *machine_thread_add(struct recs *r, pid_t tgid, pid_t tid, unsigned int machine,
					  const void *regs, size_t len);

/* ---- the child ---- */

struct plan {
	struct crk_op ops[16];
	unsigned int nr;
	unsigned int nr_threads;
	unsigned int close_from;
	bool makes_timer;	/* POSIX timer 0 */
	struct recs recs;	/* begin with CRK_REC_MM */
};

/* shared with the child */
struct report {
	pid_t tid[MAX_THREADS];
	int err;
	unsigned int bad_op;
	char log[512];
};

struct child {
	int dev;
	int image;		/* of two pages: code, then data */
	struct plan plan;
	struct recs set;
	struct report *report;
	pid_t pid;
};

/* false with errno: there is no device */
bool child_init(struct child *c);
void child_exit(struct child *c);

struct crk_op *op_add(struct plan *p, unsigned int op, unsigned long addr, unsigned long len);
/* code and one writable page */
void plan_code(struct child *c, const char *code, const char *end);
#define PLAN_CODE(name)	plan_code(&self->c, name, name##_end)

/* makes it; it parks or exits with RETURNED */
void child_begin(struct child *c);
/* exit status, or 1000 and the signal that killed it */
int child_status(struct child *c);

/* 0 or the negative errno of the call; as long as some come, the others are waited for */
int parked_wait(struct child *c, struct crk_wait *cmd, char *log, size_t size);
int state_set(struct child *c, char *log, size_t size);
int gate_go(struct child *c, char *log, size_t size);

/* in a test whose fixture has a struct child c: 0, or it fails with the text of the error */
#define OK(expr) do {								\
	char _log[512] = "";							\
	int _ret = (expr);							\
										\
	ASSERT_EQ(0, _ret)							\
		TH_LOG("%s %s", _log, self->c.report->log);			\
} while (0)
#define ALL_PARKED()	({ struct crk_wait _w; OK(parked_wait(&self->c, &_w, _log, sizeof(_log))); })
#define SET()		OK(state_set(&self->c, _log, sizeof(_log)))
#define GO()		OK(gate_go(&self->c, _log, sizeof(_log)))

uint64_t now_ns(void);		/* CLOCK_MONOTONIC */

/* ---- what the child executes: each piece begins at the start of the code page ---- */

#ifdef __x86_64__
#define PIECE(name, text)							\
	asm(".pushsection .rodata\n.globl " #name ", " #name "_end\n" #name ":\n" text "\n" #name "_end:\n.popsection");	\
	extern const char name[], name##_end[]

/* exit_group(42) */
extern const char code_exit[], code_exit_end[];
/* pause() for ever */
extern const char code_pause[], code_pause_end[];

/* at the start of the code, with @arg as the first argument of a function */
void regs_init(struct user_regs_struct *r, unsigned long arg);
struct crk_rec_thread *thread_add(struct recs *r, pid_t tgid, pid_t tid, const struct user_regs_struct *regs);
/* the child's leader there, in its records to set */
struct crk_rec_thread *leader_state(struct child *c);
#endif

#endif /* _CHILD_H */
