/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What dump.c calls of collect.c: the model of the frozen processes, built from the module's facts.
 */
#ifndef _CRK_DUMP_H
#define _CRK_DUMP_H

#include "helper.h"

int crk_collect_tasks(struct crk_dump *d);	/* processes and threads, parents, shared tables; refusals */
int crk_collect_capture(struct crk_dump *d);	/* records of every thread, descriptors, mappings; refusals */
void crk_collect_free(struct crk_dump *d);

/* moves all of @path to the cgroup above it and removes @path: undoes crk_cgroup_for_tree() */
int crk_cgroup_dissolve(const char *path);

#endif /* _CRK_DUMP_H */
