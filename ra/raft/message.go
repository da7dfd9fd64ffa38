package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// Kind says what a Message is: a peer's message or something that happened on this node.
type Kind uint8

// The messages of peers. Each names its sender, its receiver and the sender's term; the further fields are listed.
const (
	// PreVoteRequest asks whether the receiver would vote for the sender in Term+1. Index and LogTerm are the end of
	// the sender's log; Token, Protocol, Version, and Force if a leader handed over.
	PreVoteRequest Kind = iota
	// PreVoteReply answers with Reject and the request's Token; Term is the answering member's own.
	PreVoteReply
	// VoteRequest asks for the vote in Term. Index and LogTerm are the end of the sender's log; Protocol.
	VoteRequest
	// VoteReply answers with Reject.
	VoteReply
	// Append brings the entries from Index+1 to Last; Index and LogTerm name the entry before them. Commit is the
	// leader's commit index. In Orders the message has no Entries: the shell reads them (see Sent).
	Append
	// AppendReply says that the log equals the leader's up to Last, where its term is LogTerm, and that up to Index it is
	// durable. Commit is the follower's. With Reject: the append whose Index was Last did not fit; the follower's log may fit at Index,
	// where its term is LogTerm. Suspect and Token are those of the follower's episode, Version is that of the machine
	// which it can run (VER-03).
	AppendReply
	// Heartbeat asks whether the sender still leads, for the queries up to number Query (REP-31).
	Heartbeat
	// HeartbeatReply confirms Query (REP-32). Commit is the follower's.
	HeartbeatReply
	// InstallSnapshot brings chunk number Chunk, from 1, of the snapshot at Index and LogTerm, of machine version
	// Version; Done marks the last one. In Orders Data, Version and Done are missing: the shell fills them in.
	InstallSnapshot
	// InstallSnapshotReply says that the chunks up to Chunk have arrived. With Reject: the snapshot is not wanted, the
	// log is committed up to Index. That it is durable and in force is said by an AppendReply.
	InstallSnapshotReply
	// TimeoutNow asks the receiver to start an election at once (ELE-20).
	TimeoutNow
	// StepDown says that the sender does not lead, or leads no more, in Term.
	StepDown
	// SuspectNotice says that the sender has lost entries that it may have acknowledged, and has its log durably up to
	// Index. Token is its episode. Term is its durable one: only a leader of that term or a later one can help it.
	SuspectNotice
	// SuspectReply says that the sender leads and counts on the receiver no more, in the episode Token. The receiver is
	// sound again when it holds the sender's log durably up to Index, where its term is LogTerm.
	SuspectReply
	// Dismissal says that the cluster is deleted, for certain, and that the sender stays until the receiver has no data
	// left. It may come from outside of the receiver's configuration, which may be an old one. The shell takes it in, and
	// deletes the member: nothing of the algorithm changes by it.
	Dismissal
	// Departure answers with that: nothing is left of the sender. It is the node's to say, as there is no member any more.
	Departure

	// lastPeerKind is the last kind that another member may send.
	lastPeerKind = Departure
)

// What happens on this node. Term, To and From are empty unless listed.
const (
	// Propose asks to append Entries, made by NewProposal; their indexes and terms are assigned here.
	Propose Kind = iota + lastPeerKind + 1
	// Change asks for a change of the configuration: Op on Members[0] (MEM-01 to MEM-04).
	Change
	// Query asks for a proof of leadership for the queries up to number Query; the shell numbers queries from 1 and
	// never uses a number again in the life of this Raft.
	Query
	// Written confirms that all durable orders up to Seq are on disk. Done: what Promise gave for Seq was sent already.
	Written
	// Sent says what became of an Append of the Orders just given: To and Last repeat the message's, Index is the
	// last entry that was really sent, Bytes their size. Reject: the entries are compacted, nothing was sent. With
	// Chunk: the snapshot could not be read at that chunk because a newer one has replaced it.
	Sent
	// ReadFailed says that the log or the snapshot cannot be read. A leader hands over.
	ReadFailed
	// ElectionTimeout says that the timer expired which Orders.Timer had armed.
	ElectionTimeout
	// Tick comes once a second while Orders.NeedTick.
	Tick
	// Campaign asks to start an election (QRY-11).
	Campaign
	// Transfer asks to hand leadership over to member To (QRY-12).
	Transfer
	// LeaderDown says that the process of the member From ended. Only the leader's matters.
	LeaderDown
	// LeaderLost says that there is no connection to the process of member From.
	LeaderLost
	// NodeDown and NodeUp say that the node of member From is suspected to be down, or is back (TIM-02, TIM-05).
	NodeDown
	NodeUp
	// SnapshotTaken says that this member's own snapshot at Index and LogTerm is durable.
	SnapshotTaken
	// LogTruncated says that the entries up to Index are not kept any more. A snapshot covers them.
	LogTruncated
	// SnapshotStored ends the work that Orders.Snapshot had asked for: the snapshot at Index and LogTerm, that one or a
	// later one, is durable and in force, log and machine included, and its configuration is Members. Version is its
	// machine version. If it is another one, all of the log goes unless it holds the entry there.
	SnapshotStored
	// SnapshotFailed says that the snapshot could not be stored or put in force; nothing has changed.
	SnapshotFailed
	// WALDown and WALUp say that the write-ahead log does not work, or works again (FSM-04). Durable orders given in
	// between are kept by the shell and carried out in order.
	WALDown
	WALUp
	// VersionInForce says that the machine version Version is in force from now on (VER-05).
	VersionInForce

	kinds = int(VersionInForce) + 1
)

var kindNames = [kinds]string{
	"PreVoteRequest", "PreVoteReply", "VoteRequest", "VoteReply", "Append", "AppendReply", "Heartbeat",
	"HeartbeatReply", "InstallSnapshot", "InstallSnapshotReply", "TimeoutNow", "StepDown", "SuspectNotice",
	"SuspectReply", "Dismissal", "Departure", "Propose", "Change",
	"Query", "Written", "Sent", "ReadFailed", "ElectionTimeout", "Tick", "Campaign", "Transfer", "LeaderDown",
	"LeaderLost", "NodeDown", "NodeUp", "SnapshotTaken", "LogTruncated", "SnapshotStored", "SnapshotFailed", "WALDown",
	"WALUp", "VersionInForce",
}

// String returns the kind's name.
func (k Kind) String() string {
	if int(k) < kinds {
		return kindNames[k]
	}
	return "unknown"
}

// FromPeer reports whether messages of this kind come from other members.
func (k Kind) FromPeer() bool { return k <= lastPeerKind }

// Message is every input of a Raft, and what it sends to its peers. It is a plain value: which fields count is said
// at the Kind, the others are zero. Slices are shared, not copied.
type Message struct {
	Kind   Kind
	Op     ChangeOp
	Reject bool
	Force  bool
	Done   bool
	// Suspect: the sender has lost entries that it may have acknowledged, and its word counts for nothing.
	Suspect bool
	Chunk   uint32
	// Protocol is the version of this package's messages that the sender speaks, Version that of a machine.
	Protocol uint32
	Version  uint32
	From, To ra.UID
	Term     ra.Term
	Index    ra.Index
	LogTerm  ra.Term
	Last     ra.Index
	Commit   ra.Index
	Query    uint64
	Token    uint64
	Seq      uint64
	Bytes    int
	Entries  []ra.Entry
	Members  []ra.Member
	Data     []byte
}

// Refusal says why a request of this node was not taken on. A refused request has had no effect.
type Refusal uint8

// The reasons of refusal.
const (
	Accepted Refusal = iota
	// NotLeader: this member does not lead. Leader says who does, if that is known (CMD-03).
	NotLeader
	// Waiting: the leader is handing over or its storage is down; try again when the role changes (CMD-12).
	Waiting
	// Overloaded: too many entries are not committed yet.
	Overloaded
	// Malformed: the request makes no sense.
	Malformed
	// ChangeNotPermitted: another change is in flight, or nothing of this term is committed yet (MEM-01).
	ChangeNotPermitted
	// AlreadyMember, NotMember, MissingUID, TooManyMembers: see MEM-02, MEM-03, MEM-09, MaxMembers.
	AlreadyMember
	NotMember
	MissingUID
	TooManyMembers
	// AlreadyLeader, NotVoter, NotUpToDate: see QRY-12.
	AlreadyLeader
	NotVoter
	NotUpToDate
	// Stopped: an invariant was broken earlier; see Orders.Failed.
	Stopped
)

var refusalNames = [...]string{
	"accepted", "not_leader", "waiting", "overloaded", "malformed", "cluster_change_not_permitted", "already_member",
	"not_member", "missing_uid", "too_many_members", "already_leader", "non_voter", "not_up_to_date", "stopped",
}

// String returns the reason's name, ra's where ra has one.
func (f Refusal) String() string {
	if int(f) < len(refusalNames) {
		return refusalNames[f]
	}
	return "unknown"
}

// Result answers a request of this node: Propose, Change, Query, Transfer, Campaign. It is zero for all else.
type Result struct {
	// Index is the index of the first entry that was appended for the request, 0 if none was.
	Index   ra.Index
	Refused Refusal
}

// NewProposal returns an entry to be proposed, with a copy of payload. Index, term, time and checksum follow when it
// is appended.
func NewProposal(kind ra.Kind, flags uint8, payload []byte) ra.Entry {
	return ra.Entry{Body: ra.DraftOf(kind, flags, payload)}
}
