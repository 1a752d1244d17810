// SPDX-License-Identifier: GPL-2.0
/*
 * Checkpoints that build on others: the link "parent" in a directory, as CRIU has it, and the ids by which crk knows a
 * parent again.  Knows nothing of pages.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "imgdir.h"
#include "log.h"

#define CHAIN_MAX	1000	/* links may lead in a circle */

static char *parent_path(const struct crk_imgdir *dir)
{
	char *link, *ret;

	if (xasprintf(&link, "%s/" PARENT_LINK, dir->path))
		return NULL;
	ret = realpath(link, NULL);
	if (!ret)
		return link;
	free(link);
	return ret;
}

static int parent_open(struct crk_imgdir *dir, enum crk_img_verify verify)
{
	_cleanup_free_ char *path = parent_path(dir);

	if (!path)
		return crk_oom();
	/* pages are verified for all at once */
	return crk_imgdir_open_as(path, verify == CRK_VERIFY_TABLES ? verify : CRK_VERIFY_RESTORE, true, &dir->parent);
}

static bool is_parent_of(const struct crk_imgdir *parent, const CrkInventoryEntry *inv)
{
	const CrkInventoryEntry *have = parent->inventory;

	return inv->has_parent_id && have->has_id && inv->parent_id.len == have->id.len &&
	       !memcmp(inv->parent_id.data, have->id.data, have->id.len);
}

static int parent_failed(const struct crk_imgdir *dir, int err)
{
	crk_hint("it is a parent of checkpoint '%s', which can't be restored without it", dir->path);
	return err;
}

int crk_imgdir_open_parents(struct crk_imgdir *dir, enum crk_img_verify verify)
{
	const char *first = dir->path;
	unsigned int depth = 0;
	int err;

	for (; dir->inventory->parent; dir = dir->parent) {
		struct stat st;

		if (++depth > CHAIN_MAX)
			return crk_fail(-ELOOP, "'%s' builds on more than %u others", first, CHAIN_MAX);
		if (fstatat(dir->fd, PARENT_LINK "/.", &st, 0))
			return crk_fail(-EPROTO, "the parent of checkpoint '%s' is missing: its link '" PARENT_LINK "' (made to '%s') leads nowhere",
					dir->path, dir->inventory->parent);
		err = parent_open(dir, verify);
		if (err)
			return parent_failed(dir, err);
		if (!is_parent_of(dir->parent, dir->inventory))
			return crk_fail(-EPROTO, "'%s' is not the parent of checkpoint '%s': another dump was made there since, or the link is wrong",
					dir->parent->path, dir->path);
	}
	return 0;
}

int crk_imgdir_set_parent(struct crk_imgdir *dir, const char *path)
{
	struct stat st;
	int err;

	if (fstatat(dir->fd, path, &st, 0) || !S_ISDIR(st.st_mode)) {
		err = crk_fail(-ENOENT, "no parent checkpoint '%s' there", path);
		crk_hint("--prev-images-dir is seen from the directory of -D, '%s'", dir->path);
		return err;
	}
	if (symlinkat(path, dir->fd, PARENT_LINK))
		return crk_err(-errno, "cannot make link '%s/" PARENT_LINK "'", dir->path);
	dir->linked = true;
	err = parent_open(dir, CRK_VERIFY_RESTORE);
	err = err ?: crk_imgdir_refuse_dead(dir->parent);
	if (err)
		return err;
	/* none can be restored without all before it, though no more is wanted of them now */
	err = crk_imgdir_open_parents(dir->parent, CRK_VERIFY_RESTORE);
	crk_imgdir_close(dir->parent->parent);
	dir->parent->parent = NULL;
	return err;
}

struct crk_imgdir *crk_imgdir_parent(struct crk_imgdir *dir)
{
	return dir->parent;
}
