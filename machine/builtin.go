package machine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Down is the end of a process.
type Down struct {
	PID    ra.PID
	Reason DownReason
}

// NodeEvent is a change of a node, or how it was found when the monitor began.
type NodeEvent struct {
	Node ra.NodeID
	Up   bool
}

// DownCode classes the reasons why processes end.
type DownCode uint8

// The classes of reasons.
const (
	// DownNormal: the process ended by itself, without an error.
	DownNormal DownCode = iota
	// DownNoProcess: there was no such process when the monitor began.
	DownNoProcess
	// DownNoConnection: its node is out of reach; the process may well live on (EFF-53).
	DownNoConnection
	// DownError: it failed, for the reason in the text.
	DownError

	maxDownCode = DownError
)

var downNames = [...]string{"normal", "noproc", "noconnection", "error"}

// String returns the code's name as Erlang has it.
func (c DownCode) String() string {
	if c <= maxDownCode {
		return downNames[c]
	}
	return "invalid"
}

// DownReason is why a process ended, in a form that is the same on every member. It is comparable.
type DownReason struct {
	Code DownCode
	// Text is for people and set for DownError only; at most MaxReasonText bytes of UTF-8.
	Text string
}

// MaxReasonText bounds the text of a DownReason, in bytes. Longer ones are cut.
const MaxReasonText = 1024

// ReasonOf returns the reason that an error stands for. nil is a normal end.
func ReasonOf(err error) DownReason {
	switch {
	case err == nil:
		return DownReason{}
	case errors.Is(err, ra.ErrNoProcess):
		return DownReason{Code: DownNoProcess}
	case errors.Is(err, ra.ErrNodeDown):
		return DownReason{Code: DownNoConnection}
	}
	return DownReason{Code: DownError, Text: cutText(err.Error())}
}

// cutText returns text as UTF-8 of at most MaxReasonText bytes.
func cutText(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= MaxReasonText {
		return text
	}
	n := MaxReasonText
	for !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// String returns the reason for people.
func (r DownReason) String() string {
	if r.Code == DownError {
		return "error: " + r.Text
	}
	return r.Code.String()
}

// The payloads of entries that the library itself writes for machines. Numbers are little endian, texts have their
// length in two bytes in front. Every byte sequence has at most one meaning, and the decoders accept nothing else.
//
//	pid          node text, name text, incarnation 8, spawn 8
//	ra.KindDown  pid, code 1, reason text
//	ra.KindTimeout  the timer's name, to the end
//	ra.KindNode  1 if up or else 0, the node's name to the end
//	caller       pid, correlation 8

// AppendDown appends the payload of a ra.KindDown entry to b. It fails if a name is longer than ra.MaxNameLen, the
// reason longer than MaxReasonText, or the code unknown.
func AppendDown(b []byte, d Down) ([]byte, error) {
	if d.Reason.Code > maxDownCode || len(d.Reason.Text) > MaxReasonText {
		return b, fmt.Errorf("machine: reason with code %d and %d bytes of text", d.Reason.Code, len(d.Reason.Text))
	}
	longer, err := appendPID(b, d.PID)
	if err != nil {
		return b, err
	}
	return appendText(append(longer, byte(d.Reason.Code)), d.Reason.Text), nil
}

// DecodeDown returns what the payload of a ra.KindDown entry says, or an error that wraps ra.ErrCorrupt.
func DecodeDown(b []byte) (Down, error) {
	in := reader{b: b}
	d := Down{PID: in.pid()}
	d.Reason.Code = DownCode(in.byte())
	d.Reason.Text = in.text(MaxReasonText)
	if d.Reason.Code > maxDownCode {
		in.bad = true
	}
	if err := in.end("down"); err != nil {
		return Down{}, err
	}
	return d, nil
}

// AppendTimeout appends the payload of a ra.KindTimeout entry to b. It fails if the name is longer than MaxTimerName.
func AppendTimeout(b []byte, timer string) ([]byte, error) {
	if len(timer) > MaxTimerName {
		return b, fmt.Errorf("machine: timer name of %d bytes", len(timer))
	}
	return append(b, timer...), nil
}

// DecodeTimeout returns the timer's name in the payload of a ra.KindTimeout entry, or an error that wraps
// ra.ErrCorrupt.
func DecodeTimeout(b []byte) (string, error) {
	if len(b) > MaxTimerName {
		return "", corruptf("timer name of %d bytes", len(b))
	}
	return string(b), nil
}

// AppendNode appends the payload of a ra.KindNode entry to b. It fails if the node's name is empty or longer than
// ra.MaxNameLen.
func AppendNode(b []byte, e NodeEvent) ([]byte, error) {
	if e.Node == "" || len(e.Node) > ra.MaxNameLen {
		return b, fmt.Errorf("machine: node name of %d bytes", len(e.Node))
	}
	up := byte(0)
	if e.Up {
		up = 1
	}
	return append(append(b, up), e.Node...), nil
}

// DecodeNode returns what the payload of a ra.KindNode entry says, or an error that wraps ra.ErrCorrupt.
func DecodeNode(b []byte) (NodeEvent, error) {
	if len(b) < 2 || len(b) > 1+ra.MaxNameLen || b[0] > 1 {
		return NodeEvent{}, corruptf("node event of %d bytes", len(b))
	}
	return NodeEvent{Node: ra.NodeID(b[1:]), Up: b[0] == 1}, nil
}

// AppendCaller appends c to b, for entries and snapshots that must tell whom to answer. It fails if a name is longer
// than ra.MaxNameLen.
func AppendCaller(b []byte, c Caller) ([]byte, error) {
	longer, err := appendPID(b, c.PID)
	if err != nil {
		return b, err
	}
	return appendUint64(longer, c.Correlation), nil
}

// DecodeCaller returns the caller at the start of b and what follows it, or an error that wraps ra.ErrCorrupt.
func DecodeCaller(b []byte) (Caller, []byte, error) {
	in := reader{b: b}
	c := Caller{PID: in.pid(), Correlation: in.uint64()}
	if in.bad {
		return Caller{}, nil, corruptf("caller in %d bytes", len(b))
	}
	return c, in.b, nil
}

func appendPID(b []byte, p ra.PID) ([]byte, error) {
	if len(p.Node) > ra.MaxNameLen || len(p.Name) > ra.MaxNameLen {
		return b, fmt.Errorf("machine: PID with names of %d and %d bytes", len(p.Node), len(p.Name))
	}
	b = appendText(appendText(b, string(p.Node)), p.Name)
	return appendUint64(appendUint64(b, p.Incarnation), p.Spawn), nil
}

func appendText(b []byte, text string) []byte {
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(text))), text...)
}

func appendUint64(b []byte, n uint64) []byte { return binary.LittleEndian.AppendUint64(b, n) }

func uint64At(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// reader takes fields from the front of b. After the first that does not fit it is bad and gives zeros.
type reader struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, or nil if there are fewer.
func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad = true
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return uint64At(b)
	}
	return 0
}

// text returns the next text, of at most limit bytes.
func (r *reader) text(limit int) string {
	b := r.take(2)
	if b == nil {
		return ""
	}
	n := int(binary.LittleEndian.Uint16(b))
	if n > limit {
		r.bad = true
	}
	return string(r.take(n))
}

func (r *reader) pid() ra.PID {
	return ra.PID{
		Node:        ra.NodeID(r.text(ra.MaxNameLen)),
		Name:        r.text(ra.MaxNameLen),
		Incarnation: r.uint64(),
		Spawn:       r.uint64(),
	}
}

// end returns an error unless everything fitted and nothing is left over.
func (r *reader) end(what string) error {
	if r.bad || len(r.b) > 0 {
		return corruptf("malformed %s", what)
	}
	return nil
}

// corruptf returns an error that wraps ra.ErrCorrupt.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ra.ErrCorrupt, fmt.Sprintf(format, args...))
}
