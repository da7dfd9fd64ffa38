package system

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// CMD-02: whichever node a command comes from, the answer names the leader.
func TestAnswerNamesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		leader, err := c.WaitLeader(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			r, err := w.on(w.n(i+1).Name(), "a").Process(w.ctx(), reference.AppendAdd(nil, 1))
			if err != nil || r.Leader != leader {
				t.Errorf("node %d: %+v, %v, %s leads", i+1, r, err, leader)
			}
		}
	})
}

// QRK-12: a call does not give up for want of processes while a member runs here, which may only not have heard yet who
// its peers are by now. Damage is no matter of time.
func TestHopeless(t *testing.T) {
	e := new(entry)
	e.standing.Store(&standing{members: []*route{{id: ra.ServerID{Name: "a", Node: "gone"}}}})
	asked := try{entry: e, dead: 9, began: time.Now().Add(-time.Hour)}
	if !asked.hopeless(ra.ErrNoProcess) {
		t.Error("there is hope without any member")
	}
	e.local = 1
	if asked.hopeless(ra.ErrNoProcess) {
		t.Error("no hope for a member that runs here")
	}
	if !asked.hopeless(ra.ErrDamaged) {
		t.Error("damage is waited for")
	}
}

// CMD-02: a member that has not heard yet of the leader that an answer came from does not make it forgotten here: that it
// votes in the leader's term is older news.
func TestLateMemberIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		w.cluster("a", "counter", "n1", "n2")
		n := w.n(1)
		e := n.board.get("a")
		p := n.registry.byName("a").proc.Load()
		e.mu.Lock()
		e.term = 0
		e.set(&standing{members: e.standing.Load().members})
		e.mu.Unlock()
		leader := ra.ServerID{Name: "a", Node: "n2"}
		e.hint(n, leader, 5)
		for _, late := range []member.Status{{Term: 4, Role: ra.Follower}, {Term: 5, Role: ra.Follower}} {
			if e.follows(p, late); e.standing.Load().leader == nil || e.standing.Load().leader.id != leader {
				t.Errorf("the news of term %d: %+v", late.Term, e.standing.Load().leader)
			}
		}
		if e.follows(p, member.Status{Term: 6, Role: ra.Follower}); e.standing.Load().leader != nil {
			t.Error("a later term has changed nothing")
		}
	})
}
