/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Checkpoint directories and the images in them.  Knows how images are framed, named, checked and made complete;
 * what is in the messages is the business of those who write and read them.  See images/FORMAT.md.
 *
 * Functions return 0 or a negative errno, and have said why in one sentence that names the file, unless noted.
 * Images are written by one process, one thread at a time.  A directory that is open for reading may be used by
 * forked children too, each image by one process.
 */
#ifndef _CRK_IMAGE_H
#define _CRK_IMAGE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "core.pb-c.h"
#include "crk-cgroup.pb-c.h"
#include "crk-checksum.pb-c.h"
#include "crk-core.pb-c.h"
#include "crk-cow.pb-c.h"
#include "crk-files.pb-c.h"
#include "crk-inventory.pb-c.h"
#include "crk-packed.pb-c.h"
#include "crk-task.pb-c.h"
#include "crk-vdso.pb-c.h"
#include "crk-vma.pb-c.h"
#include "fdinfo.pb-c.h"
#include "file-lock.pb-c.h"
#include "fs.pb-c.h"
#include "ghost-file.pb-c.h"
#include "inventory.pb-c.h"
#include "ipc-shm.pb-c.h"
#include "memfd.pb-c.h"
#include "mm.pb-c.h"
#include "pack.h"
#include "pagemap.pb-c.h"
#include "pipe-data.pb-c.h"
#include "pstree.pb-c.h"
#include "remap-file-path.pb-c.h"
#include "sk-packet.pb-c.h"
#include "stats.pb-c.h"
#include "tty.pb-c.h"

#define CRK_IMG_FORMAT		1	/* raised when an older crkhelper would restore something wrong */
#define CRK_IMG_FORMAT_PACKED	2	/* of those with compressed pages, which need a crkhelper that knows these */
#define CRK_IMG_VERSION		2	/* inventory_entry.img_version */
#define CRK_IMG_CHUNK		(1ULL << 20)	/* bytes that one checksum is of; files may be large where a long is not */

/* vma_entry.status */
#define VMA_AREA_REGULAR	(1U << 0)	/* its private pages are in the images */
#define VMA_AREA_STACK		(1U << 1)
#define VMA_AREA_VSYSCALL	(1U << 2)
#define VMA_AREA_VDSO		(1U << 3)
#define VMA_AREA_HEAP		(1U << 5)
#define VMA_FILE_PRIVATE	(1U << 6)
#define VMA_FILE_SHARED		(1U << 7)
#define VMA_ANON_SHARED		(1U << 8)
#define VMA_ANON_PRIVATE	(1U << 9)
#define VMA_AREA_SYSVIPC	(1U << 10)
#define VMA_AREA_SOCKET		(1U << 11)
#define VMA_AREA_VVAR		(1U << 12)
#define VMA_AREA_AIORING	(1U << 13)
#define VMA_AREA_MEMFD		(1U << 14)

/* pagemap_entry.flags */
#define PE_PARENT		(1U << 0)	/* in the parent checkpoint */
#define PE_LAZY			(1U << 1)	/* may be fetched after the restore */
#define PE_PRESENT		(1U << 2)	/* in the pages image */

/* task_core_entry.task_state */
#define CRK_TASK_STATE_ALIVE	1
#define CRK_TASK_STATE_ZOMBIE	3
#define CRK_TASK_STATE_STOPPED	6

enum crk_img_type {
#define CRK_IMAGE(type, ...)		CRK_IMG_##type,
#define CRK_IMAGE_RAW(type, ...)	CRK_IMG_##type,
#include "image.def"
#undef CRK_IMAGE
#undef CRK_IMAGE_RAW
	CRK_NR_IMG_TYPES
};

/* a checkpoint directory; it holds one file descriptor */
struct crk_imgdir;
/* one image, open for writing or for reading */
struct crk_img;

/* ---- directories ---- */

/* Makes directory @path (its parent must exist), or takes an empty one.  -EEXIST if it holds anything. */
int crk_imgdir_create(const char *path, struct crk_imgdir **ret);

/*
 * Makes the checkpoint complete: writes what is still in memory, the checksums, and last the inventory, which must
 * have been written.  Takes time: call it when the target is no longer held, or must be held until then anyway.
 */
int crk_imgdir_commit(struct crk_imgdir *dir);

enum crk_img_verify {
	CRK_VERIFY_TABLES,	/* all but page contents; of any machine, as show wants it */
	CRK_VERIFY_RESTORE,	/* the machine must be this one; page contents are left to crk_imgdir_verify_pages() */
	CRK_VERIFY_ALL,		/* every byte, and the machine */
};

/*
 * Opens a complete checkpoint.
 * -ENOENT no such directory; -ENODATA not a complete checkpoint; -EBADMSG damaged; -EPROTO made by another tool or
 * of a newer format; -ENOEXEC another machine.
 */
int crk_imgdir_open(const char *path, enum crk_img_verify verify, struct crk_imgdir **ret);

/*
 * imgdir_chain.c: the checkpoints that one builds on, each by its link "parent".  A parent is known by its id: one that
 * was made anew since is refused.
 */
#define CRK_IMG_ID_LEN		16

/* writing: links @dir to @path, as seen from @dir, and opens that, which may be a pre-dump */
int crk_imgdir_set_parent(struct crk_imgdir *dir, const char *path);
/* reading: opens all parents, tables verified; -EPROTO if one is missing or is another */
int crk_imgdir_open_parents(struct crk_imgdir *dir, enum crk_img_verify verify);
/* of either; NULL: it has none, or they are not opened */
struct crk_imgdir *crk_imgdir_parent(struct crk_imgdir *dir);

/*
 * imgdir_dead.c: bytes of pages images that a checkpoint on top has instead, see crkhelper dedup.  Of a directory open for
 * reading.
 */
uint64_t crk_imgdir_dead(const struct crk_imgdir *dir);		/* how many there are */
int crk_imgdir_refuse_dead(const struct crk_imgdir *dir);	/* -ENODATA if there are any: it is not whole any more */
bool crk_imgdir_is_dead(struct crk_imgdir *dir, uint32_t pages_id, uint64_t start, uint64_t end);	/* any of these? */
/* files by number, from 0 on; false: there are no more.  *id_ret, *pid_ret 0: another file */
bool crk_imgdir_pages_at(const struct crk_imgdir *dir, size_t i, uint32_t *id_ret, uint64_t *size_ret);
bool crk_imgdir_pagemap_at(const struct crk_imgdir *dir, size_t i, uint32_t *pid_ret);
/* all that are dead in pages-ID.img: from, to, … */
int crk_imgdir_dead_set(struct crk_imgdir *dir, uint32_t pages_id, const uint64_t *dead, size_t nr);
/* what was set goes to the disk; then the room of all that is dead is given back */
int crk_imgdir_dead_commit(struct crk_imgdir *dir);

/* NULL is fine.  A directory made but not committed is emptied of what was written, and removed if it was made. */
void crk_imgdir_close(struct crk_imgdir *dir);

int crk_imgdir_fd(struct crk_imgdir *dir);		/* borrowed */
const char *crk_imgdir_path(struct crk_imgdir *dir);	/* as given */
/* moves the directory's descriptor to a number of @min or above */
int crk_imgdir_raise_fd(struct crk_imgdir *dir, int min);
/* of a directory open for reading */
const CrkInventoryEntry *crk_imgdir_inventory(struct crk_imgdir *dir);
/* bytes of all files of a complete or opened checkpoint */
uint64_t crk_imgdir_size(struct crk_imgdir *dir);
/*
 * Checks the contents of all pages-ID.img, or of all that are compressed, those of opened parents included; -EBADMSG
 * damaged.  Compressed ones are few bytes, and nobody decompresses what has not been checked.
 */
int crk_imgdir_verify_pages(struct crk_imgdir *dir);
int crk_imgdir_verify_packed(struct crk_imgdir *dir);
/* compressed pages images of a directory open for reading: CRK_PACK_NONE if there are none; bytes of their contents */
enum crk_pack_algorithm crk_imgdir_packed(struct crk_imgdir *dir, uint64_t *before_ret, uint64_t *after_ret);

/*
 * imgdir_pack.c: replaces all pages images by compressed ones, before the commit; what they had and have, in bytes.
 * -ECANCELED, and said, when *@stop becomes true.
 */
int crk_imgdir_pack(struct crk_imgdir *dir, enum crk_pack_algorithm how, const volatile sig_atomic_t *stop,
		    uint64_t *before_ret, uint64_t *after_ret);

/* ---- imgdir_pages.c: pages images for reading, compressed or not ---- */

struct crk_pages;

/* -ENOENT, silently, if the checkpoint has none with this @id; its descriptor is @min_fd or above */
int crk_pages_open(struct crk_imgdir *dir, uint32_t id, int min_fd, struct crk_pages **ret);
void crk_pages_close(struct crk_pages *p);	/* NULL is fine */
/* by one thread at a time */
int crk_pages_read(struct crk_pages *p, void *buf, size_t len, uint64_t off);
/* a descriptor of the file if its contents can be read there as they are; -1: it is compressed */
int crk_pages_fd(const struct crk_pages *p);
/* compressed: chunk @i, of that many bytes but for the last one; by any thread, each with a @packer of its own */
size_t crk_pages_chunk_size(const struct crk_pages *p);
int crk_pages_chunk(const struct crk_pages *p, struct crk_packer *packer, size_t i, void *to, size_t *len_ret);

/* chunks of pages-ID.img with any of these bytes are left out there (@later) or not: who reads them verifies them */
int crk_imgdir_verify_later(struct crk_imgdir *dir, uint32_t pages_id, uint64_t start, uint64_t end, bool later);
/* reads such a chunk into @buf of CRK_IMG_CHUNK bytes; -EBADMSG damaged */
int crk_imgdir_read_chunk(struct crk_imgdir *dir, uint32_t pages_id, int fd, size_t chunk, void *buf, size_t *len_ret);

/*
 * Writes crk-inventory.img and inventory.img.  The caller fills in of @e what it knows (cgroup, roots, nr_tasks,
 * frozen_ns, module_*); what is to be told of this machine is added for the time of the call.
 */
int crk_inventory_write(struct crk_imgdir *dir, CrkInventoryEntry *e, TaskKobjIdsEntry *root_ids);
/* the ELF e_machine of this program and how to call one in a message */
unsigned int crk_machine(void);
const char *crk_machine_name(unsigned int machine);

/* ---- images ---- */

/* N of pagemap-shmem-N.img: below these it is the id of a SysV segment, which the kernel gave */
#define CRK_SHMID_ANON		0x80000000U
#define CRK_SHMID_MEMFD		0xc0000000U	/* its pages-N.img, too */

/* @id goes into the name; 0 for images that are there once */
int crk_img_create(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		   struct crk_img **ret);
/* -ENOENT, silently, if the checkpoint has no such image */
int crk_img_open(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		 struct crk_img **ret);
/* NULL is fine.  Closes in any case; an error of writing that was not reported before is. */
int crk_img_close(struct crk_img *img);

/* appends one message; every required field must be set */
int crk_img_put(struct crk_img *img, const ProtobufCMessage *msg);
/* the next message: 1, or 0 at the end; free it with protobuf_c_message_free_unpacked(msg, NULL) */
int crk_img_get(struct crk_img *img, ProtobufCMessage **ret);
/* bytes behind a message */
int crk_img_put_raw(struct crk_img *img, const void *buf, size_t len);
/* -EBADMSG if the image ends before */
int crk_img_get_raw(struct crk_img *img, void *buf, size_t len);
uint64_t crk_img_left(struct crk_img *img);		/* bytes not yet read */

/*
 * A descriptor of the file, borrowed, for pages and payloads that the kernel moves.  Writing: all that was put before
 * is in the file, and the descriptor's offset is behind it; what is put later goes to where the offset then is.
 * Reading: the offset is where the next crk_img_get_raw() would read, which is not moved by reading from it.
 */
int crk_img_fd(struct crk_img *img);

/* an image of one message */
int crk_img_write_one(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		      const ProtobufCMessage *msg);
/* -ENOENT silently; -EBADMSG if it is empty */
int crk_img_read_one(struct crk_imgdir *dir, enum crk_img_type type, unsigned int id,
		     ProtobufCMessage **ret);

/* ---- fields that need care ---- */

static inline void crk_pagemap_set(PagemapEntry *e, uint64_t vaddr, uint64_t nr_pages,
				   uint32_t flags)
{
	e->vaddr = vaddr;
	e->compat_nr_pages = nr_pages;
	e->has_nr_pages = 1;
	e->nr_pages = nr_pages;
	e->has_flags = 1;
	e->flags = flags;
	/* CRIU reads the flag, some tools this */
	if (flags & PE_PARENT)
		e->has_in_parent = e->in_parent = 1;
}

static inline uint64_t crk_pagemap_nr(const PagemapEntry *e)
{
	return e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;
}

#endif /* _CRK_IMAGE_H */
