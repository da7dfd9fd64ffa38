#include "textflag.h"

// func load(p unsafe.Pointer, n uintptr)
//
// Into the second-level cache, as on amd64.
TEXT ·load(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD n+8(FP), R1
	AND  $63, R0, R2
	ADD  R2, R1
	SUB  R2, R0

line:
	PRFM (R0), PLDL2KEEP
	ADD  $64, R0
	SUBS $64, R1
	BHI  line
	RET
