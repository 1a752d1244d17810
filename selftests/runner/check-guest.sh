#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests scripts/guest, on the host: its output, its exit status, its arguments, that crk is in it.  Prints TAP.

top=$(cd "${0%/*}/../.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
n=0 bad=0

guest()
{
	"$top/scripts/guest" --no-crk --rootfs minimal "$@" >"$tmp/out" 2>"$tmp/err"
	status=$?
}

check()
{
	n=$((n + 1))
	if "${@:2}"; then
		echo "ok $n $1"
	else
		bad=$((bad + 1))
		echo "# status $status, output:"
		sed 's/^/# /' "$tmp/out" "$tmp/err"
		echo "not ok $n $1"
	fi
}

status_is() { [ "$status" = "$1" ]; }
says() { grep -q -e "$2" "$tmp/$1"; }

echo "TAP version 13"
# shellcheck disable=SC2016	# for the guest's shell
guest -- sh -c 'printf "out\377\n"; echo err >&2; exit 3'
check "the command's status" status_is 3
check "the command's output and nothing else" cmp -s "$tmp/out" <(printf 'out\377\n')
check "the command's errors and nothing else" cmp -s "$tmp/err" <(echo err)

args=('a b' '' $'new\nline' '*' '"q"' \\ $'\377')
guest -- printf '%s|' "${args[@]}"
check "arguments arrive as they are" cmp -s "$tmp/out" <(printf '%s|' "${args[@]}")

guest -- no-such-command
check "no such command is 127" status_is 127

guest --timeout 5 -- sleep 1000
check "a time-out is 124" status_is 124

guest -- sh -c 'echo c >/proc/sysrq-trigger'
check "a panic is 125" status_is 125
check "a panic's log is shown" says err 'Kernel panic'

# an emulated CPU that goes wrong: what such a kernel says, told by a stand-in for QEMU at its first start, and by a command
cat >"$tmp/says" <<-'END'
	[    2.716060] Oops: int3: 0000 [#1] SMP NOPTI
	[    2.717523] Code: 0f 1f 84 00 00 00 00 00 90 90 f3 0f 1e fa 48 83 ec 18 66 <90> e8 a1 80 ec ff 48 03 05 3a
END
mkdir "$tmp/bin"
cat >"$tmp/bin/qemu-system-x86_64" <<-'END'
	#!/bin/bash
	here=${0%/*}
	PATH=${PATH#"$here:"}
	[ ! -e "$here/told" ] || exec qemu-system-x86_64 "$@"
	touch "$here/told"
	[ -e "$here/../says" ] || exec sleep 100
	console=$(printf '%s\n' "$@" | sed -n 's/^file,id=console,path=//p')
	cat "$here/../says" >"$console"
END
chmod +x "$tmp/bin/qemu-system-x86_64"
CRK_QEMU=$tmp/bin/qemu-system-x86_64 guest -- echo started
check "a boot that fails by a fault of QEMU's is tried again" says out '^started$'
check "and that is said" says err "by a fault of QEMU's, before the command began"
sed 's/66 <90>/cc <90>/' "$tmp/says" >"$tmp/own"
mv "$tmp/own" "$tmp/says"
rm "$tmp/bin/told"
CRK_QEMU=$tmp/bin/qemu-system-x86_64 guest -- echo started
check "one that fails by a breakpoint of its own is not" status_is 125
rm "$tmp/bin/told" "$tmp/says"
CRK_BOOT_LIMIT=2 CRK_QEMU=$tmp/bin/qemu-system-x86_64 guest -- echo started
check "a boot that gets nowhere is tried again" says out '^started$'
check "and that is said, too" says err "not up after 2 s: starting again"
# a cache for which no QEMU could be had
mkdir -p "$tmp/cache/tools"
cache=${CRK_CACHE:-$HOME/.cache/crk}
find "$cache" -mindepth 1 -maxdepth 1 ! -name tools -exec ln -s -t "$tmp/cache" {} +
find "$cache/tools" -mindepth 1 -maxdepth 1 ! -name 'qemu*' -exec ln -s -t "$tmp/cache/tools" {} +
touch "$tmp/cache/tools/qemu.failed"
rm "$tmp/bin/told"
CRK_BOOT_LIMIT=2 CRK_CACHE=$tmp/cache PATH=$tmp/bin:$PATH guest -- echo started
check "without QEMU in the cache the host's runs" [ -e "$tmp/bin/told" ]
check "and the guest's command with it" says out '^started$'
CRK_BOOT_LIMIT=10 guest --timeout 100 -- sh -c 'sleep 12; echo ended'
check "a command may take longer than a boot" says out '^ended$'
# shellcheck disable=SC2016	# for the guest's shell
guest -- sh -c 'echo "Oops: int3: 0000 [#1] SMP NOPTI" >/dev/kmsg; echo "Code: 18 66 <90> e8" >/dev/kmsg'
check "a command whose guest fails by such a fault: 125" status_is 125
check "and it is said whose fault" says err "no longer there: a fault of QEMU's"

# shellcheck disable=SC2016	# for the guest's shell
guest -- sh -c 'echo "traps: PANIC: double fault" >/dev/kmsg; echo "RIP: 0010:f+0xcc/0x310" >/dev/kmsg
	echo "RSP: 0018:ffffc90000d27a30 EFLAGS: 00325ae2" >/dev/kmsg'
check "flags that no CPU has are QEMU's fault, too" says err "had flags that no CPU has: a fault of QEMU's"
guest -- sh -c 'echo "BUG: unable to handle page fault" >/dev/kmsg; echo "RIP: 0010:f+0xcc/0x310" >/dev/kmsg
	echo "RSP: 0018:ffffc90000d27a30 EFLAGS: 00010246" >/dev/kmsg'
check "those of a page fault are not" [ "$(grep -c "fault of QEMU" "$tmp/err")" = 0 ]

guest -- sh -c 'echo "exit 0" >/dev/ttyS0; echo end >/dev/console; kill -9 $$'
check "the console can't fake a status" status_is 137

mkdir "$tmp/share"
echo from host >"$tmp/share/a"
guest --share "$tmp/share:/mnt/s" -- sh -c 'cat /mnt/s/a; echo from guest >/mnt/s/b'
check "a share can be read" says out '^from host$'
check "a share can be written" cmp -s "$tmp/share/b" <(echo from guest)

mkdir -p "$tmp/tree/bin"
cp "$(command -v busybox)" "$tmp/tree/bin/"
guest --rootfs "$tmp/tree" -- busybox sh -c 'busybox touch /x && busybox ls /'
check "a directory as root file system" says out '^x$'
check "a directory stays as it is" [ ! -e "$tmp/tree/x" ]

mke2fs -q -t ext4 -d "$tmp/tree" "$tmp/image" 16M >"$tmp/out"
sum=$(sha1sum <"$tmp/image")
guest --rootfs "$tmp/image" -- busybox sh -c 'busybox touch /x && busybox ls / && busybox grep " / ext4 " /proc/mounts'
check "an image as root file system" says out '^x$'
check "it is ext4" says out ext4
check "an image stays as it is" [ "$(sha1sum <"$tmp/image")" = "$sum" ]
guest --rootfs "$tmp/none" -- true
check "an image that does not exist is 125" status_is 125

# shellcheck disable=SC2016	# for the guest's awk
guest --mem 700 --smp 3 -- sh -c 'nproc; awk "/MemTotal/ { print (\$2 > 500000 && \$2 < 720000) ? \"as told\" : \$2 }" /proc/meminfo'
check "--smp" says out '^3$'
check "--mem" says out '^as told$'

for said in 'WARNING: CPU: 0 PID: 1 at mm/none.c:1' 'BUG: unable to handle page fault' 'possible circular locking dependency detected' \
	'watchdog: BUG: soft lockup - CPU#0 stuck for 22s!'; do
	# shellcheck disable=SC2016	# for the guest's shell
	guest -- sh -c 'echo said; echo "<4>$1" >/dev/kmsg' sh "$said"
	check "a kernel that says $said is 125" status_is 125
	check "... and its log is shown" says err "$said"
done
guest -- sh -c 'echo "<4>traps: program general protection fault ip:0" >/dev/kmsg; exit 5'
check "what it says of programs is no complaint" status_is 5

"$top/scripts/guest" --rootfs minimal -- crkhelper check >"$tmp/out" 2>"$tmp/err"
status=$?
check "crk is in the smallest guest" status_is 0

"$top/scripts/guest" --rootfs minimal --no-insmod -- crkhelper dump -g x -D /tmp/i >"$tmp/out" 2>"$tmp/err"
status=$?
check "no crk.ko for modprobe is a refusal" status_is 1
check "no crk.ko for modprobe is said" says err "cannot load the kernel module crk: "

"$top/scripts/guest" --no-insmod -- crkhelper check >"$tmp/out" 2>"$tmp/err"
status=$?
check "modprobe finds crk.ko, and the helper modprobe" status_is 0

"$top/scripts/guest" --no-crk --rootfs minimal -- sh -c 'echo up; sleep 1000' >"$tmp/out" 2>"$tmp/err" &
pid=$!
until says out up || ! kill -0 $pid 2>/dev/null; do
	sleep 0.1
done
qemu=$(pgrep -P $pid qemu)
kill -TERM $pid
wait $pid
status=$?
check "SIGTERM ends it" status_is 143
# a process of its size takes a while to go
for _ in $(seq 50); do
	[ -e "/proc/${qemu:-self}" ] || break
	sleep 0.1
done
check "SIGTERM ends QEMU" [ ! -e "/proc/${qemu:-self}" ]
echo "1..$n"
[ $bad = 0 ]
