// Package machinetest tests machines without a cluster. A Driver is the cluster: it runs a machine as a member does, and the test
// gives it its entries.
//
//	func TestVotes(t *testing.T) {
//		d := machinetest.New(t, newVotes)
//		d.Apply([]byte("anna"))
//		d.Apply([]byte("bert"))
//		if reply := d.Apply([]byte("anna")); reply != 2 {
//			t.Errorf("anna has %v votes", reply)
//		}
//		d.Check()
//	}
//
// Driver.Check, at the end of every such test, shows what no compiler can see: that members which apply the same entries come to
// the same state, that a snapshot is the whole state, and that it stands still. Run it with -race.
package machinetest
