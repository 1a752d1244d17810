#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=debian timeout=600 abi=x86_64
#
# dump --compress: what is on the disk, damage, chains of dumps, and who refuses what.  Contents of all kinds are compress.c's.

here=$(cd "${0%/*}/.." && pwd)
# shellcheck source=selftests/payload/job.sh
. "$here/payload/job.sh"
# shellcheck source=selftests/payload/orders.sh
. "$here/payload/orders.sh"

# in a copy of checkpoint z: damaged FILE REGEX CMD...
damaged()
{
	local file=$1 regex=$2

	shift 2
	rm -rf x && cp -a z x && (cd x && "$@") && refused "$regex" x && [ -e "x/$file" ]
}

flip() { printf 'crk' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

echo "TAP version 13"
echo "1..10"

changes_start
order w 700

ret=1
expect 2 '^crkhelper: --compress gzip: expected none, lz4 or zstd$' crkhelper dump -g $group -D no --compress=gzip &&
	[ ! -e no ] && ret=0
result $ret "a way that there is not is refused"

# in the order of phases: the processes run before anything is compressed
ret=1
crk dump z -R --compress=zstd && before=$(json pages_bytes) && stored=$(json pages_bytes_stored) &&
	sed -n 's/^crkhelper: dump: \([a-z]*\) .* ms$/\1/p' log | tr '\n' ' ' | grep -q 'thaw .*compress commit' &&
	[ "$stored" -lt $((before / 2)) ] && [ "$(cat z/pages-*.img.zst | wc -c)" = "$stored" ] && [ ! -e z/pages-1.img ] &&
	order z && ret=0
result $ret "few bytes, made when the processes run again"

ret=1
crk dump none -R && [ "$(json pages_bytes_stored)" = "$(json pages_bytes)" ] && [ ! -e none/crk-packed-1.img ] &&
	crk dump none2 -R --compress=none && [ "$(cd none && ls)" = "$(cd none2 && ls)" ] &&
	zstd -qdc z/pages-1.img.zst >plain && [ "$(wc -c <plain)" = "$(wc -c <none/pages-1.img)" ] && ret=0
result $ret "without it as ever; the standard tool decompresses pages"

ret=1
crkhelper show z >log 2>&1 && said '^compressed +[0-9.]+ [KM]iB of pages \(zstd\), which take [0-9.]+ [KM]iB$' &&
	crkhelper show --json z >log 2>&1 && [ "$(json pages_bytes_stored)" = "$stored" ] && ret=0
result $ret "show tells"

changes_stop
ret=1
damaged pages-1.img.zst '^crkhelper: restore: image pages-1.img.zst is damaged \(checksum differs\)' flip pages-1.img.zst 70000 &&
	damaged pages-1.img.zst 'image pages-1.img.zst is damaged \(it has [0-9]+ bytes instead of [0-9]+\)' truncate -s -1 pages-1.img.zst &&
	damaged crk-packed-1.img 'image crk-packed-1.img is damaged \(checksum differs\)' flip crk-packed-1.img 20 &&
	damaged inventory.img 'image pages-1.img.zst is missing' rm pages-1.img.zst &&
	restored z && ret=0
result $ret "damage is found before anything is made"

# pre-dump, then in turns; each second one by the other helper
ret=1
crk pre-dump a -R --track-mem --compress=zstd && order w 300 && increment b ../a && order W 200 && increment c ../b --compress=lz4 &&
	order d 50 && order w 10 && crk dump d -R --prev-images-dir ../c --compress=zstd && saved 1 1500 && restored d && restored c &&
	restored b && ret=0
result $ret "a chain of compressed and other checkpoints"

ret=1
sum=$(md5sum a/* b/*.img | md5sum) && expect 1 "the pages of '.*a' are compressed: none of them can be given up" crkhelper dedup -D b &&
	[ "$(md5sum a/* b/*.img | md5sum)" = "$sum" ] && cp -a a kept && flip a/pages-1.img.zst 5000 &&
	changes_stop && refused "image .*a/pages-1.img.zst is damaged" b && rm -rf a && mv kept a && ret=0
result $ret "dedup refuses by name; damage of a parent is found"

expect 1 "'.*a' is compressed" crkhelper restore -D b -g $group -d --lazy-pages && [ ! -d /sys/fs/cgroup/$group ]
result $? "a restore whose pages come later refuses them by name"

# no room for what is compressed beside what is not: as any other disk that is full
ret=1
changes_start && order w 2000 && mkdir small && mount -t tmpfs -o size="$(($(wc -c <plain) + 65536))" none small &&
	head -c 1900000 /dev/urandom >small/other &&
	expect 1 'No space left on device' crkhelper dump -g $group -D small/x -R --compress=zstd && [ ! -e small/x ] && order z && ret=0
umount small
changes_stop
result $ret "a full disk: nothing is left, and the processes run"

# 96 MiB mapped and read, half of them never touched besides: what is in the images is the rest of it
ret=1
head -c 32M /dev/urandom >file && cat >reader.py <<-'END'
	import mmap, os, time
	size = 32 << 20
	zeros = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
	untouched = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
	fd = os.open('file', os.O_RDONLY)
	file = mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE)
	read = lambda m: [m[i] for i in range(0, size, 4096)]
	first = read(zeros), read(file)
	open('read', 'w').close()
	while not os.path.exists('go'):
	    time.sleep(0.02)
	open('same' if (read(zeros), read(file)) == first and not any(read(untouched)) else 'other', 'w').close()
END
setsid crkhelper run -g $group -- python3 reader.py >/dev/null 2>&1 </dev/null &
until [ -e read ]; do sleep 0.02; done
if crk dump p && [ "$(json pages_bytes)" -lt 16000000 ] && [ "$(json pages_bytes_stored)" = "$(json pages_bytes)" ]; then
	wait
	crkhelper restore -D p -g $group -d >log 2>&1 </dev/null && touch go && job_gone $group && [ -e same ] && ret=0
fi
changes_stop
result $ret "zeros, untouched memory and a file's own pages take no room"
exit "$failed"
