/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the helper asks of an architecture.  The helper builds arch/<name>/user.c of all of them, so that any image
 * can be shown anywhere; members that need the machine itself are NULL on others.
 */
#ifndef _CRK_HOST_H
#define _CRK_HOST_H

#include "helper.h"
#include "mem/elf.h"

/**
 * struct crk_host_abi - an ABI of system calls besides the native one, which a kernel may have
 * @abi: CRK_ABI_*
 * @feature: CRK_FEAT_*
 * @name: for messages
 * @programs: what can't be restored without it
 * @off: the module has it, but calls fail: why
 * @call: getpid() by it, in a process that may die of it; its result
 */
struct crk_host_abi {
	uint32_t abi;
	uint64_t feature;
	const char *name, *programs, *off;
	long (*call)(void);
};

/**
 * struct crk_host_ops - the helper's side of an architecture
 * @name: as uname(2) calls it
 * @march: CORE_ENTRY__MARCH__* of its core images
 * @owns: are threads with this e_machine this architecture's?
 * @core_fill: registers of a thread's records into the thread info of @core, allocated for free_unpacked(), as CRIU
 *	keeps them: an interrupted system call is about to begin again, or has ended with EINTR
 * @mm_refusal: why an address space can't be restored anywhere; NULL: it can, and if there is no such member
 * @thread_refusal: why a thread of these records can't be restored anywhere; NULL: it can, and if there is no such member
 * @cpu_flags: words of /proc/cpuinfo's "flags" or "Features" that programs choose their instructions by, NULL at the end
 * @abis: see there; the last one has no name
 * @program_abi: CRK_ABI_* by which a program calls the kernel, of the first @len bytes of its file.  NULL: all by the native one
 * @thread_check: can a thread of these records get here what @thread_set gives it?  Before anything is created; 0, or
 *	negative errno and what it is in @what.  NULL: there is nothing
 * @thread_set: the calling thread sets for itself what CRK_REC_ARCH has and the module leaves to it; with @leader, what
 *	is its process's too.  It still has all privileges, and runs beside others
 * @signal_queue: rt_sigqueueinfo(), or rt_tgsigqueueinfo() with @tid, of a siginfo_t as the kernel's own ABI has it
 * @timer_create: timer_create() of a record, whose value may be wider than the helper's pointers; its id in @id
 * @ioctl: ioctl() by the kernel's own ABI, for files that know no other; NULL: the helper's is that
 * @info_pid: where a siginfo_t of the kernel's own ABI has the pid of who sent the signal
 * @timer_info: where such a siginfo_t of a POSIX timer has its overrun and the kernel's link to the timer, ints both
 * @clone_thread: clone3() of a thread that runs @fn(@arg) on the stack in @args; its tid or negative errno
 * @frame_format: what this kernel's frames of signal handlers look like, as far as that depends on its configuration: a number
 *	of the architecture's own.  NULL: on nothing
 * @frame_convert: changes the first frame in @buf, which has a multiple of 8 bytes, from what one kernel's look like to what
 *	another's do; where in @buf, and how many bytes in @changed; -1: there is none, or none that must be changed
 * @trampolines: name of a page of signal trampolines that comes with a vDSO, different in every boot; NULL: none
 * @vdso_kind: CRK_VDSO_* of a vDSO with this ELF header; negative: not one of this architecture's
 * @vdso_redirect: changes in @text, the code of an old vDSO, what @sym is at @from in the process, so that who calls it is
 *	where @to is.  -ERANGE: that is too far away
 * @pc_get, @pc_set: where a thread is, in its records
 */
struct crk_host_ops {
	const char *name;
	CoreEntry__March march;
	bool (*owns)(uint32_t machine);
	int (*core_fill)(CoreEntry *core, const struct crk_rec *recs, size_t len);
	const char *(*mm_refusal)(const struct crk_rec_mm *mm);
	const char *(*thread_refusal)(const struct crk_rec *recs, size_t len);
	const char *const *cpu_flags;
	const struct crk_host_abi *abis;
	uint32_t (*program_abi)(const void *head, size_t len);
	int (*thread_check)(const struct crk_rec *recs, size_t len, const char **what);
	int (*thread_set)(const struct crk_rec *recs, size_t len, bool leader, const char **what);
	const char *trampolines;
	int (*vdso_kind)(unsigned int machine, bool is64);
	int (*vdso_redirect)(uint8_t *text, const struct crk_elf_symbol *sym, uint64_t from, uint64_t to);
	uint64_t (*pc_get)(const struct crk_rec *recs, size_t len);
	void (*pc_set)(struct crk_rec *recs, size_t len, uint64_t pc);
	int (*signal_queue)(pid_t pid, pid_t tid, uint32_t signo, const void *info);
	int (*timer_create)(const struct crk_rec_posix_timer *rec, int *id);
	int (*ioctl)(int fd, unsigned long cmd, void *arg);
	size_t info_pid;
	struct {
		size_t overrun, link;
	} timer_info;
	long (*clone_thread)(void *args, size_t size, void (*fn)(void *), void *arg);
	uint32_t (*frame_format)(void);
	ssize_t (*frame_convert)(uint8_t *buf, size_t len, uint32_t from, uint32_t to, size_t *changed);
};

extern const struct crk_host_ops crk_host_arm, crk_host_x86;

/* of the machine that the helper runs on */
#if defined(__x86_64__) || defined(__i386__)
#define crk_host	(&crk_host_x86)
#elif defined(__arm__)
#define crk_host	(&crk_host_arm)
#else
#error "crk: this architecture has no arch/<name>/user.c yet"
#endif

#endif /* _CRK_HOST_H */
