package main

import (
	"github.com/heliopolis-raft/heliopolis/examples/compare/commitpath"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/examples/compare/etcdhost"
	"github.com/heliopolis-raft/heliopolis/examples/compare/floor"
	"github.com/heliopolis-raft/heliopolis/examples/compare/hashihost"
	"github.com/heliopolis-raft/heliopolis/examples/compare/heliopolis"
)

func init() {
	driver.Register("commitpath", commitpath.New)
	driver.Register("heliopolis", heliopolis.New)
	driver.Register("floor", floor.New)
	driver.Register("etcd", func() driver.Rival { return etcdhost.New(etcdhost.Options{}) })
	driver.Register("etcd-async", func() driver.Rival { return etcdhost.New(etcdhost.Options{Async: true}) })
	driver.Register("etcd-buffered", func() driver.Rival { return etcdhost.New(etcdhost.Options{Buffered: true}) })
	driver.Register("hashicorp", func() driver.Rival { return hashihost.New() })
}
