/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Round trips.  A ROUNDTRIP is a program of its own that builds a thing, calls checkpoint_here(), and checks the thing:
 *
 *	ROUNDTRIP(pipe_keeps_contents)
 *	{
 *		int p[2];
 *
 *		MUST(!pipe(p));
 *		MUST(write(p[1], "abc", 3) == 3);
 *		checkpoint_here();
 *		MUST(text_is(p[0], "abc"));
 *	}
 *	TEST_HARNESS_MAIN
 *
 * It runs twice, each time in a new process, session, cgroup and empty directory, with /dev/null as fds 0 to 2: first
 * every checkpoint_here() is a dump that leaves it running, then each is a dump that ends it, a restore, and both once
 * more.  Between dump and restore nothing of it exists.  With $CRK_IMAGES images are kept there, for crit.
 */
#ifndef _CHECKPOINT_H
#define _CHECKPOINT_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#ifndef CHECKPOINT_LIB
#include <kselftest_harness.h>
#endif

/* ---- in the subject and the processes it makes ---- */

/* returns when the subject was dumped (and restored); only one process at a time may call it */
void checkpoint_here(void);
/* which of the two ways is this: is every dump one that leaves the subject running? */
bool is_left_running(void);

/* the subject fails here: in which line, what, and errno's text */
#define MUST(cond) do {									\
	errno = 0;									\
	if (!(cond))									\
		subject_fail(__FILE__, __LINE__, #cond, errno);				\
} while (0)

#define MUST_EQ(a, b) do {								\
	long long _a, _b;								\
	errno = 0;									\
	_a = (long long)(a);								\
	_b = (long long)(b);								\
	if (_a != _b)									\
		subject_fail_eq(__FILE__, __LINE__, #a, #b, _a, _b, errno);		\
} while (0)

/* two strings */
#define MUST_STR(a, b) subject_must_str(__FILE__, __LINE__, #a, #b, a, b)

void subject_fail(const char *file, int line, const char *what, int err) __attribute__((noreturn));
void subject_fail_eq(const char *file, int line, const char *a, const char *b, long long va, long long vb, int err)
	__attribute__((noreturn));
void subject_must_str(const char *file, int line, const char *a, const char *b, const char *va, const char *vb);
/* the kernel or the machine lacks what this test needs */
void subject_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* files of the directory the subject starts in, as events between its processes: cheap, and no descriptor is kept */
void event_set(const char *name);
void event_wait(const char *name);
bool event_is_set(const char *name);
/* waits for a condition that comes by itself, for a minute at most */
#define WAIT_FOR(cond) do {								\
	int _tries = 6000;								\
	while (!(cond)) {								\
		if (!--_tries)								\
			subject_fail(__FILE__, __LINE__, "in a minute: " #cond, 0);	\
		nap();									\
	}										\
} while (0)
void nap(void);					/* 10 ms */
/* the whole of a file (/proc too) or of the text of a link, malloc'ed; fails the subject */
char *file_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *link_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* the line of @text that begins with @start, malloc'ed; NULL if there is none */
char *text_line(const char *text, const char *start);
/* does reading @fd once give exactly @text? */
bool text_is(int fd, const char *text);
char *read_text(int fd);			/* what one read gives, malloc'ed; fails the subject */
/* is it the end? would reading block? (@fd is left as it was) */
bool at_eof(int fd);
bool is_empty(int fd);
/* fork() that fails the subject; the child dies with its parent */
pid_t fork_child(void);
/* waits for a child; fails the subject unless it exited with 0 */
void reap(pid_t pid);
/* aborts a child whose core file limit allows one; the file is of that class and machine (e_ident, e_machine) */
void core_must_be(pid_t pid, int elf_class, int machine);

/* ---- the test ---- */

struct subject {
	const char *name;
	void (*run)(void);
	const char *dump_args;		/* more arguments, separated by spaces; NULL: none */
	const char *restore_args;
	unsigned int away;		/* seconds between each dump and its restore */
	const char *refused;		/* the dump must be refused with a line that has this in it */
	const char *said;		/* the first dump must say this, as a warning */
	bool outsiders;			/* some processes leave its cgroup, and end by themselves after its dump */
};

enum roundtrip_result { ROUNDTRIP_OK, ROUNDTRIP_FAILED, ROUNDTRIP_SKIPPED };

/* runs @s in both ways; what went wrong, or is missing, in @why */
enum roundtrip_result roundtrip(const struct subject *s, char *why, size_t size);

/* ROUNDTRIP(name, .dump_args = "…", .restore_args = "…") */
#define ROUNDTRIP(_name, ...)								\
	static void subject_run_##_name(void);						\
	static const struct subject subject_##_name					\
	__attribute__((section("subjects"), used, aligned(8))) = {			\
		.name = #_name, .run = subject_run_##_name, __VA_ARGS__			\
	};										\
	static void __attribute__((constructor)) subject_time_##_name(void);		\
	TEST(_name)									\
	{										\
		static char why[16384];							\
											\
		switch (roundtrip(&subject_##_name, why, sizeof(why))) {		\
		case ROUNDTRIP_OK:							\
			break;								\
		case ROUNDTRIP_SKIPPED:							\
			SKIP(return, "%.500s", why);				\
		case ROUNDTRIP_FAILED:							\
			TH_LOG("%s", why);						\
			_metadata->exit_code = KSFT_FAIL;				\
			break;								\
		}									\
	}										\
	/* four dumps under emulation take longer than the harness allows */		\
	static void subject_time_##_name(void)						\
	{										\
		_##_name##_object.timeout = 880;					\
	}										\
	static void subject_run_##_name(void)

/* the dump is refused, says @_text, and the subject runs on: REFUSED(name, "text") { …; checkpoint_here(); … } */
#define REFUSED(_name, _text) ROUNDTRIP(_name, .refused = _text)

#endif /* _CHECKPOINT_H */
