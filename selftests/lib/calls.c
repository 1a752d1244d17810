// SPDX-License-Identifier: GPL-2.0
/* See calls.h. */
#define CHECKPOINT_LIB
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "checkpoint.h"

double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

long sys_ret(long ret)
{
	return ret < 0 ? -errno : ret;
}

void call_fail(const struct call *c, const char *file, int line, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: %s; returned: %s, %ld (want %ld), %.3f s", c->name, what,
		 c->ended ? "yes" : "no", c->ret, c->want, c->ended ? c->took : seconds() - c->began);
	subject_fail(file, line, text, 0);
}

/* "NR ARGS SP PC", "-1 SP PC" or "running" */
bool is_blocked_in(pid_t pid, pid_t tid, int nr)
{
	char *text = file_text("/proc/%d/task/%d/syscall", pid, tid), *end;
	long now = strtol(text, &end, 10);
	bool ret = end != text && (now == nr || now == SYS_restart_syscall);

	free(text);
	return ret;
}

static void *call_main(void *arg)
{
	struct call *c = arg;

	c->began = seconds();
	c->tid = gettid();
	c->ret = c->run(c);
	c->took = seconds() - c->began;
	c->ended = true;
	return NULL;
}

void calls_start(struct call *calls, int nr)
{
	struct call *c;

	for (c = calls; c < calls + nr; c++)
		if (c->init)
			c->init(c);
	for (c = calls; c < calls + nr; c++)
		MUST(!pthread_create(&c->thread, NULL, call_main, c));
	for (c = calls; c < calls + nr; c++) {
		int tries = 6000;

		while (!c->tid || !is_blocked_in(getpid(), c->tid, c->nr)) {
			call_must(c, !c->ended);
			call_must(c, --tries);
			nap();
		}
	}
}

/* ---- the image ---- */

/* without system(): it blocks SIGCHLD in this thread, and the signal then ends another thread's call with EINTR */
static char *image_text(void)
{
	pid_t pid = fork_child();
	char *text;

	if (!pid) {
		if (freopen("image.json", "w", stdout))
			execlp("crkhelper", "crkhelper", "show", "../img.1", "--json", NULL);
		_exit(127);
	}
	reap(pid);
	text = file_text("image.json");
	unlink("image.json");
	return text;
}

/* the value behind @key in the text of @thread, which ends at @end; NULL if there is none */
static const char *value(const char *thread, const char *end, const char *key)
{
	const char *at = memmem(thread, end - thread, key, strlen(key));

	return at ? at + strlen(key) + strspn(at + strlen(key), " \"") : NULL;
}

static bool value_is(const char *thread, const char *end, const char *key, const char *want)
{
	const char *at = value(thread, end, key);
	size_t len = strlen(want);

	return at && !strncmp(at, want, len) && strchr("\",}\n ", at[len]);
}

/* a time to wait does not follow changes of the date */
static clockid_t sleep_clock(clockid_t clock)
{
	return clock == CLOCK_REALTIME ? CLOCK_MONOTONIC : clock;
}

void calls_look_up(const struct call *calls, int nr, double remaining)
{
	char *text = image_text(), want[32];
	const struct call *c;

	for (c = calls; c < calls + nr; c++) {
		const char *thread, *end, *left;

		snprintf(want, sizeof(want), "\"tid\": %d,", c->tid);
		thread = strstr(text, want);
		call_must(c, thread);
		end = strstr(thread + 1, "\"tid\":") ?: thread + strlen(thread);

		call_must(c, value_is(thread, end, "\"state\":", c->state));
		snprintf(want, sizeof(want), "%d", c->nr);
		call_must(c, value_is(thread, end, "\"nr\":", want));
		call_must(c, value_is(thread, end, "\"abi\":", OWN_ABI));
		call_must(c, !c->restart == !value(thread, end, "\"restart\":"));
		call_must(c, !c->restart || value_is(thread, end, "\"restart\":", c->restart));
		left = value(thread, end, "\"remaining_ns\":");
		call_must(c, !left || (atoll(left) > 0 && atoll(left) <= remaining * 1e9));
		call_must(c, !left == !c->timed);
		left = value(thread, end, "\"clockid\":");
		call_must(c, !left || c->nr != SYS_clock_nanosleep || c->arg < 0 || atol(left) == sleep_clock(c->arg));
		left = value(thread, end, "\"futex\":");
		call_must(c, !left || strtoull(left, NULL, 16) == (uintptr_t)&c->word);
		left = value(thread, end, "\"nr_pollfds\":");
		call_must(c, !left || atol(left) == 1);
		left = value(thread, end, "\"blocked\":");
		call_must(c, left && (!c->blocked || strtoull(left, NULL, 16) == c->blocked));
	}
	free(text);
}

/* ---- the results ---- */

void call_end(struct call *c)
{
	int tries = 6000;

	while (!c->ended) {
		call_must(c, --tries);
		nap();
	}
	MUST(!pthread_join(c->thread, NULL));
	call_must(c, c->ret == (c->live_eintr && is_left_running() ? -EINTR : c->want));
}

void calls_end(struct call *calls, int nr)
{
	struct call *c;

	for (c = calls; c < calls + nr; c++) {
		if (c->live_eintr && is_left_running()) {
			call_end(c);
			continue;
		}
		call_must(c, !c->ended);
		if (c->wake)
			c->wake(c);
		call_end(c);
	}
}

void zoo(struct call *calls, int nr)
{
	calls_start(calls, nr);
	checkpoint_here();
	calls_look_up(calls, nr, 0);
	calls_end(calls, nr);
}
