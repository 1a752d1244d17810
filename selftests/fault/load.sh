#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# crk-test: rootfs=host timeout=60 abi=x86_64
#
# Why the module cannot be loaded: what modprobe says comes with what to do about it.  A modprobe of our own says it.

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
n=0 failed=0
release=$(uname -r)
# shellcheck disable=SC2016	# it is for the script
printf '#!/bin/sh\necho "$SAYS" >&2\nexit 1\n' >"$work/modprobe"
chmod +x "$work/modprobe"

# advises TEXT 'WHAT MODPROBE SAYS' 'REGEX'
advises()
{
	n=$((n + 1))
	SAYS=$2 PATH="$work:$PATH" crkhelper check >/dev/null 2>"$work/log"
	if [ $? = 1 ] && grep -qxF "crkhelper: check: cannot load the kernel module crk: $2" "$work/log" &&
	   grep -qxE "  hint: kernel $release: $3" "$work/log"; then
		echo "ok $n $1"
	else
		failed=1
		sed 's/^/# /' "$work/log"
		echo "not ok $n $1"
	fi
}

echo "TAP version 13"
if [ -e /dev/crk ]; then
	echo "1..0 # SKIP the module is there"
	exit 0
fi
echo "1..7"
insert="modprobe: ERROR: could not insert 'crk':"
advises "none for this kernel" "modprobe: FATAL: Module crk not found in directory /lib/modules/$release" \
	"there is no crk.ko for it: .*"
advises "of another kernel" "$insert Exec format error" "crk.ko was built for another kernel: .*"
advises "a symbol" "$insert Unknown symbol in module, or unknown parameter (see dmesg)" "it lacks a symbol .*, dmesg tells which: .*"
advises "a key" "$insert Key was rejected by service" "crk.ko is signed with a key that it does not know: .*"
advises "no signature" "$insert Required key not available" "it takes signed modules only: .*"
advises "no permission" "$insert Operation not permitted" \
	"(only root may load|this kernel loads no modules|the kernel is locked down|CAP_SYS_MODULE is missing).*"
advises "of busybox" "modprobe: can't load module crk (crk.ko): Exec format error" "crk.ko was built for another kernel: .*"
exit $failed
