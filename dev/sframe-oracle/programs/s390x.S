# Where a program begins and ends, and leaf functions.
	.text
	.globl _start, leaf_plain, leaf_with_frame, calls_back, system_call
	.type _start, @function
_start:	.cfi_startproc
	.cfi_undefined 14
	lay	%r15, -160(%r15)
	.cfi_adjust_cfa_offset 160
	brasl	%r14, run
	lghi	%r1, 1
	lghi	%r2, 0
	svc	0
	.cfi_endproc
	.size _start, . - _start

	.type leaf_plain, @function
leaf_plain:
	.cfi_startproc
	agr	%r2, %r3
	xilf	%r2, 3
	br	%r14
	.cfi_endproc
	.size leaf_plain, . - leaf_plain

	.type leaf_with_frame, @function	# keeps the return address in a floating-point register
leaf_with_frame:
	.cfi_startproc
	ldgr	%f0, %r11
	.cfi_register 11, 16
	ldgr	%f2, %r14
	.cfi_register 14, 17
	lghi	%r14, 5
	lgr	%r11, %r3
	agr	%r2, %r11
	lgdr	%r14, %f2
	.cfi_restore 14
	lgdr	%r11, %f0
	.cfi_restore 11
	br	%r14
	.cfi_endproc
	.size leaf_with_frame, . - leaf_with_frame

	.type calls_back, @function
calls_back:
	.cfi_startproc
	stmg	%r11, %r15, 88(%r15)
	.cfi_rel_offset 11, 88
	.cfi_rel_offset 14, 112
	lay	%r15, -160(%r15)
	.cfi_adjust_cfa_offset 160
	lgr	%r1, %r2
	lgr	%r2, %r3
	basr	%r14, %r1
	lmg	%r11, %r15, 248(%r15)
	.cfi_restore 14
	.cfi_restore 11
	.cfi_adjust_cfa_offset -160
	br	%r14
	.cfi_endproc
	.size calls_back, . - calls_back

	.type system_call, @function
system_call:
	.cfi_startproc
	lgr	%r1, %r2
	lgr	%r2, %r3
	lgr	%r3, %r4
	lgr	%r4, %r5
	lgr	%r5, %r6
	svc	0
	br	%r14
	.cfi_endproc
	.size system_call, . - system_call
