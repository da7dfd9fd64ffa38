//go:build !linux || !(amd64 || arm64)

package vfs

import "os"

// async is nothing here: every write occupies a processor until it has ended.
type async struct{}

func (*async) of(*os.File) *async                             { return nil }
func (*async) writeSync(f *osFile, b []byte, off int64) error { return writeThenSync(f, b, off) }
func (*async) close()                                         {}
func (*async) alwaysOn()                                      {}
