package main

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// fakeQueue is a queue without a cluster behind it. It treats commands as badly as a cluster may: some fail, some fail
// and are applied, now or later, and those that come at the same time are applied in any order.
type fakeQueue struct {
	t      testing.TB
	node   *actor.Node
	mu     sync.Mutex
	random *rand.Rand
	m      *machine.Bound
	index  ra.Index
	fx     machine.Effects
	// bad is how many of a hundred commands are treated badly.
	bad int
}

func newFakeQueue(t testing.TB, q int, node *actor.Node, bad int) *fakeQueue {
	m, err := machine.Bind(quorumqueue.New(machine.Init{Cluster: queueName(q)}), 0)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeQueue{t: t, node: node, m: m, bad: bad, random: rand.New(rand.NewPCG(uint64(q), 1))}
}

// draw returns a number below n.
func (f *fakeQueue) draw(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

// apply applies a command and carries the effects out.
func (f *fakeQueue) apply(command []byte) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	f.fx.Reset()
	f.fx.BeginEntry(f.index)
	reply := f.m.Apply(&machine.Meta{Index: f.index}, command, &f.fx)
	f.carryOut()
	return reply
}

func (f *fakeQueue) carryOut() {
	for e := range f.fx.All() {
		if e.Kind == machine.EffectSend && f.node != nil {
			_ = f.node.Send(e.PID, ra.Event{Body: e.Value}) // A send may be lost.
		}
	}
}

// down tells the queue that a process has ended.
func (f *fakeQueue) down(pid ra.PID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	payload, err := machine.AppendDown(nil, machine.Down{PID: pid})
	if err != nil {
		f.t.Fatal(err)
	}
	f.index++
	f.fx.Reset()
	f.fx.BeginEntry(f.index)
	if _, err := f.m.ApplyEntry(machine.Meta{Index: f.index}, ra.KindDown, payload, &f.fx); err != nil {
		f.t.Fatal(err)
	}
	f.carryOut()
}

func (f *fakeQueue) summary() quorumqueue.Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer, err := machine.Ask(f.m.Machine(), machine.QueryContext{}, quorumqueue.Describe{})
	if err != nil {
		f.t.Fatal(err)
	}
	return answer.(quorumqueue.Summary)
}

var errUnlucky = errors.New("unlucky")

// Go is system.Cluster's.
func (f *fakeQueue) Go(command []byte, done func(ra.Result, error)) {
	luck, delay := f.draw(100), time.Duration(f.draw(5))*time.Millisecond
	go func() {
		if f.bad > 0 {
			time.Sleep(delay)
		}
		switch {
		case luck >= f.bad:
			done(ra.Result{Reply: f.apply(command)}, nil)
		case luck%3 == 0:
			done(ra.Result{}, &ra.NotLeaderError{})
		case luck%3 == 1:
			f.apply(command)
			done(ra.Result{}, &ra.UncertainError{Cause: errUnlucky})
		default:
			done(ra.Result{}, &ra.UncertainError{Cause: errUnlucky})
			time.Sleep(10 * delay)
			f.apply(command)
		}
	}()
}

// PipelineCommand is system.Cluster's.
func (f *fakeQueue) PipelineCommand(command []byte, from machine.Caller) error {
	command = append([]byte(nil), command...)
	luck := f.draw(100)
	if luck < f.bad && luck%4 == 0 {
		return ra.ErrOverloaded
	}
	go func() {
		switch {
		case luck >= f.bad:
			f.answer(from, f.apply(command))
		case luck%4 == 1:
			_ = f.node.Send(from.PID, ra.Event{Body: ra.Rejected{Correlation: from.Correlation}})
		case luck%4 == 2:
			f.apply(command) // and the answer is lost
		}
	}()
	return nil
}

func (f *fakeQueue) answer(to machine.Caller, reply any) {
	_ = f.node.Send(to.PID, ra.Event{Body: ra.Applied{
		{Correlation: to.Correlation, Result: ra.Result{Reply: reply}},
	}})
}

// fakes returns queues and what producers and consumers see of them.
func fakes(t testing.TB, n int, node *actor.Node, bad int) ([]*fakeQueue, []cluster) {
	var queues []*fakeQueue
	var clusters []cluster
	for q := range n {
		f := newFakeQueue(t, q, node, bad)
		queues, clusters = append(queues, f), append(clusters, f)
	}
	return queues, clusters
}

func summaries(queues []*fakeQueue) []quorumqueue.Summary {
	var all []quorumqueue.Summary
	for _, q := range queues {
		all = append(all, q.summary())
	}
	return all
}
