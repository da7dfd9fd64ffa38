package wal

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Recovery is what a log found when it was opened.
type Recovery struct{}

// Open opens the log in cfg.Dir.
func Open(cfg Config) (*Log, *Recovery, error) {
	if err := cfg.validate(); err != nil {
		return nil, nil, err
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, nil, err
	}
	l := &Log{cfg: cfg, writers: make(map[ra.UID]*Writer)}
	lock, err := cfg.FS.Lock(l.path(lockName))
	if err != nil {
		return nil, nil, err
	}
	l.lock = lock
	if err := l.start(); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return l, &Recovery{}, nil
}

// start begins the first file.
func (l *Log) start() error {
	names, err := l.cfg.FS.List(l.cfg.Dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name != lockName {
			return fmt.Errorf("wal: %s is not empty", l.cfg.Dir)
		}
	}
	salt, err := l.random()
	if err != nil {
		return err
	}
	l.salt.Store(uint32(salt))
	l.seal = &Batch{log: l}
	l.seal.Reset()
	l.next = 1
	l.cur, err = l.begin(fileHeader{seq: 1, firstBatch: 1})
	if err != nil {
		return err
	}
	l.room.left.Store(l.cur.left() - l.cfg.emergencyRoom())
	return nil
}

// Writer makes the member uid known to the log; its first order must register it. The uid must be new: one that was
// deleted is never used again (ID-04).
func (l *Log) Writer(uid ra.UID) (*Writer, error) {
	if err := ra.CheckName(string(uid)); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers[uid] != nil {
		return nil, fmt.Errorf("%w: %s", ra.ErrNameTaken, uid)
	}
	w := &Writer{uid: uid}
	l.writers[uid] = w
	return w, nil
}

// Close seals the log and lets go of its files. Nothing may be committed afterwards.
func (l *Log) Close() error {
	if l.cur == nil {
		return nil
	}
	var sealErr error
	if l.err == nil {
		sealErr = l.Seal()
	}
	err := errors.Join(sealErr, l.cur.f.Close(), l.lock.Close())
	l.cur, l.err = nil, ra.ErrClosed
	return err
}
