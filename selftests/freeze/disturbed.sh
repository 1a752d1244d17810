#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600 abi=x86_64,arm
#
# Somebody moves, wakes, kills or adds a process while a dump holds its cgroup: the dump fails and names it, or begins
# again as often as --retry allows; the others go on.  Thaws do nothing, and are counted (requirement 2.19).

# shellcheck disable=SC2016,SC2317	# text of a script, which calls functions of this one

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

root=/sys/fs/cgroup

echo "TAP version 13"
echo "1..8"

put()
{
	echo "$1" >"$2/cgroup.procs"
}

# somebody's doings
move()		{ put "$by" "$root"/elsewhere; }
wake()		{ put "$by" "$root"/elsewhere && sleep 0.1 && put "$by" "$root"/above/held; }
end()		{ kill -KILL "$by"; }
add()		{ put "$new" "$root"/above/held; }
thaw()		{ echo 0 >"$root"/above/held/cgroup.freeze; echo 0 >"$root"/above/held/cgroup.freeze; }
thaw_above()	{ echo 1 >"$root"/above/cgroup.freeze && echo 0 >"$root"/above/cgroup.freeze; }
export -f put move wake end add thaw thaw_above
export root

# disturbed_dump DOING TIMES ARGS...: its status; what is done happens in each of the first TIMES attempts
disturbed_dump()
{
	local doing=$1 times=$2 status

	shift 2
	rm -rf img
	export by new
	printf '#!/bin/bash\n[ "$1" -gt %d ] || %s\n' "$times" "$doing" >disturb
	chmod 755 disturb
	"$here/payload/atverify" ./disturb crkhelper dump -g above/held -D img -R "$@" >log 2>&1 </dev/null
	status=$?
	# left as it was: not frozen, no images of what failed
	grep -q '^frozen 0' "$root"/above/held/cgroup.events || { echo "# it is still frozen"; return 98; }
	[ $status = 0 ] || [ ! -e img ] || { echo "# img was left behind"; return 97; }
	return $status
}

# fails DOING TEXT WHAT
fails()
{
	disturbed_dump "$1" 1
	local status=$? bad=0
	[ $status = 1 ] || { echo "# exit status $status"; bad=1; }
	grep -q "^crkhelper: dump: $2\$" log || bad=1
	job_runs above/held || bad=1
	result $bad "$3"
}

cp "$(type -P sleep)" bystander
cp "$(type -P sleep)" newcomer
mkdir -p count.above "$root"/above "$root"/elsewhere
job_start above/held
./bystander 100000 &
by=$!
disown
put "$by" "$root"/above/held
./newcomer 100000 &
new=$!

fails move "task $by (bystander) was moved to another cgroup" "one that was moved out is named"
put "$by" "$root"/above/held
fails wake "task $by (bystander) has run" "one that was moved out and in again is named"
fails add "task $new (newcomer) came into the cgroup" "one that was moved in is named"
put "$new" "$root"/elsewhere

disturbed_dump wake 1 --retry 1
bad=$?
[ "$(grep -c 'trying again, 1 of 1$' log)" = 1 ] && grep -q "task $by (bystander) has run" log || bad=1
job_runs above/held || bad=1
result $bad "--retry 1: the second attempt of a dump is its last, and succeeds"

disturbed_dump wake 3 --retry 2
[ $? = 1 ] && [ "$(grep -c "task $by (bystander) has run" log)" = 3 ] && grep -q 'trying again, 2 of 2$' log &&
	job_runs above/held
result $? "--retry 2: it fails when the third attempt is disturbed"

disturbed_dump thaw 1
bad=$?
grep -q "2 attempts of others to thaw cgroup .*above/held" log || bad=1
result $bad "thaws do nothing, and are counted"

disturbed_dump thaw_above 1
bad=$?
grep -q "1 attempts of others to thaw cgroup .*above/held" log || bad=1
job_runs above/held || bad=1
result $bad "so are those of the cgroup above"

# on its way out, or out
fails end "task $by (bystander) \(was killed\|has exited\)" "one that was killed is named"

kill $new
rm -rf img
job_stop above/held
rmdir "$root"/above "$root"/elsewhere
exit "$failed"
