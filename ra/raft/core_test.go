package raft

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// group is a cluster in memory, for tests in which nothing is lost: messages arrive in order, disks confirm at once
// unless they are held.
type group struct {
	t       testing.TB
	members map[ra.UID]*station
	order   []ra.UID
	cut     map[ra.UID]bool
}

// station is one member of a group with its log and disk.
type station struct {
	raft   *Raft
	log    []ra.Entry // log[i] has index i+1
	inbox  []Message
	commit ra.Index
	role   ra.Role
	hold   bool // the disk confirms nothing
	seq    uint64
	state  ra.HardState
	ready  uint64
	lost   uint64
	tick   bool
	timer  TimerOrder
	class  TimerClass
}

func member(uid ra.UID) ra.Member {
	return ra.Member{ID: ra.ServerID{Name: "m" + string(uid), Node: "n" + ra.NodeID(uid)}, UID: uid}
}

func members(uids ...ra.UID) []ra.Member {
	var all []ra.Member
	for _, uid := range uids {
		all = append(all, member(uid))
	}
	return all
}

func newGroup(t testing.TB, uids ...ra.UID) *group {
	g := &group{t: t, members: map[ra.UID]*station{}, cut: map[ra.UID]bool{}}
	for _, uid := range uids {
		g.add(uid, uids...)
	}
	return g
}

func (g *group) add(uid ra.UID, uids ...ra.UID) *station {
	r, err := New(Config{Self: uid}, Restored{Configurations: []Configuration{{Members: members(uids...)}}})
	if err != nil {
		g.t.Fatal(err)
	}
	s := &station{raft: r}
	g.members[uid] = s
	g.order = append(g.order, uid)
	g.carryOut(s)
	return s
}

// do steps a message into a member and carries out what follows, up to the end.
func (g *group) do(uid ra.UID, m Message) Result {
	g.t.Helper()
	s := g.members[uid]
	result := s.raft.Step(&m)
	g.carryOut(s)
	g.run()
	return result
}

// run delivers messages until there are none.
func (g *group) run() {
	for busy := true; busy; {
		busy = false
		for _, uid := range g.order {
			s := g.members[uid]
			inbox := s.inbox
			s.inbox = nil
			if len(inbox) == 0 && (s.hold || s.seq == 0) {
				continue
			}
			busy = true
			for i := range inbox {
				s.raft.Step(&inbox[i])
			}
			g.written(s)
			g.carryOut(s)
		}
	}
}

func (g *group) written(s *station) {
	if s.seq != 0 && !s.hold {
		s.raft.Step(&Message{Kind: Written, Seq: s.seq})
		s.seq = 0
	}
}

// carryOut is a small shell: it keeps the log and sends.
func (g *group) carryOut(s *station) {
	o := s.raft.Orders()
	if o.Failed != nil {
		g.t.Fatalf("failed: %v", o.Failed)
	}
	if o.Seq != 0 {
		s.seq = o.Seq
	}
	if o.SaveState {
		s.state = o.State
	}
	if o.Truncate != 0 {
		s.log = s.log[:o.Truncate-1]
	}
	for _, e := range o.Append {
		if e.Index != ra.Index(len(s.log))+1 {
			g.t.Fatalf("append of %d after %d", e.Index, len(s.log))
		}
		s.log = append(s.log, e)
	}
	s.commit, s.role, s.tick = o.Commit, o.Role, o.NeedTick
	s.ready, s.lost = max(s.ready, o.QueriesReady), max(s.lost, o.QueriesLost)
	if o.Timer != TimerKeep {
		s.timer, s.class = o.Timer, o.Class
	}
	from := s.raft.self
	for _, m := range o.Messages {
		if m.Kind == Append {
			m.Entries = s.log[m.Index:m.Last]
		}
		if to := g.members[m.To]; to != nil && !g.cut[from] && !g.cut[m.To] {
			to.inbox = append(to.inbox, m)
		}
	}
}

func (g *group) propose(uid ra.UID, n int) Result {
	g.t.Helper()
	return g.do(uid, Message{Kind: Propose, Entries: proposals(n)})
}

func proposals(n int) []ra.Entry {
	entries := make([]ra.Entry, n)
	for i := range entries {
		entries[i] = NewProposal(ra.KindCommand, 0, []byte{byte(i)})
	}
	return entries
}

// wantLogs fails unless all members have the same log of n entries and have committed it.
func (g *group) wantLogs(n int, uids ...ra.UID) {
	g.t.Helper()
	for _, uid := range uids {
		s := g.members[uid]
		if len(s.log) != n || s.commit != ra.Index(n) {
			g.t.Errorf("%s has %d entries and commit %d, want %d", uid, len(s.log), s.commit, n)
		}
		for i := range min(n, len(s.log)) {
			if want := g.members[uids[0]].log[i]; s.log[i].Term != want.Term || string(s.log[i].Body) != string(want.Body) {
				g.t.Errorf("%s differs from %s at %d", uid, uids[0], i+1)
			}
		}
	}
}

// Raft paper 5.2, 5.3; ELE-04, ELE-05, ELE-09, REP-04, API-07.
func TestElectionAndReplication(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	for uid, s := range g.members {
		if s.timer != TimerKeep {
			t.Errorf("brand-new member %s has an election timer", uid)
		}
	}
	g.do("a", Message{Kind: Campaign})
	if r := g.members["a"].raft; r.Role() != ra.Leader {
		t.Fatalf("a is %v", r.Status())
	}
	for range 10 {
		if got := g.propose("a", 5); got.Refused != Accepted {
			t.Fatal(got.Refused)
		}
	}
	g.wantLogs(51, "a", "b", "c")
	if got := g.propose("b", 1); got.Refused != NotLeader {
		t.Errorf("a follower says %v to a proposal", got.Refused)
	}
}

// FSM-03, REP-10, REP-11: a member that was away catches up, and a leader that was deposed meanwhile loses what it
// had not committed.
func TestDeposedLeaderCatchesUp(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.propose("a", 3)
	g.cut["a"] = true
	g.propose("a", 7) // stays its own
	for _, uid := range []ra.UID{"b", "c"} {
		g.do(uid, Message{Kind: LeaderDown, From: "a"})
	}
	g.do("b", Message{Kind: ElectionTimeout})
	g.propose("b", 4)
	g.cut["a"] = false
	g.do("b", Message{Kind: Tick})
	g.do("b", Message{Kind: Tick})
	g.wantLogs(9, "b", "a", "c")
}
