package quorumqueue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Commands and replies are one byte that says which, and their fields in order: numbers as uvarints of
// encoding/binary, texts with their length in front. Only the body of an Enqueue has no length, it goes to the end.
const (
	opEnqueue   = 'e'
	opSubscribe = 's'
	opSettle    = 'a'
	opReturn    = 'r'
	opCancel    = 'c'

	replyEnqueued   = 'E'
	replySubscribed = 'S'
	replySettled    = 'A'
	replyRefused    = 'R'
)

// ErrMalformed: bytes are no command, reply or state of a queue.
var ErrMalformed = errors.New("quorumqueue: malformed")

// MaxOverhead bounds how much longer the encoding of an Enqueue is than its body, in bytes.
const MaxOverhead = 1 + binary.MaxVarintLen16 + ra.MaxNameLen + binary.MaxVarintLen64

// Protocol is how commands and replies are encoded.
func Protocol() machine.Protocol[Command, Reply] {
	return machine.Protocol[Command, Reply]{Command: commandCodec{}, Reply: replyCodec{}}
}

// AppendCommand appends the encoding of a command, as Protocol does it.
func AppendCommand(b []byte, c Command) []byte { return c.appendTo(b) }

type commandCodec struct{}

// Append appends the encoding of c.
func (commandCodec) Append(b []byte, c Command) ([]byte, error) {
	if c == nil {
		return b, fmt.Errorf("%w: no command", ErrMalformed)
	}
	return c.appendTo(b), nil
}

// Decode returns the command in b. The body of an Enqueue shares b.
func (commandCodec) Decode(b []byte) (Command, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty command", ErrMalformed)
	}
	f := fields{b: b[1:]}
	var c Command
	switch b[0] {
	case opEnqueue:
		c = Enqueue{Producer: f.text(), Seq: f.uint(), Body: f.rest()}
	case opSubscribe:
		c = Subscribe{Consumer: f.pid(), Credit: f.uint()}
	case opSettle:
		c = Settle{Subscription: f.uint(), IDs: f.ids()}
	case opReturn:
		c = Return{Subscription: f.uint(), IDs: f.ids()}
	case opCancel:
		c = Cancel{Subscription: f.uint()}
	default:
		return nil, fmt.Errorf("%w: unknown command %q", ErrMalformed, b[0])
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c Enqueue) appendTo(b []byte) []byte {
	b = appendText(append(b, opEnqueue), c.Producer)
	return append(binary.AppendUvarint(b, c.Seq), c.Body...)
}

func (c Subscribe) appendTo(b []byte) []byte {
	return binary.AppendUvarint(appendPID(append(b, opSubscribe), c.Consumer), c.Credit)
}

func (c Settle) appendTo(b []byte) []byte {
	return appendIDs(binary.AppendUvarint(append(b, opSettle), c.Subscription), c.IDs)
}

func (c Return) appendTo(b []byte) []byte {
	return appendIDs(binary.AppendUvarint(append(b, opReturn), c.Subscription), c.IDs)
}

func (c Cancel) appendTo(b []byte) []byte {
	return binary.AppendUvarint(append(b, opCancel), c.Subscription)
}

type replyCodec struct{}

// Append appends the encoding of r.
func (replyCodec) Append(b []byte, r Reply) ([]byte, error) {
	if r == nil {
		return b, fmt.Errorf("%w: no reply", ErrMalformed)
	}
	return r.appendTo(b), nil
}

// Decode returns the reply in b.
func (replyCodec) Decode(b []byte) (Reply, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty reply", ErrMalformed)
	}
	f := fields{b: b[1:]}
	var r Reply
	switch b[0] {
	case replyEnqueued:
		r = Enqueued{Outcome: Outcome(f.atMost(uint64(Full))), Next: f.uint()}
	case replySubscribed:
		r = Subscribed{Subscription: f.uint()}
	case replySettled:
		r = Settled{Done: f.uint(), Gone: f.atMost(1) == 1}
	case replyRefused:
		r = Refused{Why: f.text()}
	default:
		return nil, fmt.Errorf("%w: unknown reply %q", ErrMalformed, b[0])
	}
	if err := f.end(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r Enqueued) appendTo(b []byte) []byte {
	return binary.AppendUvarint(append(b, replyEnqueued, byte(r.Outcome)), r.Next)
}

func (r Subscribed) appendTo(b []byte) []byte {
	return binary.AppendUvarint(append(b, replySubscribed), r.Subscription)
}

func (r Settled) appendTo(b []byte) []byte {
	return appendBool(binary.AppendUvarint(append(b, replySettled), r.Done), r.Gone)
}

func (r Refused) appendTo(b []byte) []byte { return appendText(append(b, replyRefused), r.Why) }
