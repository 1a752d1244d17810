// SPDX-License-Identifier: GPL-2.0
/*
 * Loads crk.ko from where depmod(8) knows it: through libkmod, or, where that is not there, through modprobe(8).
 */
#ifndef CRK_NO_KMOD
#include <dlfcn.h>
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

static int run_modprobe(void)
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

#ifdef CRK_NO_KMOD
static int insert(void)
{
	return run_modprobe();
}
#else
/* bound here and not by the linker: with its own libraries it takes longer to load than a small restore takes */
#define CALLS(call)	\
	call(kmod_new) call(kmod_unref) call(kmod_module_new_from_lookup) call(kmod_list_next)	\
	call(kmod_module_get_module) call(kmod_module_probe_insert_module) call(kmod_module_unref)	\
	call(kmod_module_unref_list)
#define DECLARE(name)	typeof(&(name)) name;
#define BIND(name)	kmod.name = (typeof(kmod.name))dlsym(lib, #name); all = all && kmod.name;

static struct {
	CALLS(DECLARE)
} kmod;

static bool bind_libkmod(void)
{
	void *lib = dlopen("libkmod.so.2", RTLD_NOW);
	bool all = lib;

	if (all) {
		CALLS(BIND)
	}
	return all;
}

static int insert(void)
{
	struct kmod_list *list = NULL, *item;
	struct kmod_ctx *ctx;
	int ret;

	if (!bind_libkmod())
		return run_modprobe();
	ctx = kmod.kmod_new(NULL, NULL);
	if (!ctx)
		return crk_oom();
	ret = kmod.kmod_module_new_from_lookup(ctx, "crk", &list);
	if (!ret && !list)
		ret = -ENOENT;
	for (item = list; item && !ret; item = kmod.kmod_list_next(list, item)) {
		struct kmod_module *mod = kmod.kmod_module_get_module(item);

		ret = kmod.kmod_module_probe_insert_module(mod, 0, NULL, NULL, NULL, NULL);
		kmod.kmod_module_unref(mod);
	}
	kmod.kmod_module_unref_list(list);
	kmod.kmod_unref(ctx);
	return ret > 0 ? -EPERM : ret;		/* on modprobe's blacklist */
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
