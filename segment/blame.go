package segment

import (
	"errors"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// That a file has something that cannot be read must be known when it goes, perhaps much later: then it goes to quarantine,
// and until then it is left alone. What its table or indexes show every Open sees anew. That a body is damaged only shows
// when it is read, and nobody reads it again once its member has given it up. So a note beside the file says it.
//
// A note whose file is gone says nothing, and the next Open removes it. None can be there for a new file: numbers are not
// used again as long as the set is open.

// blame marks the file that an error is about as damaged, so that it is left alone from now on and one day goes to
// quarantine, also after a restart. The error of a file that is left alone is no reason to stop.
func (s *Set) blame(err error) error {
	var d *DamageError
	if errors.As(err, &d) && s.suspect(d.File) {
		s.note(d.File)
	}
	return err
}

// suspect marks a file as damaged. It reports whether there has to be a note about it.
func (s *Set) suspect(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.files[number]
	if f == nil {
		return false
	}
	f.damaged = true
	return !f.noted
}

// note makes a note about a file durable. If that fails it is tried again by who next meets the damage, or by the next Clean.
func (s *Set) note(number uint64) {
	if vfs.Note(s.cfg.FS, s.cfg.Dir, noteName(number)) != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[number]; f != nil {
		f.noted = true
	}
}

// noteAll tries again what note could not do.
func (s *Set) noteAll() {
	var due []uint64
	s.mu.Lock()
	for number, f := range s.files {
		if f.damaged && !f.noted && f.refs > 0 {
			due = append(due, number)
		}
	}
	s.mu.Unlock()
	slices.Sort(due) // what happens on the disk does not depend on the order of a map
	for _, number := range due {
		s.note(number)
	}
}

// heed takes in what notes say, and removes those whose file is gone.
func (o *opening) heed() error {
	for _, number := range o.notes {
		if f := o.s.files[number]; f != nil {
			f.damaged, f.noted = true, true
			continue
		}
		if slices.Contains(o.s.lost, fileName(number)) {
			continue // it goes to quarantine, unless the next Open can read it again
		}
		if err := o.s.cfg.FS.Remove(path.Join(o.s.cfg.Dir, noteName(number))); err != nil {
			return err
		}
	}
	return nil
}
