// Package fault makes what tests of storage need: file systems of their own that can be cut off or filled up, and
// system calls that fail.
package fault

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
)

// ErrUnavailable says that this machine cannot make the fault: a tool, a permission or a part of the kernel is missing.
var ErrUnavailable = errors.New("fault: not available here")

// update has the list of packages fetched once.
var update = sync.OnceValue(func() error { return command("apt-get", "update", "-qq") })

// Need sees to it that a tool is there, and installs the Debian package that has it if that is possible.
func Need(tool, pkg string) error {
	if _, err := exec.LookPath(tool); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("%w: %s of package %s is not installed", ErrUnavailable, tool, pkg)
	}
	if err := errors.Join(update(), command("apt-get", "install", "-y", "-qq", pkg)); err != nil {
		return fmt.Errorf("%w: %s cannot be installed: %w", ErrUnavailable, pkg, err)
	}
	if _, err := exec.LookPath(tool); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// NeedRoot fails unless this process may mount file systems.
func NeedRoot() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: only root may mount file systems", ErrUnavailable)
	}
	return nil
}

// command runs a tool, whose output is in the error if it fails.
func command(name string, args ...string) error {
	_, err := output(name, args...)
	return err
}

// output runs a tool and returns what it printed.
func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	b, err := cmd.CombinedOutput()
	out := strings.TrimSpace(string(b))
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return out, nil
}
