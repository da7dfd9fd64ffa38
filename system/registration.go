package system

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// registration is what is durably known of a member from its first day: what it needs to be started again (ID-06).
type registration struct {
	// uid is new for each registration; register makes one if it is empty.
	uid ra.UID
	// id is the member's address; its node is this one.
	id ra.ServerID
	// cluster is the name of the member's cluster, and machine the name of its machine in Config.Machines.
	cluster, machine string
	// initial is the configuration that the member starts with when it has neither log nor snapshot.
	initial []ra.Member
	// version is the machine's version in force at the beginning (VER-11).
	version machine.Version
}

// registrationVersion is the version of the encoding, as docs/FORMAT.md has it. A node that meets a later one does not
// open.
const registrationVersion = 1

// reserved begins the names of the node's own actors, which members cannot have.
const reserved = "ra."

// check refuses what cannot be registered on node.
func (g *registration) check(node ra.NodeID) error {
	if g.id.Node != node {
		return fmt.Errorf("%w: member %s does not belong to node %s", ra.ErrInvalidName, g.id, node)
	}
	names := [...]string{g.id.Name, g.cluster, g.machine, string(g.uid)}
	for _, name := range names {
		if err := ra.CheckName(name); err != nil {
			return err
		}
	}
	if strings.HasPrefix(g.id.Name, reserved) {
		return fmt.Errorf("%w: %q begins with %q", ra.ErrInvalidName, g.id.Name, reserved)
	}
	if len(g.uid) > snapshot.MaxUIDLen {
		return fmt.Errorf("%w: uid of %d bytes", ra.ErrInvalidName, len(g.uid))
	}
	return g.checkMembers()
}

func (g *registration) checkMembers() error {
	if len(g.initial) == 0 || len(g.initial) > snapshot.MaxMembers {
		return fmt.Errorf("%w: configuration of %d members", ra.ErrTooLarge, len(g.initial))
	}
	for i := range g.initial {
		m := &g.initial[i]
		for _, name := range [...]string{m.ID.Name, string(m.ID.Node), string(m.UID)} {
			if err := ra.CheckName(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode returns the registration as the write-ahead log keeps it.
func (g *registration) encode() *wal.Registration {
	b := []byte{registrationVersion}
	for _, s := range [...]string{string(g.id.Node), g.cluster, g.machine} {
		b = appendString(b, s)
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(g.version))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(g.initial)))
	for i := range g.initial {
		m := &g.initial[i]
		for _, s := range [...]string{m.ID.Name, string(m.ID.Node), string(m.UID)} {
			b = appendString(b, s)
		}
		b = append(b, byte(m.Membership))
	}
	return &wal.Registration{Name: g.id.Name, Config: b}
}

// appendString appends a string of at most 255 bytes behind its length.
func appendString(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// decodeRegistration is the reverse of encode. It fails with an error that wraps ra.ErrCorrupt, or errVersion.
func decodeRegistration(uid ra.UID, w wal.Registration) (registration, error) {
	if len(w.Config) > 0 && w.Config[0] != registrationVersion {
		return registration{}, fmt.Errorf("%w: registration of %s has version %d", errVersion, uid, w.Config[0])
	}
	d := registrationReader{b: w.Config}
	d.take(1)
	g := registration{uid: uid}
	g.id = ra.ServerID{Name: w.Name, Node: ra.NodeID(d.string())}
	g.cluster, g.machine = d.string(), d.string()
	g.version = machine.Version(binary.LittleEndian.Uint32(d.take(4)))
	for n := binary.LittleEndian.Uint16(d.take(2)); n > 0 && !d.bad; n-- {
		g.initial = append(g.initial, d.member())
	}
	if d.bad || len(d.b) != 0 {
		return registration{}, fmt.Errorf("%w: registration of %s does not fit together", ra.ErrCorrupt, uid)
	}
	if err := g.check(g.id.Node); err != nil {
		return registration{}, fmt.Errorf("%w: registration of %s: %w", ra.ErrCorrupt, uid, err)
	}
	return g, nil
}

// registrationReader reads an encoding from front to back. Once it is too short all reads give zeros.
type registrationReader struct {
	b   []byte
	bad bool
}

func (d *registrationReader) take(n int) []byte {
	if n > len(d.b) {
		d.b, d.bad = nil, true
		return make([]byte, n)
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *registrationReader) string() string {
	return string(d.take(int(d.take(1)[0])))
}

func (d *registrationReader) member() ra.Member {
	m := ra.Member{ID: ra.ServerID{Name: d.string()}}
	m.ID.Node, m.UID = ra.NodeID(d.string()), ra.UID(d.string())
	m.Membership = ra.Membership(d.take(1)[0])
	d.bad = d.bad || m.Membership > ra.NonVoter
	return m
}

// uidAlphabet is what the random part of a uid is made of, uidTail characters.
const (
	uidAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	uidTail     = 12
)

// uidHead returns what the uids begin with that newUID makes from source: up to six characters of it, upper case.
func uidHead(source string) string {
	head := strings.Map(func(c rune) rune {
		if c < 0x80 && strings.ContainsRune(uidAlphabet+"_-=", c) {
			return c
		}
		return -1
	}, strings.ToUpper(source))
	return head[:min(len(head), 6)]
}

// newUID returns a uid that nobody has: the head of source, and random characters (API-14).
func newUID(source string) ra.UID {
	head := uidHead(source)
	var random [uidTail]byte
	out := []byte(head)
	for len(out) < len(head)+len(random) {
		rand.Read(random[:]) // never fails, see its documentation
		for _, c := range random {
			// 252 is a multiple of 36: what is above would favour some characters.
			if c < 252 && len(out) < len(head)+len(random) {
				out = append(out, uidAlphabet[c%36])
			}
		}
	}
	return ra.UID(out)
}
