package fault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Injector answers chosen system calls of a process in place of the kernel, by a seccomp filter whose listener this
// process holds. Unlike strace, which counts the calls of each thread by itself, it sees the calls of all threads in one
// order, so that "the 17th sync, and all that follow" means the same whatever thread the scheduler chose; it needs no
// root; and a fault can end while the process runs.

// gateVariable is the environment variable that makes this very program install the filter and then become the worker.
const gateVariable = "HELIOPOLIS_TORTURE_GATE"

// gateSocket is the file descriptor over which the gate hands the listener to its parent.
const gateSocket = 3

// calls are the system calls that an Injector sees: all by which package vfs reaches the disk, except for reads of
// sizes and names, which do nothing that could be lost.
var calls = map[string][]uintptr{
	"open":    {unix.SYS_OPENAT},
	"mkdir":   {unix.SYS_MKDIRAT},
	"rename":  {unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2},
	"remove":  {unix.SYS_UNLINKAT},
	"write":   {unix.SYS_PWRITE64},
	"read":    {unix.SYS_PREAD64},
	"sync":    {unix.SYS_FDATASYNC},
	"syncdir": {unix.SYS_FSYNC},
	"list":    {unix.SYS_GETDENTS64},
	"async":   {unix.SYS_IO_SUBMIT, unix.SYS_IO_GETEVENTS},
}

// Calls returns the names of the calls that can be made to fail.
func Calls() []string {
	return []string{"open", "mkdir", "rename", "remove", "write", "read", "sync", "syncdir", "list", "async"}
}

// Fault says which calls are to go wrong, and how.
type Fault struct {
	// Call is one of Calls, and Below a directory: only calls on files in it, or on itself, count.
	Call, Below string
	// Nth is the first call that goes wrong, from 1, and Times how many do; 0 is all from then on, until End.
	Nth, Times int
	// Err is what a call that goes wrong fails with. If it is 0 the process is killed before the call, or, if Delay is not 0,
	// the call is late by that much.
	Err   unix.Errno
	Delay time.Duration
}

// String describes the fault in a word.
func (f *Fault) String() string {
	what := "kill"
	switch {
	case f.Err != 0:
		what = unix.ErrnoName(f.Err)
	case f.Delay != 0:
		what = "delay"
	}
	if f.Times == 0 && what != "kill" {
		what += "+"
	}
	return f.Call + " " + what
}

// Gate makes of this process what it was started for by Injector.Start, and does not return; in all other processes it
// does nothing. It must be called first thing in main.
func Gate() {
	names := os.Getenv(gateVariable)
	if names == "" {
		return
	}
	if err := gate(strings.Split(names, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "gate:", err)
		os.Exit(exitGate)
	}
}

// exitGate is the exit status of a process that could not install its filter.
const exitGate = 5

// gate installs the filter in this thread, hands the listener over, and becomes the program anew, with the filter.
func gate(names []string) error {
	runtime.LockOSThread()
	listener, err := install(names)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(gateSocket, []byte{0}, unix.UnixRights(listener), nil, 0); err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	unix.CloseOnExec(gateSocket)
	unix.CloseOnExec(listener)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Unsetenv(gateVariable); err != nil {
		return err
	}
	return unix.Exec(self, os.Args, os.Environ())
}

// install has this thread, and all that come of it, ask the holder of the descriptor that is returned.
func install(names []string) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, os.NewSyscallError("prctl", err)
	}
	program := filter(names)
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return 0, os.NewSyscallError("seccomp", errno)
	}
	return int(fd), nil
}

// filter is the program that picks the calls out by their numbers.
func filter(names []string) []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}} // the number, at offset 0
	for _, name := range names {
		for _, nr := range calls[name] {
			program = append(program,
				unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(nr)},
				unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
		}
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
}

// Injector is the faults of one process.
type Injector struct {
	fault Fault
	// own and child are the ends of the socket that the listener comes through.
	own, child *os.File

	mu     sync.Mutex
	seen   int
	struck int
	ended  bool
	cmd    *exec.Cmd
	queues map[uint64]bool // queues of asynchronous writes by their number: whether the last write was to a file below
	hit    chan struct{}   // closed when the fault strikes first
	done   chan struct{}   // closed when the process asks no more
}

// NewInjector prepares a fault for a process that is about to be started by cmd, which must run this program and call
// Gate. After cmd.Start, Serve must be called.
func NewInjector(f Fault, cmd *exec.Cmd) (*Injector, error) {
	if calls[f.Call] == nil {
		return nil, fmt.Errorf("fault: no call %q", f.Call)
	}
	below, err := filepath.Abs(f.Below)
	if err != nil {
		return nil, err
	}
	f.Below = below
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	i := &Injector{
		fault: f, own: os.NewFile(uintptr(pair[0]), "own"), child: os.NewFile(uintptr(pair[1]), "child"), cmd: cmd,
		queues: make(map[uint64]bool), hit: make(chan struct{}), done: make(chan struct{}),
	}
	cmd.ExtraFiles = []*os.File{i.child}
	cmd.Env = append(cmd.Env, gateVariable+"="+f.Call)
	return i, nil
}

// Serve takes the listener over and answers until the process is gone. It fails with ErrUnavailable if this machine has
// no such filters.
func (i *Injector) Serve() error {
	defer i.own.Close()
	if err := i.child.Close(); err != nil {
		return err
	}
	listener, err := receive(i.own)
	if err != nil {
		return fmt.Errorf("%w: seccomp filter with a listener: %w", ErrUnavailable, err)
	}
	go i.serve(listener)
	return nil
}

// receive reads a file descriptor from a socket.
func receive(socket *os.File) (int, error) {
	c, err := net.FileConn(socket)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := c.(*net.UnixConn).ReadMsgUnix(b[:], oob)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) == 0 {
		return 0, fmt.Errorf("no descriptor came: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// Hit returns what is closed when the fault has struck.
func (i *Injector) Hit() <-chan struct{} { return i.hit }

// Done returns what is closed when the process is gone.
func (i *Injector) Done() <-chan struct{} { return i.done }

// End ends the fault: all further calls succeed.
func (i *Injector) End() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = true
}

// Seen returns how many calls the fault could have struck, and how many it did.
func (i *Injector) Seen() (seen, struck int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.seen, i.struck
}

// notification and answer are struct seccomp_notif and struct seccomp_notif_resp.
type notification struct {
	id    uint64
	pid   uint32
	flags uint32
	nr    int32
	arch  uint32
	ip    uint64
	args  [6]uint64
}

type answer struct {
	id    uint64
	value int64
	err   int32
	flags uint32
}

// serve answers calls until there is nobody who makes any.
func (i *Injector) serve(listener int) {
	defer close(i.done)
	defer unix.Close(listener)
	for waiting(listener) {
		var n notification
		err := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n))
		switch {
		case err == nil:
			i.answer(listener, &n)
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOENT):
			return
		}
		// With ENOENT the thread was killed before its call could be looked at.
	}
}

// waiting waits until somebody asks, and reports false if nobody has the filter any more.
func waiting(listener int) bool {
	for {
		p := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		_, err := unix.Poll(p, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && p[0].Revents&unix.POLLIN != 0
	}
}

// answer lets a call through, or has it go wrong.
func (i *Injector) answer(listener int, n *notification) {
	a := answer{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if i.strikes(n) {
		switch {
		case i.fault.Err != 0:
			a.flags, a.err = 0, -int32(i.fault.Err)
		case i.fault.Delay != 0:
			go func() {
				time.Sleep(i.fault.Delay)
				_ = control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
			}()
			return
		default:
			_ = i.cmd.Process.Kill()
		}
	}
	// It fails if the process was killed meanwhile.
	_ = control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
}

// strikes counts a call, and reports whether it is to go wrong.
func (i *Injector) strikes(n *notification) bool {
	if !i.below(n) {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen++
	f := &i.fault
	if i.ended || i.seen < f.Nth || f.Times > 0 && i.seen >= f.Nth+f.Times {
		return false
	}
	if i.struck == 0 {
		close(i.hit)
	}
	i.struck++
	return true
}

// below reports whether a call is about a file below the directory of the fault. All calls have a descriptor as their
// first argument: of the file, or of the directory that the name is in. But asynchronous writes have it in memory, and who
// asks how they ended names their queue.
func (i *Injector) below(n *notification) bool {
	switch n.nr {
	case unix.SYS_IO_SUBMIT:
		fd, ok := submitted(n)
		i.queues[n.args[0]] = ok && i.belowFile(n.pid, fd)
		return i.queues[n.args[0]]
	case unix.SYS_IO_GETEVENTS:
		return i.queues[n.args[0]]
	}
	return i.belowFile(n.pid, int32(n.args[0]))
}

// belowFile reports whether a descriptor of the process is of a file below. A lock is none of the files that hold data.
func (i *Injector) belowFile(pid uint32, fd int32) bool {
	path, err := os.Readlink("/proc/" + strconv.Itoa(int(pid)) + "/fd/" + strconv.Itoa(int(fd)))
	if err != nil {
		return false
	}
	rest, ok := strings.CutPrefix(path, i.fault.Below)
	return ok && (rest == "" || rest[0] == '/') && !strings.HasSuffix(rest, "/LOCK")
}

// submitted returns the descriptor in the first of the blocks (struct iocb) that io_submit is given.
func submitted(n *notification) (fd int32, ok bool) {
	memory, err := os.Open("/proc/" + strconv.Itoa(int(n.pid)) + "/mem")
	if err != nil {
		return 0, false
	}
	defer memory.Close()
	var b [8]byte
	if _, err := memory.ReadAt(b[:], int64(n.args[2])); err != nil {
		return 0, false
	}
	if _, err := memory.ReadAt(b[:4], int64(binary.NativeEndian.Uint64(b[:]))+20); err != nil {
		return 0, false
	}
	return int32(binary.NativeEndian.Uint32(b[:4])), true
}

// control is an ioctl that is given a structure.
func control(fd int, request uintptr, p unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(p)); errno != 0 {
		return errno
	}
	return nil
}
