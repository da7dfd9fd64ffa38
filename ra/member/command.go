package member

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// ErrMalformed is the end of a command that makes no sense. It was certainly not applied.
var ErrMalformed = errors.New("member: malformed command")

// The flags of a ra.KindCommand entry.
const (
	modeMask   = 7 // the machine.ReplyMode
	withCaller = 8 // the payload begins with a machine.Caller
)

// NewCommand makes the proposal of a user's command, with a copy of payload. The mode travels in the entry, and so does
// from unless it is zero: then whichever member leads when the command is applied can answer (CMD-13a). A mode that
// wants an event needs a caller. It fails with ra.ErrTooLarge or ErrMalformed.
func NewCommand(payload []byte, mode machine.ReplyMode, from machine.Caller) (ra.Entry, error) {
	body, err := DraftCommand(payload, mode, &from)
	return ra.Entry{Body: body}, err
}

// DraftCommand is NewCommand for who has a place for the entry: it returns the body. from may be nil, as if it were zero.
func DraftCommand(payload []byte, mode machine.ReplyMode, from *machine.Caller) ([]byte, error) {
	if from == nil || from.IsZero() {
		switch {
		case mode >= machine.ModeNotify:
			return nil, fmt.Errorf("%w: reply mode %v to nobody", ErrMalformed, mode)
		case len(payload) > ra.MaxPayload:
			return nil, tooLarge(payload)
		}
		return ra.DraftOf(ra.KindCommand, byte(mode), payload), nil
	}
	if mode > machine.ModeNotify {
		return nil, fmt.Errorf("%w: reply mode %v to %v", ErrMalformed, mode, from.PID)
	}
	room := 2 + len(from.PID.Node) + 2 + len(from.PID.Name) + 24
	if room+len(payload) > ra.MaxPayload {
		return nil, tooLarge(payload)
	}
	body := ra.Draft(ra.KindCommand, byte(mode)|withCaller, room+len(payload))
	body, err := machine.AppendCaller(body, *from)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return append(body, payload...), nil
}

func tooLarge(payload []byte) error {
	return fmt.Errorf("%w: command of %d bytes", ra.ErrTooLarge, len(payload))
}

// DecodeCommand returns what NewCommand was given. The payload shares the entry's body. It fails with an error that
// wraps ra.ErrCorrupt.
func DecodeCommand(e *ra.Entry) (payload []byte, mode machine.ReplyMode, from machine.Caller, err error) {
	flags := e.Flags()
	payload, mode = e.Payload(), machine.ReplyMode(flags&modeMask)
	if flags&withCaller != 0 {
		from, payload, err = machine.DecodeCaller(payload)
	}
	return payload, mode, from, err
}

// kind returns what the proposal is.
func (c *Command) kind() ra.Kind { return c.Proposal.Kind() }

// mode returns what the sender of a user's command wants to hear.
func (c *Command) mode() machine.ReplyMode {
	if c.kind() != ra.KindCommand {
		return machine.ModeNone
	}
	return machine.ReplyMode(c.Proposal.Flags() & modeMask)
}

// from returns the sender that a command names and that wants to hear of it, or nobody.
func (c *Command) from() machine.Caller {
	if c.mode() == machine.ModeNone {
		return machine.Caller{}
	}
	_, _, from, _ := DecodeCommand(&c.Proposal)
	return from
}
