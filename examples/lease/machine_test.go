package main

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// bench is a machine without a cluster: the test gives it its entries.
type bench struct {
	t    *testing.T
	m    *machine.Bound
	fx   machine.Effects
	meta machine.Meta
}

func newBench(t *testing.T, f machine.Factory) *bench {
	t.Helper()
	m := f(machine.Init{})
	if err := machine.Vet(m); err != nil {
		t.Error(err)
	}
	b, err := machine.Bind(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	return &bench{t: t, m: b}
}

// do applies a command.
func (b *bench) do(c Command) Reply {
	b.t.Helper()
	command, err := protocol.Command.Append(nil, c)
	if err != nil {
		b.t.Fatal(err)
	}
	b.meta.Index++
	reply, ok := b.m.Apply(&b.meta, command, &b.fx).(Reply)
	if !ok {
		b.t.Fatalf("%+v is not understood", c)
	}
	return reply
}

// end applies the entry which says that a process has ended.
func (b *bench) end(pid ra.PID, code machine.DownCode) {
	b.t.Helper()
	payload, err := machine.AppendDown(nil, machine.Down{PID: pid, Reason: machine.DownReason{Code: code}})
	if err != nil {
		b.t.Fatal(err)
	}
	b.entry(ra.KindDown, payload)
}

func (b *bench) entry(kind ra.Kind, payload []byte) {
	b.t.Helper()
	b.meta.Index++
	if _, err := b.m.ApplyEntry(b.meta, kind, payload, &b.fx); err != nil {
		b.t.Fatal(err)
	}
}

// state returns the bytes of a snapshot.
func (b *bench) state() []byte {
	b.t.Helper()
	var out bytes.Buffer
	c, err := b.m.Machine().Snapshot()
	if err == nil {
		_, err = c.WriteTo(&out)
		c.Release()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

var anna, bert, cleo = process("anna"), process("bert"), process("cleo")

func process(name string) ra.PID { return ra.PID{Node: "app", Name: name, Incarnation: 1, Spawn: 1} }

func acquire(owner ra.PID, lock string) Command {
	return Command{Op: Acquire, Lock: lock, Owner: owner, Lease: time.Second}
}

// The same entries make the same effects and the same state, on every member and every time.
func TestDeterminism(t *testing.T) {
	var effects string
	var state []byte
	for run := range 10 {
		b := newBench(t, newLocks)
		for i := range 50 {
			b.do(acquire(anna, fmt.Sprint("desk-", i)))
			b.do(acquire(bert, fmt.Sprint("desk-", i)))
		}
		b.end(anna, machine.DownNormal)
		if run == 0 {
			effects, state = b.fx.String(), b.state()
		}
		if b.fx.String() != effects || !bytes.Equal(b.state(), state) {
			t.Fatal("a second run went another way")
		}
	}
}
