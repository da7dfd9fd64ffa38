package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Volume is a file system on a loop device over a sparse image, for one campaign alone.
type Volume struct {
	// Dir is where it is mounted.
	Dir    string
	kind   string
	image  string
	device string
}

// makers are how file systems are made on a device, and the packages that have the tools.
var makers = map[string]struct {
	tool, pkg string
	args      []string
}{
	"ext4": {"mkfs.ext4", "e2fsprogs", []string{"-q", "-F", "-b", "4096"}},
	"xfs":  {"mkfs.xfs", "xfsprogs", []string{"-q", "-f"}},
}

// NewVolume makes a file system of that kind, ext4 or xfs, in an image of size bytes, and mounts it at dir, which it
// makes. Close must be called.
func NewVolume(kind, image, dir string, size int64) (*Volume, error) {
	m, ok := makers[kind]
	if !ok {
		return nil, fmt.Errorf("fault: no file system %q", kind)
	}
	if err := errors.Join(NeedRoot(), Need(m.tool, m.pkg), Need("losetup", "mount")); err != nil {
		return nil, err
	}
	v := &Volume{Dir: dir, kind: kind, image: image}
	if err := v.attach(size); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	err := command(m.tool, append(m.args, v.device)...)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = v.Mount()
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// attach makes the image and a device of it.
func (v *Volume) attach(size int64) error {
	f, err := os.OpenFile(v.image, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	if v.device, err = output("losetup", "--find", "--show", v.image); err != nil {
		return fmt.Errorf("%w: no loop device: %w", ErrUnavailable, err)
	}
	return nil
}

// Mount mounts the file system, which replays its journal.
func (v *Volume) Mount() error { return command("mount", "-t", v.kind, v.device, v.Dir) }

// Unmount unmounts it. Who used it a moment ago may take that long to let go.
func (v *Volume) Unmount() error {
	var err error
	for range 50 {
		if err = unix.Unmount(v.Dir, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return os.NewSyscallError("umount", err)
}

// Check repairs the file system as a machine does before it mounts one after a crash.
func (v *Volume) Check() error {
	if v.kind != "ext4" {
		return nil // the journal does all
	}
	_, err := output("e2fsck", "-f", "-y", v.device)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil // errors were corrected
	}
	return err
}

// Honest has every write to the disk be of one page. The loop driver takes it for a success if the file system below had
// room for the beginning of a write only, and drops the rest; a page has room or has not.
func (v *Volume) Honest() error {
	queue := filepath.Join("/sys/block", filepath.Base(v.device), "queue/max_sectors_kb")
	return os.WriteFile(queue, []byte("4"), 0)
}

// How a Cut treats what the journal of the file system has not written yet: cutNow loses it, cutAfterLog writes it first.
const (
	shutdownRequest = 0x8004587d // FS_IOC_SHUTDOWN of XFS, ext4 and f2fs
	cutAfterLog     = 1
	cutNow          = 2
)

// Cut cuts the file system off in this moment: whatever was not synced is lost, and every further operation fails. With
// log the journal is written first, so that more of what was not synced survives than need.
func (v *Volume) Cut(log bool) error {
	d, err := os.Open(v.Dir)
	if err != nil {
		return err
	}
	how := cutNow
	if log {
		how = cutAfterLog
	}
	err = unix.IoctlSetPointerInt(int(d.Fd()), shutdownRequest, how)
	return errors.Join(os.NewSyscallError("shutdown", err), d.Close())
}

// Close removes the file system, mounted or not, and its image.
func (v *Volume) Close() error {
	var errs []error
	if mounted(v.Dir) {
		errs = append(errs, v.Unmount())
	}
	if v.device != "" {
		errs = append(errs, command("losetup", "--detach", v.device))
	}
	errs = append(errs, os.Remove(v.image))
	if err := os.Remove(v.Dir); !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// mounted reports whether dir is on another file system than the directory above it.
func mounted(dir string) bool {
	var here, above unix.Stat_t
	return unix.Stat(dir, &here) == nil && unix.Stat(filepath.Dir(dir), &above) == nil && here.Dev != above.Dev
}

// Tmpfs is a file system in memory of a size that can be changed.
type Tmpfs struct{ Dir string }

// NewTmpfs mounts one at dir, which it makes. Close must be called.
func NewTmpfs(dir string, size int64) (*Tmpfs, error) {
	if err := NeedRoot(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return nil, errors.Join(os.NewSyscallError("mount", err), os.Remove(dir))
	}
	return &Tmpfs{Dir: dir}, nil
}

// Resize sets the size.
func (t *Tmpfs) Resize(size int64) error {
	err := unix.Mount("tmpfs", t.Dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size))
	return os.NewSyscallError("remount", err)
}

// Close removes it, with all that is in it.
func (t *Tmpfs) Close() error {
	v := Volume{Dir: t.Dir}
	return errors.Join(v.Unmount(), os.Remove(t.Dir))
}
