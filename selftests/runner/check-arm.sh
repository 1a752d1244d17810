#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests, on the host, that what was dumped on one ARM kernel goes on on another, and after a reboot of the same: programs
# that live in the vDSO, and such as return from a signal handler through the kernel's trampoline, which is elsewhere after
# each boot.  Each kernel is booted twice: to dump all, and to restore the images of all.  Programs of the old ABI are
# dumped where the kernel runs them; kernels that do not refuse their images before anything is made.
# Then a CPU without NEON: it is refused what was dumped where there is one, and what was dumped on it goes to a newer one.
# Requirements 2.11, 2.12, 2.13.  Prints TAP.
#
# usage: check-arm.sh [KERNEL]...
# By default the oldest and the newest of kernels.list for arm, and oabi if it has been built.

# shellcheck source=scripts/vm/lib.sh
. "${BASH_SOURCE[0]%/*}/../../scripts/vm/lib.sh"
# shellcheck source=scripts/vm/custom.sh
. "${BASH_SOURCE[0]%/*}/../../scripts/vm/custom.sh"

payload=$CRK_TOP/selftests/payload
kernels=("$@")
if [ ${#kernels[@]} = 0 ]; then
	mapfile -t kernels < <(kernel_names arm | sed -n '1p;$p' | uniq)
	! is_built oabi arm || kernels+=(oabi)
fi
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

echo "TAP version 13"
bare=(-O2 -Wall -Wextra -ffreestanding -fno-stack-protector -nostdlib -static -no-pie -fno-pic)
mkdir "$tmp/bin"
arm-linux-gnueabihf-gcc -O2 -D_GNU_SOURCE -pthread -static -o "$tmp/bin/clocks" "$payload/clocks.c" &&
	arm-linux-gnueabi-gcc -O2 -D_GNU_SOURCE -pthread -static -o "$tmp/bin/clocks-armel" "$payload/clocks.c" &&
	arm-linux-gnueabihf-gcc "${bare[@]}" -mthumb -o "$tmp/bin/frame" "$payload/arm/frame.c" &&
	arm-linux-gnueabi-gcc "${bare[@]}" -DOABI -marm -march=armv5t -Wa,-meabi=gnu -o "$tmp/bin/frame-oabi" "$payload/arm/frame.c" ||
	exit 1
programs=(clocks clocks-armel frame)

# What runs in the guests: one directory per kernel and program, at the same path in all
cat >"$tmp/dump.sh" <<'END'
run=$1
shift
pid=20000
for p; do
	mkdir -p "/kernels/run/$run/$p"
	cd "/kernels/run/$run/$p" || exit 1
	pid=$((pid + 1000))		# no process of the other guest has these
	echo $pid >/proc/sys/kernel/ns_last_pid
	crkhelper run -g "$p" -- "/kernels/bin/$p" . >out 2>&1 </dev/null &
	n=0
	until [ -e ready ] || [ $((n += 1)) -gt 600 ]; do
		sleep 0.1
	done
	crkhelper dump -g "$p" -D "$PWD/img" || echo "$p: the dump failed: $?"
	wait
	cat out
done
END
cat >"$tmp/restore.sh" <<'END'
to=$1
shift
grep -qw neon /proc/cpuinfo && neon=1 || neon=
# was it refused in one sentence that ends so, and has nothing been made of it?
refused()
{
	[ $status = 1 ] && [ "$(grep -cv '^  hint: ' err)" = 1 ] && grep -q "$1\$" err && [ ! -e "/sys/fs/cgroup/${PWD##*/}" ] && [ ! -s out ]
}
for from in /kernels/run/*; do
	for dir in "$from"/*; do
		cd "$dir" || exit 1
		: >out
		touch go
		timeout -s KILL 100 crkhelper restore -D "$dir/img" 2>err >&2
		status=$?
		result="not ok"
		case ${dir##*/},$to,$neon,${from##*/} in
		frame-oabi,oabi*,1,*)	what="goes on"; [ $status != 0 ] || [ "$(cat out)" != ok ] || result=ok ;;
		frame-oabi,*,1,*)	what="is refused"; ! refused "this kernel has no OABI" || result=ok ;;
		*,,no-neon)		what="goes on"; [ $status != 0 ] || [ "$(cat out)" != ok ] || result=ok ;;
		*,,*)			what="is refused"; ! refused "this CPU lacks what the programs may use: neon.*" || result=ok ;;
		*)			what="goes on"; [ $status != 0 ] || [ "$(cat out)" != ok ] || result=ok ;;
		esac
		[ "$result" = ok ] || echo "# status $status: $(cat out err)"
		echo "$result ${dir##*/} $what, ${from##*/} to $to"
	done
done
END

# guest KERNEL HELPER SCRIPT NAME [PROGRAM]... [-- OPTION]...: its output, and what else it had to say as comments
guest()
{
	local ret kernel=$1 helper=$2 script=$3 args=()

	shift 3
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	# a kernel of our own has no driver of this machine's clock
	# shellcheck disable=SC2016	# for the guest's shell
	"$CRK_TOP/scripts/guest" -a arm -k "$kernel" --rootfs minimal --helper "$helper" "$@" --timeout 900 \
		--share "$tmp:/kernels" -- sh -c 'date -s "@$1" >/dev/null && shift && exec sh "$@"' sh "$(date +%s)" \
		"/kernels/$script.sh" "${args[@]}" 2>"$tmp/err"
	ret=$?
	[ $ret = 0 ] || sed "s/^/# $kernel: /" "$tmp/err"
	return $ret
}

# those that are dumped on a kernel
programs_of()
{
	echo "${programs[@]}"
	! is_custom "$1" arm || echo frame-oabi
}

bad=0 n=0
# expect WHAT: is it among the results?
expect()
{
	n=$((n + 1))
	if grep -q "^ok $1\$" "$tmp/out"; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		bad=1
	fi
}

# since QEMU 8.1 half of the VFP's registers go with it
use_arch arm
need_qemu
no_neon=neon=off
"${QEMU[@]}" --version | grep -qE 'version ([0-7]\.|8\.0)' || no_neon+=,vfp-d32=off

helpers=(arm armel)
for i in "${!kernels[@]}"; do
	kernel=${kernels[i]}
	# shellcheck disable=SC2046	# words
	guest "$kernel" "${helpers[i % 2]}" dump "$kernel" $(programs_of "$kernel") -- | sed 's/^/# /'
done
# the first kernel again, without: what is there is refused, what is dumped here goes on in all that follow
guest "${kernels[0]}" arm restore "${kernels[0]}" -- --cpu "$no_neon" >"$tmp/out"
grep '^#' "$tmp/out"
expect "clocks is refused, ${kernels[0]} to ${kernels[0]}"
guest "${kernels[0]}" arm dump no-neon frame -- --cpu "$no_neon" | sed 's/^/# /'
for i in "${!kernels[@]}"; do
	to=${kernels[i]}
	guest "$to" "${helpers[(i + 1) % 2]}" restore "$to" -- >"$tmp/out"
	grep '^#' "$tmp/out"
	for from in "${kernels[@]}"; do
		for p in $(programs_of "$from"); do
			what="goes on"
			[ "$p" != frame-oabi ] || is_custom "$to" arm || what="is refused"
			expect "$p $what, $from to $to"
		done
	done
	expect "frame goes on, no-neon to $to"
done
echo "1..$n"
exit $bad
