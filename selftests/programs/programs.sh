#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=1500 abi=x86_64,arm busy
#
# Programs that nobody here wrote, each dumped in mid-work and restored; its output must be that of an undisturbed run.

# shellcheck disable=SC2317	# cases are called by name
here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/midwork.sh
. "$here/payload/midwork.sh"

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

seq 1 9000000 | head -c 64M >"$top/64M"
run_cases "$@"
