package monkeytest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// patience is how long clusters may take to heal when all faults are over (I18).
const patience = 60 * time.Second

// eventually tries until f returns nil, and fails if that takes too long.
func (w *world) eventually(what string, f func() error) bool {
	end := time.Now().Add(patience)
	for {
		err := f()
		if err == nil {
			return true
		}
		if time.Now().After(end) {
			w.fail("%s: not within %v: %v", what, patience, err)
			return false
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// heal sees to it that the cluster lives, that its members are what they should be, and that they come to one state.
func (k *keeper) heal() {
	if !k.w.eventually(k.s.name+" lives", k.live) {
		k.describe()
		return
	}
	c := &client{w: k.w, rng: k.rng, s: k.s, h: k.h, c: k.c}
	ok := k.eventually("takes commands", func() error {
		id := k.w.ids.Add(1)
		v := k.s.past.send(id)
		r, err := k.c.Process(k.w.ctx(10*time.Second), command(opRelease, id))
		c.ended(k.s, k.h, id, v, r, err, false)
		return err
	})
	if ok && k.eventually("has nothing open", k.nothingOpen) {
		k.eventually("has one state", k.oneState)
		k.eventually("is found from everywhere", k.found)
	}
}

// errNotHere says that the node which the keeper has taken does not know the cluster.
var errNotHere = errors.New("the node that is asked does not know it")

// eventually is world.eventually for a cluster. Commands at which machines panic may still be applied now.
func (k *keeper) eventually(what string, f func() error) bool {
	return k.w.eventually(k.s.name+" "+what, func() error {
		err := errNotHere
		if k.c != nil {
			err = f()
		}
		if err != nil {
			k.wake()
		}
		if err != nil && k.w.victim >= 0 {
			_ = k.live()
		}
		return err
	})
}

// wake starts members again that panicked as they were told, too often in a short time to be started by themselves
// (FAIL-01). No other one may need it.
func (k *keeper) wake() {
	for _, h := range k.w.hosts {
		m := h.node.Member(ra.ServerID{Name: k.s.name})
		_, err := m.Overview(k.w.ctx(time.Second))
		if err != nil && strings.Contains(err.Error(), panicText) {
			_ = k.call(fmt.Sprint("wake ", m.ID()), time.Second, m.Restart)
		}
	}
}

// found asks from each node that knows the cluster, whether or not members live there.
func (k *keeper) found() error {
	for _, h := range k.w.hosts {
		c, err := h.node.Cluster(k.s.name)
		if err != nil {
			continue // it has had nothing to do with it since it was opened
		}
		v := k.s.past.present()
		r, err := c.ConsistentQuery(k.w.ctx(time.Second), askPast{})
		if err != nil {
			return fmt.Errorf("%s: %w", h.node.Name(), err)
		}
		k.s.past.answered(v, r.Reply.(answer))
	}
	return nil
}

// describe notes how the members see themselves.
func (k *keeper) describe() {
	for i := range k.w.hosts {
		if h := k.w.host(i); h != nil {
			o, err := h.node.Member(ra.ServerID{Name: k.s.name}).Overview(k.w.ctx(time.Second))
			k.w.note(k.s.name, "%s: %v\n%v %v", nodeName(i), err, o.Core, o.Core.Configuration.Members)
		}
	}
}

// live starts what is not running, and ends what the keeper has begun.
func (k *keeper) live() error {
	if !k.find() {
		return fmt.Errorf("no node")
	}
	if k.s.dying {
		k.again(5 * time.Second)
		if k.tries++; k.s.dying && k.tries == 6 {
			k.wipe()
		}
	}
	if !k.s.dying && k.c != nil {
		_ = k.call("restart", 5*time.Second, k.c.Restart)
	}
	k.renew()
	if !k.s.dying && k.c != nil && k.s.move.stage != settled {
		k.change()
	}
	if k.c == nil || k.s.dying || k.s.move.stage != settled {
		return fmt.Errorf("known %v, dying %v, move %+v", k.c != nil, k.s.dying, k.s.move)
	}
	return nil
}

// nothingOpen asks whether all timers have run out, and the ends of all processes have been heard of (EFF-50, EFF-52).
func (k *keeper) nothingOpen() error {
	r, err := k.c.ConsistentQuery(k.w.ctx(time.Second), askOpen{})
	if err == nil && r.Reply != 0 {
		err = fmt.Errorf("%v are to come", r.Reply)
	}
	return err
}

// oneState compares what all members say of themselves.
func (k *keeper) oneState() error {
	v := k.s.past.present()
	r, err := k.c.ConsistentQuery(k.w.ctx(time.Second), askPast{})
	if err != nil {
		return err
	}
	want := r.Reply.(answer)
	k.s.past.answered(v, want)
	o, err := k.h.node.Member(r.Leader).Overview(k.w.ctx(time.Second))
	if err != nil {
		return err
	}
	for _, m := range o.Core.Configuration.Members {
		if err := k.sameState(m.ID, r.Index, want); err != nil {
			return fmt.Errorf("%v: %w", m.ID, err)
		}
	}
	return nil
}

// sameState compares one member's state with the leader's, and how it is shown.
func (k *keeper) sameState(id ra.ServerID, index ra.Index, want answer) error {
	m := k.h.node.Member(id)
	numbers, err := m.Metrics(k.w.ctx(time.Second))
	if err != nil {
		return err
	}
	r, err := m.LocalQuery(k.w.ctx(time.Second), askPast{})
	if err != nil {
		return err
	}
	got := r.Reply.(answer)
	if !numbers.Running || numbers.Applied != index || got.Life != want.Life || !slices.Equal(got.IDs, want.IDs) {
		return fmt.Errorf("%+v, %d commands of %v, want index %d, %d of %v", numbers, len(got.IDs), got.Life, index, len(want.IDs), want.Life)
	}
	var host *host
	for _, h := range k.w.hosts {
		if h.node.Name() == id.Node {
			host = h
		}
	}
	for _, c := range host.node.Overview().Clusters {
		if c.Name == k.s.name && c.Here[id].Applied == index && len(c.Members) > 0 {
			return nil
		}
	}
	return fmt.Errorf("overview of its node: %+v", host.node.Overview().Clusters)
}

// reopened looks whether the clusters are what they were when all nodes were closed and opened (I9, I14).
func (w *world) reopened(before map[string]answer) {
	for _, s := range w.clusters {
		a, ok := w.read(s)
		if b, was := before[s.name]; ok && was && (a.Life != b.Life || len(a.IDs) < len(b.IDs)) {
			w.fail("%s: %d commands of %v, before %d of %v", s.name, len(a.IDs), a.Life, len(b.IDs), b.Life)
		}
	}
}

// states returns the states of all clusters.
func (w *world) states() map[string]answer {
	states := make(map[string]answer)
	for _, s := range w.clusters {
		if a, ok := w.read(s); ok {
			states[s.name] = a
		}
	}
	return states
}

// read returns the state of a cluster. Nodes that know its name are asked in turn: on some of them all that is known may be
// members that it no longer has.
func (w *world) read(s *subject) (a answer, ok bool) {
	ok = w.eventually(s.name+" can be read", func() (err error) {
		v := s.past.present()
		a, err = w.ask(s.name)
		if err == nil {
			s.past.answered(v, a)
		}
		return err
	})
	return a, ok
}

// ask asks a cluster for its state.
func (w *world) ask(name string) (answer, error) {
	last := ra.ErrUnknownCluster
	for _, h := range w.hosts {
		c, err := h.node.Cluster(name)
		if err != nil {
			continue
		}
		r, err := c.ConsistentQuery(w.ctx(5*time.Second), askPast{})
		if err == nil {
			return r.Reply.(answer), nil
		}
		w.note(name, "%s reads: %v", h.node.Name(), err)
		last = err
	}
	return answer{}, last
}
