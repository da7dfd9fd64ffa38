package main

import "github.com/heliopolis-raft/heliopolis/wal/vfs"

// noSync is a file system that claims to have made durable what it has not. What is left without the disk's part shows
// what the rest costs.
type noSync struct{ vfs.FS }

func (s noSync) Create(name string, mode vfs.Mode) (vfs.File, error) {
	return withoutSync(s.FS.Create(name, mode))
}

func (s noSync) Open(name string, mode vfs.Mode) (vfs.File, error) {
	return withoutSync(s.FS.Open(name, mode))
}

func (noSync) SyncDir(string) error { return nil }

func withoutSync(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return noSyncFile{f}, nil
}

// noSyncFile is a file of a noSync.
type noSyncFile struct{ vfs.File }

func (noSyncFile) Sync() error { return nil }

// IsDirect and Zero pass on what package vfs asks files for beside the interface.
func (f noSyncFile) IsDirect() bool { return vfs.IsDirect(f.File) }

// Zero writes zeros.
func (f noSyncFile) Zero(off, n int64) error { return vfs.Zero(f.File, off, n) }
