#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1500 abi=x86_64,arm
#
# Programs that nobody here wrote, each dumped in mid-work and restored; its output must be that of an undisturbed
# run.  A case is a job_NAME function; what it writes below $PWD/out is the result.  "In mid-work" is when its cgroup
# has used a third of the CPU time that the undisturbed run took.

# shellcheck disable=SC2317	# cases are called by name
set -u

top=$PWD/programs
export top

job_xz()
{
	xz -T2 -0 -c "$top/64M" >out/in.xz
}

job_python()
{
	python3 - >out/result <<-'END'
	import sqlite3, threading, hashlib
	db = sqlite3.connect(":memory:", check_same_thread=False)
	db.execute("create table t (thread int, n int, hash text)")
	lock = threading.Lock()
	def work(k):
	    for n in range(500):
	        h = hashlib.sha256(b"%d %d" % (k, n)).hexdigest()
	        for i in range(20):
	            h = hashlib.sha256(h.encode()).hexdigest()
	        with lock:
	            db.execute("insert into t values (?, ?, ?)", (k, n, h))
	threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
	for t in threads: t.start()
	for t in threads: t.join()
	for row in db.execute("select * from t order by thread, n"):
	    print(*row)
	END
}

job_sort()
{
	seq 1 400000 | sed 's/\(.*\)\(.\)/\2\1/' >in
	mkdir -p tmp
	sort -S 1M --parallel=2 -T tmp in >out/sorted
}

job_pipeline()
{
	seq 1 400000 | sed 's/7/seven/g' | awk '{ n += length($0); print $0, n }' | tr 0-4 a-e | md5sum >out/sum
}

job_gawk()
{
	gawk 'BEGIN { for (i = 0; i < 1000000; i++) { x = (x * 1103515245 + 12345) % 2147483648; n[x % 1000]++ }
		for (i = 0; i < 1000; i++) print i, n[i] }' >out/counts
}

job_perl()
{
	perl -e 'my %h; my $x = 1; for (1 .. 1500000) { $x = ($x * 16807) % 2147483647; $h{$x % 5003} += $x; }
		print "$_ $h{$_}\n" for sort { $a <=> $b } keys %h;' >out/sums
}

job_gcc()
{
	awk 'BEGIN { for (i = 0; i < 700; i++) {
		printf "int f%d(int a, int b) { int s = 0; for (int i = 0; i < a; i++) ", i
		printf "s += (b ^ i) * %d + (a >> (i & 7)); return s; }\n", i } }' >in.c
	gcc -O2 -S -o out/out.s in.c
}

# the terminal shows when script comes to the end of its input, which may be before or after the first line
job_script()
{
	script -qec 'for i in 1 2 3 4 5 6; do seq 1 20000 | md5sum; tty >/dev/null && echo tty; done' typescript \
		</dev/null | sed 's/^\^@//' >out/screen
}

job_tmux()
{
	tmux -S sock -f /dev/null new-session -d -s work 'for i in 1 2 3 4 5 6; do seq 1 20000 | md5sum
		done >out/new; mv out/new out/sums; tmux -S sock wait-for -S finished; sleep 1000'
	tmux -S sock wait-for finished
	tmux -S sock kill-server
}

cases=$(declare -F | sed -n 's/declare -f job_//p')

run_job()
{
	mkdir -p "$1/out" && cd "$1" && "job_$2"
}
export -f run_job
for c in $cases; do export -f "job_$c"; done

cpu_usec()
{
	sed -n 's/usage_usec //p' "/sys/fs/cgroup/$1/cpu.stat" 2>/dev/null || echo 0
}

fail()
{
	failed=1
	echo "# $*"
	[ ! -f "$dir/log" ] || sed 's/^/# /' "$dir/log"
	echo "not ok $nr $c"
	crkhelper_gone
}

# nothing of a failed case may disturb the next
crkhelper_gone()
{
	[ ! -e "/sys/fs/cgroup/$group/cgroup.kill" ] || echo 1 >"/sys/fs/cgroup/$group/cgroup.kill"
	wait
	rmdir "/sys/fs/cgroup/$group" 2>/dev/null
}

images_readable()
{
	[ ! "${CRK_NO_CRIT-}" ] && command -v crit >/dev/null || return 0
	for what in ps mems fds; do
		# crit looks for the memory of zombies too
		if ! crit x "$1" $what >"$dir/crit" 2>&1 && ! grep -q 'FileNotFoundError.*/\(mm\|ids\|fs\)-' "$dir/crit"; then
			sed 's/^/# crit: /' "$dir/crit"
			return 1
		fi
	done
	for img in "$1"/*.img; do
		case $img in */crk-*|*/pages-*) continue ;; esac
		crit decode -i "$img" >"$dir/crit" 2>&1 || { sed "s|^|# ${img##*/}: |" "$dir/crit"; return 1; }
	done
}

one_case()
{
	local total used start=$SECONDS
	dir=$top/$c group=programs-$c
	mkdir -p "$dir"
	# undisturbed
	(cd / && crkhelper run -g "$group" -- bash -c "run_job $dir/a $c; grep usage_usec /sys/fs/cgroup/$group/cpu.stat") \
		>"$dir/usage" 2>"$dir/log" </dev/null || { fail "the undisturbed run failed"; return; }
	total=$(sed -n 's/usage_usec //p' "$dir/usage")
	# dumped on the way
	(cd / && exec crkhelper run -g "$group" -- bash -c "run_job $dir/b $c") >"$dir/log" 2>&1 </dev/null &
	while used=$(cpu_usec "$group"); [ "${used:-0}" -lt $((total / 3)) ]; do
		kill -0 $! 2>/dev/null || { fail "ended too early"; return; }
		sleep 0.1
	done
	crkhelper dump -g "$group" -D "$dir/images" >>"$dir/log" 2>&1 || { fail "dump failed"; return; }
	wait
	images_readable "$dir/images" || { fail "crit can't read the images"; return; }
	crkhelper restore -D "$dir/images" >>"$dir/log" 2>&1 || { fail "restore failed or the job did ($?)"; return; }
	diff -r "$dir/a/out" "$dir/b/out" >"$dir/diff" 2>&1 || { head -5 "$dir/diff" | sed 's/^/# /'; fail "results differ"; return; }
	echo "# $c: $((total / 1000)) ms of CPU time undisturbed, $((SECONDS - start)) s for all"
	echo "ok $nr $c"
	rm -rf "$dir"
}

mkdir -p "$top"
seq 1 9000000 | head -c 64M >"$top/64M"
[ $# = 0 ] || cases=$*
echo "TAP version 13"
echo "1..$(echo "$cases" | wc -w)"
nr=0 failed=0
for c in $cases; do
	nr=$((nr + 1))
	one_case
done
exit $failed
