package machine

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ErrNoQuerier: a question was put to a machine that has no Querier, or none for concurrent questions.
var ErrNoQuerier = errors.New("machine: does not answer such queries (a function must be a QueryFunc)")

// QueryContext tells what state a query sees (QRY-01).
type QueryContext struct {
	// Index is the last applied entry.
	Index ra.Index
	// Term is the member's current term, which may be above that of the entry (QRY-05).
	Term ra.Term
	// Version is the version in force.
	Version Version
}

// QueryFunc is a query as a function over the machine as its user wrote it, without wrappers. It runs on the member's
// goroutine: it must be quick, must not change the state, and must not return what a later Apply changes. It works
// within the process only.
type QueryFunc func(ctx QueryContext, state any) (any, error)

// Querier answers questions that are values, and so can come from other processes. What holds for a QueryFunc holds
// for Query.
type Querier interface {
	Query(ctx QueryContext, question any) (any, error)
}

// ConcurrentQuerier answers local questions on any goroutine, several at a time and while Apply runs: the machine sees
// to that itself, for instance by an atomic pointer to a state that is never changed in place. Such reads cost the
// member nothing. They see some state of the recent past, like any local query (QRY-02).
type ConcurrentQuerier interface {
	QueryConcurrently(question any) (any, error)
}

// PanicError says that code of the machine's user panicked. As the answer to a query or a look at a member it ends that only
// (QRK-04), and while a snapshot is written that one only, which is tried again later; anywhere else it stops the member (FAIL-02).
type PanicError struct {
	// Value is what was panicked with, Stack the goroutine's stack; nil if that is not known.
	Value any
	Stack []byte
}

// Error tells what was panicked with.
func (e *PanicError) Error() string { return fmt.Sprintf("machine: panic: %v", e.Value) }

// Ask puts a question to a machine: a QueryFunc is called, anything else goes to its Querier. A panic becomes a
// *PanicError.
func Ask(m Machine, ctx QueryContext, question any) (answer any, err error) {
	defer recoverQuery(&err)
	if f, ok := question.(QueryFunc); ok && f != nil {
		return f(ctx, Innermost(m))
	}
	if q, ok := As[Querier](m); ok {
		return q.Query(ctx, question)
	}
	return nil, ErrNoQuerier
}

// AskConcurrently puts a question to a machine from any goroutine. It fails with ErrNoQuerier if the machine is not a
// ConcurrentQuerier; ask the member then.
func AskConcurrently(m Machine, question any) (answer any, err error) {
	defer recoverQuery(&err)
	if q, ok := As[ConcurrentQuerier](m); ok {
		return q.QueryConcurrently(question)
	}
	return nil, ErrNoQuerier
}

// recoverQuery turns a panic into an error.
func recoverQuery(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}
