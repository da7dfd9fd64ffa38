package raft

import (
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// restartSuspect gives member uid of a group a new life with the first n entries of its log only.
func (g *group) restartSuspect(uid ra.UID, n int) *station {
	s := g.members[uid]
	restored := Restored{
		State: s.state, Last: ra.Index(n), Configurations: []Configuration{{Members: g.members[uid].raft.config().Members}},
		Commit: min(s.commit, ra.Index(n)), Suspect: true, Epoch: 50,
	}
	for _, e := range s.log[:n] {
		if k := len(restored.Runs); k == 0 || restored.Runs[k-1].Term != e.Term {
			restored.Runs = append(restored.Runs, TermRun{e.Index, e.Term})
		}
	}
	r, err := New(Config{Self: uid}, restored)
	if err != nil {
		g.t.Fatal(err)
	}
	*s = station{raft: r, log: s.log[:n:n], state: s.state}
	g.carryOut(s)
	return s
}

// suspectInRole returns member a of three, suspect, in one of the roles that it can have then.
func suspectInRole(t testing.TB, role ra.Role) *Raft {
	g := newGroup(t, "a", "b", "c")
	g.do("b", Message{Kind: Campaign})
	g.propose("b", 3)
	g.cut["b"], g.cut["c"] = true, true
	a := g.restartSuspect("a", 2).raft
	switch role {
	case ra.AwaitCondition:
		g.do("a", Message{Kind: Append, From: "b", To: "a", Term: 1, Index: 9, LogTerm: 1, Last: 9})
	case ra.ReceiveSnapshot:
		g.do("a", Message{Kind: InstallSnapshot, From: "b", To: "a", Term: 1, Index: 9, LogTerm: 1, Chunk: 1})
	}
	if a.Role() != role || a.suspect == nil {
		t.Fatalf("a is %v, should be %v", a.Status(), role)
	}
	return a
}

// I10: in every role that a suspect member can have, whatever comes, it grants nothing, asks for nothing, and what it
// acknowledges says that it is suspect; and it is sound again only by a goal and when that is durable.
func TestSuspectPromisesNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, role := range []ra.Role{ra.Follower, ra.AwaitCondition, ra.ReceiveSnapshot} {
		for kind := range kinds {
			for range 200 {
				r := suspectInRole(t, role)
				for range 3 {
					m := garbage(rng, Kind(kind))
					goal := m.Kind == SuspectReply && m.Token == r.episode
					r.Step(&m)
					o := r.Orders()
					if !goal && (r.suspect == nil || o.Repaired) {
						t.Fatalf("%v in role %v ends the suspicion", m, role)
					}
					wantNoPromise(t, r, o)
				}
			}
		}
	}
}

// wantNoPromise fails if o, of a suspect member, has anything that a sound one would be counted for.
func wantNoPromise(t *testing.T, r *Raft, o *Orders) {
	t.Helper()
	switch o.Role {
	case ra.PreVote, ra.Candidate, ra.Leader:
		t.Fatalf("a suspect member is %v", o.Role)
	}
	if o.SaveState && o.State.Vote != "" {
		t.Fatalf("a suspect member votes: %v", o)
	}
	for _, m := range o.Messages {
		switch m.Kind {
		case PreVoteRequest, VoteRequest, Append, Heartbeat, InstallSnapshot, TimeoutNow:
			t.Fatalf("a suspect member sends %v", m)
		case PreVoteReply, VoteReply:
			if !m.Reject {
				t.Fatalf("a suspect member grants %v", m)
			}
		case AppendReply:
			if !m.Suspect && !m.Reject {
				t.Fatalf("a suspect member acknowledges %v", m)
			}
		case HeartbeatReply:
			if m.Query != 0 {
				t.Fatalf("a suspect member confirms %v", m)
			}
		}
	}
}

// I9, I10: a follower that lost acknowledged entries says so, is counted on no more, and is sound again when it has what
// its leader had.
func TestSuspectIsRepaired(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.propose("a", 9)
	g.cut["c"] = true // so that a commits with b alone
	g.propose("a", 5)
	g.wantLogs(15, "a", "b")

	b := g.restartSuspect("b", 4)
	g.members["a"].hold = true // the new life's first message only
	g.do("b", Message{Kind: ElectionTimeout})
	g.members["a"].hold = false
	if p := g.members["a"].raft.lead.peers[1]; p.uid != "b" || p.match > 15 {
		t.Fatalf("peer %+v", p)
	}
	g.do("a", Message{Kind: Tick})
	g.wantLogs(15, "a", "b")
	if b.raft.suspect != nil || b.raft.episode <= episodeOf(50, true) {
		t.Fatalf("not repaired: %v", b.raft.Status())
	}
	if got := g.propose("a", 1); got.Refused != Accepted {
		t.Fatal(got.Refused)
	}
	g.wantLogs(16, "a", "b")
}

// I6: what a peer has confirmed is not counted from the moment that it says to be suspect, nor is what it confirms until
// it is sound, nor what it said in an earlier life and what comes late. The commit index stays (I7).
func TestSuspectDoesNotCount(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.cut["b"], g.cut["c"] = true, true
	g.propose("a", 4)
	a := g.members["a"].raft
	step := func(m Message) *Orders {
		m.To, m.Term = "a", 1
		a.Step(&m)
		o := a.Orders()
		return o
	}
	late := Message{Kind: AppendReply, From: "b", Index: 5, Last: 5, LogTerm: 1, Token: episodeOf(7, false)}
	step(Message{Kind: SuspectNotice, From: "b", Index: 1, Token: episodeOf(7, true)})
	peer := &a.lead.peers[1]
	if !peer.suspect || peer.goal.Index != 5 || peer.match != 1 {
		t.Fatalf("the leader takes the peer for %+v", peer)
	}
	for _, m := range []Message{late, {Kind: AppendReply, From: "b", Index: 5, Last: 5, LogTerm: 1, Suspect: true, Token: episodeOf(7, true)}} {
		if o := step(m); o.Commit != 1 {
			t.Fatalf("%v commits %d", m, o.Commit)
		}
	}
	if o := step(Message{Kind: AppendReply, From: "b", Index: 5, Last: 5, LogTerm: 1, Token: episodeOf(9, false)}); o.Commit != 5 {
		t.Fatalf("a peer that is sound again does not count: commit %d", o.Commit)
	}
	if o := step(Message{Kind: SuspectNotice, From: "b", Index: 1, Token: episodeOf(7, true)}); len(o.Messages) > 0 || peer.suspect {
		t.Fatalf("a late notice of what is over counts: %v", o)
	}
}

// I9: the case of the bug catalogue, section 2: c was away, b loses entries that it and a had committed, a is away now.
// Nobody may be elected until a is back, and then nothing is lost.
func TestDamagedMajorityPartnerDoesNotElect(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.cut["c"] = true
	g.propose("a", 100)
	g.wantLogs(101, "a", "b")
	g.cut["a"], g.cut["c"] = true, false
	g.restartSuspect("b", 50)
	for range 5 {
		g.do("c", Message{Kind: LeaderDown, From: "a"})
		g.do("c", Message{Kind: ElectionTimeout})
		g.do("b", Message{Kind: ElectionTimeout})
		g.do("b", Message{Kind: Campaign})
		for _, uid := range []ra.UID{"b", "c"} {
			if r := g.members[uid].raft; r.Role() == ra.Leader || r.Role() == ra.Candidate {
				t.Fatalf("%s is %v without a", uid, r.Status())
			}
		}
	}
	g.cut["a"] = false
	g.do("a", Message{Kind: Tick})
	g.do("b", Message{Kind: ElectionTimeout})
	g.do("c", Message{Kind: ElectionTimeout})
	g.do("a", Message{Kind: Tick})
	g.do("a", Message{Kind: Tick})
	g.wantLogs(101, "a", "b", "c")
	if g.members["b"].raft.suspect != nil {
		t.Fatalf("b stays suspect: %v", g.members["b"].raft.Status())
	}
}

// A member knows when nobody can be elected any more because too many have lost entries.
func TestQuorumDamaged(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.propose("a", 3)
	g.restartSuspect("b", 1)
	g.do("c", Message{Kind: LeaderDown, From: "a"})
	c := g.members["c"].raft
	g.cut["a"] = true
	g.do("b", Message{Kind: ElectionTimeout})
	if c.QuorumDamaged() {
		t.Error("one of three is no majority")
	}
	g.cut["a"] = false
	g.restartSuspect("a", 2)
	g.do("a", Message{Kind: ElectionTimeout})
	if !c.QuorumDamaged() || !g.members["b"].raft.QuorumDamaged() {
		t.Error("two of three are")
	}

	alone := newGroup(t, "a")
	alone.do("a", Message{Kind: Campaign})
	if alone.members["a"].raft.QuorumDamaged() {
		t.Error("a sound leader is damaged")
	}
	if alone.restartSuspect("a", 1); !alone.members["a"].raft.QuorumDamaged() {
		t.Error("the only member is suspect")
	}
}
