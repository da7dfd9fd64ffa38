package snapshot

import (
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// I11: a state is another cluster's if it says another name or another origin; what it does not say, as programs before these
// fields did not, tells nothing.
func TestOwnerContradicts(t *testing.T) {
	own := Owner{Cluster: "c", Origin: "C1"}
	for of, other := range map[Owner]bool{
		own:                          false,
		{}:                           false,
		{Cluster: "c"}:               false,
		{Origin: "C1"}:               false,
		{Cluster: "d"}:               true,
		{Cluster: "d", Origin: "C1"}: true,
		{Cluster: "c", Origin: "C2"}: true,
		{Origin: "C2"}:               true,
	} {
		if err := of.Contradicts(own); (err != nil) != other {
			t.Errorf("%+v: %v", of, err)
		}
		m := Meta{Fields: map[string][]byte{"time": {1}}}
		if of.Cluster != "" {
			m.Fields[ClusterField] = []byte(of.Cluster)
		}
		if of.Origin != "" {
			m.Fields[OriginField] = []byte(of.Origin)
		}
		if got := m.Owner(); got != of {
			t.Errorf("%+v is read as %+v", of, got)
		}
	}
}

// The origin is the same in whatever order members stand, and says nothing of who has none.
func TestOrigin(t *testing.T) {
	var members []ra.Member
	if got := Origin(members); got != "" {
		t.Errorf("of nobody it is %q", got)
	}
	for i := range 3 {
		members = append(members, ra.Member{UID: ra.UID(fmt.Sprint("C", 3-i))})
		if got, want := Origin(members), members[i].UID; got != want {
			t.Errorf("of %v it is %q", members, got)
		}
	}
}
