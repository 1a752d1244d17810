#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1800 abi=x86_64 busy
#
# Many of everything, and how much memory crkhelper needs for that.  Few enough for every run, or as many as there are
# in the largest programs, with CRK_FULL=1 (check-all --full).

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

images=images
# KiB that crkhelper may use besides what it has records of
own=65536

size() { if [ "${CRK_FULL-}" ]; then echo "$2"; else echo "$1"; fi; }

round()
{
	local r
	[ -s rounds ] && read -r r <rounds && [[ $r != BAD* ]] && echo $((10#$r))
}

# goes_on: all of them are looked at twice more, and nothing is wrong
goes_on()
{
	local from tries
	from=$(round) || return 1
	for tries in $(seq 6000); do
		: "$tries"
		! grep -a BAD rounds || return 1
		[ "$(round)" -lt $((from + 2)) ] || return 0
		sleep 0.05
	done
	echo "# round $(round), it was $from"
	return 1
}

# records: KiB of images without pages
records() { find "$images" -name '*.img' ! -name 'pages-*' -printf '%s\n' | awk '{ n += $1 } END { printf "%d\n", n / 1024 }'; }

# modest WHAT: no more memory than it may use
modest()
{
	local used may
	used=$(cat peak)
	may=$((own + $(records)))
	[ "$used" -le "$may" ] || { echo "# $1 used $used KiB, of images without pages are $((may - own)) KiB"; return 1; }
}

# in_time CMD...: with its time and memory
in_time() { "$here/payload/many" "$PWD/peak" peak "$@" >log 2>&1 </dev/null || { sed 's/^/# /' log; return 1; }; }

# many KIND N: they come back, and what it took
many()
{
	local kind=$1 n=$2 bad=0
	rm -rf rounds "$images"
	setsid crkhelper run -g many -- "$here/payload/many" "$PWD/rounds" "$kind" "$n" >/dev/null 2>&1 </dev/null &
	until [ -s rounds ]; do sleep 0.05; done
	in_time crkhelper dump -g many -D "$images" --timeout 300 && modest dump &&
		in_time crkhelper restore -g many -D "$images" -d && modest restore && goes_on || bad=1
	result $bad "$n $kind"
	job_stop many
	rm -rf "$images"
}

echo "TAP version 13"
if [ "${CRK_FULL-}" ]; then echo "1..6"; else echo "1..5"; fi
for limit in vm/max_map_count kernel/threads-max kernel/pid_max; do
	[ "$(cat /proc/sys/$limit)" -ge 300000 ] || echo 300000 >/proc/sys/$limit
done
# more than a descriptor table holds as it comes, at two for each
many processes "$(size 600 2000)"
many threads "$(size 1000 10000)"
many maps "$(size 20000 100000)"
many files "$(size 4000 100000)"
many sparse 100
[ ! "${CRK_FULL-}" ] || many mem 4096
exit "$failed"
