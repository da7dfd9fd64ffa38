package machine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// Codec turns values of one type into bytes and back. It must be deterministic in both directions, refuse bytes it
// does not understand with an error rather than a panic, and be safe for concurrent use.
type Codec[T any] interface {
	// Append appends the encoding of v to b and returns the longer slice. On an error it returns b.
	Append(b []byte, v T) ([]byte, error)
	// Decode returns the value in b, all of it. It must not change b. Whether the value may share b is for the codec
	// to say; all codecs here copy, but Raw.
	Decode(b []byte) (T, error)
}

// Protocol is how the commands and replies of a machine are encoded. What applied commands mean is kept in logs, so a
// protocol must go on reading what it once wrote.
type Protocol[C, R any] struct {
	Command Codec[C]
	Reply   Codec[R]
}

// CBOR is the protocol to take when nothing speaks against it: CBOR (RFC 8949) in its deterministic form, for all
// types that encoding/json could handle. Fields may be added to structs later. Times keep their nanoseconds and come
// back in UTC.
func CBOR[C, R any]() Protocol[C, R] {
	return Protocol[C, R]{Command: CBORCodec[C]{}, Reply: CBORCodec[R]{}}
}

// JSON is a protocol whose log people can read. It is slower and longer than CBOR.
func JSON[C, R any]() Protocol[C, R] {
	return Protocol[C, R]{Command: JSONCodec[C]{}, Reply: JSONCodec[R]{}}
}

// Bounds of what CBORCodec decodes, beside the length of the bytes themselves.
const (
	maxCBORNesting  = 64
	maxCBORElements = math.MaxInt32
)

var (
	cborEncoder = must(cborEncOptions().UserBufferEncMode())
	cborDecoder = must(cborDecOptions().DecMode())
)

func cborEncOptions() cbor.EncOptions {
	o := cbor.CoreDetEncOptions()
	o.Time = cbor.TimeRFC3339NanoUTC
	return o
}

func cborDecOptions() cbor.DecOptions {
	return cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		MaxNestedLevels:  maxCBORNesting,
		MaxArrayElements: maxCBORElements,
		MaxMapPairs:      maxCBORElements,
	}
}

// must is for package variables whose arguments are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// CBORCodec is the codec of CBOR for one type.
type CBORCodec[T any] struct{}

// Append appends v in CBOR's deterministic encoding.
func (CBORCodec[T]) Append(b []byte, v T) ([]byte, error) {
	buf := bytes.NewBuffer(b)
	if err := cborEncoder.MarshalToBuffer(v, buf); err != nil {
		return b, fmt.Errorf("machine: cannot encode: %w", err)
	}
	return buf.Bytes(), nil
}

// Decode returns the value in b. Duplicate keys, indefinite lengths and trailing bytes are errors.
func (CBORCodec[T]) Decode(b []byte) (T, error) {
	var v T
	if err := cborDecoder.Unmarshal(b, &v); err != nil {
		var none T
		return none, fmt.Errorf("machine: cannot decode: %w", err)
	}
	return v, nil
}

// JSONCodec is the codec of JSON for one type.
type JSONCodec[T any] struct{}

// Append appends v as JSON, with the keys of maps sorted.
func (JSONCodec[T]) Append(b []byte, v T) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return b, fmt.Errorf("machine: cannot encode: %w", err)
	}
	return append(b, text...), nil
}

// Decode returns the value in b. Unknown fields are ignored.
func (JSONCodec[T]) Decode(b []byte) (T, error) {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		var none T
		return none, fmt.Errorf("machine: cannot decode: %w", err)
	}
	return v, nil
}

// Raw is the codec of bytes that stay what they are. Decode does not copy: the value is valid and unchangeable as b
// is.
type Raw struct{}

// Append appends v.
func (Raw) Append(b []byte, v []byte) ([]byte, error) { return append(b, v...), nil }

// Decode returns b.
func (Raw) Decode(b []byte) ([]byte, error) { return b, nil }

// readAll reads a whole state, which is in a file or message that was checked.
func readAll[T any](r io.Reader, c Codec[T]) (T, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		var none T
		return none, err
	}
	return c.Decode(b)
}
