package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// TimerOrder says what to do with the one election timer.
type TimerOrder uint8

// The orders for the election timer. TimerArm sets it anew even if it is armed.
const (
	TimerKeep TimerOrder = iota
	TimerArm
	TimerCancel
)

// TimerClass is the length of an election timer; the shell draws the length at random within it (TIM-01).
type TimerClass uint8

// The lengths, for a broadcast time B and a failure detector's poll P.
const (
	ReallyShort TimerClass = iota // up to B
	Short                         // B to 5B
	Medium                        // B to P
	Long                          // P to P+10B
)

// SnapshotOp is what to do with a snapshot that a leader sends.
type SnapshotOp uint8

// The orders for a snapshot that is being received.
const (
	SnapshotNone SnapshotOp = iota
	// SnapshotStore stores one chunk. Chunk 1 discards what is there of any other transfer. With Done it was the
	// last: make the snapshot durable, put it in force, then say SnapshotStored or SnapshotFailed, one of which must
	// come. When it comes into force, all entries up to its index go, and all later ones unless KeepLog.
	SnapshotStore
	// SnapshotAbort discards what is there of a transfer.
	SnapshotAbort
)

// SnapshotOrder is about a snapshot that is being received.
type SnapshotOrder struct {
	Op      SnapshotOp
	Done    bool
	KeepLog bool
	Chunk   uint32
	Version uint32
	Index   ra.Index
	Term    ra.Term
	From    ra.UID
	Data    []byte
}

// Orders is what a batch of messages makes the shell do, field by field in the order given here. Nothing below the
// durable part waits for it to be on disk: what must wait is held back and comes in the Orders after Written.
type Orders struct {
	// Failed: an invariant is broken. Do nothing else, stop this member, leave its data alone.
	Failed error

	// Seq is the number of the durable part below, to be confirmed by Written once all of it is on disk; 0: there is
	// none. In it: store State if SaveState; remove the entries from Truncate on, if not 0; append Append, whose
	// first entry follows the last one then; note that this member is suspect no more if Repaired. Different parts are
	// carried out in the order of their Seq.
	Seq       uint64
	SaveState bool
	Repaired  bool
	State     ra.HardState
	Truncate  ra.Index
	Append    []ra.Entry

	// Snapshot comes before Messages: an answer that a chunk arrived may be among them.
	Snapshot SnapshotOrder

	// Messages are to be sent at once. To an Append attach its entries, to an InstallSnapshot its chunk.
	Messages []Message

	// Commit is the index up to which entries are to be applied. Never falls.
	Commit ra.Index

	// Role, Leader (empty: not known) and Term of this member now. Each time Leader becomes another, monitor that
	// process, and its node; if it is not alive, LeaderDown follows at once (TIM-06).
	Role   ra.Role
	Leader ra.UID
	Term   ra.Term
	// Configuration is the one in force now, if it changed (MEM-06), else nil.
	Configuration *Configuration
	// Removed: this member led, and has committed a configuration without itself (FSM-10). It takes no part any more.
	// Stop its process when the rest of the orders is carried out, so that the others see that it leads no more.
	Removed bool

	// Timer is the order for the election timer, Class its length when it is to be armed.
	Timer TimerOrder
	Class TimerClass
	// NeedTick: step a Tick every second, until it is false again.
	NeedTick bool

	// Queries up to number QueriesReady may be answered once Commit is applied. Queries up to QueriesLost that were
	// not ready earlier, or now, will never be: send them to the new leader (REP-36). 0: no news.
	QueriesReady uint64
	QueriesLost  uint64
}

// reset makes o empty and keeps its memory. Entries and data are let go of.
func (o *Orders) reset() {
	clear(o.Append)
	clear(o.Messages)
	*o = Orders{Append: o.Append[:0], Messages: o.Messages[:0]}
}

// Orders closes the batch of messages stepped since it was last called, and returns what is to be done. What it
// returns is valid until the next Step, of any Raft that shares the same Config.Scratch.
func (r *Raft) Orders() *Orders {
	r.begin()
	r.open = false
	o := r.out
	if r.lead != nil {
		r.closeLeader()
	} else {
		r.closeFollower()
	}
	r.orderDurable()
	o.Commit, o.Role, o.Leader, o.Term = r.commit, r.role, r.leader, r.state.Term
	o.NeedTick = r.needTick()
	if o.Configuration != nil {
		o.Configuration = r.config() // it may have moved in memory since
	}
	if r.failed != nil {
		o.reset()
		o.Failed, o.Role, o.Term, o.Commit = r.failed, r.role, r.state.Term, r.commit
	}
	return o
}

// begin opens a batch.
func (r *Raft) begin() {
	if !r.open {
		r.out.reset()
		r.open = true
	}
}

// orderDurable numbers what the batch wants on disk.
func (r *Raft) orderDurable() {
	o := r.out
	if !r.stateDirty && o.Truncate == 0 && len(o.Append) == 0 && !o.Repaired {
		return
	}
	o.Seq = r.disk.order(r.log.last)
	r.ordered = r.log.last
	if o.Repaired {
		r.suspect.order = o.Seq
	}
	if r.stateDirty {
		r.stateDirty = false
		r.disk.stateSeq = o.Seq
		o.SaveState, o.State = true, r.state
	}
}

// stateDurable reports whether the present term and vote are on disk. Whatever promises something in this term waits
// for it (I2).
func (r *Raft) stateDurable() bool { return !r.stateDirty && r.disk.stateWritten() }

// closeFollower sends the answers that the batch owes, if they may leave. They are not queued: each is made from the
// present state, so that the newest replaces the ones before it.
func (r *Raft) closeFollower() {
	if !r.stateDurable() {
		return
	}
	if r.suspect != nil {
		r.heal()
	}
	if r.grantDue {
		r.grantDue = false
		r.send(Message{Kind: VoteReply, To: r.state.Vote})
	}
	if r.leader == "" {
		return
	}
	if r.queryDue != 0 {
		r.send(Message{Kind: HeartbeatReply, To: r.leader, Query: r.queryDue, Commit: r.commit})
		r.queryDue = 0
	}
	if r.role == ra.AwaitCondition && r.await.reason == awaitStorage {
		return
	}
	if r.ackDue {
		r.ackDue = false
		term, _ := r.log.at(r.matched)
		r.send(Message{
			Kind: AppendReply, To: r.leader, Index: min(r.disk.index, r.matched), Last: r.matched, LogTerm: term,
			Commit: r.commit, Suspect: r.suspect != nil, Token: r.episode, Version: r.local,
		})
	}
}

// send gives a message out, in this member's name and term.
func (r *Raft) send(m Message) {
	m.From, m.Term = r.self, r.state.Term
	r.out.Messages = append(r.out.Messages, m)
}

// armTimer arms the election timer unless it is armed (TIM-01) or this member never campaigns by itself.
func (r *Raft) armTimer(class TimerClass) {
	if r.timerArmed || r.silent {
		return
	}
	r.timerArmed = true
	r.out.Timer, r.out.Class = TimerArm, class
}

// cancelTimer cancels the election timer.
func (r *Raft) cancelTimer() {
	if !r.timerArmed {
		return
	}
	r.timerArmed = false
	r.out.Timer = TimerCancel
}

// needTick reports whether there is something that only time can bring on: every state that waits has a way out.
func (r *Raft) needTick() bool {
	switch r.role {
	case ra.Follower:
		return r.suspect != nil
	case ra.AwaitCondition:
		return true
	case ra.ReceiveSnapshot:
		return !r.receiving.installing
	case ra.Leader:
		return r.leaderNeedsTick()
	}
	return false
}
