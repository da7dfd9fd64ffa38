package machine

import "github.com/heliopolis-raft/heliopolis/ra"

// Condition holds a snapshot back (EFF-24). A member keeps one release that waits for its condition; a later one takes
// its place.
type Condition struct {
	// Written is an index that must be durable in the member's own log; 0 for none.
	Written ra.Index
	// NoTransfers asks that no snapshot is being sent to a peer.
	NoTransfers bool
}

// ReleaseCursor says that the log up to this command is not needed any more once the state is in a snapshot. It is a
// hint, weighed by each member for itself (SNAP-01); if the member takes it, it calls Snapshot before anything else is
// applied, so that the snapshot stands for exactly this command's index. All conditions must hold; one that does not
// yet makes the member keep the hint, and the snapshot then stands for the index that was reached.
func (fx *Effects) ReleaseCursor(when ...Condition) {
	fx.wants |= WantsSnapshot
	fx.add(EffectReleaseCursor).hold(when)
}

// ReleaseCursorAt is ReleaseCursor for a machine that has kept the state of an earlier index, captured when that index
// had just been applied. The capture is given away, and released by who carries the effect out.
func (fx *Effects) ReleaseCursorAt(index ra.Index, state Capture, when ...Condition) {
	fx.addStateAt(EffectReleaseCursorAt, index, state, when)
}

// Checkpoint is a hint to store the state without truncating the log, so that the member can start from there
// (CKPT-01). The state is captured like that of ReleaseCursor.
func (fx *Effects) Checkpoint() {
	fx.wants |= WantsCheckpoint
	fx.add(EffectCheckpoint)
}

// CheckpointAt is Checkpoint with the state of an earlier index; see ReleaseCursorAt.
func (fx *Effects) CheckpointAt(index ra.Index, state Capture) {
	fx.addStateAt(EffectCheckpointAt, index, state, nil)
}

// Promote makes the newest checkpoint up to index a snapshot, so that the log up to it may go (CKPT-05). Without one
// nothing happens. Newer checkpoints stay (QRK-01).
func (fx *Effects) Promote(index ra.Index) {
	if index == 0 {
		fx.refuse(EffectPromote, "no index")
		return
	}
	fx.add(EffectPromote).Index = index
}

// hold makes an effect wait for all of the conditions.
func (e *Effect) hold(when []Condition) {
	for _, c := range when {
		e.Written = max(e.Written, c.Written)
		e.NoTransfers = e.NoTransfers || c.NoTransfers
	}
}

// addStateAt takes in a state of an earlier index. What it refuses it releases, for the capture was given away.
func (fx *Effects) addStateAt(kind EffectKind, index ra.Index, state Capture, when []Condition) {
	if state == nil {
		fx.refuse(kind, "no state")
		return
	}
	if index == 0 || fx.index != 0 && index > fx.index {
		fx.refuse(kind, "state of index %d", index)
		state.Release()
		return
	}
	e := fx.add(kind)
	e.Index, e.Value = index, state
	e.hold(when)
}

// Wants is what must be decided before the next Apply.
type Wants uint8

// What can be wanted.
const (
	WantsSnapshot Wants = 1 << iota
	WantsCheckpoint
)

// The rest is for who runs machines, and for tests.

// BeginEntry says that what is asked for from now on comes from applying the entry at index; 0 for a callback outside
// of any entry, such as EnterState.
func (fx *Effects) BeginEntry(index ra.Index) {
	fx.index, fx.owner, fx.noReply, fx.wants = index, ForMachine, false, 0
}

// BeginAux says that what is asked for from now on comes from the aux handler.
func (fx *Effects) BeginAux() {
	fx.index, fx.owner, fx.noReply, fx.wants = 0, ForAux, false, 0
}

// Wants returns what was asked for since BeginEntry that must be decided before the next Apply. The effects stand in
// the list, too, with their conditions.
func (fx *Effects) Wants() Wants { return fx.wants }

// TakeReply returns what the caller gets: reply, which Apply returned, or NoReply if the machine called
// Effects.NoReply meanwhile. Wrappers that look at replies pass them through it.
func (fx *Effects) TakeReply(reply any) any {
	if fx.noReply {
		fx.noReply = false
		return NoReply
	}
	return reply
}

// keepEffects bounds the memory that an idle Effects keeps, in effects.
const keepEffects = 256

// Reset forgets all effects, releases the captures that nobody took, and keeps the memory unless it is much.
func (fx *Effects) Reset() {
	for i := range fx.list {
		if c := fx.list[i].TakeCapture(); c != nil {
			c.Release()
		}
	}
	clear(fx.list)
	fx.list = fx.list[:0]
	if cap(fx.list) > keepEffects {
		fx.list = nil
	}
	fx.BeginEntry(0)
	fx.err = nil
}
