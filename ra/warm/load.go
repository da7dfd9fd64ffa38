//go:build amd64 || arm64

package warm

import "unsafe"

// load asks for the lines of n bytes at p, n > 0. It never faults.
//
//go:noescape
func load(p unsafe.Pointer, n uintptr)
