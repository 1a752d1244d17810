/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the kinds of open files share: facts about a file while it is dumped, memory that lives as long as the dump or
 * the restore, images, paths, owners.  Behind it are ../files.c, ../files_registry.c, ../dfile.c (dump) and
 * ../files_restore.c.
 */
#ifndef _CRK_FILES_H
#define _CRK_FILES_H

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "helper.h"

#define CRK_FILE_KIND(name) extern const struct crk_file_ops crk_file_##name;
#include "kinds.def"
#undef CRK_FILE_KIND

extern const struct crk_file_ops * const crk_file_kinds[];	/* ends with NULL */

/* flags of open(2) that do not outlive it */
#define OPEN_ONCE	(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC)
/* the rest of those that fcntl(F_SETFL) can change; O_ASYNC is set in the end */
#define SETFL_FLAGS	(O_APPEND | O_DIRECT | O_NOATIME | O_NONBLOCK)

/* ---- dump ---- */

/* zeroed, freed with the dump; NULL after crk_oom() */
void *crk_dump_alloc(struct crk_dump *d, size_t size);
char *crk_dump_strdup(struct crk_dump *d, const char *text);
/* a message of that kind, made with its init function */
#define dump_msg(d, type, init) ({				\
	type *_msg = crk_dump_alloc(d, sizeof(type));		\
	if (_msg)						\
		init(_msg);					\
	_msg; })
/* memory of this dump for a kind or the like, found by the address @key, zeroed at first */
void *crk_dump_state(struct crk_dump *d, const void *key, size_t size);
/* an image there is once, made at first use, closed by crk_files_dump_end() */
int crk_dump_img(struct crk_dump *d, enum crk_img_type type, struct crk_img **ret);
uint32_t crk_dump_new_id(struct crk_dump *d);		/* for files.img */
int crk_dump_put_file(struct crk_dump *d, FileEntry *fe);	/* one more entry of files.img */

/* text of fdinfo, read at first use; NULL after a message */
const char *crk_dfile_fdinfo(const struct crk_dfile *f);
/* the text behind "KEY:" and blanks in an fdinfo text; NULL if there is none */
const char *fdinfo_value(const char *fdinfo, const char *key);
/* what crk-files.img will say of this file; NULL after crk_oom() */
CrkFileEntry *crk_dfile_extra(struct crk_dump *d, const struct crk_dfile *f);
/* owner of O_ASYNC; NULL after a message */
FownEntry *crk_dfile_fown(struct crk_dump *d, const struct crk_dfile *f);
/* "pid 41 (nginx) fd 7 (socket:[5512]): TEXT"; returns -EOPNOTSUPP */
int crk_dfile_refuse(const struct crk_dfile *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* the same for an error */
int crk_dfile_err(int err, const struct crk_dfile *f, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* our own opening of the same inode, so that neither flags nor offset of the target's file change; not for devices */
int crk_dfile_reopen(const struct crk_dfile *f, int flags, int *ret);
/* id in files.img of a file that we hold @fd of, and that may be one of the target's (passed descriptors) */
int crk_files_dump_fd(struct crk_dump *d, const struct crk_dfile *from, int fd, uint32_t *id_ret);
/*
 * A file of the dump that has this inode and for which @same(its process, descriptor, @arg) says yes; 0: none.  Without
 * a process the descriptor is one of ours, and of its facts the flags are not known.
 */
uint32_t crk_files_search(struct crk_dump *d, uint64_t ino, uint32_t dev,
			  bool (*same)(const struct crk_dproc *p, const struct crk_fd *file, void *arg), void *arg);
/* what a kind has seen, by two numbers of its own (0 where one is enough); @kind: any address that it alone uses */
void *crk_dump_known(struct crk_dump *d, const void *kind, uint64_t a, uint64_t b);	/* NULL: not seen */
int crk_dump_know(struct crk_dump *d, const void *kind, uint64_t a, uint64_t b, void *item);

/* reg.c: an entry with path, for kinds that are opened by path; also dumps what is behind a lost name */
int crk_reg_fill(struct crk_dump *d, const struct crk_dfile *f, uint32_t id, RegFileEntry **ret);
/* the same as an entry of its own in files.img */
int crk_reg_dump_extra(struct crk_dump *d, const struct crk_dfile *f, uint32_t *id_ret);

/* ghost.c: files that are not at their path */
int crk_ghost_dump(struct crk_dump *d, const struct crk_dfile *f, const RegFileEntry *reg);
int crk_ghost_plan(struct crk_rst *r);		/* reads remap-fpath.img */
bool crk_ghost_is(struct crk_rst *r, uint32_t id);
/* a descriptor of the file that stands behind @reg, borrowed; -ENOENT, silently: it is where its name says */
int crk_ghost_get(struct crk_rst *r, const RegFileEntry *reg, int *ret);
int crk_ghost_open(struct crk_rst *r, const RegFileEntry *reg, int flags, int *ret);	/* the same, opened */

/* pipe-data.c: contents of pipes and fifos */
struct crk_pipe_data {
	uint32_t pipe_id, size, bytes;	/* size: F_GETPIPE_SZ, 0 if not known */
	char *data;
};
/* @read: what is in it, too.  Packets, if there are any, go to @f's entry in crk-files.img */
int crk_pipe_data_dump(struct crk_dump *d, const struct crk_dfile *f, enum crk_img_type type, uint32_t pipe_id,
		       bool read);
/* those of an image, each found by @kind and its id */
int crk_pipe_data_load(struct crk_rst *r, enum crk_img_type type, const void *kind);
/* @extra of the file that the packets were noted with; NULL: a stream */
int crk_pipe_data_fill(int fd, const struct crk_pipe_data *data, const CrkFileEntry *extra);

/* fs.c, locks.c: not kinds */
int crk_fs_dump(struct crk_dump *d, struct crk_dproc *p);
/* each descriptor with CRK_FD_LOCKS of each table; @first: the file was not seen before */
int crk_locks_dump(struct crk_dump *d, struct crk_dproc *p, const struct crk_fd *facts, bool first);
int crk_locks_plan(struct crk_rst *r);
int crk_locks_install(struct crk_rst *r, struct crk_rproc *p);

/* ---- restore ---- */

void *crk_restore_alloc(struct crk_rst *r, size_t size);
void *crk_restore_state(struct crk_rst *r, const void *key, size_t size);
/* as crk_dump_known(), crk_dump_know() */
void *crk_restore_known(struct crk_rst *r, const void *kind, uint64_t a, uint64_t b);
int crk_restore_know(struct crk_rst *r, const void *kind, uint64_t a, uint64_t b, void *item);
/* all entries of files.img, in order; ends with NULL */
FileEntry **crk_restore_files(struct crk_rst *r);
const CrkFileEntry *crk_rfile_extra(struct crk_rst *r, uint32_t id);	/* NULL if there is none */
/* is the file a descriptor of a process, or on its way to one?  Others are opened when asked for */
bool crk_rfile_in_use(struct crk_rst *r, uint32_t id);
/* "pid 41 fd 7" for messages; @buf has 64 bytes */
const char *crk_rfile_who(struct crk_rst *r, uint32_t id, char *buf);
/* moves @fd to a number that is no target's; closes it in any case */
int crk_fd_raise(struct crk_rst *r, int fd, int *ret);
/* the same, and closes it when all processes are complete: for what kinds need besides the files themselves */
int crk_fd_hold(struct crk_rst *r, int fd, int *ret);
/* open("/proc/self/fd/@fd") */
int crk_fd_reopen(int fd, int flags);
/* gives @fd the flags that open(2) could not or must not */
int crk_fd_setfl(int fd, uint32_t flags);
/* descriptor given by --inherit-fd for "pipe:[12]"; -1: none */
int crk_inherited(struct crk_rst *r, const char *what);
/* @id is there for its path alone */
void crk_rfile_path_only(struct crk_rst *r, uint32_t id);
/* @id is needed though no table of descriptors has it: passed in a message */
int crk_rfile_use(struct crk_rst *r, uint32_t id);

#endif /* _CRK_FILES_H */
