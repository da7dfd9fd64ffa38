package member

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
)

// exhibit is a machine that tells of itself.
type exhibit struct {
	machine.Stored[int]
	companion machine.AuxHandler
}

func (e *exhibit) Apply(machine.Meta, []byte, *machine.Effects) any {
	e.State++
	return e.State
}

func (e *exhibit) Overview() map[string]any                { return map[string]any{"commands": e.State} }
func (e *exhibit) InitAux(machine.Init) machine.AuxHandler { return e.companion }

// companion is an aux handler that tells of itself.
type companion struct{ casts int }

func (c *companion) HandleAux(_ machine.AuxView, e machine.AuxEvent, _ *machine.Effects) any {
	if e.Kind == machine.AuxCast {
		c.casts++
	}
	return nil
}

func (c *companion) Overview() map[string]any {
	if c.casts > 2 {
		panic("oh")
	}
	return map[string]any{"casts": c.casts}
}

// MAC-11, QRY-09: a member's overview has what its machine and its aux handler say of themselves. A panic in it
// is the answer, and the member goes on.
func TestOverviewOfMachineAndAux(t *testing.T) {
	w := newWorld(t, nil)
	w.start(w.config(func(machine.Init) machine.Machine { return &exhibit{companion: &companion{}} }))
	w.leadAlone()
	w.do("a")
	w.Flush()
	w.synced()
	w.AuxCast(nil)
	w.AuxCast(nil)
	if o, err := w.Overview(); err != nil || o.Machine["commands"] != 1 || o.Aux["casts"] != 2 {
		t.Errorf("machine %v, aux handler %v, %v", o.Machine, o.Aux, err)
	}
	w.AuxCast(nil)
	var p *machine.PanicError
	if o, err := w.Overview(); !errors.As(err, &p) || o.Machine["commands"] != 1 || o.Status.Commit == 0 {
		t.Errorf("a panic: %v, %+v", err, o)
	}
	if err := w.Failed(); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}
