package driver

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a point: beyond them the driver's own memory would be what is measured.
const (
	maxClusters = 100_000
	maxInFlight = 1 << 20 // over all clusters
)

// Point is a load: so many clusters, each with so many commands in flight at any time.
type Point struct {
	Clusters int
	InFlight int
}

// String returns the point as ParsePoint takes it.
func (p Point) String() string { return fmt.Sprintf("%dx%d", p.Clusters, p.InFlight) }

// ParsePoint reads a point such as 100x8: 100 clusters with 8 commands in flight each.
func ParsePoint(s string) (Point, error) {
	left, right, ok := strings.Cut(s, "x")
	clusters, err1 := strconv.Atoi(left)
	inFlight, err2 := strconv.Atoi(right)
	if !ok || err1 != nil || err2 != nil || clusters < 1 || inFlight < 1 {
		return Point{}, fmt.Errorf("driver: point %q is not clusters x in flight, as 100x8", s)
	}
	if clusters > maxClusters || inFlight > maxInFlight/clusters {
		return Point{}, fmt.Errorf("driver: point %s exceeds %d clusters or %d commands", s, maxClusters, maxInFlight)
	}
	return Point{Clusters: clusters, InFlight: inFlight}, nil
}

// ParsePoints reads points separated by commas.
func ParsePoints(s string) ([]Point, error) {
	var points []Point
	for _, field := range strings.Split(s, ",") {
		p, err := ParsePoint(strings.TrimSpace(field))
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	return points, nil
}
