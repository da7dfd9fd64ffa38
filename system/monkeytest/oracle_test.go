package monkeytest

import (
	"fmt"
	"testing"
	"time"
)

// TestHistory: what contradicts itself is found, and what does not is let pass (I13).
func TestHistory(t *testing.T) {
	first, second := life{Birth: 10, First: 1}, life{Birth: 30, First: 4}
	one, two, none := answer{Life: first, IDs: []uint64{1, 2}}, answer{Life: second, IDs: []uint64{4}}, answer{}
	for _, c := range []struct {
		name  string
		wrong bool
		story func(h *history)
	}{
		{"nothing after something", true, func(h *history) { h.answered(h.present(), none) }},
		{"nothing, and an older life had ended", true, func(h *history) {
			h.ending()
			h.started(time.UnixMilli(20))
			h.seen(two)
			h.answered(view{second, 1}, none)
		}},
		{"nothing, for it was deleted", false, func(h *history) {
			v := h.present()
			h.ending()
			h.answered(v, none)
		}},
		{"nothing yet in a new life, of which others have heard meanwhile", false, func(h *history) {
			v := h.present()
			h.ending()
			h.started(time.UnixMilli(20))
			h.answered(h.present(), two)
			h.answered(v, none)
		}},
		{"another life", true, func(h *history) { h.seen(two) }},
		{"another life after a deletion", false, func(h *history) { h.ending(); h.seen(two) }},
		{"a third life after one start", true, func(h *history) {
			h.ending()
			h.ending()
			h.started(time.UnixMilli(20))
			h.seen(two)
			h.seen(answer{life{Birth: 40, First: 7}, []uint64{7}})
		}},
		{"an old life that nobody had heard of", false, func(h *history) {
			h.ending()
			h.started(time.UnixMilli(20))
			h.seen(two)
			h.seen(answer{life{Birth: 15, First: 3}, []uint64{3}})
		}},
		{"less than before", true, func(h *history) { h.answered(h.present(), answer{first, []uint64{1}}) }},
		{"two pasts", true, func(h *history) { h.seen(answer{first, []uint64{1, 3}}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var found []string
			h := newHistory("c", func(f string, args ...any) { found = append(found, fmt.Sprintf(f, args...)) })
			h.answered(h.send(1, 2, 3, 4, 7), one)
			c.story(h)
			if (len(found) > 0) != c.wrong {
				t.Fatalf("found %q", found)
			}
		})
	}
}
