package vfs

import (
	"errors"
	"fmt"
	"io"
	"path"
	"sync"
)

// Op names an operation of a file system, for Errs.
type Op string

// The operations.
const (
	OpAny     Op = ""
	OpCreate  Op = "create"
	OpOpen    Op = "open"
	OpRename  Op = "rename"
	OpRemove  Op = "remove"
	OpMkdir   Op = "mkdir"
	OpList    Op = "list"
	OpSyncDir Op = "syncdir"
	OpLock    Op = "lock"
	OpRead    Op = "read"
	OpWrite   Op = "write"
	OpZero    Op = "zero"
	OpSync    Op = "sync"
	OpSize    Op = "size"
	OpClose   Op = "close"
)

// Changes reports whether the operation may change what is on the disk. A crash between two that do not is like one before
// both.
func (o Op) Changes() bool {
	switch o {
	case OpOpen, OpList, OpLock, OpRead, OpSize, OpClose:
		return false
	}
	return true
}

// ErrInjected is what a fault returns that names no other error.
var ErrInjected = errors.New("vfs: injected error")

// Fault makes operations fail.
type Fault struct {
	// Op and Name select operations: Name is a pattern for the base name, as path.Match has them; "" is every name.
	Op   Op
	Name string
	// From and To select reads and writes that touch a byte from From on and below To; if both are 0, all.
	From, To int64
	// After is how many such operations succeed first, and Times how many then fail; 0 is all.
	After, Times int
	// Err is returned, ErrInjected if nil.
	Err error
	// Short makes a failing write leave the first half behind.
	Short bool

	seen int
}

// span is the part of a file that an operation is about.
type span struct{ from, to int64 }

// hits reports whether the fault strikes this operation on that part of a file, and counts it.
func (f *Fault) hits(op Op, name string, part span) bool {
	if f.Op != OpAny && f.Op != op {
		return false
	}
	if f.To != 0 && (part.from >= f.To || part.to <= f.From) {
		return false
	}
	if f.Name != "" {
		if ok, err := path.Match(f.Name, path.Base(name)); err != nil || !ok {
			return false
		}
	}
	f.seen++
	return f.seen > f.After && (f.Times == 0 || f.seen <= f.After+f.Times)
}

// Errs is a file system that fails on demand and counts what is done. A sync that fails takes what was written with it,
// as Linux does: it stays visible, but never reaches the disk, and the next sync succeeds.
type Errs struct {
	fs FS

	mu     sync.Mutex
	faults []*Fault
	count  int
	struck int
	tracer func(op Op, name string)
	judge  func(op Op, name string) *Fault
}

// NewErrs returns a file system that does what inner does until a fault is injected.
func NewErrs(inner FS) *Errs { return &Errs{fs: inner} }

// Inject adds a fault; those before stay.
func (e *Errs) Inject(f Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, &f)
}

// Heal removes all faults.
func (e *Errs) Heal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = nil
}

// Count returns the number of operations so far, those that failed included.
func (e *Errs) Count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.count
}

// Struck returns the number of operations so far that failed because of a fault.
func (e *Errs) Struck() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.struck
}

// Trace has f called for every operation from now on, before it happens.
func (e *Errs) Trace(f func(op Op, name string)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tracer = f
}

// Judge has f asked at every operation from now on, before it happens, what becomes of it: a fault strikes it, of which
// only Err and Short count; nil leaves it to the injected faults. f may itself inject some.
func (e *Errs) Judge(f func(op Op, name string) *Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.judge = f
}

// strike counts the operation and returns the fault that strikes it, if any.
func (e *Errs) strike(op Op, name string, part span) *Fault {
	judged := e.asked(op, name)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	if e.tracer != nil {
		e.tracer(op, name)
	}
	if judged != nil {
		e.struck++
		return judged
	}
	for _, f := range e.faults {
		if f.hits(op, name, part) {
			e.struck++
			return f
		}
	}
	return nil
}

// asked returns what the judge says of the operation.
func (e *Errs) asked(op Op, name string) *Fault {
	e.mu.Lock()
	judge := e.judge
	e.mu.Unlock()
	if judge == nil {
		return nil
	}
	return judge(op, name)
}

// check returns the error that strikes the operation, if any.
func (e *Errs) check(op Op, name string) error {
	return e.checkPart(op, name, span{})
}

func (e *Errs) checkPart(op Op, name string, part span) error {
	if f := e.strike(op, name, part); f != nil {
		return f.error(op, name)
	}
	return nil
}

func (f *Fault) error(op Op, name string) error {
	err := f.Err
	if err == nil {
		err = ErrInjected
	}
	return fmt.Errorf("%s %s: %w", op, name, err)
}

// Create implements Files.
func (e *Errs) Create(name string, mode Mode) (File, error) {
	if err := e.check(OpCreate, name); err != nil {
		return nil, err
	}
	return e.wrap(name)(e.fs.Create(name, mode))
}

// Open implements Files.
func (e *Errs) Open(name string, mode Mode) (File, error) {
	if err := e.check(OpOpen, name); err != nil {
		return nil, err
	}
	return e.wrap(name)(e.fs.Open(name, mode))
}

// wrap lets the faults reach an opened file too.
func (e *Errs) wrap(name string) func(File, error) (File, error) {
	return func(f File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &errsFile{File: f, e: e, name: name}, nil
	}
}

// Rename implements Files.
func (e *Errs) Rename(old, new string) error {
	if err := e.check(OpRename, new); err != nil {
		return err
	}
	return e.fs.Rename(old, new)
}

// Remove implements Files.
func (e *Errs) Remove(name string) error {
	if err := e.check(OpRemove, name); err != nil {
		return err
	}
	return e.fs.Remove(name)
}

// MkdirAll implements Dirs.
func (e *Errs) MkdirAll(name string) error {
	if err := e.check(OpMkdir, name); err != nil {
		return err
	}
	return e.fs.MkdirAll(name)
}

// List implements Dirs.
func (e *Errs) List(dir string) ([]string, error) {
	if err := e.check(OpList, dir); err != nil {
		return nil, err
	}
	return e.fs.List(dir)
}

// SyncDir implements Dirs.
func (e *Errs) SyncDir(dir string) error {
	if err := e.check(OpSyncDir, dir); err != nil {
		return err
	}
	return e.fs.SyncDir(dir)
}

// Lock implements Dirs.
func (e *Errs) Lock(name string) (io.Closer, error) {
	if err := e.check(OpLock, name); err != nil {
		return nil, err
	}
	return e.fs.Lock(name)
}

// errsFile is a file whose operations may be struck.
type errsFile struct {
	File
	e    *Errs
	name string
}

func (f *errsFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.e.checkPart(OpRead, f.name, span{off, off + int64(len(b))}); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

func (f *errsFile) WriteAt(b []byte, off int64) (int, error) {
	fault := f.e.strike(OpWrite, f.name, span{off, off + int64(len(b))})
	if fault == nil {
		return f.File.WriteAt(b, off)
	}
	n := 0
	if fault.Short {
		n, _ = f.File.WriteAt(b[:len(b)/2], off)
	}
	return n, fault.error(OpWrite, f.name)
}

// Zero implements what the function Zero looks for.
func (f *errsFile) Zero(off, n int64) error {
	if err := f.e.check(OpZero, f.name); err != nil {
		return err
	}
	return Zero(f.File, off, n)
}

func (f *errsFile) Sync() error {
	err := f.e.check(OpSync, f.name)
	if err == nil {
		return f.File.Sync()
	}
	if d, ok := f.File.(interface{ DropUnsynced() }); ok {
		d.DropUnsynced()
	}
	return err
}

func (f *errsFile) Size() (int64, error) {
	if err := f.e.check(OpSize, f.name); err != nil {
		return 0, err
	}
	return f.File.Size()
}

// Close closes the file even if it is struck, as the system does.
func (f *errsFile) Close() error {
	err := f.e.check(OpClose, f.name)
	return errors.Join(err, f.File.Close())
}

// IsDirect tells what IsDirect of the inner file tells.
func (f *errsFile) IsDirect() bool { return IsDirect(f.File) }
