# Where a program begins and ends, leaf functions, and a signal's trampoline, which GNU as cannot express.
	.text
	.globl _start, leaf_plain, leaf_with_frame, calls_back, system_call, restorer
	.type _start, @function
_start:	.cfi_startproc
	.cfi_undefined 16
	xor	%ebp, %ebp
	call	run
	mov	$60, %eax
	xor	%edi, %edi
	syscall
	.cfi_endproc
	.size _start, . - _start

	.type leaf_plain, @function
leaf_plain:
	.cfi_startproc
	lea	(%rdi,%rsi), %rax
	xor	$3, %rax
	ret
	.cfi_endproc
	.size leaf_plain, . - leaf_plain

	.type leaf_with_frame, @function
leaf_with_frame:
	.cfi_startproc
	push	%rdi
	.cfi_def_cfa_offset 16
	push	%rsi
	.cfi_def_cfa_offset 24
	pop	%rax
	.cfi_def_cfa_offset 16
	pop	%rdi
	.cfi_def_cfa_offset 8
	ret
	.cfi_endproc
	.size leaf_with_frame, . - leaf_with_frame

	.type calls_back, @function	# realigns its frame: the CFA is loaded
calls_back:
	.cfi_startproc
	push	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset 6, -16
	mov	%rsp, %rbp
	.cfi_def_cfa_register 6
	and	$-32, %rsp
	mov	%rdi, %rax
	mov	%rsi, %rdi
	call	*%rax
	leave
	.cfi_def_cfa 7, 8
	ret
	.cfi_endproc
	.size calls_back, . - calls_back

	.type system_call, @function
system_call:
	.cfi_startproc
	mov	%rdi, %rax
	mov	%rsi, %rdi
	mov	%rdx, %rsi
	mov	%rcx, %rdx
	mov	%r8, %r10
	syscall
	ret
	.cfi_endproc
	.size system_call, . - system_call

	nop
	.type restorer, @function
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

#ifdef SIGNALS
	.globl on_signal
	.type on_signal, @function
on_signal:
	.cfi_startproc
	nop
	jmp	handle_signal
	.cfi_endproc
	.size on_signal, . - on_signal
#endif
