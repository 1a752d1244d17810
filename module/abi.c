// SPDX-License-Identifier: GPL-2.0
/*
 * Build-time checks of uapi/, nothing else: sizes never change, and no struct has a hole, so that 32- and 64-bit
 * callers agree.
 */
#include <linux/build_bug.h>

#include "private.h"

#define SIZE(type, version0, last)							\
	static_assert(sizeof(struct type) == (version0));				\
	static_assert(offsetofend(struct type, last) == sizeof(struct type));		\
	static_assert(sizeof(struct type) % 8 == 0)

SIZE(crk_info, CRK_INFO_SIZE_VER0, __reserved2);
SIZE(crk_freeze, CRK_FREEZE_SIZE_VER0, out_frozen_ns);
SIZE(crk_verify, CRK_VERIFY_SIZE_VER0, out_nr_thaws);
SIZE(crk_thaw, CRK_THAW_SIZE_VER0, out_frozen_ns);
SIZE(crk_tasks, CRK_TASKS_SIZE_VER0, __reserved);
SIZE(crk_capture, CRK_CAPTURE_SIZE_VER0, __reserved2);
SIZE(crk_vmas, CRK_VMAS_SIZE_VER0, start);
SIZE(crk_pagerun, CRK_PAGERUN_SIZE_VER0, out_nr_ids);
SIZE(crk_read, CRK_READ_SIZE_VER0, __reserved2);
SIZE(crk_snapshot, CRK_SNAPSHOT_SIZE_VER0, __reserved);
SIZE(crk_files, CRK_FILES_SIZE_VER0, __reserved);
SIZE(crk_queue, CRK_QUEUE_SIZE_VER0, __reserved);
SIZE(crk_fd_get, CRK_FD_GET_SIZE_VER0, __reserved);
SIZE(crk_events, CRK_EVENTS_SIZE_VER0, out_len);
SIZE(crk_restore, CRK_RESTORE_SIZE_VER0, __reserved);
SIZE(crk_program, CRK_PROGRAM_SIZE_VER1, __reserved);
SIZE(crk_park, CRK_PARK_SIZE_VER0, flags);
SIZE(crk_wait, CRK_WAIT_SIZE_VER0, out_err);
SIZE(crk_set, CRK_SET_SIZE_VER0, out_nr);
SIZE(crk_go, CRK_GO_SIZE_VER0, out_nr);
SIZE(crk_events_put, CRK_EVENTS_PUT_SIZE_VER0, buf_len);
SIZE(crk_lazy, CRK_LAZY_SIZE_VER0, flags);
SIZE(crk_vdso, CRK_VDSO_SIZE_VER0, out_data_len);

/* array entries */
SIZE(crk_task, CRK_TASK_SIZE_VER1, sched_id);
SIZE(crk_vma, CRK_VMA_SIZE_VER0, anon_vma_id);
SIZE(crk_pages, CRK_PAGES_SIZE_VER0, flags);
SIZE(crk_range, 16, len);
SIZE(crk_fd, CRK_FD_SIZE_VER0, pos);
SIZE(crk_op, CRK_OP_SIZE_VER0, __reserved);

/* records: their members stay where they are */
SIZE(crk_rec, 8, size);
SIZE(crk_rec_task, 32, __reserved);
SIZE(crk_restart, 40, __reserved);
SIZE(crk_rec_thread, 224, __reserved2);
SIZE(crk_rec_stop, 16, report);
SIZE(crk_rec_times, 120, children_stime_ns);
SIZE(crk_rec_siginfo, 144, info);
SIZE(crk_rec_settings, 64, dispatch_selector);
SIZE(crk_x86_breakpoints, 48, control);
SIZE(crk_x86_wide, 136, gs_base);
SIZE(crk_action, 40, __reserved);
SIZE(crk_rec_itimer, 32, interval_ns);
SIZE(crk_rec_posix_timer, 64, __reserved);
SIZE(crk_rec_mm, 704, __reserved);
static_assert(offsetof(struct crk_rec_regset, data) == 16);
static_assert(offsetof(struct crk_rec_actions, actions) == 16);
static_assert(offsetof(struct crk_rec_creds, groups) == 104);
static_assert(offsetof(struct crk_rec_arch, data) == 16);
static_assert(offsetof(struct crk_x86_ports, denied) == 8);
static_assert(offsetof(struct crk_rec_semundo, adj) == 24);
