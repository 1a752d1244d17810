/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small things that every file of the helper uses: scope cleanup, whole reads and writes, arrays that grow.
 * Functions return 0 or a negative errno and print nothing.
 */
#ifndef _CRK_UTIL_H
#define _CRK_UTIL_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define min(a, b) ({			\
	__typeof__(a) _min_a = (a);	\
	__typeof__(b) _min_b = (b);	\
	_min_a < _min_b ? _min_a : _min_b; })
#define max(a, b) ({			\
	__typeof__(a) _max_a = (a);	\
	__typeof__(b) _max_b = (b);	\
	_max_a > _max_b ? _max_a : _max_b; })

/* @a must be a power of two */
#define align_up(x, a)		(((x) + ((__typeof__(x))(a) - 1)) & ~((__typeof__(x))(a) - 1))
#define align_down(x, a)	((x) & ~((__typeof__(x))(a) - 1))

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* ---- scope cleanup; errno is kept ---- */

static inline void crk_cleanup_free(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

static inline void crk_cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void crk_cleanup_fclose(FILE **f)
{
	int saved = errno;

	if (*f)
		fclose(*f);
	errno = saved;
}

void crk_cleanup_closedir(void *dir);	/* DIR ** */
void crk_cleanup_pid(pid_t *pid);	/* kills with SIGKILL and reaps; pids <= 0 are none */

#define _cleanup_(f)		__attribute__((cleanup(f)))
#define _cleanup_free_		_cleanup_(crk_cleanup_free)
#define _cleanup_close_		_cleanup_(crk_cleanup_close)
#define _cleanup_fclose_	_cleanup_(crk_cleanup_fclose)
#define _cleanup_closedir_	_cleanup_(crk_cleanup_closedir)
#define _cleanup_pid_		_cleanup_(crk_cleanup_pid)

/* take the value out of a variable that its scope would clean up */
static inline int steal_fd(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}

static inline pid_t steal_pid(pid_t *pid)
{
	pid_t ret = *pid;

	*pid = 0;
	return ret;
}

#define steal_ptr(pp) ({			\
	__typeof__(*(pp)) _steal_p = *(pp);	\
	*(pp) = NULL;				\
	_steal_p; })

/* ---- whole reads and writes: EINTR and short transfers are handled ---- */

int write_all(int fd, const void *buf, size_t len);			/* -EIO if nothing can be written */
int pwrite_all(int fd, const void *buf, size_t len, uint64_t off);
int read_all(int fd, void *buf, size_t len);				/* -ENODATA if the file ends before @len */
int pread_all(int fd, void *buf, size_t len, uint64_t off);

/* the whole of a file, /proc included, malloc'ed, with a NUL behind it that @len_ret does not count; @len_ret may be NULL */
int read_file_at(int dirfd, const char *path, char **buf_ret, size_t *len_ret);
int write_file_at(int dirfd, const char *path, const char *text);	/* an existing file (cgroup, /proc) */
/* malloc'ed text of a symbolic link */
int read_link_at(int dirfd, const char *path, char **ret);

/* ---- text ---- */

/* 0 or -ENOMEM; *ret is NULL after a failure */
int xasprintf(char **ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int xvasprintf(char **ret, const char *fmt, va_list ap);

/* whether a process is gone, or dead and waiting for a parent that may be slow, as init is on some systems */
bool crk_pid_ended(pid_t pid);
/* who holds a pid, as text for messages: "bash", "?" */
void crk_pid_comm(pid_t pid, char comm[17]);

/* ---- limits of this process; those who may not raise the hard one get as much as that ---- */

int crk_limit_raise(int resource, uint64_t want);
int crk_limit_raise_files(uint64_t at_least);	/* open files: as many as the system allows */

/* ---- time, in nanoseconds ---- */

uint64_t crk_clock_ns(clockid_t clock);

static inline uint64_t now_ns(void)
{
	return crk_clock_ns(CLOCK_MONOTONIC);
}

/* ---- arrays that grow ---- */

/* @items with room for one more than @nr, that one zeroed; NULL if there is no memory, @items is kept then */
void *crk_array_more(void *items, size_t nr, size_t *room, size_t item_size);

/*
 * Adds one zeroed item to @items, which has @nr of them in use and room for @room (all three are lvalues of their own,
 * @room a size_t; NULL, 0 and 0 at first); gives its address, or NULL if there is no memory.  Older items may move.
 */
#define array_add(items, nr, room) ({								\
	void *_add_more = crk_array_more((items), (nr), &(room), sizeof(*(items)));		\
	if (_add_more)										\
		(items) = _add_more;								\
	_add_more ? &(items)[(nr)++] : NULL; })

#endif /* _CRK_UTIL_H */
