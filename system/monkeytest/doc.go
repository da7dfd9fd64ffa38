// Package monkeytest uses whole nodes at random.
//
// Its tests open nodes on simulated disks, connect them, and have clients and operators do at once, drawn from a seed,
// what the programming interface of package system allows, right and wrong, while disks and network fail and nodes close
// and crash. In TestDecay one node's disk decays, too. All that is seen is compared with what was promised. They run in
// virtual time. The documentation of the flags in monkey_test.go tells how to run more than a few seeds.
package monkeytest
