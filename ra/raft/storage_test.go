package raft

import "testing"

// TestStorageBackAsksForWhatWasDropped: a follower that dropped appends while its storage was down gets them at once
// when it is back, without a tick of the leader (FSM-04, REP-10).
func TestStorageBackAsksForWhatWasDropped(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.do("b", Message{Kind: WALDown})
	g.propose("a", 1)
	g.propose("a", 2)
	b, leader := g.members["b"].raft, g.members["a"].raft
	if b.log.end() == leader.log.end() {
		t.Fatal("nothing was dropped")
	}
	g.do("b", Message{Kind: WALUp})
	if b.log.end() != leader.log.end() || b.Commit() != leader.Commit() {
		t.Fatalf("b is at %v, commit %d; the leader at %v, commit %d", b.log.end(), b.Commit(), leader.log.end(), leader.Commit())
	}
}
