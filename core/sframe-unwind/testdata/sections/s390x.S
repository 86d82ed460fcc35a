# Every rule a descriptor of s390x can have.
	.text
	.globl leaf, saved, no_ra, in_fprs, wide, backchain, outermost
	.type leaf, @function
leaf:	.cfi_startproc
	aghi	%r2, 1
	br	%r14
	.cfi_endproc
	.size leaf, . - leaf

	.type saved, @function
saved:	.cfi_startproc
	stmg	%r11, %r15, 88(%r15)
	.cfi_rel_offset 11, 88
	.cfi_rel_offset 14, 112
	.cfi_rel_offset 15, 120
	lay	%r15, -160(%r15)
	.cfi_adjust_cfa_offset 160
	lgr	%r11, %r15
	.cfi_def_cfa_register 11
	brasl	%r14, leaf
	lmg	%r11, %r15, 248(%r11)
	.cfi_restore 15
	.cfi_restore 14
	.cfi_restore 11
	.cfi_def_cfa 15, 160
	br	%r14
	.cfi_endproc
	.size saved, . - saved

	.type no_ra, @function		# r11 saved, r14 not: the return address is a gap
no_ra:	.cfi_startproc
	stg	%r11, 88(%r15)
	.cfi_rel_offset 11, 88
	lgr	%r11, %r15
	lg	%r11, 88(%r15)
	.cfi_restore 11
	br	%r14
	.cfi_endproc
	.size no_ra, . - no_ra

	.type in_fprs, @function	# saved in registers
in_fprs:
	.cfi_startproc
	ldgr	%f0, %r11
	.cfi_register 11, 16
	ldgr	%f2, %r14
	.cfi_register 14, 17
	brasl	%r14, leaf
	lgdr	%r14, %f2
	.cfi_restore 14
	lgdr	%r11, %f0
	.cfi_restore 11
	br	%r14
	.cfi_endproc
	.size in_fprs, . - in_fprs

	.type wide, @function
wide:	.cfi_startproc
	lay	%r15, -8000(%r15)
	.cfi_adjust_cfa_offset 8000
	.skip	300, 7
	lay	%r15, 8000(%r15)
	.cfi_adjust_cfa_offset -8000
	br	%r14
	.cfi_endproc
	.size wide, . - wide

	.type other_base, @function
other_base:
	.cfi_startproc
	lgr	%r10, %r15
	.cfi_def_cfa 10, 160
	br	%r14
	.cfi_endproc
	.size other_base, . - other_base

	.type outermost, @function
outermost:
	.cfi_startproc
	.cfi_undefined 14
	brasl	%r14, leaf
	j	.
	.cfi_endproc
	.size outermost, . - outermost
