# Every rule a descriptor of x86-64 can have, and what the assembler cannot express.
	.text
	.globl leaf, framed, pushes, wide, far_offsets, long_function, outermost, calls
	.type leaf, @function
leaf:	.cfi_startproc
	lea	1(%rdi), %rax
	ret
	.cfi_endproc
	.size leaf, . - leaf

	.type framed, @function
framed:	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset 6, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register 6
	call	leaf
	pop	%rbp
	.cfi_def_cfa 7, 8
	.cfi_restore 6
	ret
	.cfi_endproc
	.size framed, . - framed

	.type pushes, @function
pushes:	.cfi_startproc
	push	%rbx
	.cfi_def_cfa_offset 16
	push	%rbp
	.cfi_def_cfa_offset 24
	.cfi_offset 6, -24
	sub	$1000, %rsp
	.cfi_def_cfa_offset 1024
	call	leaf
	.cfi_remember_state
	add	$1000, %rsp
	.cfi_def_cfa_offset 24
	pop	%rbp
	.cfi_def_cfa_offset 16
	.cfi_restore 6
	pop	%rbx
	.cfi_def_cfa_offset 8
	ret
	.cfi_restore_state
	call	leaf
	ud2
	.cfi_endproc
	.size pushes, . - pushes

	.type wide, @function
wide:	.cfi_startproc
	sub	$24, %rsp
	.cfi_def_cfa_offset 32
	.skip	300, 0x90
	add	$24, %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size wide, . - wide

	.type far_offsets, @function
far_offsets:
	.cfi_startproc
	sub	$0x400000, %rsp
	.cfi_def_cfa_offset 0x400008
	call	leaf
	add	$0x400000, %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size far_offsets, . - far_offsets

	.type outermost, @function
outermost:
	.cfi_startproc
	.cfi_undefined 16
	xor	%ebp, %ebp
	call	leaf
	hlt
	.cfi_endproc
	.size outermost, . - outermost

#ifndef NO_FLEX
	.type realigned, @function	# a frame realigned by r10: CFA is loaded
realigned:
	.cfi_startproc
	lea	8(%rsp), %r10
	.cfi_def_cfa 10, 0
	and	$-32, %rsp
	push	-8(%r10)
	push	%rbp
	mov	%rsp, %rbp
	.cfi_escape 0x10,6,2,0x76,0	# rbp = *(rbp+0)
	push	%r10
	.cfi_escape 0xf,3,0x76,0x78,0x6	# CFA = *(rbp-8)
	call	leaf
	pop	%r10
	.cfi_def_cfa 10, 0
	pop	%rbp
	lea	-8(%r10), %rsp
	.cfi_def_cfa 7, 8
	ret
	.cfi_endproc
	.size realigned, . - realigned

	.type restorer, @function	# a signal frame: everything is loaded from the kernel's frame
restorer:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_escape 0x0f,4,0x77,0xa0,0x1,0x6	# CFA = *(rsp+160)
	.cfi_escape 0x10,16,3,0x77,0xa8,0x1	# rip = *(rsp+168)
	.cfi_escape 0x10,6,3,0x77,0xf8,0x0	# rbp = *(rsp+120)
	mov	$15, %eax
	syscall
	.cfi_endproc
	.size restorer, . - restorer
#endif

	.type calls, @function
calls:	.cfi_startproc
	sub	$8, %rsp
	.cfi_def_cfa_offset 16
#ifdef SHARED
	call	first_external@PLT
	call	second_external@PLT
	call	third_external@PLT
#else
	call	leaf
#endif
	add	$8, %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size calls, . - calls

	.type rbx_based, @function	# not representable without flexible descriptors
rbx_based:
	.cfi_startproc
	mov	%rsp, %rbx
	.cfi_def_cfa 3, 8
	ret
	.cfi_endproc
	.size rbx_based, . - rbx_based

	.type long_function, @function
long_function:
	.cfi_startproc
	sub	$40, %rsp
	.cfi_def_cfa_offset 48
	.skip	70000, 0x90
	add	$40, %rsp
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size long_function, . - long_function
