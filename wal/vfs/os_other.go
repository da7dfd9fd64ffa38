//go:build !linux

package vfs

import "os"

// directFlag is 0 where there is no direct I/O, or none that behaves like Linux's.
const directFlag = 0

func refusesDirect(error) bool { return false }

func syncData(f *os.File) error { return f.Sync() }
