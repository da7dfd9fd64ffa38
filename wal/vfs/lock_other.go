//go:build !unix

package vfs

import "os"

const noWaitFlag = 0

// lockFile does nothing where the system has no flock: two processes on one directory then go unnoticed.
func lockFile(*os.File) error { return nil }

func isLocked(error) bool { return false }
