// Package reference holds complete machines to learn from and to test with: a counter, a dictionary of totals, and a
// table. Each captures its state in another way: by value, by a copy, and by a structure that is never changed in
// place. It makes no promise of compatibility.
package reference

import (
	"errors"
	"fmt"
)

// ErrMalformed is the reply to a command that is not one of the machine's own, and why a snapshot is refused.
var ErrMalformed = errors.New("reference: malformed")

func malformedf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
