# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# The emulator of the guests: that of Debian's backports, unpacked into the cache, which finds its libraries where the host's
# packages of QEMU have put them; the host's own where that one can't be had or doesn't start.  Compared with bookworm's 7.2,
# QEMU 10.0 runs the tests in four fifths of the time.  Sourced by lib.sh.

QEMU_SUITE=bookworm-backports

# fetch_qemu DIR ARCH: for machines of Debian's ARCH
fetch_qemu()
{
	local dir=$1 new=$1.new.$$

	[ ! -e "$dir" ] || return 0
	rm -rf "$dir".new.*
	say "fetching QEMU of $QEMU_SUITE into the cache"
	mkdir -p "$new"
	usr_merge "$new"
	if need_apt "$QEMU_SUITE" "$2" &&
	   fetch "$QEMU_SUITE" "$2" "$new" qemu-system-x86 qemu-system-arm qemu-system-common qemu-system-data seabios &&
	   quietly "start of it" "$new/usr/bin/qemu-system-x86_64" --version &&
	   quietly "start of it" "$new/usr/bin/qemu-system-arm" --version; then
		mv "$new" "$dir"
		return
	fi
	rm -rf "$new"
	say "going on with the host's QEMU, which is slower, for half a day"
	touch "$dir.failed"
	return 1
}

# need_qemu: sets QEMU, the command and options that begin VM_QEMU's command line.  $CRK_QEMU names another program.
need_qemu()
{
	local dir=$CRK_CACHE/tools/qemu debian libs

	if [ "${CRK_QEMU-}" ]; then
		QEMU=("$CRK_QEMU")
		return
	fi
	QEMU=("$VM_QEMU")
	if [ ! -e "$dir" ]; then
		[ -z "$(find "$dir.failed" -mmin -720 2>/dev/null)" ] || return 0
		debian=$(dpkg --print-architecture) || return 0
		with_lock qemu fetch_qemu "$dir" "$debian" || return 0
	fi
	libs=$(echo "$dir"/usr/lib/*-linux-gnu/qemu)
	QEMU=(env QEMU_MODULE_DIR="$libs" "$dir/usr/bin/$VM_QEMU" -L "$dir/usr/share/qemu" -L "$dir/usr/share/seabios")
}
