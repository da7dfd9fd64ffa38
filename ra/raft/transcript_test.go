package raft

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// TestTranscripts plays the scripts of testdata: verbs in, full orders out.
//
//	restore a members=(a,b,c) terms=(1,1,2) term=2 vote=b commit=1 snapshot=(1,1)
//	step a ElectionTimeout        a message or event; further fields as key=value; prints the result if there is one
//	orders a                      closes a batch; messages go into the inboxes of their receivers
//	deliver a [n]                 steps what is in a's inbox, the first n if given, and prints it
//	drop a                        empties a's inbox
//	written a                     the disk confirms everything
//	run [held=(a,b)]              deliver, written and orders for all, but those held, until nothing is left
//	status a
//
// Snapshots have two chunks.
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Ext(path) != ".txt" {
			return // of a fuzz target
		}
		e := &env{t: t, members: map[ra.UID]*actor{}}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			e.out.Reset()
			e.command(d)
			return e.out.String()
		})
	})
}

// env is the members of a script.
type env struct {
	t       *testing.T
	members map[ra.UID]*actor
	order   []ra.UID
	out     strings.Builder
}

// actor is one member with its shell.
type actor struct {
	raft     *Raft
	snapshot Position
	log      []ra.Entry // after snapshot
	inbox    []Message
	seq      uint64
}

func (e *env) command(d *datadriven.TestData) {
	uid := ra.UID("")
	if len(d.CmdArgs) > 0 && len(d.CmdArgs[0].Vals) == 0 {
		uid = ra.UID(d.CmdArgs[0].Key)
	}
	switch d.Cmd {
	case "restore":
		e.restore(uid, d)
	case "step":
		e.step(uid, d)
	case "orders":
		e.orders(uid)
	case "deliver":
		e.deliver(uid, d)
	case "drop":
		e.members[uid].inbox = nil
	case "written":
		e.written(uid)
	case "run":
		e.run(d)
	case "status":
		fmt.Fprintln(&e.out, e.members[uid].raft.Status())
	default:
		d.Fatalf(e.t, "unknown verb")
	}
}

// values returns the values of an argument, none if it is missing.
func values(d *datadriven.TestData, key string) []string {
	for _, arg := range d.CmdArgs {
		if arg.Key == key {
			return arg.Vals
		}
	}
	return nil
}

func numbers(d *datadriven.TestData, key string) []uint64 {
	var all []uint64
	for _, v := range values(d, key) {
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			panic(err)
		}
		all = append(all, n)
	}
	return all
}

func number(d *datadriven.TestData, key string) uint64 {
	if all := numbers(d, key); len(all) > 0 {
		return all[0]
	}
	return 0
}

func text(d *datadriven.TestData, key string) ra.UID {
	if all := values(d, key); len(all) > 0 {
		return ra.UID(all[0])
	}
	return ""
}

func (e *env) restore(uid ra.UID, d *datadriven.TestData) {
	var uids []ra.UID
	for _, v := range values(d, "members") {
		uids = append(uids, ra.UID(v))
	}
	a := &actor{}
	if s := numbers(d, "snapshot"); len(s) == 2 {
		a.snapshot = Position{ra.Index(s[0]), ra.Term(s[1])}
	}
	s := Restored{
		State:    ra.HardState{Term: ra.Term(number(d, "term")), Vote: text(d, "vote")},
		Snapshot: a.snapshot, Last: a.snapshot.Index, Commit: ra.Index(number(d, "commit")),
		Configurations: []Configuration{{a.snapshot.Index, members(uids...)}},
	}
	for _, term := range numbers(d, "terms") {
		s.Last++
		if k := len(s.Runs); k == 0 || s.Runs[k-1].Term != ra.Term(term) {
			s.Runs = append(s.Runs, TermRun{s.Last, ra.Term(term)})
		}
		a.log = append(a.log, ra.Seal(ra.NewBody(nil), ra.Header{Index: s.Last, Term: ra.Term(term), Kind: ra.KindCommand}))
	}
	var err error
	if a.raft, err = New(Config{Self: uid}, s); err != nil {
		d.Fatalf(e.t, "%v", err)
	}
	e.members[uid] = a
	if !slices.Contains(e.order, uid) {
		e.order = append(e.order, uid)
	}
	e.orders(uid)
}

func (e *env) step(uid ra.UID, d *datadriven.TestData) {
	m := Message{
		From: text(d, "from"), To: text(d, "to"), Term: ra.Term(number(d, "term")), Index: ra.Index(number(d, "index")),
		LogTerm: ra.Term(number(d, "logterm")), Last: ra.Index(number(d, "last")), Commit: ra.Index(number(d, "commit")),
		Query: number(d, "query"), Token: number(d, "token"), Seq: number(d, "seq"), Chunk: uint32(number(d, "chunk")),
		Version: uint32(number(d, "version")), Bytes: int(number(d, "bytes")),
		Reject: d.HasArg("reject"), Force: d.HasArg("now"), Done: d.HasArg("done"),
	}
	m.Kind = Kind(slices.Index(kindNames[:], d.CmdArgs[1].Key))
	if m.Kind.FromPeer() {
		m.To = uid
	}
	m.Entries = proposals(int(number(d, "n")))
	for _, v := range values(d, "members") {
		m.Members = append(m.Members, member(ra.UID(v)))
	}
	if k := values(d, "as"); len(k) > 0 {
		m.Members[0].Membership = map[string]ra.Membership{"promotable": ra.Promotable, "non_voter": ra.NonVoter}[k[0]]
	}
	if d.HasArg("remove") {
		m.Op = Remove
	}
	if got := e.members[uid].raft.Step(&m); got != (Result{}) {
		fmt.Fprintf(&e.out, "index=%d %v\n", got.Index, got.Refused)
	}
}

// orders carries out a member's orders and prints them.
func (e *env) orders(uid ra.UID) {
	a := e.members[uid]
	o := a.raft.Orders()
	for _, line := range strings.SplitAfter(o.String(), "\n") {
		if line != "" {
			fmt.Fprintf(&e.out, "%s: %s", uid, line)
		}
	}
	a.seq = max(a.seq, o.Seq)
	if o.Truncate != 0 {
		a.log = a.log[:o.Truncate-1-a.snapshot.Index]
	}
	a.log = append(a.log, o.Append...)
	for _, m := range o.Messages {
		if m.Kind == Append && m.Index >= a.snapshot.Index && m.Last > m.Index {
			m.Entries = slices.Clone(a.log[m.Index-a.snapshot.Index : m.Last-a.snapshot.Index])
		}
		m.Done = m.Done || m.Kind == InstallSnapshot && m.Chunk == 2
		if to := e.members[m.To]; to != nil {
			to.inbox = append(to.inbox, m)
		}
	}
}

func (e *env) deliver(uid ra.UID, d *datadriven.TestData) {
	a := e.members[uid]
	n := len(a.inbox)
	if len(d.CmdArgs) > 1 {
		n, _ = strconv.Atoi(d.CmdArgs[1].Key)
	}
	for i := range min(n, len(a.inbox)) {
		fmt.Fprintf(&e.out, "%s< %v\n", uid, a.inbox[i])
		a.raft.Step(&a.inbox[i])
	}
	a.inbox = a.inbox[min(n, len(a.inbox)):]
}

func (e *env) written(uid ra.UID) {
	a := e.members[uid]
	a.raft.Step(&Message{Kind: Written, Seq: a.seq})
	a.seq = 0
}

func (e *env) run(d *datadriven.TestData) {
	held := values(d, "held")
	for rounds, busy := 0, true; busy; rounds++ {
		if busy = false; rounds == 100 {
			e.t.Fatal("messages without end")
		}
		for _, uid := range e.order {
			a := e.members[uid]
			if slices.Contains(held, string(uid)) || a.seq == 0 && len(a.inbox) == 0 {
				continue
			}
			busy = true
			if a.seq != 0 {
				fmt.Fprintf(&e.out, "%s< Written seq=%d\n", uid, a.seq)
				e.written(uid)
			}
			e.deliver(uid, &datadriven.TestData{})
			e.orders(uid)
		}
	}
}
