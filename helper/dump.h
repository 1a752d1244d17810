/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What dump.c calls of collect.c: the model of the frozen processes, built from the module's facts; and of cgroup_tree.c.
 */
#ifndef _CRK_DUMP_H
#define _CRK_DUMP_H

#include "helper.h"

int crk_collect_tasks(struct crk_dump *d);	/* processes and threads, parents, shared tables; refusals */
int crk_collect_capture(struct crk_dump *d);	/* records of every thread, descriptors, mappings; refusals */
void crk_collect_free(struct crk_dump *d);

/*
 * cgroup_tree.c: the cgroup that holds the tree of @pid and nothing else; *watcher_ret is 0 if it was so.  Else one was
 * made, to be given up by one of the calls below, and the watcher does the first of them when this process is killed.
 */
int crk_cgroup_for_tree(pid_t pid, char **path_ret, pid_t *watcher_ret);
void crk_cgroup_home(const char *own, pid_t watcher);		/* back to the one they came from, @own goes away */
void crk_cgroup_leave(const char *own, pid_t watcher, bool keep);	/* they have ended, or stay in it (@keep) */

#endif /* _CRK_DUMP_H */
