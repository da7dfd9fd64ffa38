package machine

import (
	"fmt"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// String returns the effects one a line, for transcripts in tests. Equal effects give equal text as long as their
// values print alike.
func (fx *Effects) String() string {
	var b strings.Builder
	for i := range fx.list {
		b.WriteString(fx.list[i].String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the effect on one line, without the index that it was asked for at, in words that do not differ from
// run to run: functions and captures are named, not shown.
func (e *Effect) String() string {
	s := e.Kind.String() + e.describe()
	if e.Mode != ModeNone {
		s += fmt.Sprintf(" %v to %s", e.Mode, caller(e.PID, e.Correlation))
	}
	if e.Written != 0 {
		s += fmt.Sprintf(" when %d is written", e.Written)
	}
	if e.NoTransfers {
		s += " when none is sent"
	}
	if e.Owner == ForAux {
		s += " (aux)"
	}
	return s
}

// describe returns what the kind of the effect needs to be said, with a space in front.
func (e *Effect) describe() string {
	switch e.Kind {
	case EffectSend:
		return fmt.Sprintf(" %v %s%v", e.PID, show(e.Value), e.Options)
	case EffectReply:
		return " " + caller(e.PID, e.Correlation) + " " + show(e.Value)
	case EffectMonitor, EffectDemonitor:
		return " " + e.PID.String()
	case EffectMonitorNode, EffectDemonitorNode:
		return " " + e.Name
	case EffectTimer:
		return fmt.Sprintf(" %q %v", e.Name, e.Delay)
	case EffectTimerAt:
		return fmt.Sprintf(" %q %d ms", e.Name, e.Time)
	case EffectCancelTimer:
		return fmt.Sprintf(" %q", e.Name)
	case EffectAppend, EffectTryAppend:
		return " " + show(e.Command)
	case EffectLog:
		return fmt.Sprintf(" %v", e.Indexes)
	case EffectLogLocal:
		return fmt.Sprintf(" %s %v", e.Name, e.Indexes)
	case EffectReleaseCursorAt, EffectCheckpointAt, EffectPromote:
		return fmt.Sprintf(" %d", e.Index)
	case EffectAux:
		return " " + show(e.Value)
	}
	return ""
}

// String returns the options' names, each with a space in front.
func (o SendOption) String() string {
	var b strings.Builder
	for i, name := range [...]string{" event", " cast", " local"} {
		if o&(1<<i) != 0 {
			b.WriteString(name)
		}
	}
	return b.String()
}

func caller(pid ra.PID, correlation uint64) string { return fmt.Sprintf("%v/%d", pid, correlation) }

// show prints a value on one line: text quoted, everything else as Go prints it with field names.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("%q", v)
	case fmt.Stringer:
		return v.String()
	case error:
		return v.Error()
	}
	return strings.ReplaceAll(fmt.Sprintf("%+v", v), "\n", " ")
}
