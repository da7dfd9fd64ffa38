package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/machinetest"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// bench is a machine without a cluster: the test gives it its entries.
type bench struct {
	*machinetest.Driver
	t *testing.T
}

func newBench(t *testing.T, f machine.Factory) bench {
	d := machinetest.New(t, f)
	t.Cleanup(d.Check) // whatever the test has done: it comes out the same on every member, and after every restart
	return bench{d, t}
}

// do applies a command.
func (b bench) do(c Command) Reply { return machinetest.Do(b.Driver, protocol, c) }

// end applies the entry which says that a process has ended.
func (b bench) end(pid ra.PID, code machine.DownCode) { b.Down(pid, machine.DownReason{Code: code}) }

var anna, bert, cleo = process("anna"), process("bert"), process("cleo")

func process(name string) ra.PID { return ra.PID{Node: "app", Name: name, Incarnation: 1, Spawn: 1} }

func acquire(owner ra.PID, lock string) Command {
	return Command{Op: Acquire, Lock: lock, Owner: owner, Lease: time.Second}
}

// Who ends leaves its locks to others, all of them at once.
func TestManyLocks(t *testing.T) {
	b := newBench(t, newLocks)
	for i := range 50 {
		b.do(acquire(anna, fmt.Sprint("desk-", i)))
		b.do(acquire(bert, fmt.Sprint("desk-", i)))
	}
	b.end(anna, machine.DownNormal)
	b.holds("desk-7", Holder{Owner: bert, Token: 101})
}
