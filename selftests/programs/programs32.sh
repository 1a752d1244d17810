#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=900 abi=i686 busy
#
# The same as programs.sh for Debian's programs of i386, with its libraries.  A case has the name of its program.

# shellcheck disable=SC2317	# cases are called by name
here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/midwork.sh
. "$here/payload/midwork.sh"
bin=/opt/i386/bin
job_path=$bin:$PATH

# shells of 32 bit work in most parts of the pipeline, programs of 64 bit in the others
job_bash()
{
	for ((i = 0; i < 10000; i++)); do
		echo $((i * 7919 % 10007 << 33 >> 31))
	done | while read -r n; do
		echo "${n//7/seven} $((n * n % 65521))"
	done | {
		declare -A seen=()
		sum=0
		while read -r word n; do
			seen[k${word%[0-9]}]+=x
			((sum = (sum * 31 + n) % 1000003))
		done
		echo "$sum ${#seen[@]}"
		for word in "${!seen[@]}"; do
			echo "$word ${#seen[$word]}"
		done | sort | tee out/words | wc -l
	} >out/sum
}

job_python3()
{
	python3 - >out/result <<-'END'
	import sqlite3, threading, hashlib, struct
	assert struct.calcsize("P") == 4
	db = sqlite3.connect(":memory:", check_same_thread=False)
	db.execute("create table t (thread int, n int, hash text, x float)")
	lock = threading.Lock()
	def work(k):
	    x = float(k)
	    for n in range(300):
	        h = b"%d %d" % (k, n)
	        for i in range(50):
	            h = hashlib.sha256(h).digest()
	            x = (x * 1.000001 + h[0] / 3) % 1000
	        with lock:
	            db.execute("insert into t values (?, ?, ?, ?)", (k, n, h.hex(), x))
	threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
	for t in threads: t.start()
	for t in threads: t.join()
	for row in db.execute("select * from t order by thread, n"):
	    print(*row)
	END
}

# a database in a file, in a transaction with its journal and its locks
job_sqlite3()
{
	sqlite3 db >out/result <<-'END'
	pragma cache_size = 20;
	create table t (n integer primary key, x int);
	begin;
	with recursive c(n, x) as (select 1, 1 union all
		select n + 1, (x * 1103515245 + 12345) % 2147483648 from c limit 40000)
	insert into t select n, x from c;
	create index i on t (x % 1000, n);
	update t set x = x * 65537 / 7 where n % 3 = 0;
	commit;
	pragma integrity_check;
	select x % 1000 as k, count(*), sum(n), total(x) / 3 from t group by k order by k;
	END
}

job_xz()
{
	xz -T2 -1 --block-size=1MiB -c "$top/8M" >out/in.xz
}

# The program is of 32 bit, and so was every thread of it
check_images()
{
	local exe
	exe=$(readlink -e "$bin/$2") || { echo "# no $bin/$2"; return 1; }
	file -b "$exe" | grep -q '^ELF 32-bit' || { echo "# $exe: not a 32-bit program"; return 1; }
	crkhelper show "$1" >"$1/../show" || return
	awk -v exe="$exe" '
		/^process /	{ nr = wide = 0; part = "" }
		/^  [a-z]/	{ part = $1 }
		part == "threads" && /^ *[0-9]/	{ nr++; wide += !/  \[i386\]$/ }
		/^  exe / && $2 == exe { procs++; threads += nr; bad += wide }
		END {
			printf "# %s: %d processes with %d threads, %d of them not i386\n", exe, procs, threads, bad
			exit !threads || bad
		}' "$1/../show"
}

seq 1 2000000 | head -c 8M >"$top/8M"
run_cases "$@"
