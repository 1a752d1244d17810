/* SPDX-License-Identifier: GPL-2.0 */
/* Files, for init.c, the PID 1 of a guest. */
#ifndef _VM_FILES_H
#define _VM_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* all of it, or as much as can be written */
void write_all(int fd, const char *buf, size_t len);
/* the whole of a file, malloc'ed, with a NUL behind it that @len_ret, which may be NULL, does not count; NULL: errno says why */
char *slurp(const char *path, size_t *len_ret);
/* a directory and those above it */
void mkdirs(const char *path);
/* 0 or a negative errno */
int copy_file(const char *from, const char *to, mode_t mode);
/* directories, links and files, what is there already stays; 0 or a negative errno */
int copy_tree(const char *from, const char *to);

#endif /* _VM_FILES_H */
