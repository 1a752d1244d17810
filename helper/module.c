// SPDX-License-Identifier: GPL-2.0
/*
 * Loads crk.ko from where depmod(8) knows it: through libkmod, or, in a helper without libraries, through modprobe(8).
 */
#ifndef CRK_NO_KMOD
#include <libkmod.h>
#endif
#include <spawn.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "helper.h"

static void hint_insert(int err)
{
	struct utsname uts;

	uname(&uts);
	switch (-err) {
	case ENOENT:
		crk_hint("crk.ko is not installed for kernel %s: make && make install, or insmod crk.ko", uts.release);
		break;
	case ENOEXEC:
		crk_hint("crk.ko was built for another kernel than %s: build it again", uts.release);
		break;
	case EKEYREJECTED:
	case ENOKEY:
		crk_hint("this kernel only loads signed modules: sign crk.ko with a key it trusts");
		break;
	case EPERM:
		crk_hint("not root, or the kernel is locked down (Secure Boot): see kernel_lockdown(7)");
		break;
	}
}

#ifndef CRK_NO_KMOD
static int insert(void)
{
	struct kmod_list *list = NULL, *item;
	struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	int ret;

	if (!ctx)
		return crk_oom();
	ret = kmod_module_new_from_lookup(ctx, "crk", &list);
	if (!ret && !list)
		ret = -ENOENT;
	kmod_list_foreach(item, list) {
		struct kmod_module *mod = kmod_module_get_module(item);

		ret = kmod_module_probe_insert_module(mod, 0, NULL, NULL, NULL, NULL);
		kmod_module_unref(mod);
		if (ret)
			break;
	}
	kmod_module_unref_list(list);
	kmod_unref(ctx);
	return ret > 0 ? -EPERM : ret;		/* on modprobe's blacklist */
}
#else
static int insert(void)
{
	int status, err;
	pid_t pid;

	err = posix_spawnp(&pid, "modprobe", NULL, NULL, (char *[]){ "modprobe", "-q", "crk", NULL }, environ);
	if (err)
		return -err;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -ENOENT : 0;		/* it does not say more */
}
#endif

int crk_module_insert(void)
{
	int ret = insert();

	if (ret) {
		crk_err(ret, "cannot load the kernel module crk");
		hint_insert(ret);
	}
	return ret;
}
