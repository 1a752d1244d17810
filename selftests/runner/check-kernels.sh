#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests, on the host, that what was dumped on one kernel goes on on another: programs that live in the vDSO, of 64 and 32
# bit and x32, on all pairs of kernels.  Each kernel is booted twice: to dump all, and to restore the images of all.  Every
# second of these uses a 32-bit crkhelper, so that images of one are restored by the other.
# Then: images of 32-bit and x32 programs on kernels that are booted without those are refused before anything is made.
# Requirements 3.3, 3.4, 4.1, 4.9, 4.13, 4.14.  Prints TAP.
#
# usage: check-kernels.sh [KERNEL]...

# shellcheck source=scripts/vm/lib.sh
. "${BASH_SOURCE[0]%/*}/../../scripts/vm/lib.sh"
# shellcheck source=selftests/runner/between.sh
. "${BASH_SOURCE[0]%/*}/between.sh"

payload=$CRK_TOP/selftests/payload
kernels=("$@")
if [ ${#kernels[@]} = 0 ]; then
	mapfile -t kernels < <(kernel_names x86_64)
fi
times=${CRK_TIMES:-2}	# dumps of each program: its threads are somewhere else in each

echo "TAP version 13"
flags="-O2 -g -Wall -Wextra -D_GNU_SOURCE"
programs=()
# shellcheck disable=SC2086	# words
build()
{
	local name=$1

	shift
	mkdir -p "$tmp/bin"
	if "$@" $flags -o "$tmp/bin/$name" >"$tmp/log" 2>&1; then
		programs+=("$name")
	else
		sed 's/^/# /' "$tmp/log"
		echo "# $name: does not build here"
	fi
}
all=(dynamic x86_64 i686 x32)
build dynamic gcc -pthread "$payload/clocks.c"
build x86_64 gcc -pthread -static "$payload/clocks.c"
build i686 i686-linux-gnu-gcc -pthread -static "$payload/clocks.c"
build x32 gcc -mx32 -ffreestanding -fno-stack-protector -fno-pie -fcf-protection=none -nostdlib -static "$payload/x32/clocks.c"
build compat gcc "$payload/x86/compat.c"

# What runs in the guests, with the programs' names: one directory per kernel and program, at the same path in all
cat >"$tmp/dump.sh" <<'END'
kernel=$1 times=$2
shift 2
pid=20000
for p; do
	dir=/kernels/run/$kernel/$p
	mkdir -p "$dir"
	cd "$dir" || exit 1
	pid=$((pid + 1000))		# no process of the other guest has these
	echo $pid >/proc/sys/kernel/ns_last_pid
	crkhelper run -g "$p" -- "/kernels/bin/$p" . >out 2>&1 </dev/null &
	n=0
	until [ -e ready ] || [ $((n += 1)) -gt 600 ]; do
		sleep 0.1
	done
	for i in $(seq "$times"); do
		crkhelper dump -g "$p" -R -D "$dir/$i" || echo "$p: dump $i failed: $?"
	done
	cd /
	echo 1 >"/sys/fs/cgroup/$p/cgroup.kill"
	wait
	cat "$dir/out"
done
END
cat >"$tmp/restore.sh" <<'END'
kernel=$1 times=$2
shift 2
# restore_all WHAT OPTION...: the program whose directory this is
restore_all()
{
	what=$1 good=0
	shift
	for i in $(seq "$times"); do
		: >out
		timeout -s KILL 100 crkhelper restore -D "$PWD/$i" "$@" 2>err >&2
		status=$?
		if [ $status = 0 ] && [ "$(cat out)" = ok ]; then
			good=$((good + 1))
		else
			echo "# $what, $i: status $status: $(cat out err)"
			dmesg | grep -e segfault -e traps: | tail -n 3 | sed 's/^/# /'
		fi
	done
	result="not ok"
	[ $good != "$times" ] || result=ok
	echo "$result $what"
}
for from in /kernels/run/*; do
	for p; do
		[ "$p" != compat ] || continue
		cd "$from/$p" || exit 1
		touch go
		restore_all "$p, ${from##*/} to $kernel"
		[ "${from##*/}" != "$kernel" ] || restore_all "$p, $kernel as if it were another" --fault vdso
	done
done
END

# in a guest that lacks ABIs: images are refused in one sentence, and nothing was made of them
cat >"$tmp/refuse.sh" <<'END'
kernel=$1
# refused PROGRAM KIND REASON: dumped where all was there
refused()
{
	cd "/kernels/run/$kernel/$1" || exit 1
	crkhelper restore -D "$PWD/1" 2>err >&2
	status=$?
	sed 's/^/# /' err
	result="not ok"
	if [ $status = 1 ] && [ "$(wc -l <err)" = 1 ] && grep -q "pid [0-9]* ($1): needs $2: $3\$" err &&
	   [ ! -e "/sys/fs/cgroup/$1" ] && ! pgrep -x "$1"; then
		result=ok
	fi
	echo "$result $1 on $kernel without $2"
}
refused x32 "x32 tasks" "the kernel was booted without syscall.x32=y"
if grep -q ia32_emulation=0 /proc/cmdline; then
	why="the kernel was booted with ia32_emulation=0"
	refused i686 "32-bit tasks" "$why"
	refused compat "32-bit tasks" "$why"
	crkhelper check >checked
	sed 's/^/# /' checked
	result="not ok"
	! grep -q "missing  *32-bit tasks  *$why" checked || result=ok
	echo "$result check on $kernel without 32-bit tasks"
fi
END

helpers=(i686 x86_64)
for i in "${!kernels[@]}"; do
	guest "${kernels[$i]}" "${helpers[i % 2]}" dump "${kernels[$i]}" "$times" "${programs[@]}" -- --append syscall.x32=y |
		sed 's/^/# /'
done
for i in "${!kernels[@]}"; do
	kernel=${kernels[$i]}
	report "$kernel" "${helpers[(i + 1) % 2]}" restore "$kernel" "$times" "${programs[@]}" -- --append syscall.x32=y
	for p in "${all[@]}"; do
		for from in "${kernels[@]}"; do
			expect "$p, $from to $kernel"
		done
		expect "$p, $kernel as if it were another"
	done
done
# since Linux 6.7 a kernel can be told to run no 32-bit programs
for kernel in "${kernels[@]}"; do
	[ "$kernel" != 6.1 ] || continue
	report "$kernel" x86_64 refuse "$kernel" -- --append ia32_emulation=0
	expect "x32 on $kernel without x32 tasks"
	expect "i686 on $kernel without 32-bit tasks"
	expect "compat on $kernel without 32-bit tasks"
	expect "check on $kernel without 32-bit tasks"
done
echo "1..$n"
exit $bad
