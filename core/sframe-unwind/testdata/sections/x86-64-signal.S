# A signal frame that cannot be represented: a descriptor without rows, which is not an outermost frame.
	.text
	.type unrepresentable, @function
unrepresentable:
	.cfi_startproc
	.cfi_signal_frame
	.cfi_escape 0x0f,6,0x77,0xa0,0x1,0x6,0x23,0x0
	nop
	.cfi_endproc
	.size unrepresentable, . - unrepresentable
