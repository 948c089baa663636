package powercut

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// event is something that a glass disk was asked to do.
type event struct {
	header
	data int64 // where the data of a write lies in the log
	end  int64 // the position after it
}

func readEvents(log string) ([]event, error) {
	f, err := os.Open(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []event
	in, at := bufio.NewReaderSize(f, 1<<20), int64(0)
	for {
		var e event
		err := binary.Read(in, binary.LittleEndian, &e.header)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err == nil {
			_, err = in.Discard(int(e.Length))
		}
		if err != nil {
			return nil, fmt.Errorf("read %s at %d: %w", log, at, err)
		}
		e.data = at + headerSize
		at = e.data + int64(e.Length)
		e.end = at
		out = append(out, e)
	}
}

// A lossyDisk builds the disks that a power cut could have left if the disk had a
// volatile cache: all that came before the last flush is there; of what came
// after, anything may be missing.
type lossyDisk struct {
	log     *os.File
	events  []event
	durable string // an image of what is flushed
	whole   bool   // no sector is torn
	applied int    // how many events are in it
}

// damage is what becomes of a write that was not flushed.
type damage int

const (
	lost damage = iota // each write is there or not: lost and reordered
	torn               // the same, and some only in part, in pieces of 512 bytes; see lossyDisk.whole
)

// cut makes the image of a cut after n events. The next cut may not be earlier.
func (d *lossyDisk) cut(n int, how damage, image string) error {
	flushed := n
	for flushed > d.applied && d.events[flushed-1].Kind != eventFlush {
		flushed--
	}
	if err := d.apply(d.durable, d.events[d.applied:flushed], nil); err != nil {
		return err
	}
	d.applied = flushed
	if err := reflink(d.durable, image); err != nil {
		return err
	}
	odds := []float64{0.1, 0.5, 0.9}[rand.N(3)]
	return d.apply(image, d.events[flushed:n], func(data []byte, write func(from, to int) error) error {
		if rand.Float64() >= odds {
			return nil
		}
		if how == lost || d.whole && len(data) <= sector || rand.N(2) == 0 {
			return write(0, len(data))
		}
		for from := 0; from < len(data); from += 512 {
			if rand.N(2) == 0 {
				continue
			}
			if err := write(from, min(from+512, len(data))); err != nil {
				return err
			}
		}
		return nil
	})
}

// apply carries out writes on an image. survive, which may be nil, says which
// parts of a write are carried out.
func (d *lossyDisk) apply(image string, events []event, survive func(data []byte, write func(from, to int) error) error) error {
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, e := range events {
		if e.Kind != eventWrite {
			continue
		}
		data := make([]byte, e.Length)
		if _, err := d.log.ReadAt(data, e.data); err != nil {
			return err
		}
		write := func(from, to int) error {
			_, err := f.WriteAt(data[from:to], e.Offset+int64(from))
			return err
		}
		if survive == nil {
			err = write(0, len(data))
		} else {
			err = survive(data, write)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
