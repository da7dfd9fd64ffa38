package rafttest

import "github.com/heliopolis-raft/heliopolis/ra/raft"

// patient checks what a leader says of news that can wait (raft.Patience): a batch of nothing else gives it nothing to do.
type patient struct {
	raft.Patience
	// alone: what was taken in since the last batch can wait. quiet: such a batch ends now.
	alone, quiet bool
}

// canWait reports whether a peer's message can, and gives the leader nothing to do when its time has come.
func (p *peer) canWait(m *raft.Message) bool { return p.patient.CanWait(m) }

// acts takes note that the member sends or stores something.
func (p *peer) acts(what any) {
	if p.patient.quiet {
		p.patient.quiet = false
		p.cluster.truth.breach("patience", "%s has %+v for news that could have waited", p.uid, what)
	}
}
