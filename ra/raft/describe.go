package raft

import (
	"fmt"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// String returns one line with the fields that are not zero, for people and transcripts.
func (m Message) String() string {
	var b strings.Builder
	b.WriteString(m.Kind.String())
	if m.From != "" || m.To != "" {
		fmt.Fprintf(&b, " %s->%s", orNone(m.From), orNone(m.To))
	}
	for _, f := range [...]struct {
		name  string
		value uint64
	}{
		{"term", uint64(m.Term)}, {"index", uint64(m.Index)}, {"logterm", uint64(m.LogTerm)}, {"last", uint64(m.Last)},
		{"commit", uint64(m.Commit)}, {"query", m.Query}, {"token", m.Token}, {"seq", m.Seq}, {"chunk", uint64(m.Chunk)},
		{"version", uint64(m.Version)}, {"bytes", uint64(m.Bytes)},
	} {
		if f.value != 0 {
			fmt.Fprintf(&b, " %s=%d", f.name, f.value)
		}
	}
	b.WriteString(word(m.Reject, " reject") + word(m.Force, " now") + word(m.Done, " done") + word(m.Suspect, " suspect") + describeEntries(m.Entries))
	return b.String()
}

// word returns name if it is set.
func word(set bool, name string) string {
	if set {
		return name
	}
	return ""
}

// describeEntries returns index/term of entries, runs of a term together, with the kind of those of this package.
func describeEntries(entries []ra.Entry) string {
	if len(entries) == 0 {
		return ""
	}
	names := make([]string, len(entries))
	for i := range entries {
		e := &entries[i]
		names[i] = fmt.Sprintf("%d/%d", e.Index, e.Term)
		switch {
		case !e.HasHeader():
			names[i] += "?"
		case e.Kind() == ra.KindNoop:
			names[i] += "noop"
		case e.Kind() == ra.KindConfig:
			members, _ := DecodeMembers(e.Payload())
			names[i] += Configuration{Members: members}.names()
		}
	}
	return " [" + strings.Join(names, " ") + "]"
}

// String returns what is ordered, one line for each thing, in the order in which it is to be done.
func (o *Orders) String() string {
	if o.Failed != nil {
		return fmt.Sprintf("failed: %v\n", o.Failed)
	}
	var b strings.Builder
	o.describeStorage(&b)
	for i := range o.Messages {
		fmt.Fprintf(&b, "send %v\n", o.Messages[i])
	}
	o.describeState(&b)
	return b.String()
}

// describeStorage writes what goes to the disk.
func (o *Orders) describeStorage(b *strings.Builder) {
	if o.Seq != 0 {
		fmt.Fprintf(b, "store %d:", o.Seq)
		if o.SaveState {
			fmt.Fprintf(b, " term=%d vote=%s", o.State.Term, orNone(o.State.Vote))
		}
		if o.Truncate != 0 {
			fmt.Fprintf(b, " truncate=%d", o.Truncate)
		}
		b.WriteString(describeEntries(o.Append) + word(o.Repaired, " repaired") + "\n")
	}
	switch s := &o.Snapshot; s.Op {
	case SnapshotStore:
		fmt.Fprintf(b, "snapshot: store chunk %d of %d/%d%s%s\n", s.Chunk, s.Index, s.Term, word(s.Done, ", install"), word(s.KeepLog, ", keep log"))
	case SnapshotAbort:
		b.WriteString("snapshot: abort\n")
	}
}

// describeState writes what this member is.
func (o *Orders) describeState(b *strings.Builder) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }
	line("%v term=%d leader=%s commit=%d%s%s", o.Role, o.Term, orNone(o.Leader), o.Commit, word(o.NeedTick, " tick"), word(o.Removed, " removed"))
	if o.Configuration != nil {
		line("members %v", *o.Configuration)
	}
	if o.Timer != TimerKeep {
		line("timer %s", [...]string{"", "arm " + o.Class.String(), "cancel"}[o.Timer])
	}
	if o.QueriesReady != 0 {
		line("queries ready up to %d", o.QueriesReady)
	}
	if o.QueriesLost != 0 {
		line("queries lost up to %d", o.QueriesLost)
	}
}

// String returns the class's name as ra spells it.
func (c TimerClass) String() string {
	return [...]string{"really_short", "short", "medium", "long"}[min(c, Long)]
}
