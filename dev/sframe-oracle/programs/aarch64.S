// Where a program begins and ends, and leaf functions as a kernel's assembly has them.
	.text
	.globl _start, leaf_plain, leaf_with_frame, calls_back, system_call
	.type _start, %function
// Leaves what the end of a kernel task's stack has: registers with a final metadata record.
_start:	.cfi_startproc
	.cfi_undefined 30
	sub	sp, sp, #320
	stp	xzr, xzr, [sp, #296]
	mov	x0, #1
	str	x0, [sp, #312]
	add	x29, sp, #296
	bl	run
	mov	x8, #93
	svc	#0
	.cfi_endproc
	.size _start, . - _start

	.type leaf_plain, %function
leaf_plain:
	.cfi_startproc
	add	x0, x0, x1
	eor	x0, x0, #3
	ret
	.cfi_endproc
	.size leaf_plain, . - leaf_plain

	.type leaf_with_frame, %function
leaf_with_frame:
	.cfi_startproc
	sub	sp, sp, #32
	.cfi_def_cfa_offset 32
	stp	x0, x1, [sp]
	ldr	x0, [sp, #8]
	add	sp, sp, #32
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size leaf_with_frame, . - leaf_with_frame

	.type calls_back, %function
calls_back:
	.cfi_startproc
	stp	x29, x30, [sp, #-16]!
	.cfi_def_cfa_offset 16
	.cfi_offset 29, -16
	.cfi_offset 30, -8
	mov	x29, sp
	mov	x9, x0
	mov	x0, x1
	blr	x9
	ldp	x29, x30, [sp], #16
	.cfi_restore 30
	.cfi_restore 29
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size calls_back, . - calls_back

	.type system_call, %function
system_call:
	.cfi_startproc
	mov	x8, x0
	mov	x0, x1
	mov	x1, x2
	mov	x2, x3
	mov	x3, x4
	svc	#0
	ret
	.cfi_endproc
	.size system_call, . - system_call

	.globl restorer
	.type restorer, %function	// what SFrame cannot express has no descriptor
restorer:
	mov	x8, #139
	svc	#0
	.size restorer, . - restorer

#ifdef SIGNALS
	.globl on_signal
	.type on_signal, %function	// nothing happens in the first instruction: some emulators do not stop at it
on_signal:
	.cfi_startproc
	nop
	b	handle_signal
	.cfi_endproc
	.size on_signal, . - on_signal
#endif
