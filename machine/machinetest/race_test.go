//go:build race

package machinetest

const raceDetector = true
