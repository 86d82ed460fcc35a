#!/bin/bash
# Builds the programs and records them: generate.sh TOOLS RECORD-RUN; see README.md.
set -euo pipefail
. "$1"
record=$2
here=$(dirname "$(readlink -f "$0")")
programs=$here/../programs
work=$(mktemp -d)
# gcc 12 writes assembly, GNU as of binutils 2.47.50 makes the SFrame data.
common="-O2 -ffreestanding -fno-stack-protector -fno-pic -fno-optimize-sibling-calls -fasynchronous-unwind-tables -S"
# build NAME TRIPLET GCC SOURCE OPTIONS...
build() {
	local name=$1 triplet=$2 gcc=$3 source=$4
	shift 4
	$gcc $common "$@" "$programs/workload.c" -o "$work/$name.s"
	local signals=
	[[ $* == *-DSIGNALS* ]] && signals=-DSIGNALS
	cpp -P $signals "$programs/$source" > "$work/$name-start.s"
	sid "$triplet-as" --gsframe "$work/$name.s" -o "$work/$name.o"
	sid "$triplet-as" --gsframe "$work/$name-start.s" -o "$work/$name-start.o" 2> "$work/$name.log" || { cat "$work/$name.log"; exit 1; }
	sid "$triplet-ld" -static -z noexecstack "$work/$name-start.o" "$work/$name.o" -o "$work/$name"
}
arm="-fno-omit-frame-pointer -DSYS_SIGACTION=134 -DSYS_GETPID=172 -DSYS_KILL=129"
x86="-fcf-protection=none -DSYS_SIGACTION=13 -DSYS_GETPID=39 -DSYS_KILL=62"
a64=aarch64-linux-gnu x64=x86_64-linux-gnu s390=s390x-linux-gnu
a64gcc="book $a64-gcc-12" s390gcc="book $s390-gcc-12"
build aarch64 $a64 "$a64gcc" aarch64.S $arm
build aarch64-signals $a64 "$a64gcc" aarch64.S $arm -DSIGNALS
build aarch64-pauth $a64 "$a64gcc" aarch64.S $arm -march=armv8.3-a -mbranch-protection=pac-ret+leaf
build x86-64 $x64 gcc-12 x86-64.S $x86
build x86-64-frame-pointer $x64 gcc-12 x86-64.S $x86 -fno-omit-frame-pointer
build x86-64-signals $x64 gcc-12 x86-64.S $x86 -DSIGNALS
build s390x $s390 "$s390gcc" s390x.S
for name in aarch64 aarch64-signals aarch64-pauth; do
	"$record" "$work/$name" "$QEMU/qemu-aarch64-static" "$here/$name.zst"
done
for name in x86-64 x86-64-frame-pointer x86-64-signals; do
	"$record" "$work/$name" "$GDBSERVER" "$here/$name.zst"
done
"$record" "$work/s390x" "$QEMU/qemu-s390x-static" "$here/s390x.zst"
rm -r "$work"
