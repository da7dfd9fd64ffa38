// Package snapshot keeps the snapshots of a node's members, one file each, and carries them from node to node as they
// lie on the disk.
//
// A snapshot is written aside under a temporary name while its member goes on, and takes its name only when it is
// durable. The machine's state is one zstd stream between a header that tells what the snapshot stands for and a footer
// with the checksum of the compressed bytes. The package starts no goroutine, asks no clock, and reaches the disk only
// through wal/vfs.
//
// This package makes no compatibility promise.
package snapshot

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Bounds of what a Meta may hold, and of its encoding.
const (
	MaxMembers = 1024
	MaxFields  = 256
	// MaxMeta bounds the encoded meta in bytes.
	MaxMeta = 4 << 20
)

// Meta says what a snapshot stands for (SNAP-03).
type Meta struct {
	// Index and Term are those of the last entry whose effect is in the state.
	Index ra.Index
	Term  ra.Term
	// MachineVersion is the version of the machine that was in force at Index.
	MachineVersion uint32
	// Members is the cluster's configuration; at most MaxMembers.
	Members []ra.Member
	// Fields is room for more, by name: names as ra.CheckName has them, at most MaxFields. Who does not know a name
	// passes it on unchanged.
	Fields map[string][]byte
}

// The names of the fields that say whose state it is: ClusterField has the name of the cluster, OriginField its Origin, which
// an earlier cluster of the name, or that of another installation, does not have.
const (
	ClusterField = "cluster"
	OriginField  = "origin"
)

// Owner says whose state it is, as those fields do; what is not said is "".
type Owner struct {
	Cluster string
	Origin  ra.UID
}

// Owner returns whose state the snapshot says it has.
func (m *Meta) Owner() Owner {
	return Owner{Cluster: string(m.Fields[ClusterField]), Origin: ra.UID(m.Fields[OriginField])}
}

// Contradicts returns an error, of no type, if a state of o's is certainly not one of own's: it is of another cluster, perhaps
// of the same name. Two clusters may well have snapshots of the same index and term, which nothing else would keep apart if
// their files changed places. What o does not say may be as own has it.
func (o Owner) Contradicts(own Owner) error {
	switch {
	case o.Cluster != "" && o.Cluster != own.Cluster:
		return fmt.Errorf("it is one of cluster %q", o.Cluster)
	case o.Origin != "" && o.Origin != own.Origin:
		return fmt.Errorf("it is one of another cluster %q, which began with %q", o.Cluster, o.Origin)
	}
	return nil
}

// Origin names a cluster for good, by the configuration that it began with: the lowest of its uids, which are never reused.
// All members know that configuration, whenever they came, and whoever is left of it. It is "" for no members.
func Origin(initial []ra.Member) ra.UID {
	var lowest ra.UID
	for i := range initial {
		if uid := initial[i].UID; i == 0 || uid < lowest {
			lowest = uid
		}
	}
	return lowest
}

// encode returns the meta as it is stored. Equal metas have equal encodings.
//
//	0   8  index
//	8   8  term
//	16  4  machine version
//	20  2  number of members, then of each: name, node, uid (a length of 1 byte each), membership (1 byte)
//	    2  number of fields, then of each, in the order of names: name (length of 1 byte), value (length of 4 bytes)
func (m *Meta) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b := le.AppendUint64(nil, uint64(m.Index))
	b = le.AppendUint64(b, uint64(m.Term))
	b = le.AppendUint32(b, m.MachineVersion)
	b = le.AppendUint16(b, uint16(len(m.Members)))
	for i := range m.Members {
		x := &m.Members[i]
		b = appendShort(b, x.ID.Name)
		b = appendShort(b, string(x.ID.Node))
		b = appendShort(b, string(x.UID))
		b = append(b, byte(x.Membership))
	}
	b = le.AppendUint16(b, uint16(len(m.Fields)))
	for _, name := range slices.Sorted(maps.Keys(m.Fields)) {
		b = appendShort(b, name)
		b = le.AppendUint32(b, uint32(len(m.Fields[name])))
		b = append(b, m.Fields[name]...)
	}
	if len(b) > MaxMeta {
		return nil, fmt.Errorf("%w: snapshot meta of %d bytes", ra.ErrTooLarge, len(b))
	}
	return b, nil
}

// check reports what of a meta cannot be stored.
func (m *Meta) check() error {
	if m.Index == 0 || len(m.Members) > MaxMembers || len(m.Fields) > MaxFields {
		return fmt.Errorf("%w: snapshot at index %d with %d members and %d fields", ra.ErrTooLarge, m.Index, len(m.Members), len(m.Fields))
	}
	for i := range m.Members {
		x := &m.Members[i]
		if max(len(x.ID.Name), len(x.ID.Node), len(x.UID)) > ra.MaxNameLen || x.Membership > ra.NonVoter {
			return fmt.Errorf("%w: member %.300q", ra.ErrInvalidName, x.ID)
		}
	}
	size := 0
	for name, value := range m.Fields {
		if err := ra.CheckName(name); err != nil {
			return err
		}
		if size += len(value); size > MaxMeta {
			return fmt.Errorf("%w: snapshot fields of more than %d bytes", ra.ErrTooLarge, MaxMeta)
		}
	}
	return nil
}

// appendShort appends a string of at most 255 bytes behind its length.
func appendShort(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// decodeMeta reads what encode wrote, and nothing else: it takes no bytes that encode would not give.
func decodeMeta(b []byte) (Meta, error) {
	d := decoder{b: b}
	m := Meta{Index: ra.Index(d.uint64()), Term: ra.Term(d.uint64()), MachineVersion: d.uint32()}
	for n := d.uint16(); n > 0 && !d.bad; n-- {
		m.Members = append(m.Members, ra.Member{
			ID:  ra.ServerID{Name: d.short(), Node: ra.NodeID(d.short())},
			UID: ra.UID(d.short()), Membership: ra.Membership(d.byte()),
		})
	}
	last := ""
	for n := d.uint16(); n > 0 && !d.bad; n-- {
		name := d.short()
		value := d.take(d.uint32())
		if name <= last {
			d.bad = true
		}
		last = name
		if m.Fields == nil {
			m.Fields = make(map[string][]byte)
		}
		m.Fields[name] = slices.Clone(value)
	}
	if d.bad || len(d.b) > 0 {
		return Meta{}, corruptf("snapshot meta does not fit together")
	}
	if err := m.check(); err != nil {
		return Meta{}, corruptf("snapshot meta: %v", err)
	}
	return m, nil
}

// decoder takes numbers and strings off the front of b. Once something is missing it is bad for good and returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint32) []byte {
	if d.bad || uint64(n) > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) short() string { return string(d.take(uint32(d.byte()))) }

// corruptf returns an error that wraps ra.ErrCorrupt.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ra.ErrCorrupt, fmt.Sprintf(format, args...))
}
