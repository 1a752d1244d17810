/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages of crkhelper, all on standard error, one line each, each line one write(2), so that the lines of
 * several processes do not mix.  No function here changes errno.
 *
 * The line is "crkhelper: PHASE: TEXT"; the text is lower case, names the object first, has no full stop and no
 * newline.  The place that knows most speaks once; callers pass the error up silently.
 */
#ifndef _CRK_LOG_H
#define _CRK_LOG_H

#include <errno.h>
#include <stdint.h>

/* a failure whose reason is an errno: prints TEXT and, for @err < 0, ": " and its description; returns @err */
int crk_err(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* a failure or refusal that TEXT explains in full: prints TEXT alone, returns @err */
int crk_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* allocation failed: prints "no memory", returns -ENOMEM (inline, so that the compiler knows it is an error) */
static inline int crk_oom(void)
{
	crk_fail(-ENOMEM, "no memory");
	return -ENOMEM;
}

/* what to do about the failure just printed: "  hint: TEXT" */
void crk_hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* something the user should know though the work goes on: "crkhelper: PHASE: warning: TEXT" */
void crk_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* phases with times and amounts: shown with -v */
void crk_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* single objects: shown with -vv */
void crk_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* the PHASE of lines to come; @phase is kept, not copied; NULL: none */
void crk_log_phase(const char *phase);

/* how many -v were given */
void crk_log_verbosity(int level);

/*
 * Progress: on a terminal that can erase, from a third of a second after crk_progress_on() on and ten times a second, one line that the
 * next one is written over.  It says what is being done, how many MiB of it, of how many if that is known, and how
 * long it all took so far.
 */
void crk_progress_on(void);

/* from now on it is @what, @total bytes or 0 for unknown; kept, not copied; NULL: nothing any more, the line goes */
void crk_progress(const char *what, uint64_t total);

/* so many bytes more of it are done; by any thread */
void crk_progress_add(uint64_t bytes);

/* where lines go, instead of standard error; a restored tree's helpers use a copy of it out of the way */
void crk_log_fd(int fd);

#endif /* _CRK_LOG_H */
