/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests that talk to /dev/crk themselves: cgroups, tasks in them, and the records of a capture.  Functions that
 * cannot go on print why and exit; a test process that fails that way is a failed test.
 */
#ifndef _DEVICE_H
#define _DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "crk.h"
#include "crk_regs.h"

/* struct with size set: CMD(crk_freeze, cmd, .cgroup_fd = fd); */
#define CMD(type, name, ...) struct type name = { .size = sizeof(name), ##__VA_ARGS__ }
/* the same with a log, in the array name_log */
#define CMD_LOG(type, name, ...)							\
	char name##_log[4096] = "";							\
	CMD(type, name, .log_uptr = (uintptr_t)name##_log, .log_size = sizeof(name##_log), ##__VA_ARGS__)

int device_open(void);				/* -1 with errno */
/* 0 or the errno of the call; exits if an address of the kernel comes back */
int device_call(int fd, unsigned long nr, void *cmd);
unsigned long long task_end(void);		/* of the addresses that a process can have */

/* a cgroup directory "crk-NAME-PID", below @parent unless that is NULL; gone with cgroup_remove() */
char *cgroup_make(const char *parent, const char *name);
void cgroup_remove(char *path);			/* kills who is in it */
int cgroup_fd(const char *path);
void cgroup_add(const char *path, pid_t pid);
bool cgroup_frozen(const char *path);		/* as cgroup.events says */
void cgroup_freeze(const char *path, bool freeze);

/* a child that runs @fn(@arg) in @cgroup and dies with its parent; returns when the child calls task_ready() */
pid_t task_start(const char *cgroup, void (*fn)(void *arg), void *arg);
void task_ready(void);
/* waits until every thread of @pid sleeps (or, with @running, is on its way) */
void task_wait_state(pid_t pid, char state);
long long task_cpu_ns(pid_t pid);		/* user time and system time */

/* freezes @cgroup and gives the device; exits with the log when that fails */
int freeze(const char *cgroup);

/* the threads of a frozen cgroup and one entry that was not written, malloc'ed; NULL if the call fails */
struct crk_task *tasks_get(int fd, unsigned int *nr);

/* all records of a frozen cgroup, or of the thread @tid */
struct capture {
	uint8_t *buf;
	size_t len;
};
struct capture capture_get(int fd, pid_t tid);
void capture_put(struct capture *c);
/* the first record of @type of thread @tid after @last (NULL: from the start); 0 as @tid: any thread */
void *record(const struct capture *c, pid_t tid, uint32_t type, const void *last);

#endif /* _DEVICE_H */
