// Every rule a descriptor of AArch64 can have, and what the assembler cannot express.
	.text
	.globl leaf, framed, vla, signed_a, signed_b, wide, far_offsets, long_function, outermost, handler
	.type leaf, %function
leaf:	.cfi_startproc
	add	x0, x0, #1
	ret
	.cfi_endproc
	.size leaf, . - leaf

	.type framed, %function
framed:	.cfi_startproc
	stp	x29, x30, [sp, #-32]!
	.cfi_def_cfa_offset 32
	.cfi_offset 29, -32
	.cfi_offset 30, -24
	mov	x29, sp
	cbz	x0, 1f
	bl	leaf
	.cfi_remember_state
	ldp	x29, x30, [sp], #32
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	ret
1:	.cfi_restore_state
	bl	leaf
	ldp	x29, x30, [sp], #32
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size framed, . - framed

	.type vla, %function
vla:	.cfi_startproc
	stp	x29, x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset 29, -16
	.cfi_offset 30, -8
	mov	x29, sp
	.cfi_def_cfa_register 29
	sub	sp, sp, x0
	bl	leaf
	mov	sp, x29
	.cfi_def_cfa_register 31
	ldp	x29, x30, [sp], #16
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size vla, . - vla

	.type signed_a, %function
signed_a:
	.cfi_startproc
	hint	#25			// paciasp
	.cfi_negate_ra_state
	stp	x29, x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset 29, -16
	.cfi_offset 30, -8
	bl	leaf
	ldp	x29, x30, [sp], #16
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	hint	#29			// autiasp
	.cfi_negate_ra_state
	ret
	.cfi_endproc
	.size signed_a, . - signed_a

	.type signed_b, %function
signed_b:
	.cfi_startproc
	.cfi_b_key_frame
	hint	#27			// pacibsp
	.cfi_negate_ra_state
	str	x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset 30, -16
	.cfi_offset 29, -8
	bl	leaf
	ldr	x30, [sp], #16
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	hint	#31			// autibsp
	.cfi_negate_ra_state
	ret
	.cfi_endproc
	.size signed_b, . - signed_b

	.type wide, %function		// start addresses of two bytes
wide:	.cfi_startproc
	sub	sp, sp, #16
	.cfi_def_cfa_offset 16
	.rept 100
	nop
	.endr
	add	sp, sp, #16
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size wide, . - wide

	.type far_offsets, %function	// words of two and of four bytes
far_offsets:
	.cfi_startproc
	sub	sp, sp, #4080
	.cfi_def_cfa_offset 4080
	stp	x29, x30, [sp]
	.cfi_offset 29, -4080
	.cfi_offset 30, -4072
	sub	sp, sp, #1024, lsl #12
	.cfi_def_cfa_offset 4198384
	bl	leaf
	ret
	.cfi_endproc
	.size far_offsets, . - far_offsets

	.type lr_only, %function	// two words: x30 saved, x29 not
lr_only:
	.cfi_startproc
	str	x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset 30, -16
	bl	leaf
	ldr	x30, [sp], #16
	.cfi_restore 30
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size lr_only, . - lr_only

	.type outermost, %function
outermost:
	.cfi_startproc
	.cfi_undefined 30
	mov	x29, #0
	bl	leaf
	brk	#0
	.cfi_endproc
	.size outermost, . - outermost

	.type handler, %function
handler:
	.cfi_startproc
	.cfi_signal_frame
	sub	sp, sp, #64
	.cfi_def_cfa_offset 64
	nop
	add	sp, sp, #64
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size handler, . - handler

	.type fp_only, %function	// not representable: x29 saved, x30 not
fp_only:
	.cfi_startproc
	str	x29, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset 29, -16
	ldr	x29, [sp], #16
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size fp_only, . - fp_only

	.type other_base, %function	// not representable: CFA from x9
other_base:
	.cfi_startproc
	mov	x9, sp
	.cfi_def_cfa 9, 0
	ret
	.cfi_endproc
	.size other_base, . - other_base

	.type long_function, %function	// start addresses of four bytes
long_function:
	.cfi_startproc
	sub	sp, sp, #32
	.cfi_def_cfa_offset 32
	.skip	70000
	add	sp, sp, #32
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size long_function, . - long_function
