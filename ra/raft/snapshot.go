package raft

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// receiving is the state of a member in the role ReceiveSnapshot.
type receiving struct {
	from       ra.UID
	snapshot   Position
	chunk      uint32 // chunks up to here have arrived
	ticks      int    // since the last one
	installing bool   // all have; the shell puts it in force and will say how that ended
	keepLog    bool   // entries after the snapshot stay
}

// followerSnapshot starts to receive a snapshot from the leader (SNX-03), unless all that is in it is committed here
// already or the machine is too old for it.
func (r *Raft) followerSnapshot(m *Message) {
	if !r.follow(m.From) {
		return
	}
	if m.Index <= r.commit || m.Version > r.local || m.LogTerm > m.Term {
		r.send(Message{Kind: InstallSnapshotReply, To: m.From, Reject: true, Index: r.commit})
		return
	}
	r.role, r.await = ra.ReceiveSnapshot, waiting{}
	r.receiving = receiving{from: m.From, snapshot: Position{m.Index, m.LogTerm}}
	r.receiveChunk(m)
}

// receiveChunk stores the next chunk and says up to where they have arrived. One chunk is under way at a time; a late
// one of an earlier attempt, in the same batch as the one before it, must not take the place of that. What has arrived
// before is kept when the sender starts again; another snapshot starts from its first chunk.
func (r *Raft) receiveChunk(m *Message) {
	if r.receiving.installing || !r.follow(m.From) {
		return
	}
	v := &r.receiving
	if p := (Position{m.Index, m.LogTerm}); v.snapshot != p || v.from != m.From {
		if m.Index <= r.commit {
			return
		}
		*v = receiving{from: m.From, snapshot: p}
	}
	if m.Chunk == v.chunk+1 && (m.Chunk == 1 || r.out.Snapshot.Op != SnapshotStore) {
		v.chunk, v.ticks = m.Chunk, 0
		v.keepLog = r.log.has(v.snapshot)
		v.installing = m.Done
		r.out.Snapshot = SnapshotOrder{
			Op: SnapshotStore, Done: m.Done, KeepLog: v.keepLog, Chunk: m.Chunk, Version: m.Version,
			Index: v.snapshot.Index, Term: v.snapshot.Term, From: m.From, Data: m.Data,
		}
	}
	if !v.installing {
		r.send(Message{Kind: InstallSnapshotReply, To: m.From, Index: m.Index, Chunk: v.chunk})
	}
}

// abortSnapshot gives up what has arrived. The caller changes the role.
func (r *Raft) abortSnapshot() {
	r.receiving = receiving{}
	r.out.Snapshot = SnapshotOrder{Op: SnapshotAbort}
}

// receiverTick gives up when nothing has come for long (FSM-06). The leader is forgotten: it sends nothing else, so
// it may be gone.
func (r *Raft) receiverTick(*Message) {
	if r.receiving.ticks++; r.receiving.ticks >= r.limits.SnapshotTicks && !r.receiving.installing {
		r.loseLeader("", Long)
	}
}

// receiverWALDown gives up a reception, unless it is being put in force.
func (r *Raft) receiverWALDown(*Message) {
	r.walDown = true
	if !r.receiving.installing {
		r.abortSnapshot()
		r.enterFollower()
	}
}

// snapshotFailed ends a reception that the shell could not finish.
func (r *Raft) snapshotFailed(*Message) {
	r.receiving = receiving{}
	r.enterFollower()
}

// snapshotStored takes note that a received snapshot is in force: the log up to it is gone, and all of it unless it
// held the snapshot's last entry (Raft paper, figure 13, steps 6 to 8). A later one is as good: what a snapshot stands for
// is committed.
func (r *Raft) snapshotStored(m *Message) {
	v := r.receiving
	p := Position{m.Index, m.LogTerm}
	if r.role != ra.ReceiveSnapshot || !v.installing || p != v.snapshot && p.Index <= v.snapshot.Index {
		return
	}
	keepLog := v.keepLog
	if p != v.snapshot {
		keepLog = r.log.has(p)
	}
	members := sortMembers(slices.Clone(m.Members))
	if err := checkMembers(members); err != nil || len(members) == 0 {
		r.fail("snapshot at %d: members %v: %v", m.Index, m.Members, err)
		return
	}
	r.receiving = receiving{}
	r.snapshot, r.version = p, max(r.version, m.Version)
	r.restart(p, keepLog, members)
	r.enterFollower()
	r.ackDue = true // acknowledges the snapshot too, once the term is durable
}

// restart continues the log after the snapshot at p, whose configuration is members (I8).
func (r *Raft) restart(p Position, keepLog bool, members []ra.Member) {
	before := r.config().Members
	kept := []Configuration{{p.Index, members}}
	if keepLog {
		r.log.compact(p.Index)
		for _, c := range r.configs {
			if c.Index > p.Index {
				kept = append(kept, c)
			}
		}
		r.disk.index = max(r.disk.index, p.Index)
	} else {
		r.log.reset(p)
		r.disk.reset(p.Index)
		r.ordered = p.Index
	}
	r.commit = max(r.commit, p.Index)
	r.matched = max(r.matched, r.commit)
	r.configs = kept
	r.configInForce(before)
}

// snapshotTaken takes note of this member's own new snapshot.
func (r *Raft) snapshotTaken(m *Message) {
	if p := (Position{m.Index, m.LogTerm}); p.Index > r.snapshot.Index && p.Index <= r.commit {
		r.snapshot = p
	}
}

// logTruncated takes note that entries up to an index are not kept any more. They are in the snapshot.
func (r *Raft) logTruncated(m *Message) {
	if m.Index > r.snapshot.Index {
		r.fail("log is cut to %d, the snapshot is at %d", m.Index, r.snapshot.Index)
		return
	}
	if m.Index > r.log.base.Index {
		r.log.compact(m.Index)
	}
}
