package snapshot

import (
	"errors"
	"maps"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// maxCheckpoints is how many checkpoints of a member are kept before they are thinned out.
const maxCheckpoints = 10

// CreateCheckpoint begins a checkpoint of a member: a snapshot that costs no sync, makes nothing in the log dispensable,
// is not sent to peers, and is gone if a crash damages it (CKPT-01). Promote makes a snapshot of it.
func (s *Store) CreateCheckpoint(uid ra.UID, meta Meta) (*Writer, error) {
	n := s.now(uid, meta.Index, meta.Term)
	n.checkpoint = true
	return s.begin(n, &meta)
}

// recoveryField marks a recovery checkpoint among the fields of its meta.
const recoveryField = "recovery"

// CreateRecovery begins a recovery checkpoint of a member that stops in good order (CKPT-10): a checkpoint that is there
// for the next start alone. It does not become a snapshot, is not counted when others are thinned out, and there is one
// of a member: the one before goes when this one has its name.
func (s *Store) CreateRecovery(uid ra.UID, meta Meta) (*Writer, error) {
	fields := maps.Clone(meta.Fields)
	if fields == nil {
		fields = make(map[string][]byte)
	}
	fields[recoveryField] = nil
	meta.Fields = fields
	w, err := s.CreateCheckpoint(uid, meta)
	if err == nil {
		w.recovery = true
	}
	return w, err
}

// Checkpoints returns the checkpoints of a member, all above its snapshot, by ascending index.
func (s *Store) Checkpoints(uid ra.UID) []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.checkpoints[uid])
}

// OpenCheckpoint opens one of a member's Checkpoints to restore the machine from it.
func (s *Store) OpenCheckpoint(info Info) (*Reader, error) {
	f, err := s.cfg.FS.Open(s.path(info.checkpointID().String()), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	l, err := layoutOf(f, info.checkpointID())
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s.newReader(f, l)
}

// CondemnCheckpoint moves a checkpoint that has decayed to quarantine. Nothing is lost with it.
func (s *Store) CondemnCheckpoint(info Info) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	if err := vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, info.checkpointID().String()); err != nil {
		return err
	}
	s.forgetCheckpoint(info)
	return nil
}

// Promote makes a snapshot of the newest checkpoint of a member that is not above upTo, and reports whether there was one
// (CKPT-05), recovery checkpoints left aside (CKPT-10). The checkpoint is checked in every byte first; one that has decayed
// is removed, and the next older one is taken.
func (s *Store) Promote(uid ra.UID, upTo ra.Index) (Info, bool, error) {
	s.publish.Lock()
	defer s.publish.Unlock()
	all := s.Checkpoints(uid)
	for _, info := range slices.Backward(all) {
		if info.Index > upTo || info.Recovery {
			continue
		}
		err := s.promote(info)
		if !errors.Is(err, ra.ErrCorrupt) && !errors.Is(err, vfs.ErrNotExist) {
			return info, err == nil, err
		}
		s.dropCheckpoint(info)
	}
	return Info{}, false, nil
}

// promote makes one checkpoint a durable snapshot. The caller holds publish.
func (s *Store) promote(info Info) error {
	n := info.checkpointID()
	f, err := s.cfg.FS.Open(s.path(n.String()), vfs.Buffered)
	if err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		// Another sync would succeed and prove nothing: it is no checkpoint to rely on any more.
		s.dropCheckpoint(info)
		return errors.Join(err, f.Close())
	}
	_, err = check(f, n)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.cfg.FS.Rename(s.path(n.String()), s.path(info.id().String())); err != nil {
		return err
	}
	return s.settle(info)
}

// installCheckpoint gives a whole temporary file its name, and removes what is one too many of the member's checkpoints.
func (s *Store) installCheckpoint(temp string, info Info) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	if before, _ := s.Newest(info.UID); before.Index >= info.Index || info.Era < s.era(info.UID) {
		return errors.Join(ErrStale, s.discard(temp))
	}
	if err := s.christen(temp, info.checkpointID()); err != nil {
		return err
	}
	s.mu.Lock()
	if info.Era < s.eras[info.UID] { // it has ended just now
		s.mu.Unlock()
		s.drop(info.checkpointID())
		return ErrStale
	}
	all := slices.DeleteFunc(s.checkpoints[info.UID], func(x Info) bool { return x.Index == info.Index })
	at, _ := slices.BinarySearchFunc(all, info.Index, func(x Info, i ra.Index) int {
		if x.Index < i {
			return -1
		}
		return 1
	})
	all = slices.Insert(all, at, info)
	s.checkpoints[info.UID] = all
	gone := superfluous(all, &info)
	s.mu.Unlock()
	for _, old := range gone {
		s.dropCheckpoint(old)
	}
	return nil
}

// superfluous returns which checkpoints go because there is a new one: each kind makes room for itself only.
func superfluous(all []Info, added *Info) []Info {
	same := slices.DeleteFunc(slices.Clone(all), func(x Info) bool { return x.Recovery != added.Recovery })
	if added.Recovery {
		return slices.DeleteFunc(same, func(x Info) bool { return x == *added })
	}
	if k := thin(same, maxCheckpoints); k >= 0 {
		return same[k : k+1]
	}
	return nil
}

// thin returns which checkpoint is one too many, -1 if none is (CKPT-03): the middle one of the oldest three that lie
// close together.
func thin(all []Info, limit int) int {
	if len(all) <= limit {
		return -1
	}
	near := 65536 * ra.Index(min(8, len(all)/limit))
	for k := 1; k+1 < len(all); k++ {
		if all[k+1].Index-all[k-1].Index < near {
			return k
		}
	}
	return -1
}

// dropCheckpoint removes one checkpoint. If that fails the next start does it, or keeps it: either is right.
func (s *Store) dropCheckpoint(info Info) {
	s.forgetCheckpoint(info)
	s.drop(info.checkpointID())
}

func (s *Store) forgetCheckpoint(info Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkpoints[info.UID] = slices.DeleteFunc(s.checkpoints[info.UID], func(x Info) bool { return x.Index == info.Index })
	if len(s.checkpoints[info.UID]) == 0 {
		delete(s.checkpoints, info.UID)
	}
}

// removeCheckpoints removes the checkpoints of a member up to an index (SNAP-05).
func (s *Store) removeCheckpoints(uid ra.UID, upTo ra.Index) {
	for _, info := range s.Checkpoints(uid) {
		if info.Index <= upTo {
			s.dropCheckpoint(info)
		}
	}
}

func (i *Info) checkpointID() id {
	n := i.id()
	n.checkpoint = true
	return n
}

// keepCheckpoints keeps those above the snapshot that are good: the newest is checked in every byte, older ones only in
// header and footer (CKPT-02). The others are removed. That is no loss: nothing ever relied on a checkpoint, and a crash
// may well leave half of one.
func (o *opening) keepCheckpoints(uid ra.UID, ids []id) error {
	newestFirst(ids)
	for _, n := range ids {
		o.s.raise(uid, n.era)
	}
	var kept []Info
	for _, n := range ids {
		info, err := o.checkpoint(n, len(kept) == 0)
		switch {
		case err == nil && n.era < o.s.era(uid):
			if err := o.quarantine(n.String()); err != nil {
				return err
			}
		case err == nil && n.index > o.s.held[uid].Index:
			kept = append(kept, info)
		case err == nil || errors.Is(err, ra.ErrCorrupt):
			if err := o.removeAll([]id{n}); err != nil {
				return err
			}
		default:
			return err
		}
	}
	if len(kept) > 0 {
		slices.Reverse(kept)
		o.s.checkpoints[uid] = kept
	}
	return nil
}

// checkpoint reads one checkpoint, all of it or only its ends.
func (o *opening) checkpoint(n id, all bool) (Info, error) {
	if all {
		return o.s.inspect(n, place{})
	}
	f, err := o.s.cfg.FS.Open(o.s.path(n.String()), vfs.Buffered)
	if err != nil {
		return Info{}, err
	}
	l, err := layoutOf(f, n)
	if err = errors.Join(err, f.Close()); err != nil {
		return Info{}, err
	}
	return l.info(n), nil
}
