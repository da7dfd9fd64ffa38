package etcdhost

import (
	"sync"
	"sync/atomic"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// node is one of the nodes: one loop that drives the members that have something to do and, with asynchronous storage
// writes, one goroutine that writes the log. Fields without a comment belong to the loop.
type node struct {
	async   bool
	pending []pending
	id      uint64         // raft's: 1 and up
	inbox   *inbox         // safe for all
	peers   []*node        // by raft's id less one; fixed before the loop starts
	leads   []atomic.Int32 // by cluster: which node leads, shared by all nodes
	groups  []*group
	dirty   []*group
	outbox  [][]envelope // by peer
	slab    []raftpb.Entry
	storing int   // storage messages on their way through the log, of all members
	failed  error // why the log can not be written any more

	wal     *walQueue
	syncs   atomic.Int64
	entries atomic.Int64
	running sync.WaitGroup
}

func newNode(id uint64, f *file, async bool) *node {
	return &node{async: async, id: id, inbox: newInbox(), wal: newWALQueue(f)}
}

// start begins to run the node, once all peers are known.
func (n *node) start(peers []*node) {
	n.peers = peers
	n.outbox = make([][]envelope, len(peers))
	n.running.Go(n.loop)
	if n.async {
		n.running.Go(n.writeLog)
	}
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
		if n.async {
			n.handleReady()
			n.persistSmall()
		} else {
			n.handleSynchronously()
		}
		closing := in.close
		in.reset()
		if closing {
			n.wal.close()
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
		n.storing--
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
	n.wal.lock()
	for _, g := range n.dirty {
		g.dirty = false
		if len(g.proposed) > 0 {
			g.propose(n.id, n.failed)
		}
		for again := true; again; {
			again = n.ready(g, g.raw.Ready())
		}
	}
	n.wal.unlock()
	clear(n.dirty)
	n.dirty = n.dirty[:0]
	n.deliver(n.outbox)
}

// ready handles one Ready, perhaps an empty one: asking first would cost as much. It returns true if there may be
// another one.
func (n *node) ready(g *group, rd raft.Ready) bool {
	again := false
	if rd.SoftState != nil {
		n.noteLeader(g, rd.SoftState.Lead)
	}
	for _, m := range rd.Messages {
		switch m.GetTo() {
		case raft.LocalAppendThread:
			again = n.store(g, m)
		case raft.LocalApplyThread:
			g.apply(m.GetEntries())
			for _, response := range m.GetResponses() {
				_ = g.raw.Step(response) // frees memory, and causes nothing
			}
		default:
			n.post(g, m)
		}
	}
	return again
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

// deliver hands messages to the peers, one hand-over for each, and empties outbox.
func (n *node) deliver(outbox [][]envelope) {
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
