package machinetest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// step is one entry, and what came of it at first.
type step struct {
	what string
	meta machine.Meta
	// kind is ra.KindNoop for an upgrade.
	kind    ra.Kind
	payload []byte
	upgrade machine.Version
	// before is the version that was in force before.
	before machine.Version
	outcome
}

// outcome is what can be seen of the application of an entry.
type outcome struct {
	reply any
	// shown is how the reply looked when it was given.
	shown   string
	effects []string
	err     error
}

// take applies an entry to a machine. The payload is the machine's only until that returns: then it is made unusable, each time in
// another way, so that who kept it does not go on as another one does.
func (d *Driver) take(s *step, m *machine.Bound, fx *machine.Effects) (o outcome) {
	from := fx.Len()
	lent := bytes.Clone(s.payload)
	if s.kind == ra.KindNoop {
		o.err = m.Upgrade(s.meta, s.upgrade, fx)
	} else {
		o.reply, o.err = m.ApplyEntry(s.meta, s.kind, lent, fx)
	}
	o.shown = show(o.reply)
	for i := from; i < fx.Len(); i++ {
		o.effects = append(o.effects, fx.At(i).String())
	}
	d.scribbles++
	for i := range lent {
		lent[i] ^= byte(1 + d.scribbles%255)
	}
	return o
}

func show(reply any) string { return fmt.Sprintf("%+v", reply) }

const (
	// replays is how often Check repeats all entries from the beginning: what depends on the order of a map may well come out
	// the same once.
	replays = 4
	// maxCuts bounds the snapshots that Check takes.
	maxCuts = 24
)

// Check repeats the entries that the machine was given on other machines of the same factory, as other members would, and reports
// by tb.Errorf the first of these that does not hold:
//
//   - No method has the name of an optional interface's and another signature (machine.Vet).
//   - Who applies the same entries gives the same replies, asks for the same effects in the same order and comes to the same state,
//     byte by byte. Only the clock of the machine, Meta.Time, is the same for all; roles, ticks and the member's own name are not.
//   - A reply does not change after it was given: it shares no memory with the state, nor with the command, which is the machine's
//     only until Apply returns.
//   - A snapshot of any entry stands still while later ones are applied, can be written more than once, and what is restored from
//     it, whatever that machine was before, goes on like the one it was taken of. It is written on another goroutine while entries
//     are applied, so that the race detector sees what they share.
//   - The overview can be shown as JSON, and does not change the state.
//
// It takes time in proportion to the number of entries: they are repeated at most some hundred times. More entries may follow, and
// another Check.
func (d *Driver) Check() {
	d.tb.Helper()
	if err := d.check(); err != nil {
		d.tb.Errorf("machinetest: %v", err)
	}
}

func (d *Driver) check() error {
	d.tb.Helper()
	if err := machine.Vet(d.m.Machine()); err != nil {
		return err
	}
	final := d.State()
	for _, s := range d.history {
		if now := show(s.reply); now != s.shown {
			return fmt.Errorf("%s: the reply shares memory with the state or the command: it was %s when it was given, and is %s", s.what, s.shown, now)
		}
	}
	if _, err := json.Marshal(d.m.Overview()); err != nil {
		return fmt.Errorf("overview: %w", err)
	}
	if !bytes.Equal(d.State(), final) {
		return fmt.Errorf("to take a snapshot or to look at the overview changes the state:\n\t%q\n\t%q", final, d.State())
	}
	for range replays {
		m := d.make()
		if err := d.repeat(m, 0, "another member"); err != nil {
			return err
		}
		if state := d.stateOf(m); !bytes.Equal(state, final) {
			return fmt.Errorf("another member with the same entries, and without roles and ticks, comes to another state:\n\t%q\n\t%q", final, state)
		}
	}
	n := len(d.history)
	for i := range min(n+1, maxCuts) {
		if err := d.restart(i*n/min(max(n, 1), maxCuts-1), final); err != nil {
			return err
		}
	}
	return nil
}

// repeat applies the entries behind the first ones again, and compares.
func (d *Driver) repeat(m *machine.Bound, from int, who string) error {
	var fx machine.Effects
	for _, s := range d.history[from:] {
		fx.Reset()
		switch o := d.take(s, m, &fx); {
		case o.err != nil:
			return fmt.Errorf("%s: %s fails: %w", s.what, who, o.err)
		case !reflect.DeepEqual(o.reply, s.reply):
			return fmt.Errorf("%s: %s replies %s, the first %s", s.what, who, show(o.reply), show(s.reply))
		case !slices.Equal(o.effects, s.effects):
			return fmt.Errorf("%s: %s asks for other effects than the first: %s", s.what, who, difference(o.effects, s.effects))
		}
	}
	fx.Reset()
	return nil
}

// difference tells where two lists of effects part.
func difference(other, first []string) string {
	i := 0
	for i < min(len(other), len(first)) && other[i] == first[i] {
		i++
	}
	at := func(list []string) string {
		if i < len(list) {
			return list[i]
		}
		return "nothing"
	}
	return fmt.Sprintf("number %d is %s, and was %s", i+1, at(other), at(first))
}

// repeatTo applies the first entries again, and compares nothing.
func (d *Driver) repeatTo(m *machine.Bound, cut int) {
	var fx machine.Effects
	for _, s := range d.history[:cut] {
		fx.Reset()
		d.take(s, m, &fx)
	}
	fx.Reset()
}

// restart takes a snapshot behind the first entries, and goes on from there: with a new machine, and with one that has a state of its
// own, which Restore replaces.
func (d *Driver) restart(cut int, final []byte) error {
	d.tb.Helper()
	at, version, other := "the first snapshot", d.m.Version(), len(d.history)
	if cut > 0 {
		at = "the snapshot behind " + d.history[cut-1].what
	}
	if cut < len(d.history) {
		version = d.history[cut].before
	}
	for other > cut && (d.history[other-1].before != version || d.history[other-1].kind == ra.KindNoop) {
		other-- // a machine that has got another version since is none that could be given this snapshot
	}
	state, err := d.capture(cut, at)
	if err != nil {
		return err
	}
	for _, entries := range []int{0, other} {
		m := d.make()
		d.repeatTo(m, entries)
		if err := d.resume(m, state, version, cut, at, final); err != nil {
			return err
		}
	}
	return nil
}

// resume restores a snapshot that was taken behind the first entries, and goes on with the others.
func (d *Driver) resume(m *machine.Bound, state []byte, version machine.Version, cut int, at string, final []byte) error {
	d.tb.Helper()
	if err := m.Jump(version); err != nil {
		return err
	}
	if err := m.Machine().Restore(bytes.NewReader(state)); err != nil {
		return fmt.Errorf("%s cannot be restored: %w", at, err)
	}
	if again := d.stateOf(m); !bytes.Equal(again, state) {
		return fmt.Errorf("%s, restored, gives another one:\n\t%q\n\t%q", at, state, again)
	}
	if err := d.repeat(m, cut, "who has "+at); err != nil {
		return err
	}
	if again := d.stateOf(m); !bytes.Equal(again, final) {
		return fmt.Errorf("who has %s comes to another state in the end:\n\t%q\n\t%q", at, final, again)
	}
	return nil
}

// capture captures the state behind the first entries, writes it while the others are applied, and once more afterwards.
func (d *Driver) capture(cut int, at string) ([]byte, error) {
	d.tb.Helper()
	m := d.make()
	d.repeatTo(m, cut)
	before := d.stateOf(m)
	c, err := m.Machine().Snapshot()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	defer c.Release()
	var during []byte
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		during, failed = written(c)
	}()
	err = d.repeat(m, cut, "a member that writes "+at)
	<-done
	if err != nil || failed != nil {
		return nil, fmt.Errorf("%s: %w", at, cmp.Or(failed, err))
	}
	after, err := written(c)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s, written again: %w", at, err)
	case !bytes.Equal(before, during), !bytes.Equal(before, after):
		return nil, fmt.Errorf("%s changes while later entries are applied:\n\t%q\n\t%q\n\t%q", at, before, during, after)
	}
	return before, nil
}
