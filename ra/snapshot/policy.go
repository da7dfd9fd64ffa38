package snapshot

import "github.com/heliopolis-raft/heliopolis/ra"

// Policy decides when a snapshot is taken. The zero value is ra's policy with its defaults.
type Policy struct {
	// MinInterval is how many entries lie between two snapshots at least, unless a segment could be freed; 4096 if 0.
	MinInterval ra.Index
	// MinCheckpoint is how many entries lie between two checkpoints at least; 16384 if 0.
	MinCheckpoint ra.Index
	// MinRecovery is how many entries must have been applied since the newest snapshot or checkpoint for a member that stops
	// in good order to leave its state behind for the next start (CKPT-10). 0: none does, so that a stop takes no longer and
	// no more disk than it must.
	MinRecovery ra.Index
	// Growth and MinBytes are for machines that never ask: a snapshot is due when the log has more bytes than Growth times
	// the last snapshot, and at least MinBytes; 4 and 64 MiB, as long as a file of the write-ahead log, if 0. A snapshot for
	// a pack is taken whenever such a file is full, if it is no longer than the log divided by Growth; MinBytes does not
	// count then.
	Growth   int64
	MinBytes int64
}

// State is what a policy looks at, of one member.
type State struct {
	// Last is the index of the snapshot in place and LastBytes the size of its file; 0 if there is none.
	Last      ra.Index
	LastBytes int64
	// LastCheckpoint and LastRecovery are the indexes of the newest checkpoint and recovery checkpoint, 0 if there is none.
	LastCheckpoint, LastRecovery ra.Index
	// FirstSegment is the lowest index held in segments, 0 if there is none.
	FirstSegment ra.Index
	// LogBytes is the length of all entries above Last.
	LogBytes int64
	// Pending says that a snapshot or checkpoint is being written.
	Pending bool
}

// Accepts says whether a machine's wish to release the log up to index is granted (SNAP-01). The term of that entry must
// be known still. A wish that is not granted is dropped, not queued.
func (p Policy) Accepts(s *State, index ra.Index, termKnown bool) bool {
	if s.Pending || !termKnown || index <= s.Last {
		return false
	}
	interval := p.MinInterval
	if interval == 0 {
		interval = 4096
	}
	frees := s.FirstSegment != 0 && index > s.FirstSegment
	return frees || index-s.Last > interval
}

// AcceptsCheckpoint says whether a machine's wish for a checkpoint at index is granted (CKPT-01).
func (p Policy) AcceptsCheckpoint(s *State, index ra.Index) bool {
	interval := p.MinCheckpoint
	if interval == 0 {
		interval = 16384
	}
	return !s.Pending && index > s.Last && index > s.LastCheckpoint && index-s.LastCheckpoint > interval
}

// AcceptsRecovery says whether a member that stops in good order leaves a recovery checkpoint behind at index (CKPT-10).
func (p Policy) AcceptsRecovery(s *State, index ra.Index) bool {
	newest := max(s.Last, s.LastCheckpoint, s.LastRecovery)
	return p.MinRecovery > 0 && index > newest && index-newest >= p.MinRecovery
}

// Due says whether a machine that never asks gets a snapshot now, at index.
func (p Policy) Due(s *State, index ra.Index) bool {
	if s.Pending || index <= s.Last {
		return false
	}
	return s.LogBytes >= p.Least() && s.LogBytes > p.growth()*s.LastBytes
}

// Least returns how many bytes the log has at least when Due says yes.
func (p Policy) Least() int64 {
	if p.MinBytes == 0 {
		return 64 << 20
	}
	return p.MinBytes
}

func (p Policy) growth() int64 {
	if p.Growth == 0 {
		return 4
	}
	return p.Growth
}

// minPacked is about the length of a snapshot with an empty state.
const minPacked = 256

// Packed says how long a snapshot at index may be for a pack, 0 if none is to be taken: of a machine that never asks, when
// what its log has is about to be copied into segments. MinBytes does not count, because in a pack a snapshot costs neither
// a file nor a sync.
func (p Policy) Packed(s *State, index ra.Index) int64 {
	limit := s.LogBytes / p.growth()
	if s.Pending || index <= s.Last || limit < max(minPacked, s.LastBytes) {
		return 0
	}
	return limit
}
