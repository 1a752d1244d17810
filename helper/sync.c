// SPDX-License-Identifier: GPL-2.0
/*
 * How the processes of a restore wait for each other and how a failure reaches the coordinator.
 * Processes write their messages to a file in memory, not to standard error, which becomes the target's; the
 * coordinator prints the first complaint, since the others only follow from it.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "raw_calls.h"
#include "restore.h"

/* how long nothing may happen before the coordinator looks whether somebody died */
#define SYNC_LOOK_MS	200
/* at how many of them in one go, and then at the others: with many it must not become what it does all the time */
#define SYNC_LOOK_AT	64

static int futex_wait(uint32_t *word, uint32_t seen, unsigned int timeout_ms)
{
	struct timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000L };

	if (syscall(SYS_FUTEX, word, FUTEX_WAIT, seen, timeout_ms ? &ts : NULL, NULL, 0) < 0)
		return -errno;
	return 0;
}

static void futex_wake(uint32_t *word)
{
	syscall(SYS_FUTEX, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

int crk_sync_create(struct crk_rst *r)
{
	/* a process needs a stand-in for its session and one for its group at most, and one to be orphaned by */
	size_t size = sizeof(struct crk_sync) + (4 * r->nr_procs + 4) * sizeof(pid_t);
	struct crk_sync *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		return crk_err(-errno, "cannot make shared memory");
	s->size = size;
	s->log_fd = -1;
	r->sync = s;
	return crk_undo_create(r);
}

void crk_sync_destroy(struct crk_rst *r)
{
	if (!r->sync)
		return;
	if (r->sync->log_fd >= 0)
		close(r->sync->log_fd);
	crk_undo_destroy(r->sync);
	munmap(r->sync, r->sync->size);
	r->sync = NULL;
}

void crk_sync_fail(struct crk_sync *s)
{
	size_t i;

	__atomic_store_n(&s->failed, 1, __ATOMIC_SEQ_CST);
	for (i = 0; i < CRK_NR_BARRIERS; i++)
		futex_wake(&s->barrier[i]);
}

void crk_sync_wake(uint32_t *word)
{
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	futex_wake(word);
}

void crk_sync_sleep(uint32_t *word)
{
	while (!load(word))
		futex_wait(word, 0, 0);
}

int crk_sync_arrive(struct crk_sync *s, enum crk_barrier b)
{
	uint32_t *word = &s->barrier[b];
	uint32_t seen = __atomic_add_fetch(word, 1, __ATOMIC_SEQ_CST);

	if (seen == s->barrier_nr[b])
		futex_wake(word);
	/* a failure may slip in before the wait: the coordinator kills who sleeps then */
	while ((seen = load(word)) < s->barrier_nr[b]) {
		if (load(&s->failed))
			return -ECANCELED;
		futex_wait(word, seen, 0);
	}
	return 0;
}

/* ---- who lives ---- */

#define GONE	(-1)

void crk_sync_born(pid_t *slot, pid_t pid)
{
	pid_t nobody = 0;

	__atomic_compare_exchange_n(slot, &nobody, pid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

void crk_sync_gone(pid_t *slot)
{
	__atomic_store_n(slot, GONE, __ATOMIC_SEQ_CST);
}

pid_t crk_sync_alive(const pid_t *slot)
{
	pid_t pid = __atomic_load_n(slot, __ATOMIC_SEQ_CST);

	return pid == GONE ? 0 : pid;
}

/* a process that died without a word; -ECANCELED and says so */
static int look_for_dead(struct crk_rst *r)
{
	struct crk_sync *s = r->sync;
	size_t i;

	for (i = 0; i < min(s->nr_births, (size_t)SYNC_LOOK_AT); i++) {
		const pid_t *slot = &s->alive[s->look_at++ % s->nr_births];
		pid_t pid = crk_sync_alive(slot);

		/* it may have told and gone properly meanwhile */
		if (pid && crk_pid_ended(pid) && crk_sync_alive(slot) && !load(&s->failed))
			return crk_fail(-ECANCELED, "pid %d died while it was being restored", pid);
	}
	return 0;
}

int crk_sync_check(struct crk_rst *r)
{
	if (crk_restore_interrupted)
		return crk_fail(-ECANCELED, "interrupted");
	if (load(&r->sync->failed))
		return -ECANCELED;
	return look_for_dead(r);
}

int crk_sync_wait(struct crk_rst *r, enum crk_barrier b)
{
	struct crk_sync *s = r->sync;
	uint32_t seen;
	int ret;

	while ((seen = load(&s->barrier[b])) < s->barrier_nr[b]) {
		if (load(&s->failed))
			return -ECANCELED;
		ret = futex_wait(&s->barrier[b], seen, SYNC_LOOK_MS);
		if (ret != -ETIMEDOUT && !crk_restore_interrupted)
			continue;
		ret = crk_sync_check(r);
		if (ret)
			return ret;
	}
	return load(&s->failed) ? -ECANCELED : 0;
}

void crk_sync_close_last(struct crk_rst *r, const struct crk_rproc *p)
{
	struct crk_sync *s = r->sync;

	if (!p->files_shared)
		return;
	while (!load(&s->parked))
		futex_wait(&s->parked, 0, 0);
}

void crk_sync_parked(struct crk_rst *r, uint32_t nr)
{
	struct crk_sync *s = r->sync;
	uint32_t nr_closers = 0;
	size_t i;

	for (i = 0; i < r->nr_procs; i++)
		nr_closers += r->procs[i].files_shared;
	if (!nr_closers || load(&s->parked) || nr + nr_closers < r->nr_tasks)
		return;
	__atomic_store_n(&s->parked, 1, __ATOMIC_SEQ_CST);
	futex_wake(&s->parked);
}

void crk_sync_drain_log(struct crk_rst *r, bool failed)
{
	struct crk_sync *s = r->sync;
	char *text, *line, *end;
	enum { NOTHING, COMPLAINT, ENOUGH } said = failed && r->said_why && !r->opts->verbose ? ENOUGH : NOTHING;
	off_t len;

	if (!s || s->log_fd < 0)
		return;
	len = lseek(s->log_fd, 0, SEEK_END);
	if (len <= 0)
		return;
	text = malloc(len + 1);
	if (!text)
		return;
	if (pread_all(s->log_fd, text, len, 0)) {
		free(text);
		return;
	}
	text[len] = '\0';
	for (line = text; *line; line = end) {
		bool complaint = strncmp(line, "  hint:", 7) && !strstr(line, ": warning: ");

		end = strchrnul(line, '\n');
		if (*end)
			*end++ = '\0';
		/* of several complaints the first with its hint, the others only follow from it */
		if (failed && complaint && !r->opts->verbose)
			said = said == NOTHING ? COMPLAINT : ENOUGH;
		if (said != ENOUGH)
			dprintf(STDERR_FILENO, "%s\n", line);
	}
	free(text);
	if (ftruncate(s->log_fd, 0))
		return;
}
