package system

import (
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// registration is what is durably known of a member from its first day: what it needs to be started again.
type registration struct {
	// uid is new for each registration; register makes one if it is empty.
	uid ra.UID
	// id is the member's address; its node is this one.
	id ra.ServerID
	// cluster is the name of the member's cluster, and machine the name of its machine in Config.Machines.
	cluster, machine string
	// initial is the configuration that the member starts with when it has neither log nor snapshot.
	initial []ra.Member
	// version is the machine's version in force at the beginning (VER-11).
	version machine.Version
}

// record is one member that is registered on this node, whether or not it runs.
type record struct {
	node *Node
	uid  ra.UID
	id   ra.ServerID
	reg  registration
	// slot is the record's place in the registry's table, from 1.
	slot uint32

	writer *wal.Writer
	// proc is the member's process while it lives; nil while it is stopped.
	proc atomic.Pointer[process]
	// damaged says why the member takes no part; nil for a sound one. It does not change while the node is open.
	damaged error

	// base is the number of the last order before the present life: the Server counts its own from 1.
	base atomic.Uint64

	// What follows is guarded by the log's mailbox lock: what the log has accepted, durable or not.
	state   ra.HardState
	applied ra.Index
}

// written tells the record's process that all orders up to seq, as the log counts them, are durable. It is called on a
// worker of the node.
func (r *record) written(seq uint64, ws *actor.Wakeups) {
	base := r.base.Load()
	if p := r.proc.Load(); p != nil && seq > base {
		p.written(seq-base, ws)
	}
}
