// What GNU as 2.46 to 2.47.50 writes as a corrupt flexible descriptor: x29 saved by an expression of sp.
	.text
	.type corrupt, %function
corrupt: .cfi_startproc
	sub	sp, sp, #32
	.cfi_def_cfa_offset 32
	.cfi_escape 0x10,29,2,0x8f,8
	nop
	add	sp, sp, #32
	.cfi_def_cfa_offset 0
	ret
	.cfi_endproc
	.size corrupt, . - corrupt
