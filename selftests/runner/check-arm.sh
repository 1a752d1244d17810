#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Tests, on the host, that what was dumped on one ARM kernel goes on on another, and after a reboot of the same: programs
# that live in the vDSO, and such as return from a signal handler through the kernel's trampoline, which is elsewhere after
# each boot.  Each kernel is booted twice: to dump all, and to restore the images of all.  Programs of the old ABI are
# dumped where the kernel runs them; kernels that do not refuse their images before anything is made.
# Then a CPU without NEON: it is refused what was dumped where there is one, and what was dumped on it goes to a newer one.
# Requirements 1.11, 2.11, 2.12, 2.13.  Prints TAP.
#
# usage: check-arm.sh [KERNEL]...
# By default the oldest and the newest of kernels.list for arm, and oabi and custom if they have been built.  custom is the
# one of kconfig/arm-rare, whose programs have 2 GiB of addresses: it refuses all images of the others, with 3, by name.

# shellcheck source=scripts/vm/lib.sh
. "${BASH_SOURCE[0]%/*}/../../scripts/vm/lib.sh"
# shellcheck source=scripts/vm/custom.sh
. "${BASH_SOURCE[0]%/*}/../../scripts/vm/custom.sh"
# shellcheck source=selftests/runner/between.sh
. "${BASH_SOURCE[0]%/*}/between.sh"
guest_options=(-a arm --rootfs minimal)

payload=$CRK_TOP/selftests/payload
rare=$CRK_TOP/selftests/kconfig/arm-rare
kernels=("$@")
if [ ${#kernels[@]} = 0 ]; then
	mapfile -t kernels < <(kernel_names arm | sed -n '1p;$p' | uniq)
	! is_built oabi arm || kernels+=(oabi)
	! is_built custom arm "$rare" || kernels+=(custom)
fi

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
		frame-oabi,custom,*,*)	what="is refused"; ! refused "this kernel has no OABI" || result=ok ;;
		*,custom,*,custom)	what="goes on"; [ $status != 0 ] || [ "$(cat out)" != ok ] || result=ok ;;
		*,custom,*)		what="is refused"; ! refused "address space up to 0x[0-9a-f]*: here it ends at 0x[0-9a-f]*" || result=ok ;;
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

# those that are dumped on a kernel
programs_of()
{
	echo "${programs[@]}"
	[[ $1 != oabi* ]] || echo frame-oabi
}

# outcome PROGRAM FROM TO: what is to be expected
outcome()
{
	case $1,$2,$3 in
	*,custom,custom)	echo "goes on" ;;
	*,custom)		echo "is refused" ;;
	frame-oabi,*,oabi*)	echo "goes on" ;;
	frame-oabi,*)		echo "is refused" ;;
	*)			echo "goes on" ;;
	esac
}

# with_kernel KERNEL: sets $options of its guests
with_kernel()
{
	options=()
	[ "$1" != custom ] || options=(--kconfig "$rare")
}

# since QEMU 8.1 it takes half of the VFP's registers with it
use_arch arm
need_qemu
no_neon=neon=off
"${QEMU[@]}" --version | grep -qE 'version ([0-7]\.|8\.0)' || no_neon+=,vfp-d32=off

helpers=(arm armel)
for i in "${!kernels[@]}"; do
	kernel=${kernels[i]}
	with_kernel "$kernel"
	# shellcheck disable=SC2046	# words
	guest "$kernel" "${helpers[i % 2]}" dump "$kernel" $(programs_of "$kernel") -- "${options[@]}" | sed 's/^/# /'
done
# the first kernel again, without: what is there is refused, what is dumped here goes on in all that follow
report "${kernels[0]}" arm restore "${kernels[0]}" -- --cpu "$no_neon"
expect "clocks is refused, ${kernels[0]} to ${kernels[0]}"
guest "${kernels[0]}" arm dump no-neon frame -- --cpu "$no_neon" | sed 's/^/# /'
for i in "${!kernels[@]}"; do
	to=${kernels[i]}
	with_kernel "$to"
	report "$to" "${helpers[(i + 1) % 2]}" restore "$to" -- "${options[@]}"
	for from in "${kernels[@]}"; do
		for p in $(programs_of "$from"); do
			expect "$p $(outcome "$p" "$from" "$to"), $from to $to"
		done
	done
	expect "frame $(outcome frame no-neon "$to"), no-neon to $to"
done
echo "1..$n"
exit $bad
