// SPDX-License-Identifier: GPL-2.0
/*
 * The events that wait in an inotify descriptor: read without taking them, and queued again.  read(2) would take them
 * from a target that is left running, and nothing in userspace puts any back.
 *
 * What a descriptor is can't be asked the kernel: it is one of inotify if inotify's read function serves it.  The group
 * behind it is a public type, an event's own type is not: struct queued is how 6.1 to 7.2 have it.  The helper
 * compares the bytes that come out with what FIONREAD says.
 */
#include <linux/file.h>
#include <linux/fsnotify_backend.h>
#include <linux/idr.h>
#include <linux/inotify.h>
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "private.h"
#include "symbols.h"

#define EVENTS_MAX	SZ_256M

/* bits of an event that userspace sees */
#define EVENT_BITS	(IN_ALL_EVENTS | IN_ISDIR | IN_UNMOUNT | IN_IGNORED | IN_Q_OVERFLOW)
/* events of a directory about its own entries; others with a name are a child's, which its watched parent is told */
#define ENTRY_EVENTS	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)

/* fs/notify/inotify/inotify.h; kmalloc()ed, freed by the group's ops */
struct queued {
	struct fsnotify_event fse;
	u32 mask;
	int wd;
	u32 cookie;
	int name_len;		/* without the NUL */
	char name[];
};

#ifdef CONFIG_INOTIFY_USER

bool crk_events_can(void)
{
	return crk_addr(inotify_read);
}

static struct queued *queued_of(struct fsnotify_event *fse)
{
	return container_of(fse, struct queued, fse);
}

/* a file of inotify, to be put; or ERR_PTR */
static struct file *file_get(s32 fd)
{
	struct file *file;

	if (!crk_events_can())
		return ERR_PTR(-EOPNOTSUPP);
	file = fget(fd);
	if (!file)
		return ERR_PTR(-EBADF);
	if ((unsigned long)file->f_op->read == crk_addr(inotify_read))
		return file;
	fput(file);
	return ERR_PTR(-EINVAL);
}

/* ---- reading ---- */

static size_t name_room(const struct queued *q)
{
	return q->name_len ? roundup(q->name_len + 1, sizeof(struct inotify_event)) : 0;
}

/* bytes that all take; *room is what they may take in @buf, and then what those that fit do */
static size_t events_write(struct fsnotify_group *group, void *buf, size_t *room)
{
	struct fsnotify_event *fse;
	struct inotify_event *ev;
	size_t len = 0, used = 0;
	struct queued *q;

	lockdep_assert_held(&group->notification_lock);
	list_for_each_entry(fse, &group->notification_list, list) {
		q = queued_of(fse);
		ev = buf + len;
		len += sizeof(*ev) + name_room(q);
		if (len > *room)
			continue;
		used = len;
		ev->wd = q->wd;
		ev->mask = q->mask & EVENT_BITS;
		ev->cookie = q->cookie;
		ev->len = name_room(q);
		memset(ev->name, 0, ev->len);
		memcpy(ev->name, q->name, q->name_len);
	}
	*room = used;
	return len;
}

int crk_events(struct crk_events *cmd)
{
	struct inotify_group_private_data *data;
	void *buf __free(kvfree) = NULL;
	struct fsnotify_group *group;
	struct file *file;
	size_t room = 0;
	int ret = 0;

	cmd->out_len = 0;
	file = file_get(cmd->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	group = file->private_data;
	data = &group->inotify_data;
	spin_lock(&data->idr_lock);
	cmd->out_next_wd = max(idr_get_cursor(&data->idr), 1U);
	spin_unlock(&data->idr_lock);

	spin_lock(&group->notification_lock);
	cmd->out_len = events_write(group, NULL, &room);
	spin_unlock(&group->notification_lock);
	/* what comes from now on, from those that are not frozen, may be left out */
	room = min(cmd->out_len, cmd->buf_len);
	if (room) {
		buf = kvmalloc(room, GFP_KERNEL_ACCOUNT);
		ret = buf ? 0 : -ENOMEM;
	}
	if (!ret) {
		spin_lock(&group->notification_lock);
		cmd->out_len = events_write(group, buf, &room);
		spin_unlock(&group->notification_lock);
		if (copy_to_user(u64_to_user_ptr(cmd->buf_uptr), buf, room))
			ret = -EFAULT;
	}
	fput(file);
	return ret;
}

/* ---- queueing ---- */

/* the next of the bytes; NULL if they are none */
static const struct inotify_event *event_next(const void *buf, size_t len, size_t *pos)
{
	const struct inotify_event *ev = buf + *pos;
	size_t left = len - *pos;

	if (left < sizeof(*ev) || ev->len > left - sizeof(*ev) || ev->len % sizeof(*ev) ||
	    ev->len > roundup(NAME_MAX + 1, sizeof(*ev)))
		return NULL;
	if (!(ev->mask & EVENT_BITS) || ev->mask & ~EVENT_BITS)
		return NULL;
	if (ev->len && (!ev->name[0] || !memchr(ev->name, '\0', ev->len)))
		return NULL;
	if (ev->mask & IN_Q_OVERFLOW ? ev->mask != IN_Q_OVERFLOW || ev->wd != -1 || ev->len : ev->wd < 1)
		return NULL;
	*pos += sizeof(*ev) + ev->len;
	return ev;
}

static struct queued *queued_create(const struct inotify_event *ev)
{
	size_t name_len = ev->len ? strlen(ev->name) : 0;
	struct queued *q = kmalloc(struct_size(q, name, name_len + 1), GFP_KERNEL_ACCOUNT);

	if (!q)
		return NULL;
	fsnotify_init_event(&q->fse);
	q->mask = ev->mask;
	/* an equal event that comes next is only merged with one that is equal in this, too */
	if (name_len && !(ev->mask & ENTRY_EVENTS))
		q->mask |= FS_EVENT_ON_CHILD;
	q->wd = ev->wd;
	q->cookie = ev->cookie;
	q->name_len = name_len;
	memcpy(q->name, ev->name, name_len);
	q->name[name_len] = '\0';
	return q;
}

static void queued_destroy(struct list_head *list, const struct fsnotify_event *overflow)
{
	struct fsnotify_event *fse, *next;

	list_for_each_entry_safe(fse, next, list, list) {
		list_del_init(&fse->list);
		if (fse != overflow)
			kfree(queued_of(fse));
	}
}

/* the overflow event is the group's own, and there once: @overflow stands for it meanwhile */
static int list_build(const void *buf, size_t len, struct list_head *list, struct fsnotify_event *overflow, u32 *nr)
{
	const struct inotify_event *ev;
	struct queued *q;
	size_t pos = 0;

	while (pos < len) {
		ev = event_next(buf, len, &pos);
		if (!ev || (ev->mask & IN_Q_OVERFLOW && !list_empty(&overflow->list)))
			return -EINVAL;
		if (ev->mask & IN_Q_OVERFLOW) {
			list_add_tail(&overflow->list, list);
			continue;
		}
		q = queued_create(ev);
		if (!q)
			return -ENOMEM;
		list_add_tail(&q->fse.list, list);
		(*nr)++;
		cond_resched();
	}
	return 0;
}

static int list_queue(struct fsnotify_group *group, struct list_head *list, struct fsnotify_event *overflow, u32 *nr)
{
	bool overflows = !list_empty(&overflow->list);
	int ret = 0;

	spin_lock(&group->notification_lock);
	if (group->q_len + *nr > group->max_events) {
		ret = -ENOSPC;
	} else if (overflows && !list_empty(&group->overflow_event->list)) {
		ret = -EINVAL;
	} else {
		if (overflows) {
			list_replace_init(&overflow->list, &group->overflow_event->list);
			(*nr)++;
		}
		list_splice_tail_init(list, &group->notification_list);
		group->q_len += *nr;
	}
	spin_unlock(&group->notification_lock);
	return ret;
}

int crk_events_put(struct crk_events_put *cmd)
{
	struct fsnotify_event overflow;
	struct fsnotify_group *group;
	struct file *file;
	LIST_HEAD(list);
	u32 nr = 0;
	void *buf;
	int ret;

	cmd->out_nr = 0;
	if (cmd->buf_len > EVENTS_MAX)
		return -EINVAL;
	file = file_get(cmd->fd);
	if (IS_ERR(file))
		return PTR_ERR(file);
	group = file->private_data;
	buf = cmd->buf_len ? vmemdup_user(u64_to_user_ptr(cmd->buf_uptr), cmd->buf_len) : NULL;
	if (IS_ERR(buf)) {
		ret = PTR_ERR(buf);
		goto out_put;
	}
	fsnotify_init_event(&overflow);
	ret = list_build(buf, cmd->buf_len, &list, &overflow, &nr);
	if (!ret)
		ret = list_queue(group, &list, &overflow, &nr);
	queued_destroy(&list, &overflow);
	if (!ret) {
		cmd->out_nr = nr;
		wake_up(&group->notification_waitq);
	}
	kvfree(buf);
out_put:
	fput(file);
	return ret;
}

#else

bool crk_events_can(void)
{
	return false;
}

int crk_events(struct crk_events *cmd)
{
	return -EOPNOTSUPP;
}

int crk_events_put(struct crk_events_put *cmd)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_INOTIFY_USER */
