package vfs

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// Quarantine is the name of the directory in which what was found and not understood, or is damaged, is kept.
const Quarantine = "quarantine"

// ToQuarantine moves the file or directory name out of dir, into the quarantine in there, and makes that durable. Nothing
// in quarantine is ever deleted or overwritten: what has the name of something that is there gets a number behind it. A
// file that has the name of the quarantine itself goes there first.
func ToQuarantine(fs FS, dir, name string) error { return ToQuarantineAs(fs, dir, name, name) }

// ToQuarantineAs is ToQuarantine for what is to have another name there.
func ToQuarantineAs(fs FS, dir, name, as string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	if slices.Contains(names, Quarantine) {
		aside := freeName(Quarantine, names)
		if err := fs.Rename(path.Join(dir, Quarantine), path.Join(dir, aside)); err != nil {
			return err
		}
		if err := moveAway(fs, dir, aside, aside); err != nil {
			return err
		}
	}
	if name == Quarantine {
		return nil // it is there, now or since something else was moved
	}
	return moveAway(fs, dir, name, as)
}

// MakeQuarantine makes the quarantine in dir, for who must not fail for want of it later.
func MakeQuarantine(fs FS, dir string) error {
	if err := ToQuarantine(fs, dir, Quarantine); err != nil {
		return err
	}
	return fs.MkdirAll(path.Join(dir, Quarantine))
}

// Note makes an empty file, durably, whose name says it all. That it is there already is no error.
func Note(fs FS, dir, name string) error {
	f, err := fs.Create(path.Join(dir, name), Buffered)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, ErrExist) {
		return err
	}
	return fs.SyncDir(dir) // one that is there may not be durable yet
}

// moveAway moves a file or directory of another name into the quarantine.
func moveAway(fs FS, dir, name, as string) error {
	away := path.Join(dir, Quarantine)
	if err := fs.MkdirAll(away); err != nil {
		return err
	}
	taken, err := fs.List(away)
	if err != nil {
		return err
	}
	if err := fs.Rename(path.Join(dir, name), path.Join(away, freeName(as, taken))); err != nil {
		return err
	}
	if err := fs.SyncDir(away); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

// freeName returns name, with a number behind it if a file or a directory has it.
func freeName(name string, taken []string) string {
	free := name
	for n := 1; slices.Contains(taken, free) || slices.Contains(taken, free+"/"); n++ {
		free = fmt.Sprintf("%s.%d", name, n)
	}
	return free
}
