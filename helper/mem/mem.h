/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of mem/ share; nothing outside needs it.
 */
#ifndef _CRK_MEM_H
#define _CRK_MEM_H

#include <sys/mman.h>

#include "elf.h"
#include "helper.h"
#include "ranges.h"

#define PAGE_SIZE	((uint64_t)sysconf(_SC_PAGESIZE))

/* the kernel takes VM_SHARED from shared mappings of files that are not open for writing; /proc/PID/maps shows them "s" */
#define VMA_SHARED	(CRK_VMA_SHARED | CRK_VMA_MAYSHARE)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#endif

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
	uint8_t build_id[32];
	size_t build_id_len;		/* 0: none */
};

/* identities of the pages that may be shared, in order of address */
struct crk_page_ids {
	uint64_t *addrs;
	uint64_t *ids;
	size_t nr, room;
};

/* private memory of a process that is to be saved */
struct crk_private {
	struct crk_range *ranges;	/* in order of address */
	size_t nr, room;
	struct crk_ranges guards;	/* pages of MADV_GUARD_INSTALL */
	struct crk_ranges in_parent;	/* what the parent checkpoint has, and would tell if it had changed */
	size_t in_parent_at;		/* the scan's place in it */
	struct crk_ranges left;		/* what is left to the parent checkpoint */
	bool tracking;			/* the next dump will ask what has changed since this one */
	struct crk_ranges untracked;	/* if so: what may change without a trace */
	uint32_t snapshot;		/* that is read after the thaw; 0: all is read before */
	bool locked_too;		/* locked memory is in the snapshot */
	struct crk_img *img;		/* pages-N.img, as long as there is something to come */
};

/* bytes of code of a vDSO, at most */
#define CRK_VDSO_TEXT_MAX	65536UL

/* a vDSO that is in crk-vdso.img */
struct crk_vdso_saved {
	int kind;
	uint64_t len;
	uint8_t build_id[32];
	size_t build_id_len;
};

struct crk_dump_mem {
	struct crk_dshm *shms;
	size_t nr_shms, room_shms;
	struct crk_dmapped *files;
	size_t nr_files, room_files;
	struct crk_vdso_saved *vdsos;
	size_t nr_vdsos, room_vdsos;
	struct crk_img *vdso_img;	/* NULL: none yet */
	uint32_t next_pages_id, next_shm_id;
	/* pagemap.c: of each process, in the order of d->procs */
	struct crk_page_ids *ids;
	struct crk_private *private;
	/* tracking.c */
	bool tracking, can_clear;
	uint8_t id[CRK_IMG_ID_LEN];	/* of this dump */
	CrkTrackedEntry *tracked, **tracked_ptrs;
	struct crk_ranges *in_parent;	/* in the order of the parent's list of those that it tracks */
	size_t nr_in_parent;
};

/* tracking.c: which pages the parent checkpoint has; nothing is frozen yet, since to read it takes time */
int crk_tracking_prepare(struct crk_dump *d);
void crk_tracking_look(struct crk_dump *d);	/* before the scan: whose they are */
void crk_tracking_free(struct crk_dump_mem *m);
/* which pages there are: before any memory is duplicated, since all pages are shared then */
int crk_pagemap_scan(struct crk_dump *d, struct crk_dproc *p);
/* snapshot.c: duplicates of what is better read after the thaw; why the others are not, with -v */
int crk_snapshots_take(struct crk_dump *d);
bool crk_snapshot_has(const struct crk_private *m, const struct crk_vma *v);	/* is the mapping in a snapshot of @m? */
int crk_vmas_dump(struct crk_dump *d, struct crk_dproc *p, const uint64_t *nr_pages);
/* what is not in a snapshot; pages with contents by mapping into @nr_pages, which may be NULL */
int crk_pagemap_dump(struct crk_dump *d, struct crk_dproc *p, uint64_t *nr_pages);
int crk_pagemap_dump_later(struct crk_dump *d, struct crk_dproc *p);	/* the rest */
int crk_cow_dump(struct crk_dump *d, struct crk_dproc *p);
void crk_pagemap_free(struct crk_dump *d);
/* mapping @v, a [vdso], which goes into @c */
int crk_vdso_dump(struct crk_dump *d, const struct crk_dproc *p, const struct crk_vma *v, CrkVmaEntry *c);
int crk_vdso_dump_end(struct crk_dump *d);
/* this process's own: where its data begins, its code and its end; 0 if it has none */
int crk_vdso_own(uint64_t *start, uint64_t *code, uint64_t *end);
/* this boot's signal trampolines, which every process has; NULL: it has none */
int crk_vdso_own_trampolines(const void **ret);
/* @fd: the object, open for reading; *id_ret for the mapping */
int crk_shmem_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_vma *v, int fd, uint32_t *id_ret);
/* the file behind a mapping; its name if @link_ret */
int crk_vma_open(const struct crk_dproc *p, const struct crk_vma *v, char **link_ret, int *ret);

/* ---- restore ---- */

/* pages in the images: @nr from @addr on, at @off of a pages image */
struct crk_rrun {
	uint64_t addr;
	uint64_t nr;
	uint64_t off;
	uint32_t source;		/* of struct crk_rmem.sources */
};

/* a pages image that has pages of a process: of the checkpoint, of its parent, and so on */
struct crk_rsource {
	struct crk_imgdir *dir;
	uint32_t pages_id;
	struct crk_pages *pages;	/* NULL: none of its pages is needed, or not yet open */
};

/* in a process: compressed pages that its memory program reads from a pipe, in order.  feed.c */
struct crk_feed {
	int fd, to;			/* its ends, if there are @parts */
	struct crk_feed_part *parts;
	size_t nr, room;
};

struct crk_rvma {
	const CrkVmaEntry *e;
	const VmaEntry *v;
	uint64_t start, end;
	int prot;
	bool apart;			/* must not merge with the one before it */
};

/* memory made before its processes: it is moved to [start, end) of those that use it.  share.c, stage.c */
struct crk_area {
	uint64_t start, end;
	uint64_t at;			/* where it is until then */
	const struct crk_rvma *v;	/* the mapping it is made for, of the process that makes it */
	bool mapped;			/* in this process: by itself or an ancestor */
};

/* pages that are the same as those of an ancestor */
struct crk_rshare {
	struct crk_rproc *owner;
	struct crk_ranges pages;
};

/* a vDSO of the images, and this kernel's of the same kind */
struct crk_rvdso {
	CrkVdsoEntry *e;
	struct crk_elf old;		/* e->text */
	uint8_t *text;			/* this kernel's code; NULL: not looked at */
	uint64_t text_len, data_len;
	struct crk_elf new;		/* text */
	bool same;			/* build */
	bool same_trampolines;
};

/* the vDSO of a process; the last lines for @foreign ones */
struct crk_vdso_use {
	struct crk_rvdso *vdso;
	uint64_t addr, data_len;	/* its data, which its code follows */
	bool foreign;			/* of another kernel: the old one is memory, and leads to this kernel's */
	bool copy;			/* some thread goes on in the old one, unchanged */
	uint64_t trampolines;		/* signal trampolines; 0: none */
	uint64_t new_trampolines;	/* this boot's; where it differs from @trampolines, the old ones are memory */
	uint64_t new_addr, copy_addr;	/* where this kernel's goes, data first; where the copy would */
	uint8_t *text;			/* the old code, redirected */
};

struct crk_rmem {
	MmEntry *mm;
	CrkVmaEntry **entries;		/* owns what vmas[].e points at */
	struct crk_rvma *vmas;
	size_t nr_vmas;
	struct crk_rrun *runs;
	size_t nr_runs;
	struct crk_rsource *sources;
	size_t nr_sources;
	struct crk_rshare *shares;
	size_t nr_shares, room_shares;
	struct crk_area **areas;	/* that it makes or inherits, apart from each other */
	size_t nr_areas, room_areas;
	struct crk_ranges give, kept, inherit;	/* share.c */
	struct crk_ranges lazy;		/* lazy.c: pages that come when it runs */
	int uffd;			/* lazy.c, coordinator's: by which they come; -1 */
	struct crk_vdso_use *vdso;	/* NULL: it has none */
	bool gave;			/* in this process: @give is in the areas */
};

/* a shared memory object of the restore */
struct crk_rshm {
	uint32_t id;
	bool sysv;
	uint64_t size;			/* bytes */
	unsigned int page_shift;
	int fd;				/* coordinator's; -1 for SysV */
	void *attached;			/* holds a segment that goes with its last user; else NULL */
};

struct crk_rst_mem {
	struct crk_rshm *shms;
	size_t nr_shms, room_shms;
	struct crk_area **areas;
	size_t nr_areas, room_areas;
	struct crk_rvdso *vdsos;
	size_t nr_vdsos, room_vdsos;
	int feed_from, feed_to;		/* a socket, by which processes ask for compressed pages; -1: there are none */
	struct crk_feeders *feeders;
	size_t nr_lazy;			/* processes with memory that comes later */
	int lazy_in, lazy_out;		/* socket by which their userfaultfds come, if there are any */
};

int crk_lazy_plan(struct crk_rst *r);	/* when it is known who shares what */
int crk_lazy_open(struct crk_rst *r);
void crk_lazy_close(struct crk_rst *r);
int crk_shmem_plan(struct crk_rst *r);
int crk_shmem_open_all(struct crk_rst *r);
struct crk_rshm *crk_shmem_find(struct crk_rst *r, uint32_t id, bool sysv);
/* runs.c: reads a pagemap image of shared memory: its runs and pages image */
int crk_runs_read(struct crk_rst *r, enum crk_img_type type, uint32_t id, struct crk_rrun **runs, size_t *nr,
		  uint32_t *pages_id_ret);
int crk_runs_plan(struct crk_rst *r, pid_t pid, struct crk_rmem *m);	/* @m's runs and sources, along the chain of parents */
int crk_runs_open(struct crk_rst *r, struct crk_rmem *m);		/* those sources that are needed */
void crk_runs_free(struct crk_rmem *m);
/* the image that has what @run holds at @addr, and where */
struct crk_pages *crk_rrun_pages(const struct crk_rmem *m, const struct crk_rrun *run, uint64_t addr, uint64_t *off_ret);

/* feed.c: coordinator, before there are processes */
int crk_feed_open(struct crk_rst *r);
/* in a process: @len bytes at @off of a source come next out of the pipe, or zeros; then: all that was added is wanted now */
int crk_feed_add(struct crk_rst *r, struct crk_feed *f, uint32_t source, uint64_t off, uint64_t len);
int crk_feed_add_zeros(struct crk_rst *r, struct crk_feed *f, uint64_t len);
int crk_feed_begin(struct crk_rst *r, const struct crk_rproc *p, struct crk_feed *f);

int crk_vdso_plan(struct crk_rst *r);
void crk_vdso_free(struct crk_rst *r);
void crk_vdso_use_free(struct crk_vdso_use *u);
/* in a process with a foreign one, or foreign trampolines: a file with what of them is going to be memory */
int crk_vdso_file(struct crk_rst *r, const struct crk_rproc *p, int *ret);

int crk_share_plan(struct crk_rst *r);
/* the area that @v uses at @addr, or the next one behind it within @v; NULL if there is none */
const struct crk_area *crk_area_of(const struct crk_rmem *m, const struct crk_rvma *v, uint64_t addr);
bool crk_vma_is_anon(const struct crk_rvma *v);	/* private anonymous memory of ordinary pages */
/* the first mapping, or run, that ends behind @addr; one behind the last if there is none */
struct crk_rvma *crk_rvma_from(const struct crk_rmem *m, uint64_t addr);
size_t crk_rrun_from(const struct crk_rmem *m, uint64_t addr);

#endif /* _CRK_MEM_H */
