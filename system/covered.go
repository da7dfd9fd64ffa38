package system

import (
	"io"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// covered is the file system as the parts of a node see it: the node's lock covers what they would lock themselves.
//
// While over is set it ends everything as soon as that returns an error, as a crash at that moment would: nothing can be
// read any more, nor any name be changed. So to give up opening a node harms it as little as a crash, also if what could
// not be read was taken for damaged. over must not change while the file system is in use.
type covered struct {
	fs   vfs.FS
	over func() error
}

func (c *covered) ended() error {
	if c.over == nil {
		return nil
	}
	return c.over()
}

// Lock has nothing to do.
func (*covered) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

// Create implements vfs.FS.
func (c *covered) Create(name string, mode vfs.Mode) (vfs.File, error) {
	if err := c.ended(); err != nil {
		return nil, err
	}
	return c.fs.Create(name, mode)
}

// Open implements vfs.FS. Files for direct I/O are those that are written.
func (c *covered) Open(name string, mode vfs.Mode) (vfs.File, error) {
	if err := c.ended(); err != nil {
		return nil, err
	}
	f, err := c.fs.Open(name, mode)
	if err != nil || c.over == nil || mode == vfs.Direct {
		return f, err
	}
	return &coveredFile{File: f, fs: c}, nil
}

// Rename implements vfs.FS.
func (c *covered) Rename(old, new string) error {
	if err := c.ended(); err != nil {
		return err
	}
	return c.fs.Rename(old, new)
}

// Remove implements vfs.FS.
func (c *covered) Remove(name string) error {
	if err := c.ended(); err != nil {
		return err
	}
	return c.fs.Remove(name)
}

// MkdirAll implements vfs.FS.
func (c *covered) MkdirAll(name string) error {
	if err := c.ended(); err != nil {
		return err
	}
	return c.fs.MkdirAll(name)
}

// List implements vfs.FS.
func (c *covered) List(dir string) ([]string, error) {
	if err := c.ended(); err != nil {
		return nil, err
	}
	return c.fs.List(dir)
}

// SyncDir implements vfs.FS.
func (c *covered) SyncDir(dir string) error {
	if err := c.ended(); err != nil {
		return err
	}
	return c.fs.SyncDir(dir)
}

// coveredFile is a file that was opened while over was set.
type coveredFile struct {
	vfs.File
	fs *covered
}

// ReadAt implements vfs.File.
func (f *coveredFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.ended(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}
