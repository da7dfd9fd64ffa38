package machine

import (
	"errors"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ErrVersion: a version is above what the machine's code can do. The member must apply nothing more until it has newer
// code (VER-07).
var ErrVersion = errors.New("machine: version is not supported by this code")

// Bound is a machine as a member runs it: with its optional interfaces looked up, and with the version that is in
// force. Like the machine it belongs to one goroutine at a time. It is for who runs machines: the library, and tests.
type Bound struct {
	// top is what the Factory made, current what applies in the version in force.
	top, current Machine
	local        Version
	version      Version

	down     DownHandler
	node     NodeHandler
	timeout  TimeoutHandler
	upgrader Upgrader
	enterer  StateEnterer
	ticker   Ticker
}

// Bind returns a new machine with the given initial version in force (VER-10). It fails with ErrVersion if the machine's
// code cannot do it (VER-11): members that begin with different rules would come to different states.
func Bind(m Machine, initial Version) (*Bound, error) {
	b := &Bound{top: m}
	if v, ok := As[Versioned](m); ok {
		b.local = v.Version()
	}
	if err := b.use(initial); err != nil {
		return nil, err
	}
	return b, nil
}

// use puts version v in force.
func (b *Bound) use(v Version) error {
	m := b.top
	if s, ok := b.top.(VersionSelector); ok {
		m = s.ForVersion(v)
	}
	if v > b.local || m == nil {
		return fmt.Errorf("%w: %d, highest is %d", ErrVersion, v, b.local)
	}
	b.current, b.version = m, v
	b.down, _ = As[DownHandler](m)
	b.node, _ = As[NodeHandler](m)
	b.timeout, _ = As[TimeoutHandler](m)
	b.upgrader, _ = As[Upgrader](m)
	b.enterer, _ = As[StateEnterer](m)
	b.ticker, _ = As[Ticker](m)
	return nil
}

// Local returns the highest version of the machine's code.
func (b *Bound) Local() Version { return b.local }

// Version returns the version in force.
func (b *Bound) Version() Version { return b.version }

// Machine returns what applies in the version in force.
func (b *Bound) Machine() Machine { return b.current }

// Jump puts version v in force for a state that is of that version already, because a snapshot brought it: nothing is
// upgraded (VER-13). Call it before Restore. It fails with ErrVersion if the code cannot do v.
func (b *Bound) Jump(v Version) error { return b.use(v) }

// Upgrade applies an entry that raises the version to v (VER-05). A version that is in force or below changes nothing
// (VER-06); one above the code's own fails with ErrVersion, and changes nothing either (VER-07).
func (b *Bound) Upgrade(meta Meta, v Version, fx *Effects) error {
	if v <= b.version {
		return nil
	}
	old := b.version
	if err := b.use(v); err != nil {
		return err
	}
	fx.BeginEntry(meta.Index)
	if b.upgrader != nil {
		meta.Version = v
		b.upgrader.Upgrade(meta, VersionChange{From: old, To: v}, fx)
	}
	return nil
}

// Apply applies a user's command and returns the reply, perhaps NoReply. It sets meta.Version (QRK-03).
func (b *Bound) Apply(meta *Meta, command []byte, fx *Effects) any {
	fx.BeginEntry(meta.Index)
	if meta.Version != b.version { // a member has set it long before: what is written in parts cannot be read as a whole at once
		meta.Version = b.version
	}
	reply := b.current.Apply(*meta, command, fx)
	return fx.TakeReply(reply)
}

// ApplyEntry applies an entry of any kind that reaches machines, and returns the reply to a command. For the library's
// own kinds, and those that the machine has no handler for, that is nil. For kinds that machines do not see it does
// nothing. A malformed payload fails with an error that wraps ra.ErrCorrupt; the machine is not called.
func (b *Bound) ApplyEntry(meta Meta, kind ra.Kind, payload []byte, fx *Effects) (any, error) {
	if kind == ra.KindCommand {
		return b.Apply(&meta, payload, fx), nil
	}
	fx.BeginEntry(meta.Index)
	meta.Version = b.version
	switch kind {
	case ra.KindDown:
		return nil, b.applyDown(meta, payload, fx)
	case ra.KindNode:
		return nil, b.applyNode(meta, payload, fx)
	case ra.KindTimeout:
		return nil, b.applyTimeout(meta, payload, fx)
	}
	return nil, nil
}

func (b *Bound) applyDown(meta Meta, payload []byte, fx *Effects) error {
	d, err := DecodeDown(payload)
	if err == nil && b.down != nil {
		b.down.HandleDown(meta, d, fx)
	}
	return err
}

func (b *Bound) applyNode(meta Meta, payload []byte, fx *Effects) error {
	e, err := DecodeNode(payload)
	if err == nil && b.node != nil {
		b.node.HandleNode(meta, e, fx)
	}
	return err
}

func (b *Bound) applyTimeout(meta Meta, payload []byte, fx *Effects) error {
	timer, err := DecodeTimeout(payload)
	if err == nil && b.timeout != nil {
		b.timeout.HandleTimeout(meta, timer, fx)
	}
	return err
}

// EnterState tells the machine of the member's new role (MAC-06).
func (b *Bound) EnterState(role ra.Role, fx *Effects) {
	fx.BeginEntry(0)
	if b.enterer != nil {
		b.enterer.EnterState(role, fx)
	}
}

// Ticks reports whether the machine wants ticks at all.
func (b *Bound) Ticks() bool { return b.ticker != nil }

// Tick gives a leader's machine its tick (MAC-07).
func (b *Bound) Tick(now time.Time, fx *Effects) {
	fx.BeginEntry(0)
	if b.ticker != nil {
		b.ticker.Tick(now, fx)
	}
}

// SnapshotInstalled tells the machine that its state was replaced (MAC-12).
func (b *Bound) SnapshotInstalled(change SnapshotChange, fx *Effects) {
	fx.BeginEntry(0)
	if s, ok := As[SnapshotInstaller](b.current); ok {
		s.SnapshotInstalled(change, fx)
	}
}

// DefersReplies reports whether commands must carry their callers (MAC-05).
func (b *Bound) DefersReplies() bool {
	d, ok := As[Deferrer](b.current)
	return ok && d.DefersReplies()
}

// Overview returns what the machine tells people about itself, nil if it tells nothing (MAC-11).
func (b *Bound) Overview() map[string]any {
	if o, ok := As[Overviewer](b.current); ok {
		return o.Overview()
	}
	return nil
}

// InitAux makes the aux handler, nil if the machine has none (MAC-08).
func (b *Bound) InitAux(init Init) AuxHandler {
	if a, ok := As[AuxMaker](b.current); ok {
		return a.InitAux(init)
	}
	return nil
}
