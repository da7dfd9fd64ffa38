package system

import (
	"reflect"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// REP-07: of the answers to a leader's appends only those can wait that confirm nothing new, in its own term.
func TestLettersThatCanWait(t *testing.T) {
	patience := raft.Patience{Term: 4, Acks: 10, Version: 2, Written: true}
	reply := raft.Message{Kind: raft.AppendReply, Term: 4, Index: 10, Last: 12}
	for what, c := range map[string]struct {
		change   func(*raft.Message)
		patience raft.Patience
		want     bool
	}{
		"confirms what is committed": {func(*raft.Message) {}, patience, true},
		"confirms more":              {func(m *raft.Message) { m.Index = 11 }, patience, false},
		"a refusal":                  {func(m *raft.Message) { m.Reject = true }, patience, false},
		"of a higher term":           {func(m *raft.Message) { m.Term = 5 }, patience, false},
		"a vote":                     {func(m *raft.Message) { m.Kind = raft.VoteReply }, patience, false},
		"of a suspect member":        {func(m *raft.Message) { m.Suspect = true }, patience, false},
		"of a newer machine":         {func(m *raft.Message) { m.Version = 3 }, patience, false},
		"of the machine that all do": {func(m *raft.Message) { m.Version = 2 }, patience, true},
		"to somebody impatient":      {func(*raft.Message) {}, raft.Patience{}, false},
	} {
		l := &letter{Message: reply}
		c.change(&l.Message)
		if got := l.canWait(&c.patience); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// What waits is taken in with what comes next, also if an answer that counts takes its place in the inbox.
func TestInboxKeepsWhatWaits(t *testing.T) {
	var in inbox
	older := &letter{Message: raft.Message{Kind: raft.AppendReply, From: "b", Term: 4, Index: 10, Last: 12, LogTerm: 3, Commit: 9}}
	newer := &letter{Message: raft.Message{Kind: raft.AppendReply, From: "b", Term: 4, Index: 12, Last: 14, LogTerm: 4, Commit: 10}}
	if !in.push(older) || !in.any {
		t.Fatal("no room in an empty inbox")
	}
	if !in.coalesce(newer) || in.letters != 1 || !reflect.DeepEqual(in.head.Message, newer.Message) {
		t.Errorf("inbox holds %d letters, the first says %v", in.letters, &in.head.Message)
	}
}
