/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of mem/ share; nothing outside needs it.
 */
#ifndef _CRK_MEM_H
#define _CRK_MEM_H

#include <sys/mman.h>

#include "helper.h"

#define PAGE_SIZE	((uint64_t)sysconf(_SC_PAGESIZE))

/* ---- dump ---- */

/* a shared memory object, dumped once */
struct crk_dshm {
	uint64_t inode_id;
	uint32_t id;			/* N of pagemap-shmem-N.img; the shmid for SysV */
	bool sysv;
};

/* a mapped file that has its id in files.img */
struct crk_dmapped {
	uint64_t inode_id;
	uint32_t flags;
	uint32_t id;
	struct stat st;
};

/* identities of the pages that may be shared, in order of address */
struct crk_page_ids {
	uint64_t *addrs;
	uint64_t *ids;
	size_t nr, room;
};

struct crk_dump_mem {
	struct crk_dshm *shms;
	size_t nr_shms, room_shms;
	struct crk_dmapped *files;
	size_t nr_files, room_files;
	uint32_t next_pages_id, next_shm_id;
	struct crk_page_ids *ids;	/* pagemap.c: of each process, in the order of d->procs */
};

int crk_vmas_dump(struct crk_dump *d, struct crk_dproc *p, const uint64_t *nr_pages);
int crk_pagemap_dump(struct crk_dump *d, struct crk_dproc *p, uint64_t *nr_pages);
int crk_cow_dump(struct crk_dump *d, struct crk_dproc *p);
void crk_pagemap_free(struct crk_dump *d);
/* @fd: the object, open for reading; *id_ret for the mapping */
int crk_shmem_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, int fd, uint32_t *id_ret);
/* the file behind a mapping; its name if @link_ret */
int crk_vma_open(const struct crk_dproc *p, const struct crk_vma *v, char **link_ret, int *ret);

/* ---- restore ---- */

/* pages in the images: @nr from @addr on, at @off of the process's pages image */
struct crk_rrun {
	uint64_t addr;
	uint64_t nr;
	uint64_t off;
};

struct crk_rvma {
	const CrkVmaEntry *e;
	const VmaEntry *v;
	uint64_t start, end;
	int prot;
	bool staged;			/* comes by CRK_OP_MOVE from crk_stage_of(start) */
};

struct crk_rmem {
	MmEntry *mm;
	CrkVmaEntry **entries;		/* owns what vmas[].e points at */
	struct crk_rvma *vmas;
	size_t nr_vmas;
	struct crk_rrun *runs;
	size_t nr_runs, room_runs;
	struct crk_rrun *cow;		/* pages shared with the parent; off unused */
	size_t nr_cow, room_cow;
	uint32_t pages_id;
	int pages_fd;			/* -1: no pages */
};

/* a shared memory object of the restore */
struct crk_rshm {
	uint32_t id;
	bool sysv;
	uint64_t size;			/* bytes */
	unsigned int page_shift;
	int fd;				/* coordinator's; -1 for SysV */
};

struct crk_rst_mem {
	struct crk_rshm *shms;
	size_t nr_shms, room_shms;
	bool staging;			/* the address ranges of stage.c are free in all processes */
};

int crk_shmem_plan(struct crk_rst *r);
int crk_shmem_open_all(struct crk_rst *r);
struct crk_rshm *crk_shmem_find(struct crk_rst *r, uint32_t id, bool sysv);
/* reads a pagemap image: its runs and pages image */
int crk_runs_read(struct crk_rst *r, enum crk_img_type type, uint32_t id, struct crk_rrun **runs, size_t *nr,
		  size_t *room, uint32_t *pages_id_ret);

void crk_stage_plan(struct crk_rst *r);
uint64_t crk_stage_of(uint64_t addr);
bool crk_vma_is_anon(const struct crk_rvma *v);	/* private anonymous memory of ordinary pages */
int crk_stage_fill(struct crk_rproc *p, const struct crk_rvma *v);

#endif /* _CRK_MEM_H */
