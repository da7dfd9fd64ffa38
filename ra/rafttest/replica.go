package rafttest

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// applied counts the commands that were applied and digests them in their order: the state of the simulated machines.
type applied struct {
	count, digest uint64
	last          ra.Index
	version       machine.Version
}

// apply is what a command does to the state.
func (a *applied) apply(at ra.Index, sum uint32) {
	a.last = at
	a.count++
	a.digest = a.digest*0x100000001b3 ^ uint64(at)<<32 ^ uint64(sum) + uint64(a.version)
}

// upgrade is what a step to a higher version of the machine does to it.
func (a *applied) upgrade(at ra.Index, to machine.Version) {
	a.last = at
	a.digest ^= uint64(a.version)<<8 | uint64(to)
	a.version = to
}

// appliedLen is the length of the part of an encoded state that means something.
const appliedLen = 28

// encode writes the state down, behind as many bytes as it says, so that snapshots have several chunks.
func (a *applied) encode() []byte {
	b := make([]byte, appliedLen+a.digest%2048)
	binary.LittleEndian.PutUint64(b, a.count)
	binary.LittleEndian.PutUint64(b[8:], a.digest)
	binary.LittleEndian.PutUint64(b[16:], uint64(a.last))
	binary.LittleEndian.PutUint32(b[24:], uint32(a.version))
	x := a.digest
	for i := appliedLen; i < len(b); i++ {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

// decodeApplied is the reverse of encode.
func decodeApplied(b []byte) (applied, error) {
	if len(b) < appliedLen {
		return applied{}, fmt.Errorf("%w: state of %d bytes", ra.ErrCorrupt, len(b))
	}
	le := binary.LittleEndian
	a := applied{count: le.Uint64(b), digest: le.Uint64(b[8:]), last: ra.Index(le.Uint64(b[16:]))}
	a.version = machine.Version(le.Uint32(b[24:]))
	if string(a.encode()) != string(b) {
		return applied{}, fmt.Errorf("%w: state does not fit together", ra.ErrCorrupt)
	}
	return a, nil
}

// replica is the machine of a peer.
type replica struct {
	peer  *peer
	code  machine.Version
	rules machine.Version // in force, as the library says
	state applied
}

// Version is the highest version that the replica can do.
func (r *replica) Version() machine.Version { return r.code }

// ForVersion takes note of the version that is in force.
func (r *replica) ForVersion(v machine.Version) machine.Machine {
	r.rules = v
	return r
}

// Upgrade raises the state to a higher version.
func (r *replica) Upgrade(meta machine.Meta, change machine.VersionChange, _ *machine.Effects) {
	if change.From != r.state.version || change.To > r.code {
		r.peer.cluster.truth.breach("I5", "%s goes from version %d to %d, its state is of %d, its code of %d", r.peer.uid,
			change.From, change.To, r.state.version, r.code)
	}
	r.state.upgrade(meta.Index, change.To)
}

// Apply applies a committed command.
func (r *replica) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	p, t := r.peer, r.peer.cluster.truth
	if meta.Index <= r.state.last {
		t.breach("I14", "%s applies index %d after %d", p.uid, meta.Index, r.state.last)
	}
	if meta.Version != r.state.version || r.rules != r.state.version {
		t.breach("I5", "%s applies index %d with version %d, rules of %d, to a state of %d", p.uid, meta.Index, meta.Version, r.rules, r.state.version)
	}
	if t.ended != 0 && meta.Index > t.ended {
		t.breach("I12", "%s applies index %d, the cluster was deleted at %d", p.uid, meta.Index, t.ended)
	}
	r.state.apply(meta.Index, ra.Checksum(command))
	if want, ok := t.stateAt(meta.Index); !ok || r.state != want {
		t.breach("I5", "%s has state %+v at index %d, must be %+v", p.uid, r.state, meta.Index, want)
	}
	p.cluster.book.apply(p.cluster, commandID(command), meta.Index)
	if r.state.digest>>20%4 == 0 {
		fx.Send(ra.PID{Node: "n0", Name: "somebody"}, sending{meta.Index})
	}
	r.ask(fx)
	return r.state.count
}

// EnterState tells which of the machines that were made for the peer is in force.
func (r *replica) EnterState(ra.Role, *machine.Effects) { r.peer.machine = r }

// SnapshotInstalled tells it too.
func (r *replica) SnapshotInstalled(change machine.SnapshotChange, _ *machine.Effects) {
	r.peer.machine = r
	r.peer.sim.done.Installs++
	if change.New.Index < change.Old.Index {
		r.peer.cluster.truth.breach("I14", "%s goes back from index %d to a snapshot at %d", r.peer.uid, change.Old.Index, change.New.Index)
	}
}

// ask asks for snapshots now and then, as all members do at the same place.
func (r *replica) ask(fx *machine.Effects) {
	x := r.state.digest >> 7
	every := r.peer.sim.profile.AskOneIn
	switch {
	case every == 0:
	case x%every == 0:
		fx.ReleaseCursor()
	case x%(3*every) == 1:
		fx.Checkpoint()
	case x%(3*every) == 2:
		fx.Promote(r.state.last - ra.Index(x%5))
	}
}

// Query answers a query with the last index applied.
func (r *replica) Query(ctx machine.QueryContext, _ any) (any, error) { return ctx.Index, nil }

// Snapshot captures the state.
func (r *replica) Snapshot() (machine.Capture, error) {
	return machine.CaptureBytes(r.state.encode()), nil
}

// Restore takes over the state of a snapshot, which must be one that there was.
func (r *replica) Restore(in io.Reader) error {
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if r.state, err = decodeApplied(b); err != nil {
		return err
	}
	if want, ok := r.peer.cluster.truth.stateAt(r.state.last); !ok || want != r.state {
		r.peer.cluster.truth.breach("I5", "%s restores state %+v, which was never", r.peer.uid, r.state)
	}
	return nil
}
