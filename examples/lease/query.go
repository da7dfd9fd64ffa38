package main

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Who asks who has a lock. The answer is a Holder.
type Who struct{ Lock string }

// Holder is the owner of a lock; the zero Holder if nobody has it.
type Holder struct {
	Owner   ra.PID
	Token   ra.Index
	Waiting int
}

// Query answers a question.
func (m *locks) Query(_ machine.QueryContext, question any) (any, error) {
	who, ok := question.(Who)
	if !ok {
		return nil, fmt.Errorf("question of type %T", question)
	}
	l := m.State[who.Lock]
	if l == nil {
		return Holder{}, nil
	}
	return Holder{Owner: l.Holder.Owner, Token: l.Token, Waiting: len(l.Waiting)}, nil
}
