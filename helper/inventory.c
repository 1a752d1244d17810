// SPDX-License-Identifier: GPL-2.0
/*
 * The inventory of a checkpoint: what made it, of what, where and when.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <time.h>

#include "crk.h"
#include "image.h"
#include "log.h"
#include "util.h"

#ifndef CRK_VERSION
#define CRK_VERSION	"0.1"
#endif

/* made by the linker */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

unsigned int crk_machine(void)
{
	/* crk knows no x86 kernels of 32 bit: a 32-bit crkhelper works for those of 64 */
	return __ehdr_start.e_machine == EM_386 ? EM_X86_64 : __ehdr_start.e_machine;
}

const char *crk_machine_name(unsigned int machine)
{
	static const struct {
		unsigned int machine;
		const char *name;
	} names[] = {
		{ EM_386, "i386" },
		{ EM_X86_64, "x86_64" },
		{ EM_ARM, "ARM" },
		{ EM_AARCH64, "arm64" },
	};
	static char number[32];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].machine == machine)
			return names[i].name;
	snprintf(number, sizeof(number), "ELF machine %u", machine);
	return number;
}

/* the value of the first line "@key : value" of the text; @key may be followed by blanks */
static char *cpuinfo_value(char *text, const char *key)
{
	char *line, *end, *value;
	size_t len = strlen(key);

	for (line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
		if (strncmp(line, key, len) || !strchr("\t :", line[len]))
			continue;
		value = strchr(line, ':');
		end = strchr(line, '\n');
		if (!value || (end && value > end))
			continue;
		value += 1 + strspn(value + 1, " \t");
		return strndup(value, end ? (size_t)(end - value) : strlen(value));
	}
	return NULL;
}

/* words of the first CPU only: the others' text takes long to make, and mixed machines are not for restores */
static void cpu_facts(CrkInventoryEntry *e, char **model_ret, char **flags_ret, char ***words_ret)
{
	_cleanup_close_ int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	char text[16384], *word, *save;
	size_t room = 0;
	ssize_t n;

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return;
	text[n] = '\0';
	*model_ret = cpuinfo_value(text, "model name");
	*flags_ret = cpuinfo_value(text, "flags");
	if (!*flags_ret)
		*flags_ret = cpuinfo_value(text, "Features");
	if (!*flags_ret)
		return;
	for (word = strtok_r(*flags_ret, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		char **slot = array_add(*words_ret, e->n_cpu_flags, room);

		if (!slot)
			return;
		*slot = word;
	}
}

static int write_both(struct crk_imgdir *dir, CrkInventoryEntry *e, TaskKobjIdsEntry *root_ids)
{
	InventoryEntry inv = INVENTORY_ENTRY__INIT;
	int err;

	err = crk_img_write_one(dir, CRK_IMG_CRK_INVENTORY, 0, &e->base);
	if (err)
		return err;
	inv.img_version = CRK_IMG_VERSION;
	inv.has_fdinfo_per_id = 1;
	inv.fdinfo_per_id = 1;
	inv.has_ns_per_id = 1;
	inv.ns_per_id = 1;
	inv.has_lsmtype = 1;
	inv.lsmtype = LSMTYPE__NO_LSM;
	inv.root_ids = root_ids;
	return crk_img_write_one(dir, CRK_IMG_INVENTORY, 0, &inv.base);
}

int crk_inventory_write(struct crk_imgdir *dir, CrkInventoryEntry *e, TaskKobjIdsEntry *root_ids)
{
	_cleanup_free_ char *boot_id = NULL, *model = NULL, *flags = NULL;
	_cleanup_free_ char **words = NULL;
	CrkInventoryEntry full = *e;
	struct utsname uts;
	size_t len;

	if (uname(&uts))
		return crk_err(-errno, "cannot tell the kernel's name");
	full.format = e->format ?: CRK_IMG_FORMAT;
	full.crk_version = CRK_VERSION;
	full.abi = CRK_ABI;
	full.machine = crk_machine();
	full.page_size = sysconf(_SC_PAGESIZE);
	full.kernel_release = uts.release;
	full.kernel_version = uts.version;
	full.nodename = uts.nodename;
	full.has_dump_time_ns = 1;
	full.dump_time_ns = crk_clock_ns(CLOCK_REALTIME);
	full.has_dump_boottime_ns = 1;
	full.dump_boottime_ns = crk_clock_ns(CLOCK_BOOTTIME);
	full.has_dump_monotonic_ns = 1;
	full.dump_monotonic_ns = crk_clock_ns(CLOCK_MONOTONIC);
	full.has_hwcap = 1;
	full.hwcap = getauxval(AT_HWCAP);
	full.has_hwcap2 = 1;
	full.hwcap2 = getauxval(AT_HWCAP2);
	full.n_cpu_flags = 0;
	cpu_facts(&full, &model, &flags, &words);
	full.cpu_model = model;
	full.cpu_flags = words;
	if (!read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &boot_id, &len)) {
		boot_id[strcspn(boot_id, "\n")] = '\0';
		full.boot_id = boot_id;
	}
	return write_both(dir, &full, root_ids);
}
