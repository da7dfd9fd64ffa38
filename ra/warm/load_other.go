//go:build !amd64 && !arm64

package warm

import "unsafe"

func load(unsafe.Pointer, uintptr) {}
