//go:build amd64 || arm64

package vfs

import (
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// async writes files durably without occupying a processor meanwhile.
//
// A goroutine in a system call keeps its processor (a P of the runtime's) from all others until a monitor takes it away,
// which is 20 µs to 10 ms later. Three logs that wait for their disks thus stop a program on two processors. Here the
// kernel takes the write (io_submit, with RWF_DSYNC for the sync), the goroutine sleeps, and the runtime's poller wakes it
// when an eventfd says that the write has ended.
//
// Asleep a goroutine comes back some 10 µs later than it would from a system call, and a log that has written a batch
// sooner writes smaller ones. So this is for disks, and batches, that take their time: see worthIt.
//
// It does one write at a time; that is enough for the log, which its directory has one of. The zero value is ready for use.
type async struct {
	mu     sync.Mutex
	usual  time.Duration // of a write in the ordinary way
	always bool          // it is worth it, whatever is usual
	turn   int           // counts writes while another way is worth it
	state  asyncState
	ctx    uintptr  // aio_context_t
	event  *os.File // the eventfd
	signal uint32   // its descriptor; to ask event for it would make it a blocking one
	conn   syscall.RawConn
	wait   func(uintptr) bool // step, which would be allocated anew each time

	// Of the write under way.
	block     controlBlock
	blocks    [1]*controlBlock // what io_submit is given
	ended     ioEvent
	submitted bool
	refusal   syscall.Errno // of io_submit
	errno     syscall.Errno
}

type asyncState uint8

const (
	asyncUntried asyncState = iota
	asyncReady
	asyncUnusable // this system has no such thing, or it has failed, or it was closed
)

// controlBlock is struct iocb, ioEvent struct io_event.
type controlBlock struct {
	_       uint64 // data
	key     uint64 // has rwFlags as its upper half
	opcode  uint16
	_       int16 // priority
	fd      uint32
	buf     unsafe.Pointer
	bytes   uint64
	offset  int64
	_       uint64 // reserved
	flags   uint32
	eventfd uint32
}

type ioEvent struct {
	_, _   uint64 // data, object
	result int64
	_      int64 // result2
}

// What the kernel calls IOCB_CMD_PWRITE, IOCB_FLAG_RESFD, RWF_DSYNC and EFD_CLOEXEC|EFD_NONBLOCK; noSuchFlag is none of RWF_*.
const (
	commandWrite  = 1
	signalEvent   = 1
	rwSync        = 0x2
	noSuchFlag    = 1 << 30
	eventfdFlags  = syscall.O_CLOEXEC | syscall.O_NONBLOCK
	rwFlagsOffset = 32 // bits
)

// The file systems, as statfs calls them, that are known to have synced a write with RWF_DSYNC when it has ended. FUSE passes
// the flag on to a daemon that need not know it, and sends none of the requests that fdatasync would be. Nothing that can be asked
// tells such a file system from one that obeys.
const (
	typeExt = 0xef53 // ext4
	typeXFS = 0x58465342
)

// of returns a if f, which is direct, may be written by it, nil otherwise.
func (a *async) of(f *os.File) *async {
	var s syscall.Statfs_t
	err := syscall.Fstatfs(int(f.Fd()), &s)
	runtime.KeepAlive(f)
	if err != nil || s.Type != typeExt && s.Type != typeXFS {
		return nil
	}
	return a
}

// writeSync is osFile.WriteSync, in whichever way is worth it.
func (a *async) writeSync(f *osFile, b []byte, off int64) error {
	if !a.mu.TryLock() {
		return writeThenSync(f, b, off)
	}
	defer a.mu.Unlock()
	if a.worthIt() {
		if done, err := a.write(f.f, b, off); done {
			return err
		}
	}
	if a.usual < long/2 {
		if a.turn++; a.turn%seldom != 0 {
			return writeThenSync(f, b, off)
		}
	}
	began := time.Now()
	err := writeThenSync(f, b, off)
	a.learn(time.Since(began))
	return err
}

// seldom is how seldom the time of a write is taken while they are so quick that nothing hangs on it.
const seldom = 4

// long is from how long on a write and sync in the ordinary way are worth another way. Measured: at 60 to 90 µs each, small
// batches on a fast disk, the ordinary way is up to 9 % faster; at 150 µs and more the other one, and on a slow disk by far.
const long = 130 * time.Microsecond

// ordinary is how seldom a write goes the ordinary way all the same, so that it is known how long that takes.
const ordinary = 16

// worthIt says whether the next write is to be an asynchronous one.
func (a *async) worthIt() bool {
	switch {
	case a.always:
		return true
	case a.state == asyncUnusable || a.usual <= long:
		return false
	}
	a.turn++
	return a.turn%ordinary != 0
}

// learn takes note how long a write took in the ordinary way. What is usual is about the median: that is not moved by
// single ones that take a hundred times as long, as disks have them.
func (a *async) learn(took time.Duration) {
	if took > a.usual {
		a.usual += a.usual/ordinary + time.Microsecond
	} else {
		a.usual -= a.usual / ordinary
	}
}

// write writes b, which is aligned, at off. It reports false if that has to be done in another way: then nothing, or only a
// part, was written.
func (a *async) write(f *os.File, b []byte, off int64) (done bool, err error) {
	if len(b) == 0 {
		return false, nil
	}
	fd := f.Fd()
	if a.state == asyncUntried {
		a.setUp(fd)
	}
	if a.state != asyncReady {
		return false, nil
	}
	a.fill(fd, b, off, rwSync)
	if err := a.conn.Read(a.wait); err != nil && a.errno == 0 {
		a.errno = syscall.EIO // the poller gave up: nobody knows
	}
	n := a.ended.result
	a.block.buf = nil
	runtime.KeepAlive(f)
	switch {
	case a.refusal != 0 || n == -int64(syscall.EINTR):
		return false, nil
	case a.errno != 0:
		// What became of the write is unknown, and it may go on: b must not be touched before it has ended.
		err := a.errno
		a.tearDown()
		return true, &fs.PathError{Op: "write", Path: f.Name(), Err: err}
	case n < 0:
		return true, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.Errno(-n)}
	}
	return n == int64(len(b)), nil
}

func (a *async) fill(fd uintptr, b []byte, off int64, rwFlags uint64) {
	a.block = controlBlock{
		key: rwFlags << rwFlagsOffset, opcode: commandWrite, fd: uint32(fd), buf: unsafe.Pointer(unsafe.SliceData(b)), bytes: uint64(len(b)),
		offset: off, flags: signalEvent, eventfd: a.signal,
	}
	a.ended, a.submitted, a.refusal, a.errno = ioEvent{}, false, 0, 0
}

// step is called until it returns true, at first and whenever the eventfd may have been signalled. The write is submitted in
// here, since what is signalled before the poller looks would be missed.
func (a *async) step(uintptr) bool {
	if !a.submitted {
		a.submitted = true
		_, _, a.refusal = syscall.Syscall(syscall.SYS_IO_SUBMIT, a.ctx, 1, uintptr(unsafe.Pointer(&a.blocks)))
		return a.refusal != 0
	}
	var now syscall.Timespec
	n, _, errno := syscall.Syscall6(syscall.SYS_IO_GETEVENTS, a.ctx, 0, 1, uintptr(unsafe.Pointer(&a.ended)), uintptr(unsafe.Pointer(&now)), 0)
	if errno == syscall.EINTR {
		return false
	}
	a.errno = errno
	return errno != 0 || n == 1
}

// setUp makes ready what the first write needs, and looks whether the system does what it is told.
func (a *async) setUp(fd uintptr) {
	a.state = asyncUnusable
	if _, _, errno := syscall.Syscall(syscall.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&a.ctx)), 0); errno != 0 {
		return
	}
	event, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, uintptr(eventfdFlags), 0)
	if errno != 0 {
		a.tearDown()
		return
	}
	a.event, a.signal = os.NewFile(event, "eventfd"), uint32(event)
	conn, err := a.event.SyscallConn()
	// A deadline can be set where the poller has taken the eventfd, and nowhere else.
	if err != nil || a.event.SetReadDeadline(time.Time{}) != nil || !a.obeys(fd) {
		a.tearDown()
		return
	}
	a.conn, a.wait, a.state = conn, a.step, asyncReady
}

// obeys reports whether the system heeds the flags of a write. One that takes a flag that there is not would pass over
// RWF_DSYNC likewise, and nothing would be durable.
func (a *async) obeys(fd uintptr) bool {
	a.blocks[0] = &a.block
	a.fill(fd, nil, 0, noSuchFlag)
	return a.step(0) && (a.refusal == syscall.EOPNOTSUPP || a.refusal == syscall.EINVAL)
}

// tearDown gives back what setUp took. It waits for a write under way.
func (a *async) tearDown() {
	a.state = asyncUnusable
	if a.ctx != 0 {
		_, _, _ = syscall.Syscall(syscall.SYS_IO_DESTROY, a.ctx, 0, 0)
		a.ctx = 0
	}
	if a.event != nil {
		_ = a.event.Close()
		a.event = nil
	}
}

// close ends it; later writes are done in another way.
func (a *async) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tearDown()
}

func (a *async) alwaysOn() { a.always = true }
