package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// MaxMembers bounds a cluster: sets of members are bits of one word.
const MaxMembers = 64

// Configuration is the members of a cluster, and the index of the entry that says so: 0 for the initial one.
type Configuration struct {
	Index ra.Index
	// Members is sorted by UID and must not be changed.
	Members []ra.Member
}

// ChangeOp is what a Change does with a member.
type ChangeOp uint8

// The changes of one member. Set adds a member or changes the membership of one that is there (MEM-02).
const (
	Set ChangeOp = iota
	Remove
)

// memberSet is a set of members by their position in the configuration.
type memberSet uint64

// No set holds position -1, that of no member.
func (s memberSet) has(i int) bool          { return i >= 0 && s&(1<<i) != 0 }
func (s memberSet) with(i int) memberSet    { return s | 1<<uint(i) }
func (s memberSet) without(i int) memberSet { return s &^ (1 << uint(i)) }

// find returns the position of the member, or -1.
func (c *Configuration) find(uid ra.UID) int {
	for i := range c.Members {
		if c.Members[i].UID == uid {
			return i
		}
	}
	return -1
}

// isVoter reports whether position i is that of a voter.
func (c *Configuration) isVoter(i int) bool {
	return i >= 0 && c.Members[i].Membership == ra.Voter
}

// voters returns the number of voters.
func (c *Configuration) voters() int {
	n := 0
	for i := range c.Members {
		if c.isVoter(i) {
			n++
		}
	}
	return n
}

// quorumOf reports whether the voters in s are a majority of all voters.
func (c *Configuration) quorumOf(s memberSet) bool {
	n := 0
	for i := range c.Members {
		if c.isVoter(i) && s.has(i) {
			n++
		}
	}
	return n >= majority(c.voters())
}

// changed returns the members after op on m, or why that is not possible. c is left as it is.
func (c *Configuration) changed(op ChangeOp, m ra.Member) ([]ra.Member, Refusal) {
	i := c.find(m.UID)
	switch {
	case m.UID == "":
		return nil, MissingUID
	case op == Remove && i < 0:
		return nil, NotMember
	case op == Remove:
		return slices.Delete(slices.Clone(c.Members), i, i+1), Accepted
	case op != Set || checkMember(m) != nil:
		return nil, Malformed
	case i >= 0 && c.Members[i].Membership == m.Membership:
		return nil, AlreadyMember
	case i < 0 && len(c.Members) >= MaxMembers:
		return nil, TooManyMembers
	}
	members := slices.Clone(c.Members)
	if i >= 0 {
		members[i] = m
	} else {
		members = append(members, m)
	}
	return sortMembers(members), Accepted
}

// sortMembers sorts by UID, in place, so that positions are the same everywhere.
func sortMembers(members []ra.Member) []ra.Member {
	slices.SortFunc(members, func(a, b ra.Member) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return members
}

// checkMember returns an error if a member cannot be encoded or is of no known kind.
func checkMember(m ra.Member) error {
	for _, name := range [...]string{string(m.UID), m.ID.Name, string(m.ID.Node)} {
		if name == "" || len(name) > ra.MaxNameLen {
			return fmt.Errorf("%w: name of %d bytes", ra.ErrInvalidName, len(name))
		}
	}
	if m.Membership > ra.NonVoter {
		return fmt.Errorf("%w: %v", ra.ErrInvalidName, m.Membership)
	}
	return nil
}

// checkMembers returns an error unless members are few enough, sorted, different and valid.
func checkMembers(members []ra.Member) error {
	if len(members) > MaxMembers {
		return fmt.Errorf("%w: %d members, at most %d are allowed", ra.ErrTooLarge, len(members), MaxMembers)
	}
	for i := range members {
		if err := checkMember(members[i]); err != nil {
			return err
		}
		if i > 0 && members[i-1].UID >= members[i].UID {
			return errMembersUnsorted
		}
	}
	return nil
}

var errMembersUnsorted = errors.New("raft: members are not sorted or not unique by UID")

// EncodeMembers appends the encoding of members, as a KindConfig entry carries it, to b (MEM-07):
//
//	1 byte   number of members
//	each:    1 byte membership, then UID, name and node, each 1 byte length and its bytes
//
// Members must be at most MaxMembers, with names of 1 to ra.MaxNameLen bytes.
func EncodeMembers(b []byte, members []ra.Member) []byte {
	b = append(b, byte(len(members)))
	for i := range members {
		m := &members[i]
		b = append(b, byte(m.Membership))
		for _, name := range [...]string{string(m.UID), m.ID.Name, string(m.ID.Node)} {
			b = append(append(b, byte(len(name))), name...)
		}
	}
	return b
}

// DecodeMembers reads what EncodeMembers wrote. It fails with an error that wraps ra.ErrCorrupt unless all of b is a
// valid list, sorted by UID.
func DecodeMembers(b []byte) ([]ra.Member, error) {
	if len(b) == 0 || b[0] > MaxMembers {
		return nil, fmt.Errorf("%w: configuration without a valid number of members", ra.ErrCorrupt)
	}
	members := make([]ra.Member, b[0])
	b = b[1:]
	for i := range members {
		if len(b) == 0 {
			return nil, fmt.Errorf("%w: configuration ends early", ra.ErrCorrupt)
		}
		m := &members[i]
		m.Membership = ra.Membership(b[0])
		var uid, name, node string
		b = takeName(takeName(takeName(b[1:], &uid), &name), &node)
		m.UID, m.ID = ra.UID(uid), ra.ServerID{Name: name, Node: ra.NodeID(node)}
	}
	if err := checkMembers(members); err != nil {
		return nil, fmt.Errorf("%w: configuration: %w", ra.ErrCorrupt, err)
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: configuration with %d bytes left over", ra.ErrCorrupt, len(b))
	}
	return members, nil
}

// takeName moves a name of b into name and returns the rest. If b is too short, name stays empty and nothing is left.
func takeName(b []byte, name *string) []byte {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return nil
	}
	*name = string(b[1 : 1+int(b[0])])
	return b[1+int(b[0]):]
}

// EncodeVersion returns the payload of a no-op entry that carries a machine version (VER-02).
func EncodeVersion(version uint32) []byte { return binary.LittleEndian.AppendUint32(nil, version) }

// DecodeVersion returns the machine version of a no-op's payload, and whether it has one.
func DecodeVersion(payload []byte) (uint32, bool) {
	if len(payload) != 4 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(payload), true
}
