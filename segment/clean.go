package segment

import (
	"errors"
	"maps"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Clean removes the files in which nothing is needed any more, and returns their number (COMP-01, COMP-02). They go
// oldest first, and one that holds others down only after these are gone for good, so that nothing comes back whenever a
// crash comes. Damaged files go to quarantine, and so do those that Open could not read. What fails is tried again by
// the next Clean.
func (s *Set) Clean() (int, error) {
	s.write.Lock()
	defer s.write.Unlock()
	return s.clean()
}

// clean is Clean for who holds write.
func (s *Set) clean() (int, error) {
	if err := s.condemn(); err != nil {
		return 0, err
	}
	s.noteAll()
	total := 0
	for {
		n, err := s.cleanRound()
		total += n
		if err != nil {
			return total, err
		}
		if n == 0 {
			return total, s.settle()
		}
	}
}

// condemn moves the files that Open could not read to quarantine. The roster forgets those that are missing, and then these.
func (s *Set) condemn() error {
	if len(s.carried) > 0 {
		s.carried = slices.DeleteFunc(s.carried, func(c carried) bool { return !slices.Contains(s.lost, fileName(c.number)) })
		for i := range s.carried {
			s.carried[i].loose = true
		}
		if err := s.settle(); err != nil {
			return err
		}
	}
	for len(s.lost) > 0 {
		if err := vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, s.lost[0]); err != nil {
			return err
		}
		s.lost = s.lost[1:]
	}
	s.carried = nil
	return nil
}

// cleanRound removes what is dead now. Other files may be dead once this is durable.
func (s *Set) cleanRound() (int, error) {
	dead := s.dead()
	if len(dead) == 0 {
		return 0, nil
	}
	if err := s.settle(); err != nil {
		return 0, err
	}
	var gone []uint64
	var failed error
	for _, number := range dead {
		if err := s.discard(number); err != nil {
			failed = err
			break
		}
		gone = append(gone, number)
	}
	if len(gone) == 0 {
		return 0, failed
	}
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		// The files may come back, so what holds them down must stay. They are tried again, and found missing then.
		return 0, errors.Join(failed, err)
	}
	s.dismiss(gone)
	return len(gone), failed
}

// dead returns the files that may go now, oldest first, and notes that they will.
func (s *Set) dead() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []uint64
	for _, number := range slices.Sorted(maps.Keys(s.files)) {
		if f := s.files[number]; f.refs == 0 {
			f.loose = true
			out = append(out, number)
		}
	}
	return out
}

// discard removes one file, or moves it to quarantine.
func (s *Set) discard(number uint64) error {
	s.handles.forget(number)
	s.mu.Lock()
	damaged := s.files[number].damaged
	s.mu.Unlock()
	var err error
	if damaged {
		err = s.expel(number)
	} else {
		err = s.cfg.FS.Remove(path.Join(s.cfg.Dir, fileName(number)))
	}
	if errors.Is(err, errNotExist) {
		return nil
	}
	return err
}

// expel moves a file to quarantine. The note about it goes after it, and if a crash takes that back at the next Open.
func (s *Set) expel(number uint64) error {
	err := vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, fileName(number))
	if err == nil || errors.Is(err, errNotExist) {
		_ = s.cfg.FS.Remove(path.Join(s.cfg.Dir, noteName(number)))
	}
	return err
}

// dismiss forgets files that are gone for good.
func (s *Set) dismiss(gone []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, number := range gone {
		// The rows go first: the counts of files are kept through them.
		for _, uid := range s.files[number].members {
			s.leave(uid, number)
		}
		delete(s.files, number)
	}
}

// leave takes the rows of one file from a member. The caller holds mu.
func (s *Set) leave(uid ra.UID, number uint64) {
	m := s.members[uid]
	if m == nil {
		return
	}
	s.update(m, func() { m.removeFile(number) })
	if len(m.rows) == 0 {
		delete(s.members, uid)
	}
}
