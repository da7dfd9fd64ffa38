// Package warm has memory loaded into the processor's caches before it is needed.
//
// A node with thousands of members touches more memory than the caches hold: what a member needs for a batch has been
// pushed out by the others since the last one. To load it line by line, each when it is missed, takes most of the time
// of a batch; many lines that are asked for at once, and ahead, arrive in little more than the time of one.
//
// To warm something is a hint. It reads no value and changes none, so it needs no lock for what it loads, and an address
// that is out of date does no harm; but the pointers on the way there are read as usual. On processors that this package
// knows no instruction for nothing is loaded.
//
// The types of this module that are warmed have a method Warm(step int): step 0 loads the value itself, step 1 what it
// points to, and so on, each step counting on the loads of the one before.
//
// This package makes no compatibility promise.
package warm

import "unsafe"

// Value loads a value; nil is none.
func Value[T any](p *T) {
	if p != nil {
		load(unsafe.Pointer(p), unsafe.Sizeof(*p))
	}
}

// Slice loads up to n elements of a slice.
func Slice[T any](s []T, n int) {
	if n = min(n, len(s)); n > 0 {
		load(unsafe.Pointer(unsafe.SliceData(s)), uintptr(n)*unsafe.Sizeof(s[0]))
	}
}

// Pointee loads the first n bytes of what v points to; v holds a pointer.
func Pointee(v any, n int) {
	type words struct{ _, data unsafe.Pointer }
	if p := (*words)(unsafe.Pointer(&v)).data; p != nil {
		load(p, uintptr(n))
	}
}

// group is how many values are warmed together. The memory of fewer stays in the cache anyway.
const group = 16

// Group is for who goes through n values and touches what each points to. Called before each, with the number of those that
// are done, it returns up to where to warm what is behind them, which is nowhere for most.
func Group(done, n int) int {
	if done%group != 0 || n < group {
		return done
	}
	return min(done+group, n)
}
