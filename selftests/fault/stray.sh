#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600 abi=x86_64,arm busy
#
# What can only be read or made by changing something for a moment: queues of terminals and sockets, names in file systems,
# SysV shared memory.  After kill -9 of crkhelper at any point, and after a restore that fails, nothing is lost and nothing stays.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/kills.sh
. "$here/payload/kills.sh"

points=40
top=$PWD
mkdir place

# what stays behind is seen in: the directory, the segments, who lives
traces()
{
	local name

	ls -A place
	awk '{ print $1, $2 }' /proc/sysvipc/shm
	echo /sys/fs/cgroup/*/ /sys/fs/cgroup/*/*/
	for name in holder crkhelper crk-; do pgrep -l "^$name"; done
}

start()
{
	rm -f count.stray verdict
	(cd place && exec setsid crkhelper run -g stray -- "$here/payload/holder" "$top/count.stray" "$top/verdict") >/dev/null 2>&1 </dev/null &
	until [ -s count.stray ]; do sleep 0.02; done
	read -r _ _ pid <count.stray
	pid=$((10#$pid))
}

# what the job says of itself; it ends
all_is_there()
{
	local tries
	kill -TERM "$pid"
	for tries in $(seq 200); do
		: "$tries"
		[ ! -s verdict ] || break
		sleep 0.02
	done
	[ "$(<verdict)" = same ] || { echo "# not as it was: $(<verdict)"; return 1; }
}

end()
{
	job_stop stray
	ipcrm -M 0x63726b31 2>/dev/null
	rm -f place/*
}

# kills_from PHASE COMMAND...: as kills_of; sets $from to the percentage of its time at which a phase begins
kills_from()
{
	local phase=$1
	shift
	kills_of "$@" -v || { sed 's/^/# /' log; return 1; }
	from=$(awk -v phase="$phase" -v all=$kill_end '
		match($0, / [0-9.]+ ms$/) && $0 !~ / in / {
			for (i = 1; i <= NF; i++)
				if ($i == phase) { print int(sum * 100 / all); exit }
			sum += $(NF - 1) * 1000
		}' log)
	[ "$from" ] || { echo "# no time of $phase"; return 1; }
}

echo "TAP version 13"
echo "1..4"

start
bad=0
# the first is slower, files that it reads are not in memory
crkhelper dump -g stray -D images -R >/dev/null 2>&1 </dev/null
rm -rf images
kills_from files crkhelper dump -g stray -D images -R || bad=1
rm -rf images
for i in $(seq $points); do
	kill_next "$from" 110 crkhelper dump -g stray -D images -R
	rm -rf images
	job_runs stray >/dev/null || { echo "# it does not run after kill $i"; bad=1; break; }
done
kills_enough || bad=1
all_is_there || bad=1
end
result $bad "kill -9 of dump takes nothing away"

start
crkhelper dump -g stray -D images >log 2>&1 </dev/null || { result 1 "a dump to restore"; exit 1; }
end
before=$(traces)
bad=0
crkhelper restore -D images -d >log 2>&1 </dev/null || bad=1
end
# the phases after this one have names and segments too
kills_from files crkhelper restore -D images -d || bad=1
end
for i in $(seq $points); do
	kill_next "$from" 110 crkhelper restore -D images -d
	for tries in $(seq 200); do
		: "$tries"
		[ "$(traces)" != "$before" ] || break
		# it may have been killed when all was done
		if job_runs stray 5 >/dev/null; then
			end
			break
		fi
		sleep 0.02
	done
	if [ "$(traces)" != "$before" ]; then
		echo "# after kill $i at $kill_at us of $kill_end:"
		diff <(echo "$before") <(traces) | sed 's/^/# /'
		bad=1
		break
	fi
done
kills_enough || bad=1
result $bad "kill -9 of restore leaves no name, no segment and nobody"

cp -a images broken
pages=$(find broken -name 'pages-*.img' -size +8k | head -n1)
printf 'damage' | dd of="$pages" bs=1 seek=5000 conv=notrunc status=none
bad=0
expect 1 "pages-.*damaged" crkhelper restore -D broken -d || bad=1
[ "$(traces)" = "$before" ] || { diff <(echo "$before") <(traces) | sed 's/^/# /'; bad=1; }
result $bad "nor does one that fails"

bad=0
crkhelper restore -D images -d >log 2>&1 </dev/null && job_runs stray && all_is_there || bad=1
end
result $bad "all of it is in the images"
exit "$failed"
