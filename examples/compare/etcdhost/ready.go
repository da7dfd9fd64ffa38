package etcdhost

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// pending is a Ready whose records are being made durable.
type pending struct {
	group *group
	ready raft.Ready
}

// handleSynchronously is the classic way to drive raw nodes: take the Ready of every dirty member, make the records of
// all of them durable by one write and one sync, then send, apply and advance. What leaders send may leave before
// (Raft thesis, 10.2.1), so that their followers write at the same time. It goes on until nobody is dirty.
func (n *node) handleSynchronously() {
	for len(n.dirty) > 0 && n.failed == nil {
		n.takeReadies()
		n.deliver(n.outbox)
		if err := n.syncReadies(); err != nil {
			n.abandon(err)
			return
		}
		for i := range n.pending {
			n.advance(&n.pending[i])
		}
		clear(n.pending)
		n.pending = n.pending[:0]
		n.deliver(n.outbox)
	}
}

// takeReadies collects the Readies of the dirty members, and their records.
func (n *node) takeReadies() {
	for _, g := range n.dirty {
		g.dirty = false
		if len(g.proposed) > 0 {
			g.propose(n.id, n.failed)
		}
		if !g.raw.HasReady() {
			continue
		}
		rd := g.raw.Ready()
		if rd.SoftState != nil {
			n.noteLeader(g, rd.SoftState.Lead)
		}
		n.recordReady(g, &rd)
		if g.leader == n.id {
			n.postAll(g, rd.Messages)
		}
		n.pending = append(n.pending, pending{g, rd})
	}
	clear(n.dirty)
	n.dirty = n.dirty[:0]
}

// recordReady adds what a Ready wants on disk to the batch. The commit index need not be there.
func (n *node) recordReady(g *group, rd *raft.Ready) {
	b := &n.wal.next
	if !raft.IsEmptyHardState(rd.HardState) && (rd.HardState.GetTerm() != g.storedTerm || rd.HardState.GetVote() != g.storedVote) {
		g.storedTerm, g.storedVote = rd.HardState.GetTerm(), rd.HardState.GetVote()
		b.buffer.record(g.cluster, g.storedTerm, g.storedVote, typeHardState, nil)
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		meta := rd.Snapshot.GetMetadata()
		b.buffer.record(g.cluster, meta.GetTerm(), meta.GetIndex(), typeSnapshot, rd.Snapshot.GetData())
	}
	b.buffer.entries(g.cluster, rd.Entries)
	b.entries += len(rd.Entries)
}

// syncReadies makes the batch durable, if it holds anything.
func (n *node) syncReadies() error {
	b := &n.wal.next
	defer b.reset()
	if len(b.buffer.b) == 0 {
		return nil
	}
	if err := n.wal.file.writeSync(b.buffer.b); err != nil {
		return err
	}
	n.syncs.Add(1)
	n.entries.Add(int64(b.entries))
	return nil
}

// advance does the rest of a Ready, now that its records are durable.
func (n *node) advance(p *pending) {
	g, rd := p.group, &p.ready
	if !raft.IsEmptySnap(rd.Snapshot) {
		g.log.restore(rd.Snapshot)
	}
	g.log.append(rd.Entries)
	if g.leader != n.id {
		n.postAll(g, rd.Messages)
	}
	if len(rd.CommittedEntries) > 0 {
		g.apply(rd.CommittedEntries)
	}
	g.raw.Advance(*rd)
	if g.raw.HasReady() {
		n.touch(g)
	}
}

func (n *node) postAll(g *group, messages []*raftpb.Message) {
	for _, m := range messages {
		n.post(g, m)
	}
}
