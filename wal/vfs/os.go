package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sort"
)

// Permissions of everything that OS makes: only the owner may look.
const (
	filePerm fs.FileMode = 0o600
	dirPerm  fs.FileMode = 0o700
)

// ErrLocked says that somebody else holds the lock file, most likely another process that has the directory open.
var ErrLocked = errors.New("vfs: locked by another process")

// OS is the operating system's file system below one directory, which no name and no symbolic link can leave.
type OS struct {
	root  *os.Root
	async async
}

// OpenOS opens the directory dir, which it makes if it does not exist, as the root of a file system.
func OpenOS(dir string) (*OS, error) {
	if err := os.MkdirAll(dir, dirPerm); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &OS{root: root}, nil
}

// Close lets go of the root directory. Open files stay open.
func (o *OS) Close() error {
	o.async.close()
	return o.root.Close()
}

// AlwaysAsync has WriteSync occupy no processor wherever that is possible, also where the disk is so fast that the ordinary
// way is faster. It is for tests, and must be called before anything is written.
func (o *OS) AlwaysAsync() { o.async.alwaysOn() }

// Create implements Files.
func (o *OS) Create(name string, mode Mode) (File, error) {
	return o.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
}

// Open implements Files.
func (o *OS) Open(name string, mode Mode) (File, error) { return o.open(name, os.O_RDWR, mode) }

// open tries direct I/O if it is asked for, and falls back to the page cache where the file system refuses it (tmpfs,
// some FUSE and network file systems).
func (o *OS) open(name string, flags int, mode Mode) (File, error) {
	if mode == Direct && directFlag != 0 {
		f, err := o.root.OpenFile(name, flags|directFlag, filePerm)
		if err == nil {
			return &osFile{f: f, direct: true, async: o.async.of(f)}, nil
		}
		if !refusesDirect(err) {
			return nil, err
		}
		// A refused open may have made the file already.
		flags &^= os.O_EXCL
	}
	f, err := o.root.OpenFile(name, flags, filePerm)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f}, nil
}

// Rename implements Files.
func (o *OS) Rename(old, new string) error { return o.root.Rename(old, new) }

// Remove implements Files.
func (o *OS) Remove(name string) error { return o.root.Remove(name) }

// MkdirAll implements Dirs.
func (o *OS) MkdirAll(name string) error {
	if name == "." || name == "/" { // all else that is not below the root is refused
		return nil
	}
	parent := path.Dir(name)
	if err := o.MkdirAll(parent); err != nil {
		return err
	}
	err := o.root.Mkdir(name, dirPerm)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.SyncDir(parent)
}

// openDir opens a directory. What has its name may be a pipe, and nobody is to wait for that to be written to: it is no
// directory, as the first use of it shows.
func (o *OS) openDir(name string) (*os.File, error) {
	return o.root.OpenFile(name, os.O_RDONLY|noWaitFlag, 0)
}

// List implements Dirs.
func (o *OS) List(dir string) ([]string, error) {
	d, err := o.openDir(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type()&fs.ModeType&^fs.ModeSymlink != 0 {
			names = append(names, e.Name()+"/")
			continue
		}
		names = append(names, e.Name())
	}
	sort.Strings(names)
	return names, nil
}

// SyncDir implements Dirs.
func (o *OS) SyncDir(dir string) error {
	d, err := o.openDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Lock implements Dirs. It locks the file's directory, too, where the file system can do that: whoever removes the file
// does not let another one in.
func (o *OS) Lock(name string) (io.Closer, error) {
	f, err := o.root.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrLocked, name, err), f.Close())
	}
	dir, err := o.openDir(path.Dir(name))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := lockFile(dir); isLocked(err) {
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrLocked, path.Dir(name), err), dir.Close(), f.Close())
	}
	return &osLock{file: f, dir: dir}, nil
}

// osLock is a lock file with its directory.
type osLock struct{ file, dir *os.File }

// Close ends the lock.
func (l *osLock) Close() error { return errors.Join(l.dir.Close(), l.file.Close()) }

// osFile is a file of the operating system. It is direct if it goes round the page cache; async is set if it is, and can
// besides be written asynchronously.
type osFile struct {
	f      *os.File
	direct bool
	async  *async
}

func (f *osFile) ReadAt(b []byte, off int64) (int, error)  { return f.f.ReadAt(b, off) }
func (f *osFile) WriteAt(b []byte, off int64) (int, error) { return f.f.WriteAt(b, off) }
func (f *osFile) Close() error                             { return f.f.Close() }
func (f *osFile) IsDirect() bool                           { return f.direct }
func (f *osFile) Sync() error                              { return syncData(f.f) }

// WriteSync does what the function of that name says.
func (f *osFile) WriteSync(b []byte, off int64) error {
	if f.async != nil {
		return f.async.writeSync(f, b, off)
	}
	return writeThenSync(f, b, off)
}

func (f *osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
