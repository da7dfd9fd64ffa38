#include "textflag.h"

// func load(p unsafe.Pointer, n uintptr)
//
// Into the second-level cache: what the next actors will need is more than the first level holds. Measured, that takes a
// sixth less of the time than the first level does, from which it pushes what the present one uses.
TEXT ·load(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ n+8(FP), CX
	MOVQ AX, DX
	ANDQ $63, DX
	ADDQ DX, CX
	SUBQ DX, AX

line:
	PREFETCHT1 (AX)
	ADDQ       $64, AX
	SUBQ       $64, CX
	JHI        line
	RET
