package store

import (
	"os"
	"testing"
	"time"
)

// A pointer reaches the directory beneath the mount only after the checkpoint that
// it names; its trainer sees it at once.
func TestPointerComesAfterItsCheckpoint(t *testing.T) {
	for _, c := range []struct{ name, dir, file, pointer, first, second string }{
		{"DeepSpeed", "global_step%", "mp_rank_00_model_states.pt", "latest", "global_step1", "global_step2"},
		{"Megatron", "iter_000000%", "mp_rank_00/model_optim_rng.pt", "latest_checkpointed_iteration.txt", "1", "2"},
		{"verl", "global_step_%", "data.pt", "latest_checkpointed_iteration.txt", "1", "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				at := func(step string) string { return replaceStep(c.dir, step) }
				more := ""
				if c.name == "verl" {
					more = "/model_world_size_1_rank_0.pt"
				}
				beneath := func() string {
					content, _ := os.ReadFile(b.backing(c.pointer)) // "" while it is not there
					return string(content)
				}
				live := func(p *process) string {
					content, err := p.read(c.pointer)
					b.must(err)
					return string(content)
				}
				save := func(p *process, step, points string) {
					b.must(p.write(c.pointer, []byte(points))) // before the other ranks are done
					if got := live(p); got != points {
						t.Errorf("its trainer reads %q", got)
					}
				}

				first := b.process()
				first.put(at("1") + "/" + c.file)
				save(first, "1", c.first)
				if c.name == "verl" {
					b.settle()
					if got := beneath(); got != "" {
						t.Errorf("beneath the mount it is %q, and nothing is committed", got)
					}
					first.put(at("1") + more)
				}
				b.pass(2 * patience)
				if got := beneath(); got != c.first {
					t.Errorf("after the first save it is %q", got)
				}

				// The second never becomes complete.
				second := b.process()
				b.must(second.mkdir(at("2")))
				save(second, "2", c.second)
				b.pass(2 * patience)
				if got := beneath(); got != c.first {
					t.Errorf("it leads to what is not committed: %q", got)
				}
				if got := b.unfinished()[c.pointer]; len(got) == 0 {
					t.Error("nothing says what it waits for")
				}
				for _, candidate := range b.candidates(b.runAt("")).candidates {
					if candidate.Name == c.pointer {
						t.Error("it is listed as a checkpoint")
					}
				}
				second.exit(9)
				b.pass(2 * patience)
				if got := live(b.process()); got != c.first {
					t.Errorf("after its trainer was killed, the next one reads %q", got)
				}

				// And a third does.
				third := b.process()
				third.put(at("3") + "/" + c.file)
				if more != "" {
					third.put(at("3") + more)
				}
				save(third, "3", replaceStep(c.second, "3"))
				b.pass(2 * patience)
				if got := beneath(); got != replaceStep(c.second, "3") {
					t.Errorf("after the third save it is %q", got)
				}
				b.pass(time.Hour)
				if left := b.left(trashDir); len(left) > 0 {
					t.Errorf("in the trash are %q", left)
				}
			})
		})
	}
}

// replaceStep puts a step into a name.
func replaceStep(name, step string) string {
	for _, r := range []string{"%", "2"} {
		for i := range name {
			if name[i:i+1] == r && (r == "%" || i == len(name)-1) {
				return name[:i] + step + name[i+1:]
			}
		}
	}
	return name
}
