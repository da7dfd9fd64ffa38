package system

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// MEM-02, MEM-03, CMD-01: what is refused for good, or uncertain, says why.
func TestErrorTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1")
		w.add(c, 1)
		_, superseded := w.n(1).Member(ra.ServerID{Name: "a"}).LocalQuery(w.ctx(), nil, AfterApplied(2, 99))
		for want, err := range map[string]error{
			"would have no voter":              c.RemoveMember(w.ctx(), ra.ServerID{Name: "a", Node: "n1"}),
			"cannot be membership(99)":         c.AddMember(w.ctx(), ra.ServerID{Name: "b", Node: "n1"}, ra.Membership(99)),
			"command was superseded":           superseded,
			"ra: command may have been":        &ra.UncertainError{Cause: errors.New("why")},
			"at index 3 of term 2 may have be": &ra.UncertainError{Index: 3, Term: 2, Cause: errors.New("why")},
		} {
			if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ra.ErrInvalidName) {
				t.Errorf("%v does not say %q", err, want)
			}
		}
	})
}
