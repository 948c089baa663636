package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store/disk"
	"ckptfs/layout"
)

// Ten thousand manifests are ten thousand small files: to open and parse them is
// most of what a mount does. papersFile has what all of them say in one. It is
// made of the manifests and of nothing else, and each of its entries is believed
// only as long as the manifest is the very file that it was made from. So it can
// be deleted, or be older than any number of manifests, or be left by a crash as
// it may: what it does not tell is read where it is written.
const papersFile = Private + "/papers"

// paper tells one file of a manifest from the next: each is a new one.
type paper struct {
	ino                    uint64
	size, mtimeNS, ctimeNS int64
}

func paperOf(st *disk.Stat) paper {
	return paper{st.Ino, st.Size, st.Mtime.Nano(), st.Ctime.Nano()}
}

// packed is a manifest with the file that it was read from.
type packed struct {
	paper
	*Manifest
}

// loadManifests reads all manifests; one that cannot be read says nothing.
func (s *Store) loadManifests() map[string]*Manifest {
	all := s.readPapers()
	s.packPapers(all)
	out := make(map[string]*Manifest, len(all))
	for id, p := range all {
		out[id] = p.Manifest
	}
	return out
}

// readPapers gives every manifest that there is, by its id.
func (s *Store) readPapers() map[string]packed {
	all, fresh := map[string]packed{}, 0
	list, err := s.disk.Describe(manifestDir)
	if err != nil {
		return all
	}
	kept := s.keptPapers()
	var unknown []disk.Described
	for _, e := range list {
		id, ok := strings.CutSuffix(e.Name, ".json")
		switch p, known := kept[id]; {
		case !ok:
		case known && p.paper == paperOf(&e.Stat):
			all[id] = p
		default:
			unknown = append(unknown, e)
		}
	}
	var mu sync.Mutex
	inParallel(unknown, func(e disk.Described) {
		id, _ := strings.CutSuffix(e.Name, ".json")
		m, err := s.readManifest(id)
		if err != nil {
			s.log.Warn("a manifest is not readable; the checkpoint is verified instead", "err", err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		all[id] = packed{paperOf(&e.Stat), m}
		fresh++
	})
	gone := len(kept) - (len(all) - fresh)
	s.unpacked.Store(int64(fresh + gone))
	return all
}

// keptPapers is what papersFile says; nothing when it is not whole.
func (s *Store) keptPapers() map[string]packed {
	b, err := s.readFile(papersFile, maxPrivate)
	if err != nil {
		return nil // the manifests are there
	}
	list, err := parsePapers(b)
	if err != nil {
		s.log.Info("what was kept of the manifests is not whole; they are read instead", "err", err)
	}
	return list
}

// packAt is how many manifests have to be missing in papersFile for it to be
// written anew: fewer are read as fast.
const packAt = 64

// packManifests writes down what the manifests say at an unmount, if papersFile
// does not.
func (s *Store) packManifests() {
	if !s.readOnly && s.unpacked.Load() >= packAt {
		s.packPapers(s.readPapers())
	}
}

// packPapers writes papersFile, if it is worth it. It need not be durable: what a
// power cut leaves of it is whole, or not believed.
func (s *Store) packPapers(all map[string]packed) {
	if s.readOnly || s.unpacked.Load() < packAt {
		return
	}
	s.unpacked.Store(0)
	s.report("keep what the manifests say in one place", ignore(s.writeFile("papers", papersFile, packPapers(all), false), unix.ENOSPC, unix.EDQUOT, unix.EROFS))
}

const papersMagic = "ckptfs papers 1\n"

// packPapers is the content of papersFile: the entries, with a checksum of all.
func packPapers(all map[string]packed) []byte {
	p := &packing{bytes: []byte(papersMagic), places: map[string]uint64{}}
	p.count(len(all), 1)
	for _, id := range slices.Sorted(maps.Keys(all)) {
		e := all[id]
		p.entry(&e)
	}
	sum := xxh3.Hash128(p.bytes)
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(p.bytes, sum.Lo), sum.Hi)
}

func parsePapers(b []byte) (map[string]packed, error) {
	const trailer = 16
	body, magic := bytes.CutPrefix(b, []byte(papersMagic))
	if !magic || len(body) < trailer {
		return nil, fmt.Errorf("%s: %w", papersFile, errPacked)
	}
	end := len(b) - trailer
	sum := xxh3.Hash128(b[:end])
	if sum.Lo != binary.LittleEndian.Uint64(b[end:]) || sum.Hi != binary.LittleEndian.Uint64(b[end+8:]) {
		return nil, fmt.Errorf("%s: its checksum is another", papersFile)
	}
	p := &packing{reading: true, bytes: body[:len(body)-trailer]}
	n := p.count(0, leastEntry)
	all := make(map[string]packed, n)
	for range n {
		e := packed{Manifest: new(Manifest)}
		p.entry(&e)
		if p.err == nil {
			p.err = e.valid()
		}
		if p.err != nil {
			return nil, fmt.Errorf("%s: %w", papersFile, p.err)
		}
		all[e.ID] = e
	}
	return all, nil
}

// The fewest bytes that an entry takes, and a file in it.
const leastEntry, leastFile = 24, 6

// entry is one manifest.
func (p *packing) entry(e *packed) {
	m := e.Manifest
	p.unsigned(&e.ino)
	p.signed(&e.size)
	p.signed(&e.mtimeNS)
	p.signed(&e.ctimeNS)
	kind := string(m.Kind)
	for _, word := range []*string{&m.ID, &m.Run, &m.Name, &m.Entry, &m.Layout, &kind, &m.BestName, &m.Removed} {
		p.word(word)
	}
	m.Format, m.Kind = manifestFormat, layout.Kind(kind)
	for _, number := range []**int64{&m.Progress.Epoch, &m.Progress.Step, &m.Progress.GlobalStep, &m.Progress.BatchesPerEpoch} {
		p.optional(number)
	}
	p.metrics(&m.Metrics)
	p.time(&m.CommittedAt)
	p.flag(&m.Adopted)
	p.unsigned(&m.DirIno)
	p.signed(&m.Size)
	n := p.count(len(m.Files), leastFile)
	if p.reading && n > 0 {
		m.Files = make([]ManifestFile, n)
	}
	for i := range n {
		f := &m.Files[i]
		p.word(&f.Path)
		p.signed(&f.Size)
		p.signed(&f.MtimeNS)
		p.unsigned(&f.Ino)
		p.word(&f.Format)
		p.sum(&f.XXH3)
	}
	p.rare(len(m.Damage) > 0, &m.Damage)
}

func (p *packing) metrics(all *map[string]float64) {
	names := slices.Sorted(maps.Keys(*all))
	n := p.count(len(names), 9)
	if p.reading && n > 0 {
		*all = make(map[string]float64, n)
	}
	for i := range n {
		var name string
		var value float64
		if !p.reading {
			name, value = names[i], (*all)[names[i]]
		}
		p.word(&name)
		p.float(&value)
		if p.reading && p.err == nil {
			(*all)[name] = value
		}
	}
}
