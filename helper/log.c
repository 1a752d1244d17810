// SPDX-License-Identifier: GPL-2.0
/*
 * Messages of crkhelper: builds each line in a buffer and writes it at once.  Allocates nothing, so that it works
 * when memory is short and in children between fork and exec.
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "util.h"

#define PROGRESS_AFTER_MS	300
#define PROGRESS_EACH_MS	100
#define ERASE_LINE		"\033[K"	/* from the cursor on; ECMA-48, EL */

static const char *log_phase;
static int log_level;
static int log_fd = STDERR_FILENO;

static struct {
	bool on;
	const char *what;
	uint64_t total, start_ns;
	/* words: ARMv5 has no atomic access to 64 bits */
	atomic_ulong done_kib, next_ms;		/* since start_ns */
} progress;

struct line {
	char text[4096];
	size_t len;
};

static void line_vadd(struct line *line, const char *fmt, va_list ap)
{
	size_t room = sizeof(line->text) - line->len - 1;	/* 1 for the newline */
	int n = vsnprintf(line->text + line->len, room, fmt, ap);

	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

static void __attribute__((format(printf, 2, 3))) line_add(struct line *line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line_vadd(line, fmt, ap);
	va_end(ap);
}

static void line_begin(struct line *line)
{
	line->len = 0;
	line_add(line, "%scrkhelper: ", progress.on ? ERASE_LINE : "");
	if (log_phase)
		line_add(line, "%s: ", log_phase);
}

static void line_write(struct line *line, char end)
{
	size_t done = 0;
	ssize_t n;

	line->text[line->len++] = end;
	while (done < line->len) {
		n = write(log_fd, line->text + done, line->len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += n;
	}
}

int crk_err(int err, const char *fmt, ...)
{
	int saved = errno;
	struct line line;
	va_list ap;

	line_begin(&line);
	va_start(ap, fmt);
	line_vadd(&line, fmt, ap);
	va_end(ap);
	if (err < 0) {
		const char *what = strerrordesc_np(-err);

		if (what)
			line_add(&line, ": %s", what);
		else
			line_add(&line, ": error %d", -err);
	}
	line_write(&line, '\n');
	errno = saved;
	return err;
}

int crk_fail(int err, const char *fmt, ...)
{
	int saved = errno;
	struct line line;
	va_list ap;

	line_begin(&line);
	va_start(ap, fmt);
	line_vadd(&line, fmt, ap);
	va_end(ap);
	line_write(&line, '\n');
	errno = saved;
	return err;
}

void crk_hint(const char *fmt, ...)
{
	int saved = errno;
	struct line line = { .len = 0 };
	va_list ap;

	line_add(&line, "  hint: ");
	va_start(ap, fmt);
	line_vadd(&line, fmt, ap);
	va_end(ap);
	line_write(&line, '\n');
	errno = saved;
}

static void say(const char *kind, const char *fmt, va_list ap)
{
	int saved = errno;
	struct line line;

	line_begin(&line);
	line_add(&line, "%s", kind);
	line_vadd(&line, fmt, ap);
	line_write(&line, '\n');
	errno = saved;
}

void crk_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warning: ", fmt, ap);
	va_end(ap);
}

void crk_info(const char *fmt, ...)
{
	va_list ap;

	if (log_level < 1)
		return;
	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void crk_debug(const char *fmt, ...)
{
	va_list ap;

	if (log_level < 2)
		return;
	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void crk_progress_on(void)
{
	const char *term = getenv("TERM");

	if (!term || !*term || !strcmp(term, "dumb") || !isatty(log_fd))
		return;
	progress.start_ns = now_ns();
	progress.next_ms = PROGRESS_AFTER_MS;
	progress.on = true;
}

void crk_progress(const char *what, uint64_t total)
{
	struct line line = { .len = 0 };

	if (!progress.on)
		return;
	progress.what = what;
	progress.total = total;
	progress.done_kib = 0;
	if (what)
		return;
	line_add(&line, "%s", ERASE_LINE);
	line_write(&line, '\r');
}

void crk_progress_add(uint64_t bytes)
{
	unsigned long now, next = progress.next_ms, kib = bytes / 1024;
	unsigned long done = atomic_fetch_add(&progress.done_kib, kib) + kib;
	int saved = errno;
	struct line line;

	if (!progress.on || !progress.what)
		return;
	now = (now_ns() - progress.start_ns) / 1000000;
	if (now < next || !atomic_compare_exchange_strong(&progress.next_ms, &next, now + PROGRESS_EACH_MS))
		return;
	line_begin(&line);
	line_add(&line, "%s, %.0f ", progress.what, done / 1024.0);
	if (progress.total)
		line_add(&line, "of %.0f ", progress.total / 1048576.0);
	line_add(&line, "MiB, %.1f s", now / 1e3);
	/* the cursor before it: what comes next, from any process, is written over it */
	line_write(&line, '\r');
	errno = saved;
}

void crk_log_phase(const char *phase)
{
	log_phase = phase;
}

void crk_log_verbosity(int level)
{
	log_level = level;
}

void crk_log_fd(int fd)
{
	log_fd = fd;
}
