#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=300 abi=x86_64,arm
#
# Files that were mapped and are others at the restore: refused by name, and nothing is created.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"

cat >mapper.py <<'EOF'
import mmap, os, time
f = open("data", "r+b")
m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
f.close()
m[0] = 1
while True:
    if not os.path.exists("alive"):
        open("alive.new", "w").write("%d %d\n" % (os.getpid(), m[4096]))
        os.rename("alive.new", "alive")
    time.sleep(0.05)
EOF

start()
{
	rm -rf alive images
	setsid crkhelper run -g mapper -- ./program mapper.py >/dev/null 2>&1 </dev/null &
	until [ -s alive ]; do sleep 0.05; done
	read -r pid _ <alive
	crkhelper dump -g mapper -D images >log 2>&1 </dev/null || cat log
	until [ ! -e "/proc/$pid" ]; do sleep 0.05; done
}

# the restore is refused with a line like $1, and nobody has the pid
refused()
{
	expect 1 "$1" crkhelper restore -D images -g mapper -d && [ ! -e "/proc/$pid" ]
}

restored()
{
	rm -f alive
	crkhelper restore -D images -g mapper -d >log 2>&1 </dev/null || return 1
	until [ -s alive ]; do sleep 0.05; done
	kill -KILL "$pid"
	until [ ! -e "/proc/$pid" ]; do sleep 0.05; done
}

flip_build_id()
{
	python3 - program <<'EOF'
import sys
f = open(sys.argv[1], "r+b")
at = f.read(4096).index(b"\x14\0\0\0\x03\0\0\0GNU\0") + 16
f.seek(at)
byte = f.read(1)[0] ^ 1
f.seek(at)
f.write(bytes([byte]))
EOF
}

echo "TAP version 13"
echo "1..6"
cp "$(readlink -f "$(command -v python3)")" program
head -c 8192 /dev/urandom >data
start
touch -r program stamp
cp -p program other
touch program
restored
result $? "a program that was only touched"
flip_build_id
refused "program.*another build"
result $? "another build of the program"
cp -p other program
truncate -s +1 program
refused "program.*bytes"
result $? "a program of another size"
cp -p other program
rm -f data.was
cp -p data data.was
touch data
refused "data.*written to after"
result $? "a mapped file that was written to"
rm data
refused "data.*(No such|no such)"
result $? "a mapped file that is gone"
mv data.was data
restored
result $? "all as it was"
exit "$failed"
