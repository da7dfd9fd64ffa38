package snapshot

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// acceptedSuffix ends the names of files in quarantine that nobody is to look for any more.
const acceptedSuffix = ".accepted"

// Condemn moves a member's snapshot that has decayed to quarantine, if it is still the newest one, and its file is not
// gone. The member has none from then on.
func (s *Store) Condemn(info Info) error {
	s.packing.Lock() // or else a pack might take it along
	defer s.packing.Unlock()
	s.publish.Lock()
	defer s.publish.Unlock()
	uid := info.UID
	if now, ok := s.Newest(uid); !ok || now != info {
		return fmt.Errorf("%w: %s of %s is not in force any more", ErrNone, info.id(), uid)
	}
	if err := s.toQuarantine(info.id(), info.at); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	s.forget(info)
	return nil
}

// forget notes that a member does not have the snapshot any more that was its newest.
func (s *Store) forget(info Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, info.UID)
	if f := s.packs[info.at.pack]; f != nil {
		f.count(-info.at.size)
	}
}

// quarantined returns the names in quarantine.
func (s *Store) quarantined() ([]string, error) {
	away := path.Join(s.cfg.Dir, vfs.Quarantine)
	if err := s.cfg.FS.MkdirAll(away); err != nil {
		return nil, err
	}
	return s.cfg.FS.List(away)
}

// inQuarantine returns the snapshots there. Their size is not known.
func (s *Store) inQuarantine() ([]Info, error) {
	names, err := s.cfg.FS.List(s.cfg.Dir)
	if err != nil || !slices.Contains(names, vfs.Quarantine+"/") {
		return nil, err
	}
	if names, err = s.quarantined(); err != nil {
		return nil, err
	}
	var out []Info
	for _, name := range names {
		if n, ok := parseQuarantined(name); ok && !n.checkpoint {
			out = append(out, Info{UID: n.uid, Index: n.index, Term: n.term, Era: n.era})
		}
	}
	return out, nil
}

// parseQuarantined reads a name as vfs.ToQuarantine gives it: perhaps with a number behind.
func parseQuarantined(name string) (id, bool) {
	for _, suffix := range [...]string{snapSuffix, ckptSuffix} {
		if at := strings.LastIndex(name, suffix); at >= 0 {
			rest := name[at+len(suffix):]
			if strings.Trim(rest, ".0123456789") != "" {
				return id{}, false
			}
			return parseName(name[:at+len(suffix)])
		}
	}
	return id{}, false
}
