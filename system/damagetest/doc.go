// Package damagetest damages data directories and looks what becomes of them.
//
// Its tests make the directories of nodes that hold every kind of file, change bits, sectors and whole files in copies of
// them, and read the copies: first with the package that each file belongs to, then with system.Open and all clusters.
// The documentation of the flags in campaign_test.go tells how to run everything instead of a sample.
package damagetest
