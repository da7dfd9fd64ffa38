package main

import (
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/examples/compare/etcdhost"
	"github.com/heliopolis-raft/heliopolis/examples/compare/hashihost"
)

func init() {
	driver.Register("etcd", func() driver.Rival { return etcdhost.New(true) })
	driver.Register("etcd-buffered", func() driver.Rival { return etcdhost.New(false) })
	driver.Register("hashicorp", func() driver.Rival { return hashihost.New() })
}
