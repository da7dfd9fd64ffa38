package vfs

import "unsafe"

// AlignedBuffer returns n zero bytes that start at a multiple of BlockSize in memory, as direct I/O needs it. The
// capacity is n too, so that an append cannot leave the aligned memory unnoticed.
func AlignedBuffer(n int) []byte {
	b := make([]byte, n+BlockSize)
	skip := 0
	if rest := int(uintptr(unsafe.Pointer(unsafe.SliceData(b))) % BlockSize); rest != 0 {
		skip = BlockSize - rest
	}
	return b[skip : skip+n : skip+n]
}
