package etcdhost

import (
	"errors"
	"io"
	"log"
	"math"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// errNotLeader answers commands that the member cannot propose, and errLostLead those whose fate it does not know.
var (
	errNotLeader = errors.New("etcdhost: not the leader")
	errLostLead  = errors.New("etcdhost: leadership lost, the command may have been applied")
)

// silent is the logger of all members: a line for each election of thousands of clusters would only be noise.
var silent = &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}

// group is one member of one cluster, as its node's loop sees it.
type group struct {
	cluster uint32
	raw     *raft.RawNode
	log     storage
	dirty   bool
	leader  uint64 // raft's id of the leader, 0 if unknown

	// storing counts the storage messages on their way through the log; storedTerm and storedVote are the hard state
	// that went there last.
	storing    int
	storedTerm uint64
	storedVote uint64

	// proposed are the commands of the current input, and answers their functions.
	proposed []*raftpb.Entry
	answers  []func(error)
	// waiting answers the commands that this leader appended in term, in their order.
	waiting []func(error)
	term    uint64
}

// newGroup returns the member with raft's id of a cluster of len(voters) members, with an empty log.
func newGroup(cluster uint32, id uint64, voters []uint64, keep int, async bool) (*group, error) {
	g := &group{cluster: cluster}
	g.log = storage{conf: &raftpb.ConfState{Voters: voters}, keep: keep}
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                        id,
		ElectionTick:              10,
		HeartbeatTick:             1,
		Storage:                   &g.log,
		AsyncStorageWrites:        async,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  math.MaxUint64,
		MaxInflightMsgs:           256,
		DisableProposalForwarding: true,
		Logger:                    silent,
	})
	g.raw = raw
	return g, err
}

// propose hands the collected commands to raft as one message, unless the node has failed.
func (g *group) propose(id uint64, failed error) {
	err := failed
	if err == nil {
		err = errNotLeader
	}
	if failed == nil && g.leader == id {
		err = g.raw.Step(&raftpb.Message{Type: raftpb.MsgProp.Enum(), From: new(id), Entries: g.proposed})
	}
	if err != nil {
		for _, done := range g.answers {
			done(err)
		}
	} else {
		g.waiting = append(g.waiting, g.answers...)
	}
	clear(g.proposed)
	clear(g.answers)
	g.proposed, g.answers = g.proposed[:0], g.answers[:0]
}

// follow notes who leads. A member that stops leading no longer knows what becomes of its commands.
func (g *group) follow(leader, self, term uint64) {
	if g.leader == self && (leader != self || term != g.term) {
		for _, done := range g.waiting {
			done(errLostLead)
		}
		g.waiting = nil
	}
	g.leader, g.term = leader, term
}

// apply feeds committed entries to the machine and answers those that were proposed here. In one term only one leader
// appends, so the commands of its term are its waiting ones, in order.
func (g *group) apply(entries []*raftpb.Entry) {
	g.log.apply(entries)
	if len(g.waiting) == 0 {
		return
	}
	answered := 0
	for _, e := range entries {
		if len(e.Data) > 0 && e.GetTerm() == g.term && answered < len(g.waiting) {
			g.waiting[answered](nil)
			answered++
		}
	}
	rest := copy(g.waiting, g.waiting[answered:])
	clear(g.waiting[rest:])
	g.waiting = g.waiting[:rest]
}
