/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The process that brings the memory of a restored tree while that runs.
 */
#ifndef _CRK_FILLER_H
#define _CRK_FILLER_H

#include "missing.h"

/* a pages image, which is not compressed */
struct crk_filler_source {
	struct crk_imgdir *dir;
	uint32_t pages_id;
	int fd;				/* -1: no page of it is needed */
};

/* a process that waits for memory; restored, or a child that one of these has made since */
struct crk_filled {
	int uffd;			/* -1: it has all, or is gone */
	struct crk_missing missing;
	uint64_t *faults;		/* pages that threads of it wait for */
	size_t nr_faults, room_faults;
	bool changing;			/* an event is under way: until it was read no page is taken */
};

struct crk_filler {
	struct crk_filled *procs;
	size_t nr_procs, room_procs;
	struct crk_filler_source *sources;	/* runs name them by number */
	size_t nr_sources, room_sources;
	uint64_t bytes;			/* that were missing in the beginning */
	bool on_demand;			/* --fault lazy: nothing in the background before SIGUSR1, which is blocked */
	/* the chunk of a pages image that was read last, verified */
	unsigned char *chunk;
	uint32_t chunk_source;
	size_t chunk_nr, chunk_len;	/* chunk_len 0: none */
};

/* until nothing is missing any more, in all of them: 0, or what went wrong, said */
int crk_filler_run(struct crk_filler *f);
void crk_filler_free(struct crk_filler *f);	/* closes the userfaultfds */

#endif /* _CRK_FILLER_H */
