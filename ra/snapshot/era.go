package snapshot

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Whoever accepts a loss begins another history, and whoever repairs one may take over another. A file from before, as from a backup,
// may fit into that by its index and its term. So with that begins an era, which stands in the names of all that the member writes and
// receives from then on, and which the write-ahead log knows, too. What is of an earlier one is nobody's any more, but for the snapshot
// that was in force when the era began.

// era returns the present era of a member.
func (s *Store) era(uid ra.UID) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eras[uid]
}

// raise makes the era of a member no lower than that.
func (s *Store) raise(uid ra.UID, era uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if era > s.eras[uid] {
		s.eras[uid] = era
	}
}

// now returns the id of a snapshot of the present era.
func (s *Store) now(uid ra.UID, index ra.Index, term ra.Term) id {
	return id{uid: uid, index: index, term: term, era: s.era(uid)}
}

// BeginEra begins an era of a member that has made good what it had lost. It returns the snapshot in force, as one of that era; zero
// but for Era if there is none. No file is touched, and it does not wait for the disk: the snapshot keeps the name of its own era, and
// whoever calls has to know it by index and term. The era must be durable in the write-ahead log before the member goes on.
// Checkpoints of the member are void, and what is being written or received just now fails with ErrStale.
func (s *Store) BeginEra(uid ra.UID) Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eras[uid]++
	for i := range s.checkpoints[uid] {
		s.left[uid] = append(s.left[uid], s.checkpoints[uid][i].checkpointID().String())
	}
	delete(s.checkpoints, uid)
	info := s.held[uid]
	info.Era = s.eras[uid]
	return info
}

// SetEra says in which era a member is, as the write-ahead log knows it; a later one that the files name, because the log never heard
// of it, stays. Checkpoints of earlier eras go to quarantine. A snapshot of one stays in force, if there is no other: whoever calls
// has to Condemn it.
func (s *Store) SetEra(uid ra.UID, era uint32) {
	s.publish.Lock()
	defer s.publish.Unlock()
	s.raise(uid, era)
	for _, info := range s.Checkpoints(uid) {
		if info.Era >= era {
			continue
		}
		if vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, info.checkpointID().String()) != nil {
			s.leave(info.checkpointID())
		}
		s.forgetCheckpoint(info)
	}
}

// AcceptLoss says that the member goes on without what it has lost, which begins an era. It returns the same as BeginEra, but what it
// returns has the name of that era: nothing that is put back can take its place. What of the loss lies in quarantine keeps lying
// there, but is not in Report.Lost any more, and checkpoints above upTo, which belong to a history that is given up, go there too. If
// it fails what is in force stays so, under the name of either era, and it may be called again. Who has begun a snapshot of the
// member before gets ErrStale.
func (s *Store) AcceptLoss(uid ra.UID, upTo ra.Index) (Info, error) {
	s.packing.Lock()
	defer s.packing.Unlock()
	era := s.era(uid) + 1
	s.raise(uid, era)
	s.stain(uid) // or else older ones, and what is in quarantine, would be found once more
	if err := s.sweep(); err != nil {
		return Info{}, err
	}
	if s.stained(uid) {
		return Info{}, fmt.Errorf("%w: what is lost of %s lies in a pack of which something else has decayed", ra.ErrDamaged, uid)
	}
	s.publish.Lock()
	defer s.publish.Unlock()
	if err := errors.Join(s.takeAlong(uid, era), s.takeCheckpoints(uid, upTo, era)); err != nil {
		return Info{}, err
	}
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		return Info{}, err
	}
	info, _ := s.Newest(uid)
	info.Era = era
	return info, s.closeCase(uid)
}

// takeAlong takes the snapshot that is in force into an era, if it has a file of its own. The caller holds publish.
func (s *Store) takeAlong(uid ra.UID, era uint32) error {
	info, ok := s.Newest(uid)
	if !ok || info.at.pack != 0 {
		return nil
	}
	was := info.id().String()
	info.Era = era
	if err := s.cfg.FS.Rename(s.path(was), s.path(info.id().String())); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[uid] = info
	return nil
}

// takeCheckpoints takes the checkpoints up to an index into an era, and moves the others to quarantine. The caller holds publish.
func (s *Store) takeCheckpoints(uid ra.UID, upTo ra.Index, era uint32) error {
	for _, info := range s.Checkpoints(uid) {
		was := info.checkpointID().String()
		if info.Index > upTo {
			if err := vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, was); err != nil {
				return err
			}
			s.forgetCheckpoint(info)
			continue
		}
		info.Era = era
		if err := s.cfg.FS.Rename(s.path(was), s.path(info.checkpointID().String())); err != nil {
			return err
		}
		s.mu.Lock()
		at := slices.IndexFunc(s.checkpoints[uid], func(x Info) bool { return x.Index == info.Index })
		s.checkpoints[uid][at] = info
		s.mu.Unlock()
	}
	return nil
}

// closeCase has what lies in quarantine of a member lie there without being looked for.
func (s *Store) closeCase(uid ra.UID) error {
	names, err := s.quarantined()
	if err != nil {
		return err
	}
	away := path.Join(s.cfg.Dir, vfs.Quarantine)
	for _, name := range names {
		if n, ok := parseQuarantined(name); !ok || n.uid != uid {
			continue
		}
		if err := s.cfg.FS.Rename(path.Join(away, name), path.Join(away, name+acceptedSuffix)); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return nil
	}
	return s.cfg.FS.SyncDir(away)
}
