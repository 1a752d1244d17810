/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Records of state that one architecture alone has.  Part of crk_regs.h, which says what is true of all records.
 */
#ifndef _UAPI_CRK_ARCH_H
#define _UAPI_CRK_ARCH_H

#ifndef _UAPI_CRK_REGS_H
#error "include crk_regs.h"
#endif

/* CRK_ARCH_*: struct crk_rec_arch.what */
#define CRK_ARCH_NONE		0	/* to be passed over */
#define CRK_ARCH_BREAKPOINTS	1	/* hardware breakpoints and watchpoints of a thread */
#define CRK_ARCH_PORTS		2	/* I/O ports that a thread may use */
#define CRK_ARCH_SEGMENTS	3	/* segment descriptors of a process, with the records of its leader */
#define CRK_ARCH_WIDE		4	/* what a narrower view of a thread's registers has no place for */
#define CRK_ARCH_TLS		5	/* segment descriptors of a thread that no register set of its view has */
#define CRK_ARCH_VFP		6	/* an exception of the floating point unit that waits for its support code */
#define CRK_ARCH_THUMBEE	7	/* base of ThumbEE's handlers */

/**
 * struct crk_rec_arch - CRK_REC_ARCH: state in the words of one architecture; there is none where all is as after exec
 * @what: CRK_ARCH_*
 * @len: bytes at @data; the rest of the record is padding
 * @data: on x86: struct crk_x86_breakpoints, struct crk_x86_ports, struct crk_x86_wide; the entries of the local
 *	descriptor table as modify_ldt(2) reads them, 8 bytes each; the three of set_thread_area(2) in the same form.
 *	On ARM: struct crk_arm_breakpoints, struct crk_arm_vfp; TEEHBR, 4 bytes
 *
 * CRK_IOC_SET gives a thread all of them but ports and the local table; these it sets for itself before it parks.
 */
struct crk_rec_arch {
	struct crk_rec rec;
	__u32 what;
	__u32 len;
	__u8 data[];
};

/**
 * struct crk_x86_breakpoints - debug registers as PTRACE_PEEKUSER shows them
 * @addr: DR0 to DR3
 * @status: DR6
 * @control: DR7
 */
struct crk_x86_breakpoints {
	__aligned_u64 addr[4];
	__aligned_u64 status;
	__aligned_u64 control;
};

/**
 * struct crk_x86_wide - registers of a thread in 32-bit code, which may go back to 64-bit code; all bits of them
 * @bx, @cx, @dx, @si, @di, @bp, @sp: of which NT_PRSTATUS has the lower halves
 * @r: r8 to r15
 * @fs_base, @gs_base: bases of the segments
 */
struct crk_x86_wide {
	__aligned_u64 bx;
	__aligned_u64 cx;
	__aligned_u64 dx;
	__aligned_u64 si;
	__aligned_u64 di;
	__aligned_u64 bp;
	__aligned_u64 sp;
	__aligned_u64 r[8];
	__aligned_u64 fs_base;
	__aligned_u64 gs_base;
};

/**
 * struct crk_x86_ports - ioperm(2) and iopl(2)
 * @level: of iopl
 * @nr_bytes: of @denied; ports beyond are denied
 * @denied: bit 0 of the first byte is port 0
 */
struct crk_x86_ports {
	__u32 level;
	__u32 nr_bytes;
	__u8 denied[];
};

#define CRK_ARM_BREAKPOINTS	32

/**
 * struct crk_arm_breakpoints - hardware breakpoints as PTRACE_GETHBPREGS shows them; control 0: not in use
 * @addr, @control: sixteen breakpoints, then sixteen watchpoints
 */
struct crk_arm_breakpoints {
	__u32 addr[CRK_ARM_BREAKPOINTS];
	__u32 control[CRK_ARM_BREAKPOINTS];
};

/**
 * struct crk_arm_vfp - CRK_ARCH_VFP: the registers of that name
 * @fpexc: with EX, DEX or FP2V set; else there is no record
 * @fpinst, @fpinst2: the instructions
 * @__reserved: 0
 */
struct crk_arm_vfp {
	__u32 fpexc;
	__u32 fpinst;
	__u32 fpinst2;
	__u32 __reserved;
};

#endif /* _UAPI_CRK_ARCH_H */
