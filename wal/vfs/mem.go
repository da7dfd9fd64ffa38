package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// Mem is a file system in memory that can crash: it knows which blocks and which names are durable. It is sparse, so
// that zeroed files cost nothing.
type Mem struct {
	mu       sync.Mutex
	files    map[string]*inode // as processes see them
	durable  map[string]*inode // as they are on the disk
	pending  []nameChange      // what separates the two, in order
	dirs     map[string]bool   // directories are durable at once: MkdirAll syncs them
	locked   map[string]bool
	capacity int64 // bytes in all files together, 0 = unlimited
	owner    *int  // who may write to a page's memory in place; a copy of the file system has another owner
	inodes   int
}

// nameChange is one change of directories: the name old goes away ("" if none does), and the name new stands for node
// (nil: for nothing).
type nameChange struct {
	old, new string
	node     *inode
}

// touches reports whether the change is one of directory dir.
func (c *nameChange) touches(dir string) bool {
	return c.old != "" && path.Dir(c.old) == dir || c.new != "" && path.Dir(c.new) == dir
}

// apply makes the change in a set of names.
func (c *nameChange) apply(names map[string]*inode) {
	if c.old != "" {
		delete(names, c.old)
	}
	if c.new != "" {
		names[c.new] = c.node
	}
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{
		files: make(map[string]*inode), durable: make(map[string]*inode), dirs: map[string]bool{".": true},
		locked: make(map[string]bool), owner: new(int),
	}
}

// SetCapacity bounds the bytes in all files together; writes beyond fail with ENOSPC. 0 lifts the bound.
func (m *Mem) SetCapacity(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = n
}

// Used returns the bytes in all files together, which SetCapacity bounds.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used()
}

func (m *Mem) used() (n int64) {
	for _, node := range m.files {
		n += node.size
	}
	return n
}

// Create implements Files.
func (m *Mem) Create(name string, _ Mode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkDir(name); err != nil {
		return nil, err
	}
	if m.files[name] != nil || m.dirs[name] {
		return nil, &fs.PathError{Op: "create", Path: name, Err: ErrExist}
	}
	m.inodes++
	node := &inode{id: m.inodes}
	m.change(nameChange{new: name, node: node})
	return &memFile{m: m, node: node}, nil
}

// Open implements Files.
func (m *Mem) Open(name string, _ Mode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	node := m.files[name]
	if node == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: ErrNotExist}
	}
	return &memFile{m: m, node: node}, nil
}

// Rename implements Files.
func (m *Mem) Rename(old, new string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkDir(new); err != nil {
		return err
	}
	node := m.files[old]
	if node == nil || m.dirs[new] {
		return &fs.PathError{Op: "rename", Path: old, Err: ErrNotExist}
	}
	m.change(nameChange{old: old, new: new, node: node})
	return nil
}

// Remove implements Files.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: ErrNotExist}
	}
	m.change(nameChange{old: name})
	return nil
}

// change makes a change visible; it is not durable yet.
func (m *Mem) change(c nameChange) {
	c.apply(m.files)
	m.pending = append(m.pending, c)
}

// checkDir fails unless the directory that is to hold name exists.
func (m *Mem) checkDir(name string) error {
	if name != path.Clean(name) || strings.HasPrefix(name, "../") || path.IsAbs(name) {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if !m.dirs[path.Dir(name)] {
		return &fs.PathError{Op: "open", Path: path.Dir(name), Err: ErrNotExist}
	}
	return nil
}

// MkdirAll implements Dirs.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ; !m.dirs[name]; name = path.Dir(name) {
		if m.files[name] != nil {
			return &fs.PathError{Op: "mkdir", Path: name, Err: ErrExist}
		}
		m.dirs[name] = true
	}
	return nil
}

// List implements Dirs.
func (m *Mem) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: ErrNotExist}
	}
	var names []string
	for name := range m.files {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	for name := range m.dirs {
		if name != "." && path.Dir(name) == dir {
			names = append(names, path.Base(name)+"/")
		}
	}
	sort.Strings(names)
	return names, nil
}

// SyncDir implements Dirs.
func (m *Mem) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.dirs[dir] {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: ErrNotExist}
	}
	rest := m.pending[:0]
	for _, c := range m.pending {
		if c.touches(dir) {
			c.apply(m.durable)
		} else {
			rest = append(rest, c)
		}
	}
	clear(m.pending[len(rest):])
	m.pending = rest
	return nil
}

// Lock implements Dirs. A crash lets go of all locks.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.checkDir(name); err != nil {
		return nil, err
	}
	if m.locked[name] {
		return nil, fmt.Errorf("%w: %s", ErrLocked, name)
	}
	if m.files[name] == nil {
		m.inodes++
		m.change(nameChange{new: name, node: &inode{id: m.inodes}})
	}
	m.locked[name] = true
	return &memLock{m: m, name: name}, nil
}

// memLock is a lock that is held.
type memLock struct {
	m    *Mem
	name string
	once sync.Once
}

// Close lets go of the lock.
func (l *memLock) Close() error {
	l.once.Do(func() {
		l.m.mu.Lock()
		defer l.m.mu.Unlock()
		delete(l.m.locked, l.name)
	})
	return nil
}

// grow accounts for a file that grows by n bytes.
func (m *Mem) grow(n int64) error {
	if m.capacity == 0 {
		return nil
	}
	if m.used()+n > m.capacity {
		return syscall.ENOSPC
	}
	return nil
}

// memFile is an open file of a Mem.
type memFile struct {
	m      *Mem
	node   *inode
	closed bool
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed || off < 0 {
		return 0, fs.ErrClosed
	}
	return f.node.read(b, off)
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed || off < 0 {
		return 0, fs.ErrClosed
	}
	if end := off + int64(len(b)); end > f.node.size {
		if err := f.m.grow(end - f.node.size); err != nil {
			return 0, err
		}
	}
	f.node.write(b, off, f.m.owner)
	return len(b), nil
}

// Zero is the sparse form of writing zeros.
func (f *memFile) Zero(off, n int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	if end := off + n; end > f.node.size {
		if err := f.m.grow(end - f.node.size); err != nil {
			return err
		}
	}
	f.node.zero(off, n)
	return nil
}

func (f *memFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.node.sync()
	return nil
}

// DropUnsynced is what a failed sync does to the page cache: what was written stays visible, counts as clean, and never
// reaches the disk.
func (f *memFile) DropUnsynced() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.node.drop()
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.node.size, nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}
