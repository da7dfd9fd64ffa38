package etcdhost

import (
	"runtime"
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// node is one of the nodes: one loop that drives the members that have something to do, and one goroutine that writes
// the log. Fields without a comment belong to the loop.
type node struct {
	id     uint64         // raft's: 1 and up
	inbox  *inbox         // safe for all
	peers  []*node        // by raft's id less one; fixed before the loop starts
	leads  []atomic.Int32 // by cluster: which node leads, shared by all nodes
	groups []*group
	dirty  []*group
	outbox [][]envelope // by peer
	slab   []raftpb.Entry

	wal     walQueue
	syncs   atomic.Int64
	entries atomic.Int64
	running sync.WaitGroup
}

// walQueue is what the loop hands to the log's goroutine: records, and the messages that they come from.
type walQueue struct {
	mu      sync.Mutex
	file    *file
	buffer  batchBuffer
	batch   []envelope
	entries int
	sleep   bool
	closed  bool
	wake    chan struct{}
}

func newNode(id uint64, f *file) *node {
	return &node{id: id, inbox: newInbox(), wal: walQueue{file: f, wake: make(chan struct{}, 1)}}
}

// start begins to run the node, once all peers are known.
func (n *node) start(peers []*node) {
	n.peers = peers
	n.outbox = make([][]envelope, len(peers))
	n.running.Go(n.loop)
	n.running.Go(n.writeLog)
}

// loop handles input until the inbox is closed.
func (n *node) loop() {
	in := &input{}
	for {
		in = n.inbox.take(in)
		for _, call := range in.calls {
			call()
		}
		n.stepWritten(in.written)
		n.stepMessages(in.messages)
		n.stepProposals(in)
		if in.tick {
			n.tick()
		}
		n.handleReady()
		closing := in.close
		in.reset()
		if closing {
			n.closeLog()
			return
		}
	}
}

// touch notes that g may have a Ready.
func (n *node) touch(g *group) {
	if !g.dirty {
		g.dirty = true
		n.dirty = append(n.dirty, g)
	}
}

// stepWritten tells members that their entries are durable.
func (n *node) stepWritten(written []envelope) {
	for _, w := range written {
		g := n.groups[w.cluster]
		g.storing--
		if snap := w.message.GetSnapshot(); snap != nil {
			g.log.restore(snap)
		}
		g.log.append(w.message.GetEntries())
		for _, response := range w.message.GetResponses() {
			if response.GetTo() == n.id {
				n.step(g, response)
			}
		}
	}
}

func (n *node) stepMessages(messages []envelope) {
	for _, m := range messages {
		if int(m.cluster) < len(n.groups) {
			n.step(n.groups[m.cluster], m.message)
		}
	}
}

// step feeds a message to raft. Raft refuses what is out of date, which needs no answer.
func (n *node) step(g *group, m *raftpb.Message) {
	if g.raw.Step(m) == nil {
		n.touch(g)
	}
}

// stepProposals proposes the commands of each cluster in one message. Raft copies them, so the input can be used again.
func (n *node) stepProposals(in *input) {
	if len(in.proposals) > len(n.slab) {
		n.slab = make([]raftpb.Entry, 2*len(in.proposals))
	}
	start := uint32(0)
	for i, p := range in.proposals {
		if int(p.cluster) >= len(n.groups) {
			p.done(errNotLeader)
			continue
		}
		g := n.groups[p.cluster]
		e := &n.slab[i]
		e.Data = in.data[start:p.end:p.end]
		start = p.end
		g.proposed = append(g.proposed, e)
		g.answers = append(g.answers, p.done)
		n.touch(g)
	}
}

// tick moves the clocks of members without a leader. Where there is one, nothing can be lost between nodes that share a
// process, so there is no need for heartbeats.
func (n *node) tick() {
	for _, g := range n.groups {
		if g.leader == raft.None {
			g.raw.Tick()
			n.touch(g)
		}
	}
}

// handleReady does what the dirty members want done: records go to the log, messages to the peers, committed entries to
// the machines. The log's queue stays locked meanwhile, so that one batch takes the records of all of them.
func (n *node) handleReady() {
	if len(n.dirty) == 0 {
		return
	}
	n.wal.mu.Lock()
	for _, g := range n.dirty {
		g.dirty = false
		if len(g.proposed) > 0 {
			g.propose(n.id)
		}
		for g.raw.HasReady() {
			n.ready(g, g.raw.Ready())
		}
	}
	n.unlockLog()
	clear(n.dirty)
	n.dirty = n.dirty[:0]
	n.flush()
}

// ready handles one Ready.
func (n *node) ready(g *group, rd raft.Ready) {
	if rd.SoftState != nil {
		n.noteLeader(g, rd.SoftState.Lead)
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			n.store(g, m)
		case raft.LocalApplyThread:
			g.apply(m.GetEntries())
			for _, response := range m.GetResponses() {
				_ = g.raw.Step(response) // it is about the past, and the member is visited again anyway
			}
		default:
			n.post(g, m)
		}
	}
}

// noteLeader makes the cluster's leader known to those who propose.
func (n *node) noteLeader(g *group, leader uint64) {
	g.follow(leader, n.id, g.raw.BasicStatus().GetTerm())
	if leader != raft.None {
		n.leads[g.cluster].Store(int32(leader) - 1)
	}
}

// post puts a message for a peer into the outbox.
func (n *node) post(g *group, m *raftpb.Message) {
	to := m.GetTo() - 1
	n.outbox[to] = append(n.outbox[to], envelope{g.cluster, m})
}

// flush hands the outbox to the peers, one hand-over for each.
func (n *node) flush() {
	for i, messages := range n.outbox {
		n.peers[i].inbox.send(messages)
		clear(messages)
		n.outbox[i] = messages[:0]
	}
}

// store puts what has to be durable into the log's queue, which is locked. The commit index need not be durable (Raft
// thesis, figure 3.1), so a message about nothing else is answered at once, unless records before it are on their way.
func (n *node) store(g *group, m *raftpb.Message) {
	w := &n.wal
	before := len(w.buffer.b)
	if m.Term != nil && (m.GetTerm() != g.storedTerm || m.GetVote() != g.storedVote) {
		g.storedTerm, g.storedVote = m.GetTerm(), m.GetVote()
		w.buffer.record(g.cluster, m.GetTerm(), m.GetVote(), typeHardState, nil)
	}
	if snap := m.GetSnapshot(); snap != nil {
		w.buffer.record(g.cluster, snap.GetMetadata().GetTerm(), snap.GetMetadata().GetIndex(), typeSnapshot, snap.GetData())
	}
	w.buffer.entries(g.cluster, m.GetEntries())
	if len(w.buffer.b) == before && g.storing == 0 {
		n.stored(g, m)
		return
	}
	g.storing++
	w.entries += len(m.GetEntries())
	w.batch = append(w.batch, envelope{g.cluster, m})
}

// stored delivers the answers to a storage message that had nothing to store.
func (n *node) stored(g *group, m *raftpb.Message) {
	for _, response := range m.GetResponses() {
		if response.GetTo() == n.id {
			_ = g.raw.Step(response) // as a Ready is being handled, the member is looked at again
		} else {
			n.post(g, response)
		}
	}
}

// unlockLog releases the log's queue and wakes its goroutine if there is something for it.
func (n *node) unlockLog() {
	w := &n.wal
	wake := w.sleep && len(w.batch) > 0
	if wake {
		w.sleep = false
	}
	w.mu.Unlock()
	if wake {
		w.wake <- struct{}{}
	}
}

func (n *node) closeLog() {
	n.wal.mu.Lock()
	n.wal.closed = true
	wake := n.wal.sleep
	n.wal.sleep = false
	n.wal.mu.Unlock()
	if wake {
		n.wal.wake <- struct{}{}
	}
}

// writeLog makes batches durable until the queue is closed. While it writes one, the next builds up.
func (n *node) writeLog() {
	w := &n.wal
	var spare batchBuffer
	var spareBatch []envelope
	outbox := make([][]envelope, len(n.peers))
	for {
		w.mu.Lock()
		for len(w.batch) == 0 && !w.closed {
			w.sleep = true
			w.mu.Unlock()
			<-w.wake
			runtime.Gosched()
			w.mu.Lock()
		}
		buffer, batch, entries := w.buffer, w.batch, w.entries
		closed := w.closed
		w.buffer, w.batch, w.entries = spare, spareBatch, 0
		w.mu.Unlock()
		if closed {
			return
		}
		if len(buffer.b) > 0 {
			if err := w.file.writeSync(buffer.b); err != nil {
				n.inbox.fail(err)
				n.inbox.call(func() { n.abandon(err) })
				return
			}
			n.syncs.Add(1)
			n.entries.Add(int64(entries))
		}
		n.acknowledge(batch, outbox)
		n.inbox.wrote(batch)
		clear(batch)
		spare, spareBatch = batchBuffer{buffer.b[:0]}, batch[:0]
	}
}

// abandon answers all commands that wait for a log that has failed.
func (n *node) abandon(err error) {
	for _, g := range n.groups {
		for _, done := range g.waiting {
			done(err)
		}
		g.waiting = nil
	}
}

// acknowledge sends the answers to peers that waited for a batch to be durable.
func (n *node) acknowledge(batch []envelope, outbox [][]envelope) {
	for _, b := range batch {
		for _, response := range b.message.GetResponses() {
			if to := response.GetTo(); to != n.id {
				outbox[to-1] = append(outbox[to-1], envelope{b.cluster, response})
			}
		}
	}
	for i, messages := range outbox {
		n.peers[i].inbox.send(messages)
		clear(messages)
		outbox[i] = messages[:0]
	}
}

// campaign makes this node's members stand for election in each cluster that it is to lead: those whose number modulo
// nodes is own.
func (n *node) campaign(own, nodes int) {
	for c := own; c < len(n.groups); c += nodes {
		if n.groups[c].raw.Campaign() == nil {
			n.touch(n.groups[c])
		}
	}
}

// serving counts the members here that lead and have applied an entry of their term.
func (n *node) serving() int {
	count := 0
	for _, g := range n.groups {
		if g.leader == n.id && g.log.appliedTerm == g.term {
			count++
		}
	}
	return count
}
