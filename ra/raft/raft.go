// Package raft decides: it is the Raft algorithm of one member as a value, messages in, orders out.
//
// A Raft has no clock, no disk, no network, no goroutine and no chance. The shell steps messages, from peers and from
// its own node alike, then takes the Orders of the batch and carries them out. The same messages make the same orders.
// The log's entries pass through; kept are only its end and the terms along it. That something is on disk is a message
// too (Written), and nothing that depends on it leaves before.
//
// The package makes no compatibility promise. Rules are named by the sections of Ongaro's thesis and paper, and by the
// ids of this module's specification (ELE, REP, MEM, SNX, FSM).
package raft

import (
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ProtocolVersion is the version of the messages of this package. A member refuses its vote to members that speak a
// newer one (ELE-02).
const ProtocolVersion = 1

// Limits bound what one member has under way. Times are in ticks of one second.
type Limits struct {
	// MaxEntriesPerAppend bounds the entries of one Append (REP-03).
	MaxEntriesPerAppend int
	// MaxInflightEntries and MaxInflightBytes bound what is sent to a peer and not yet confirmed. Bytes are those
	// that Sent reports, so the bound may be passed by what one batch sends.
	MaxInflightEntries int
	MaxInflightBytes   int
	// MaxUncommitted bounds the entries that a leader has appended and not yet committed; beyond it refuses more.
	MaxUncommitted int
	// AwaitTicks is how long a member waits for a log that fits, and a leader for the end of a hand-over (FSM-03,
	// FSM-05); StorageTicks how long a leader waits for its storage before it offers to hand over (FAIL-04).
	AwaitTicks   int
	StorageTicks int
	// SnapshotTicks is how long a transfer of a snapshot may stand still (FSM-06).
	SnapshotTicks int
}

// DefaultLimits are ra's.
var DefaultLimits = Limits{
	MaxEntriesPerAppend: 128,
	MaxInflightEntries:  4096,
	MaxInflightBytes:    16 << 20,
	MaxUncommitted:      1 << 17,
	AwaitTicks:          30,
	StorageTicks:        5,
	SnapshotTicks:       30,
}

// Config is what does not change in the life of a Raft.
type Config struct {
	// Self is this member's UID.
	Self ra.UID
	// Limits may be shared by many members; nil means DefaultLimits. They must not be changed while in use.
	Limits *Limits
	// MachineVersion is the newest version of the machine that this member can run (VER-01).
	MachineVersion uint32
	// Scratch may be shared by members whose batches never overlap: from the first Step until the orders are carried
	// out it belongs to one. Nil: this member has its own. Members that share are small while idle.
	Scratch *Orders
}

// Restored is what a member finds on its disk at start. For a brand-new member all is zero but Configurations.
type Restored struct {
	State ra.HardState
	// Configurations are the one at the snapshot, or the initial one with index 0, and then all that the log holds
	// after it, in order of index (FSM-02, MEM-07).
	Configurations []Configuration
	// Snapshot is the newest snapshot, Base the last entry below the kept ones. Base is at most Snapshot; if it is
	// zero it is taken to be Snapshot.
	Snapshot Position
	Base     Position
	// Last is the last entry's index, Base's if there are none, and Runs the terms of the entries after Base. If the
	// log ends before the snapshot, or does not have the snapshot's last entry, it counts as empty: Base and Last are
	// the snapshot's.
	Last ra.Index
	Runs []TermRun
	// Commit is an index that is known to be committed: at least the snapshot's, or higher if it was stored.
	Commit ra.Index
	// Version is the machine version in force (VER-01).
	Version uint32
	// Suspect: entries above Last were lost that this member may have acknowledged, or that is not known to be otherwise.
	// It takes part in nothing until a leader has repaired it; see Orders.Repaired. Term and vote must be sound, and
	// what is left of the log must be what it once was.
	Suspect bool
	// Epoch is the number of the last durable order of this member, of all its lives. It never falls, and grows by at
	// least one whenever a member becomes suspect or sound.
	Epoch uint64
}

// Raft is the algorithm's state of one member. It must not be copied. Nothing in it is safe for concurrent use.
type Raft struct {
	self   ra.UID
	limits *Limits
	out    *Orders
	open   bool // a batch is open
	failed error
	result Result

	role       ra.Role
	state      ra.HardState
	stateDirty bool   // state differs from what was last ordered to be stored
	leader     ra.UID // leader of this term, if known
	leaderLost bool   // its process or node is suspected since it was last heard of
	silent     bool   // brand-new: never campaigns by itself (API-07)

	timerArmed bool
	grantDue   bool // the vote in state was asked for and is not yet answered
	pledged    bool // whom that vote is for may be winning: not long ago it was given, and no leader is known since
	ackDue     bool
	force      bool // this pre-vote round is part of a hand-over, and nobody has refused it
	walDown    bool

	log      terms
	snapshot Position // newest snapshot
	ordered  ra.Index // last entry that earlier orders wanted on disk
	commit   ra.Index
	matched  ra.Index // the log equals that of this term's leader up to here
	disk     durability
	queryDue uint64

	configs []Configuration // the newest committed one, then those after it; the last is in force
	at      int             // position of this member in the one in force, or -1
	down    memberSet       // members whose node is suspected

	votes       memberSet // of this round or term
	token       uint64    // of the newest pre-vote round
	requestsDue bool      // candidate: the vote requests wait for the own vote to be durable
	refused     bool      // candidate: somebody has refused his vote in this term

	await     waiting
	receiving receiving
	lead      *leadership // not nil exactly while this member leads, or waits as the leader

	suspect  *suspicion // not nil exactly while this member is suspect
	suspects memberSet  // others that are, as far as was heard since a leader was last known
	epoch    uint64     // Restored.Epoch
	episode  uint64     // see episodeOf

	now        int64 // clock for new entries
	protocol   uint32
	local      uint32 // newest machine version that can run here
	version    uint32 // machine version in force
	askedQuery uint64
}

// New returns the member as it was when it stopped: a follower that knows no leader, its election timer armed unless
// it is brand-new (FSM-09, API-07). It fails if what was restored contradicts itself.
func New(cfg Config, restored Restored) (*Raft, error) {
	if restored.Base == (Position{}) {
		restored.Base = restored.Snapshot
	}
	if err := restored.check(cfg.Self); err != nil {
		return nil, err
	}
	r := &Raft{
		self: cfg.Self, limits: cfg.Limits, out: cfg.Scratch,
		state: restored.State, snapshot: restored.Snapshot, ordered: restored.Last,
		commit: max(restored.Commit, restored.Snapshot.Index), at: -1,
		protocol: ProtocolVersion, local: cfg.MachineVersion, version: restored.Version,
		log: terms{base: restored.Base, since: restored.Base.Index, last: restored.Last, runs: slices.Clone(restored.Runs)},
	}
	if r.limits == nil {
		r.limits = &DefaultLimits
	}
	if r.out == nil {
		r.out = new(Orders)
	}
	r.commit = min(r.commit, r.log.last)
	r.matched, r.disk.index = r.commit, r.log.last
	r.silent = r.log.last == 0 && r.state.Term == 0
	r.beginEpisode(&restored)
	r.begin()
	for _, c := range restored.Configurations {
		r.configs = append(r.configs, Configuration{c.Index, sortMembers(slices.Clone(c.Members))})
	}
	r.forgetConfigs()
	r.configInForce(nil)
	r.armTimer(Short)
	return r, nil
}

// check returns an error if s cannot be what a member stored.
func (s *Restored) check(self ra.UID) error {
	if self == "" || len(s.Configurations) == 0 {
		return fmt.Errorf("%w: member without UID or configuration", ra.ErrCorrupt)
	}
	if s.Base.Index > s.Snapshot.Index || s.Last < s.Snapshot.Index {
		return fmt.Errorf("%w: log (%d, %d] does not reach snapshot %d", ra.ErrCorrupt, s.Base.Index, s.Last, s.Snapshot.Index)
	}
	if err := s.checkRuns(); err != nil {
		return err
	}
	for i, c := range s.Configurations {
		if err := checkMembers(sortMembers(slices.Clone(c.Members))); err != nil {
			return err
		}
		if c.Index > s.Last || i > 0 && c.Index <= s.Configurations[i-1].Index {
			return fmt.Errorf("%w: configuration at %d is out of order", ra.ErrCorrupt, c.Index)
		}
	}
	return nil
}

// checkRuns returns an error unless the runs cover the log, with rising terms up to the stored one.
func (s *Restored) checkRuns() error {
	before := TermRun{First: s.Base.Index, Term: s.Base.Term}
	for i, run := range s.Runs {
		if i == 0 && run.First != s.Base.Index+1 || run.First <= before.First || run.First > s.Last {
			return fmt.Errorf("%w: terms start at %d", ra.ErrCorrupt, run.First)
		}
		if run.Term < before.Term || i > 0 && run.Term == before.Term {
			return fmt.Errorf("%w: term falls to %d at %d", ra.ErrCorrupt, run.Term, run.First)
		}
		before = run
	}
	if len(s.Runs) == 0 && s.Last > s.Base.Index {
		return fmt.Errorf("%w: terms of (%d, %d] are missing", ra.ErrCorrupt, s.Base.Index, s.Last)
	}
	if before.Term > s.State.Term {
		return fmt.Errorf("%w: entry of term %d, stored term is %d", ra.ErrCorrupt, before.Term, s.State.Term)
	}
	return nil
}

// SetClock sets the time that entries get which are created from now on, in milliseconds since 1970 (MAC-04). It
// decides nothing else. The shell calls it before a batch; a clock that goes back is ignored.
func (r *Raft) SetClock(now int64) { r.now = max(r.now, now) }

// Step takes one message in. What follows from it is in the next Orders; a request of this node is answered at once.
// Messages that make no sense, from strangers or for another incarnation, are ignored.
func (r *Raft) Step(m *Message) Result {
	r.begin()
	r.result = Result{}
	if r.failed != nil {
		return Result{Refused: Stopped}
	}
	if int(m.Kind) >= kinds || m.Kind.FromPeer() && !r.admit(m) {
		return Result{}
	}
	handlers[r.role][m.Kind](r, m)
	return r.result
}

// admit looks at addresses and term of a peer's message, adopts a higher term, and reports whether the message is
// still to be handled.
func (r *Raft) admit(m *Message) bool {
	if m.To != r.self || m.From == r.self || m.From == "" {
		return false
	}
	switch {
	case r.ignoresStranger(m) && r.config().find(m.From) < 0:
		r.answerMistaken(m)
		return false
	case m.Kind == PreVoteRequest || m.Kind == SuspectNotice || m.Term == r.state.Term:
		return true
	case m.Term > r.state.Term:
		r.becomeFollower(m.Term, "")
		return true
	case m.Kind == PreVoteReply:
		return true
	}
	r.answerOldTerm(m)
	return false
}

// ignoresStranger reports whether a message from outside the configuration has no effect. Followers must hear leaders
// and candidates that they do not know yet (thesis 4.1); answers of non-members count for nothing, and a leader is not
// disturbed by members that were removed (FSM-07).
func (r *Raft) ignoresStranger(m *Message) bool {
	switch m.Kind {
	case Append, Heartbeat:
		return false
	case StepDown:
		return m.From != r.leader
	case PreVoteRequest, VoteRequest, InstallSnapshot:
		return r.lead != nil
	}
	return true
}

// answerOldTerm tells the sender of a message of an older term about this one (REP-15).
func (r *Raft) answerOldTerm(m *Message) {
	switch m.Kind {
	case VoteRequest:
		r.send(Message{Kind: VoteReply, To: m.From, Reject: true})
	case Append:
		r.send(Message{Kind: AppendReply, To: m.From, Reject: true, Last: m.Index})
	case Heartbeat:
		r.send(Message{Kind: HeartbeatReply, To: m.From})
	case InstallSnapshot:
		r.send(Message{Kind: InstallSnapshotReply, To: m.From, Reject: true, Index: r.commit})
	}
	r.answerMistaken(m)
}

// answerMistaken tells a member that answers this one as its leader that it is not. Together with followers who ask
// their leader when others doubt it, no leadership that ended unnoticed is believed in for ever (I18).
func (r *Raft) answerMistaken(m *Message) {
	switch m.Kind {
	case AppendReply, HeartbeatReply, InstallSnapshotReply:
		if r.lead == nil {
			r.send(Message{Kind: StepDown, To: m.From})
		}
	}
}

// fail stops this member because an invariant is broken. Nothing is done any more (architecture: such assertions
// stay on, and stop that member only).
func (r *Raft) fail(format string, args ...any) {
	if r.failed == nil {
		r.failed = fmt.Errorf("raft: %s: "+format, append([]any{r.self}, args...)...)
	}
}

// config returns the configuration in force: the last in the log, committed or not (MEM-06).
func (r *Raft) config() *Configuration { return &r.configs[len(r.configs)-1] }

// isVoter reports whether this member counts towards a quorum.
func (r *Raft) isVoter() bool { return r.config().isVoter(r.at) }

// mayLead reports whether this member may stand for election: it is a voter, or was one before a change that may not
// be committed. It may be the only one whose log can still win (thesis 4.2.2). Its own vote then does not count.
func (r *Raft) mayLead() bool {
	if r.suspect != nil {
		return false
	}
	for i := range r.configs {
		c := &r.configs[i]
		if c.isVoter(c.find(r.self)) {
			return true
		}
	}
	return false
}

// configInForce adjusts what depends on positions in the configuration after it changed from before.
func (r *Raft) configInForce(before []ra.Member) {
	c := r.config()
	var down memberSet
	for i := range before {
		if k := c.find(before[i].UID); k >= 0 && r.down.has(i) {
			down = down.with(k)
		}
	}
	r.down, r.at, r.suspects = down, c.find(r.self), 0
	r.out.Configuration = c
	if r.lead != nil {
		r.lead.follow(c, r.log.last)
	}
}

// setConfig puts the configuration of the entry at i in force.
func (r *Raft) setConfig(i ra.Index, members []ra.Member) {
	before := r.config().Members
	r.configs = append(r.configs, Configuration{i, members})
	r.configInForce(before)
}

// dropConfigs takes back the configurations of entries from i on, which are removed from the log (I8).
func (r *Raft) dropConfigs(i ra.Index) {
	n := len(r.configs)
	for n > 1 && r.configs[n-1].Index >= i {
		n--
	}
	if n < len(r.configs) {
		before := r.config().Members
		r.configs = r.configs[:n]
		r.configInForce(before)
	}
}

// setCommit moves the commit index up to i. It never falls.
func (r *Raft) setCommit(i ra.Index) {
	if i <= r.commit {
		return
	}
	if i > r.log.last {
		r.fail("commit index %d is beyond the log's end %d", i, r.log.last)
		return
	}
	r.commit = i
	r.forgetConfigs()
}

// forgetConfigs drops the configurations below the newest committed one, to which nothing can go back.
func (r *Raft) forgetConfigs() {
	for len(r.configs) > 1 && r.configs[1].Index <= r.commit {
		r.configs = append(r.configs[:0], r.configs[1:]...)
	}
}

// setState changes term and vote. They are stored together, in the durable part of the batch's orders (ELE-10).
func (r *Raft) setState(s ra.HardState) {
	if s.Term < r.state.Term || s.Term == r.state.Term && r.state.Vote != "" && s.Vote != r.state.Vote {
		r.fail("state %v would follow %v", s, r.state)
		return
	}
	if s.Term > r.state.Term {
		r.matched = r.commit
		r.grantDue, r.ackDue, r.queryDue, r.requestsDue = false, false, 0, false
		r.silent = false
		if r.suspect != nil {
			r.suspect.goal = Position{}
		}
	}
	if s != r.state {
		r.state, r.stateDirty = s, true
	}
}
