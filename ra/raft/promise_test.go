package raft

import (
	"reflect"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// appendOne is entry i of leader b's term 2, after one of term 1.
func appendOne(i ra.Index) Message {
	e := ra.Seal(ra.NewBody(nil), ra.Header{Index: i, Term: 2, Kind: ra.KindCommand})
	m := Message{Kind: Append, From: "b", Term: 2, Index: i - 1, LogTerm: 2, Last: i, Commit: 1, Entries: []ra.Entry{e}}
	if i == 2 {
		m.LogTerm = 1
	}
	return m
}

// promising returns a follower of b in term 2 that has one entry on disk and order 2, 3 and 4 under way, an entry each.
func promising(t *testing.T) *Raft {
	t.Helper()
	r := restored(t, 1, 1)
	o := stepped(r, Message{Kind: Append, From: "b", Term: 2, Index: 1, LogTerm: 1, Last: 1})
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	for i := ra.Index(2); i <= 4; i++ {
		if o = stepped(r, appendOne(i)); o.Seq != uint64(i) {
			t.Fatalf("entry %d has order %d", i, o.Seq)
		}
	}
	return r
}

// REP-08: what a promise gives for some orders is what the member says when it is told that they are durable.
func TestPromiseIsKept(t *testing.T) {
	for seq := uint64(2); seq <= 4; seq++ {
		r := promising(t)
		var p Promise
		var m Message
		if r.Promise(&p, 0); !p.Given() || p.Leader() != "b" || !p.Ack(seq, 0, &m) || m.Index != ra.Index(seq) {
			t.Fatalf("order %d: promised %+v of %+v", seq, m, p)
		}
		if o := stepped(r, Message{Kind: Written, Seq: seq}); len(o.Messages) != 1 || !reflect.DeepEqual(o.Messages[0], m) {
			t.Errorf("order %d: promised %+v, said %+v", seq, m, o.Messages)
		}
	}
}

// What was said by the promise is not said again; what lies behind it is.
func TestPromiseSaysItOnce(t *testing.T) {
	r := promising(t)
	if o := stepped(r, Message{Kind: Written, Seq: 3, Done: true}); len(o.Messages) != 0 || r.Status().Durable != 3 {
		t.Errorf("says %+v, durable %d", o.Messages, r.Status().Durable)
	}
	if o := stepped(r, Message{Kind: Written, Seq: 4}); len(o.Messages) != 1 || o.Messages[0].Index != 4 {
		t.Errorf("says %+v", o.Messages)
	}
}

// The orders are numbered as the shell counts them. What confirms no entry is not acknowledged.
func TestPromiseNumbers(t *testing.T) {
	r := promising(t)
	var p Promise
	var m Message
	r.Promise(&p, 100)
	if p.Ack(101, 0, &m) || !p.Ack(102, 0, &m) || m.Index != 2 || p.Ack(102, 102, &m) || !p.Ack(1000, 102, &m) || m.Index != 4 {
		t.Errorf("promises %+v, index %d", p, m.Index)
	}
}

// I2: whoever would say more than an acknowledgement, or less, promises nothing.
func TestNoPromise(t *testing.T) {
	for name, messages := range map[string][]Message{
		"nothing under way": {{Kind: Written, Seq: 4}},
		"no leader":         {{Kind: StepDown, From: "b", Term: 2}},
		"another term":      {{Kind: Append, From: "c", Term: 3, Index: 4, LogTerm: 2, Last: 4}},
		"storage is down":   {{Kind: WALDown}},
		"waits for entries": {{Kind: Append, From: "b", Term: 2, Index: 9, LogTerm: 2, Last: 9}},
		"too many":          {appendOne(5), appendOne(6)},
		"candidate":         {{Kind: LeaderDown, From: "b"}, {Kind: ElectionTimeout}},
	} {
		r := promising(t)
		var p Promise
		if r.Promise(&p, 0); !p.Given() {
			t.Fatal("nothing is promised at first")
		}
		for _, m := range messages {
			stepped(r, m)
		}
		if r.Promise(&p, 0); p.Given() {
			t.Errorf("%s: promises %+v", name, p)
		}
	}
}
