package fs_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ckptfs/testdata/figures"
)

// Many writers into one checkpoint: eight ranks write in any order, with pauses
// of any length, and the last of them commits it, once. Where one is killed it
// is not committed, and status says whose file is missing (P1, P3).
func TestEightRanks(t *testing.T) {
	const rounds = 6
	m := mountAt(t, t.TempDir(), t.TempDir(), traceConfig)
	for round := range rounds {
		victim := -1
		if round%2 == 1 {
			victim = rand.IntN(worldSize)
		}
		eightRanks(t, m, fmt.Sprintf("run%d", round), victim)
	}
	if !t.Failed() {
		figures.Report(t, "eight ranks", "%d checkpoints by %d processes, one of them killed in half, 0 violations", rounds, worldSize)
	}
}

func eightRanks(t *testing.T, m *mounted, run string, victim int) {
	weights, err := fixture("weights.pt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := newReplay(trace{layout: "verl"}, m, run)
	if err != nil {
		t.Fatal(err)
	}
	defer r.end("kill")
	write := func(rank int, what string, half bool) error {
		file := fmt.Sprintf("global_step_100/actor/%s_world_size_%d_rank_%d.pt", what, worldSize, rank)
		return r.do(traceStep{rank: rank, verb: "write", args: []string{file}, content: weights}, half)
	}
	for rank := range worldSize { // the processes are started, and make the directory
		if err := r.do(traceStep{rank: rank, verb: "mkdir", args: []string{"global_step_100/actor"}}, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.do(traceStep{verb: "write", args: []string{"global_step_100/data.pt"}, content: weights}, false); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, worldSize)
	for rank := range worldSize {
		go func() {
			var err error
			for _, what := range []string{"model", "optim", "extra_state"} {
				time.Sleep(time.Duration(rand.IntN(80)) * time.Millisecond) // training is uneven; some saves settle in between
				half := rank == victim && what == "optim"
				if err = write(rank, what, half); err != nil || half {
					break
				}
			}
			ended <- err
		}()
	}
	for range worldSize {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if victim < 0 {
		r.end("exit")
		eventually(t, "it is committed", func() bool { return exists(m.path(run, "by-step", "100")) })
		if list := runLists(m)[run].Checkpoints; len(list) != 1 {
			t.Errorf("it was committed more than once: %+v", list)
		}
		return
	}
	r.ranks[victim].cmd.Process.Kill()
	r.end("exit")
	lacks := fmt.Sprintf("1 of %d files like global_step_100", worldSize)
	lacks = strings.Replace(lacks, "global_step_100", "actor/optim_world_size_", 1)
	eventually(t, "status says what is missing", func() bool { return strings.Contains(waiting(m)[run], lacks) })
	if exists(m.path(run, "latest")) {
		t.Error("half a checkpoint was committed")
	}
}
