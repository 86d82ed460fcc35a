#!/bin/bash
# Makes the sections and their dumps of the sources here; see README.md for the tools.
# Needs shell functions or programs in a file given as $1:
#   sid TOOL ...     binutils 2.46 or later        trixie TOOL ...  binutils 2.44
#   book TOOL ...    binutils 2.40 and gcc 12
# and SFRAME, the program sframe of this repository.
set -euo pipefail
. "$1"
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
cd "$here"
: > index.txt

# keep NAME SUITE OBJDUMP-TRIPLET FILE: the raw section, its dump, and a line of the index.
keep() {
	local address
	address=$("$2" "$3-readelf" -SW "$4" | awk '{ for (i = 1; i < NF; i++) if ($i == ".sframe") { print $(i + 2); exit } }')
	"$2" "$3-objcopy" -O binary -j .sframe "$4" "$1.sframe"
	"$2" "$3-objdump" --sframe "$4" | sed '1,3d' > "$1.dump"
	echo "$1 0x$address" >> index.txt
}
# assemble NAME SUITE TRIPLET SOURCE EMULATION AS-OPTIONS...
assemble() {
	local name=$1 suite=$2 triplet=$3 source=$4 emulation=$5
	shift 5
	"$suite" "$triplet-as" --gsframe "$@" "$source" -o "$work/$name.o" 2> "$work/$name.log" || { cat "$work/$name.log"; exit 1; }
	"$suite" "$triplet-ld" -m "$emulation" -shared "$work/$name.o" -o "$work/$name.so"
	keep "$name" "$suite" "$triplet" "$work/$name.so"
}
# written NAME TRIPLET FROM: version 2 with start addresses that count from themselves, by this repository's writer.
written() {
	"$SFRAME" convert "$work/$3.so" --to v2 --leave-out --output "$work/$1.sframe" 2> "$work/$1.log"
	cp "$work/$3.so" "$work/$1.so"
	sid "$2-objcopy" --update-section ".sframe=$work/$1.sframe" "$work/$1.so"
	keep "$1" sid "$2" "$work/$1.so"
	cmp "$work/$1.sframe" "$1.sframe"
}
cpp -P -DSHARED x86-64.S > "$work/x86-64.s"
cpp -P -DSHARED -DNO_FLEX x86-64.S > "$work/x86-64-default.s"
cpp -P s390x.S > "$work/s390x.s"
for triplet in aarch64-linux-gnu s390x-linux-gnu; do
	book "$triplet-gcc-12" -fPIC -O2 -fno-asynchronous-unwind-tables -fasynchronous-unwind-tables -S sample.c -o "$work/sample-$triplet.s"
done
gcc-12 -fPIC -O2 -fcf-protection=none -S sample.c -o "$work/sample-x86_64-linux-gnu.s"

a64=aarch64-linux-gnu x64=x86_64-linux-gnu s390=s390x-linux-gnu
assemble v3-aarch64 sid $a64 aarch64.S aarch64linux -EL
assemble v3-aarch64-be sid $a64 aarch64.S aarch64linuxb -EB
assemble v3-x86-64 sid $x64 "$work/x86-64.s" elf_x86_64
assemble v3-s390x sid $s390 "$work/s390x.s" elf64_s390
assemble v3-aarch64-corrupt sid $a64 aarch64-corrupt.S aarch64linux -EL
assemble v3-x86-64-signal sid $x64 x86-64-signal.S elf_x86_64
assemble v3-aarch64-sample sid $a64 "$work/sample-$a64.s" aarch64linux -EL
assemble v3-x86-64-sample sid $x64 "$work/sample-$x64.s" elf_x86_64
assemble v3-s390x-sample sid $s390 "$work/sample-$s390.s" elf64_s390
assemble v2-aarch64 trixie $a64 aarch64.S aarch64linux -EL
assemble v2-aarch64-be trixie $a64 aarch64.S aarch64linuxb -EB
assemble v2-x86-64 trixie $x64 "$work/x86-64-default.s" elf_x86_64
assemble v2-aarch64-sample trixie $a64 "$work/sample-$a64.s" aarch64linux -EL
assemble v2-x86-64-sample trixie $x64 "$work/sample-$x64.s" elf_x86_64
assemble v1-aarch64 book $a64 aarch64.S aarch64linux -EL
assemble v1-aarch64-be book $a64 aarch64.S aarch64linuxb -EB
assemble v1-x86-64 book $x64 "$work/x86-64-default.s" elf_x86_64
assemble v1-aarch64-sample book $a64 "$work/sample-$a64.s" aarch64linux -EL
assemble v1-x86-64-sample book $x64 "$work/sample-$x64.s" elf_x86_64
written v2-pcrel-aarch64 $a64 v3-aarch64
written v2-pcrel-aarch64-be $a64 v3-aarch64-be
written v2-pcrel-x86-64 $x64 v3-x86-64
written v2-pcrel-s390x $s390 v3-s390x
# Relocatable files for the program, whole, with the whole output of objdump.
objects=$here/../../../../bin/sframe-tool/testdata
object() {
	cp "$work/$3.o" "$objects/$1.o"
	(cd "$objects" && sid "$2-objdump" --sframe "$1.o" > "$1.dump")
}
object aarch64-sample $a64 v3-aarch64-sample
object x86-64-sample $x64 v3-x86-64-sample
object s390x $s390 v3-s390x
object aarch64-corrupt $a64 v3-aarch64-corrupt
rm -r "$work"
