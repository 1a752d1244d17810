#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=host timeout=60 abi=x86_64
#
# The command line: what is wrong with it is said in one sentence, exit status 2; what CRIU's users know and crk does not do
# is refused with its reason.

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0 failed=0

# says TEXT 'FIRST LINE' ARGUMENT...
says()
{
	text=$1 line=$2
	shift 2
	crkhelper "$@" >"$work/out" 2>"$work/log"
	status=$?
	n=$((n + 1))
	if [ $status = 2 ] && [ "$(sed 1q "$work/log")" = "$line" ] && [ ! -s "$work/out" ]; then
		echo "ok $n $text"
	else
		failed=1
		echo "# exit status $status"
		sed 's/^/# /' "$work/log"
		echo "not ok $n $text"
	fi
}

echo "TAP version 13"
echo "1..15"
says "--ext-unix-sk" "crkhelper: --ext-unix-sk: unix sockets whose peer is outside are not supported" dump -g g -D d --ext-unix-sk
says "-x" "crkhelper: --ext-unix-sk: unix sockets whose peer is outside are not supported" restore -D d -x
says "--external" \
	"crkhelper: --external: not needed for pipes, which a restore gets by --inherit-fd; nothing else can stay outside" \
	dump -g g -D d --external 'tty[8801]'
says "a restore has no time limit" "crkhelper: unrecognized option '--timeout'" restore -D d --timeout 5
says "what CRIU has and crk does not" "crkhelper: unrecognized option '--tcp-established'" dump -g g -D d --tcp-established
says "a large size" "crkhelper: dump: needs -D DIR" dump -g g --ghost-limit 5g
says "a size beyond all" "crkhelper: --ghost-limit 99999999t: not a number from 0 to 9223372036854775807" \
	dump -g g -D d --ghost-limit 99999999t
says "a size with a unit that is none" "crkhelper: --ghost-limit 5x: not a number from 0 to 9223372036854775807" \
	dump -g g -D d --ghost-limit 5x
says "what excludes each other" "crkhelper: dump: --leave-running, --leave-stopped and --leave-frozen exclude each other" \
	dump -g g -D d -R --leave-frozen
says "a pre-dump of nobody" "crkhelper: pre-dump: needs either -g CGROUP or -t PID" pre-dump -D d
says "a pre-dump to nowhere" "crkhelper: pre-dump: needs -D DIR" pre-dump -g g
says "a pre-dump ends nobody" "crkhelper: unrecognized option '--leave-frozen'" pre-dump -g g -D d --leave-frozen
says "no directory" "crkhelper: dump: --prev-images-dir needs a directory" dump -g g -D d --prev-images-dir ''
says "a restore finds the parent by itself" "crkhelper: unrecognized option '--prev-images-dir'" restore -D d --prev-images-dir e
if crkhelper --version >"$work/out" 2>"$work/log" && grep -Eqx 'crkhelper [0-9][^ ]*, ABI [0-9]+ of /dev/crk' "$work/out"; then
	echo "ok 15 version"
else
	failed=1
	sed 's/^/# /' "$work/out" "$work/log"
	echo "not ok 15 version"
fi
exit $failed
