#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1800 abi=x86_64,arm
#
# Dumps that save only what changed since an earlier one: every change is in them whatever made it, little else is, and a
# chain of them is restored or refused as a whole.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/orders.sh
. "$here/payload/orders.sh"

tests=19
# for crit, which reads them on the host
images_keep()
{
	local dir kept

	[ "${CRK_IMAGES-}" ] || return 0
	for dir in "$@"; do
		kept=$(mktemp -d "$CRK_IMAGES/incremental.XXXXXX") && cp "$dir"/*.img "$kept" && rm "$kept"/pages-* || return 1
	done
}

# pages of a process that it shares with others
shared_kib() { awk '/^Shared_(Clean|Dirty):/ { n += $2 } END { print n }' "/proc/$1/smaps_rollup"; }

echo "TAP version 13"
echo "1..$tests"
# ---- a chain ----

changes_start
ret=1
crk pre-dump pre && saved 3000 9000 && all=$(json pages_bytes) && order W 50 && increment d1 ../pre && saved 20 900 &&
	[ "$(readlink d1/parent)" = ../pre ] && order z && ret=0
if [ ! "$tracked" ]; then
	said 'this kernel does not track writes to memory .CONFIG_MEM_SOFT_DIRTY is off.: all pages are saved' || ret=1
fi
result $ret "pre-dump leaves them running; a dump on top of it saves what changed"

ret=1
crkhelper show pre >log 2>&1 && said "pre-dump: has pages only" && said "^ *$pid +[0-9.]+ MiB +0 B" &&
	crkhelper show d1 >log 2>&1 && { [ ! "$tracked" ] || { said "parent +../pre, 1 checkpoint before" && said ' MiB in parents'; }; } && ret=0
result $ret "show"

ret=0
i=1
for what in 'W 100' 'd 80' 'w 50' 'u 256' 's' 'W 10' 'p 30' 'd 200' 's' 'w 120'; do
	# shellcheck disable=SC2086	# letter and argument
	order $what || ret=1
	how=never
	[ $((i % 3)) != 0 ] || how=always
	increment d$((i + 1)) ../d$i --snapshot=$how || { ret=1; break; }
	case $what in
	s)	;;	# all that was moved
	*)	saved 1 2500 || ret=1 ;;
	esac
	echo "# $what: $(json pages_bytes) of $all bytes"
	i=$((i + 1))
done
[ ! "$tracked" ] || images_keep pre d$i || ret=1
result $ret "ten increments, with snapshots and without"

ret=1
restored d$i && ret=0
result $ret "the last one is restored"
ret=0
for k in 1 4 7; do
	restored d$k || ret=1
done
result $ret "those before it, too"

ret=1
if [ "$tracked" ]; then
	crk dump d.again -R --track-mem --prev-images-dir ../d$i && said 'this process is not in the parent checkpoint' &&
		[ "$(json pages_bytes_parent)" = 0 ] && restored d.again && ret=0
else
	ret=0
fi
result $ret "a restored process is not the one that had its pid"

# ---- each kind of change by itself, by a dump that ends them ----

# for the order to swap out; without one, its pages are only written to
swap=/var/tmp/crk-swap
dd if=/dev/zero of=$swap bs=1M count=32 status=none && chmod 600 $swap && mkswap $swap >/dev/null 2>&1
swapon $swap 2>/dev/null || echo "# no swap"
ret=0
for what in z 'w 200' 'd 300' 'u 500' s 'p 100' x 'o 50' 'a 1'; do
	rm -rf a b
	# shellcheck disable=SC2086
	if ! crk pre-dump a || ! order $what || ! crk dump b --prev-images-dir ../a || ! restored b; then
		echo "# $what"
		ret=1
		break
	fi
done
rm -rf a b
# swapped out before, and not touched
if ! crk pre-dump a || ! order o 50 || ! crk pre-dump b --prev-images-dir ../a || ! order W 5 ||
	! crk dump c --prev-images-dir ../b || ! saved 5 900 || ! restored c; then
	ret=1
fi
swapoff $swap 2>/dev/null
rm -f $swap
result $ret "what is written, dropped, mapped anew, moved, made read-only, executed, swapped out"

rm -rf a b c
ret=1
crk pre-dump a && order s && crk pre-dump b --prev-images-dir ../a && order s && crk dump c --prev-images-dir ../b &&
	restored c && ret=0
result $ret "moved away and back"

if [ -w /sys/kernel/mm/ksm/run ] && [ "$tracked" ]; then
	rm -rf a b
	ret=1
	echo 5000 >/sys/kernel/mm/ksm/pages_to_scan
	crk pre-dump a && order a 2 && echo 1 >/sys/kernel/mm/ksm/run
	for tries in $(seq 500); do
		: "$tries"
		[ "$(cat /sys/kernel/mm/ksm/pages_sharing)" -lt 40 ] || break
		sleep 0.05
	done
	[ "$(cat /sys/kernel/mm/ksm/pages_sharing)" -ge 40 ] && crk dump b --prev-images-dir ../a && restored b && ret=0
	echo 2 >/sys/kernel/mm/ksm/run
	result $ret "pages that the kernel has merged"
else
	skip "pages that the kernel has merged: no KSM, or nothing is tracked"
fi

# ---- processes ----

rm -rf a b c
ret=1
crk pre-dump a && order f 60 && crk pre-dump b --prev-images-dir ../a && order w 40 && crk dump c --prev-images-dir ../b &&
	saved 40 2500 && crkhelper show c >log 2>&1 && restored c &&
	kib=$(shared_kib "$pid") && ret=0
# nearly all of it, which is 16 MiB, and the C library's where it is shared
[ "${kib:-0}" -gt 14000 ] || { echo "# the two share ${kib:-0} KiB"; ret=1; }
result $ret "a child that came later; pages that the two share copy-on-write stay so"
changes_stop

# ---- whose bits are they? ----

changes_start
rm -rf a b c
ret=1
crk pre-dump a && order W 60 && crk dump b -R --track-mem --prev-images-dir ../a && order W 10 &&
	crk dump c -R --track-mem --prev-images-dir ../a && order z && ret=0
if [ "$tracked" ]; then
	said "all pages are saved: its writes were tracked anew after the parent checkpoint '$PWD/a', by another dump" &&
		[ "$(json pages_bytes_parent)" = 0 ] || ret=1
fi
restored c || ret=1
result $ret "on top of one that is not the last: all is saved, and that is said"

rm -rf a b c
ret=1
crk dump a -R && crk dump b -R --prev-images-dir ../a && ret=0
[ ! "$tracked" ] || said "all pages are saved: '$PWD/a' was made without --track-mem" || ret=1
result $ret "on top of one that tracked nothing"

rm -rf a b c
ret=1
mkdir -p small && mount -t tmpfs -o size=3m none small
crk pre-dump a && order W 900 && expect 1 'No space left' crkhelper dump -g $group -D small/b -R --track-mem \
	--prev-images-dir "$PWD/a" --snapshot=always && [ ! -e small/b ] && order W 5 && crk dump c --prev-images-dir ../a && restored c && ret=0
umount small
result $ret "after a dump that failed"

rm -rf a b c
ret=1
crk pre-dump a && order W 40
for i in 1 2 3 4 5 6; do
	rm -rf b
	crkhelper dump -g $group -D b -R --track-mem --prev-images-dir ../a >/dev/null 2>&1 &
	sleep 0.$((i * 7 % 10))
	kill -9 $! 2>/dev/null
	wait $! 2>/dev/null
	order W 40 || break
done
rm -rf b
crk dump c --prev-images-dir ../a && restored c && ret=0
result $ret "after dumps that were killed"

# ---- parents that are not as they were ----

rm -rf a b c kept
crk pre-dump a && order W 40 && increment b ../a && order W 40 && crk dump c --prev-images-dir ../b
changes_stop
if [ "$tracked" ]; then
	ret=1
	refused "'a' is a pre-dump, which has pages only: restore a dump that was made with --prev-images-dir on top of it" a && ret=0
	result $ret "a pre-dump alone is no checkpoint"

	ret=1
	mv a kept
	refused "the parent of checkpoint '$PWD/b' is missing: its link 'parent' .made to '../a'. leads nowhere" c &&
		crkhelper show c >log 2>&1 && said "parent +../b, which can't be used" && rm -f b/parent &&
		refused "the parent of checkpoint '$PWD/b' is missing" c && ret=0
	ln -s ../kept b/parent
	crkhelper restore -D c -g $group --check >log 2>&1 || ret=1
	ln -sfn ../a b/parent
	mv kept a
	result $ret "a parent that is missing; the link may lead elsewhere"

	ret=1
	cp -a a kept
	at=$(($(stat -c %s a/pages-1.img) / 2))
	printf 'crk' | dd of=a/pages-1.img bs=1 seek=$at conv=notrunc status=none
	refused "image $PWD/a/pages-1.img is damaged .checksum differs." c && truncate -s -4096 a/pages-1.img &&
		refused "image $PWD/a/pages-1.img is damaged .it has" c && rm a/pages-1.img &&
		refused "image $PWD/a/pages-1.img is missing" c && rm a/inventory.img &&
		refused "'$PWD/a' is not a complete checkpoint" c && rm -r a && ret=0
	result $ret "a parent that is damaged"

	ret=1
	cp -a kept a
	ln -sfn ../b b/parent
	refused "'$PWD/b' is not the parent of checkpoint '$PWD/b'" c && ln -sfn ../a b/parent && ln -sfn ../a c/parent &&
		refused "'$PWD/a' is not the parent of checkpoint 'c': another dump was made there since" c && ln -sfn ../b c/parent && ret=0
	restored c || ret=1
	result $ret "a parent that is another"
else
	for i in 1 2 3 4; do
		skip "nothing is tracked here"
	done
	restored c || not_ok "restored"
fi

ret=1
expect 1 "no parent checkpoint '../none' there" crkhelper pre-dump -g $group -D e --prev-images-dir ../none && [ ! -e e ] &&
	mkdir f && expect 1 "'$PWD/f' is not a complete checkpoint" crkhelper dump -g $group -D e --prev-images-dir ../f && [ ! -e e ] &&
	mkdir g && ln -s ../f g/parent && expect 1 "it holds the remains of a dump that was killed" crkhelper pre-dump -g $group -D g &&
	order z && ret=0
result $ret "what --prev-images-dir can't be"
changes_stop
exit "$failed"
