#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 busy
#
# Many threads that come back while other programs want all CPUs: none of them gets another's registers, or the helper's.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

rounds=${CRK_ROUNDS:-4}
threads=150

echo "TAP version 13"
echo "1..1"

# the least advanced of its threads goes on
goes_on()
{
	local a b tries
	read -r a <count
	for tries in $(seq 500); do
		: "$tries"
		read -r b <count
		[[ "$b" == *BAD* ]] && return 1
		[ "$a" = "$b" ] || return 0
		sleep 0.02
	done
	return 1
}

setsid crkhelper run -g crowd -- "$here/payload/crowd" "$PWD/count" $threads >/dev/null 2>&1 </dev/null &
until [ -s count ]; do sleep 0.02; done
hogs=()
for i in $(seq $((2 * $(nproc)))); do
	: "$i"
	(while :; do :; done) &
	hogs+=($!)
done
bad=0
for i in $(seq "$rounds"); do
	if ! crkhelper dump -g crowd -D img >log 2>&1 </dev/null || ! crkhelper restore -D img -g crowd -d >log 2>&1 </dev/null ||
	   ! goes_on; then
		echo "# round $i: $(cat count)"
		bad=1
		break
	fi
	rm -rf img
done
kill "${hogs[@]}"
result $bad "$threads threads come back $rounds times to a busy machine"
[ ! -e /sys/fs/cgroup/crowd/cgroup.kill ] || echo 1 >/sys/fs/cgroup/crowd/cgroup.kill
wait
exit "$failed"
