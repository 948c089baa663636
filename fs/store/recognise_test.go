package store

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

// put makes files with content of their format, directories and all.
func (p *process) put(files ...string) {
	b := p.b
	b.t.Helper()
	for _, f := range files {
		for i := strings.IndexByte(f, '/'); i > 0; {
			if !p.exists(f[:i]) {
				b.must(p.mkdir(f[:i]))
			}
			next := strings.IndexByte(f[i+1:], '/')
			if next < 0 {
				break
			}
			i += 1 + next
		}
		content := []byte("something")
		switch path.Ext(path.Base(f)) {
		case ".json", "": // of Orbax, without a suffix
			content = []byte(`{"global_step": 7, "epoch": 2.5, "log_history": [{"eval_loss": 0.5}]}`)
		case ".safetensors":
			content = []byte("\x02\x00\x00\x00\x00\x00\x00\x00{}")
		}
		b.must(p.write(f, content))
	}
}

// showsNames fails the test unless each view shows the version of that name; "" stands
// for a view that resolves to nothing.
func (b *bench) showsNames(when string, want map[string]string) {
	b.t.Helper()
	for view, name := range want {
		got := ""
		if v := b.version(view); v != nil {
			got = v.Name
		}
		if got != name {
			b.t.Errorf("%s: %s shows %q, want %q", when, view, got, name)
		}
	}
}

// The first name decides which trainer it is; what the first checkpoint holds
// says better, and then it stays.
func TestRunIsRecognised(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  string
		want   string // the layout
		proved bool
	}{
		{"Hugging Face", "checkpoint-7/config.json checkpoint-7/model.safetensors checkpoint-7/trainer_state.json", "transformers", true},
		{"PaddleNLP has the same names", "checkpoint-7/model.pdparams checkpoint-7/trainer_state.json checkpoint-7/rng_state.pth", "paddlenlp", true},
		{"diffusers too", "checkpoint-7/unet/model.safetensors", "diffusers", true},
		{"a loop of one's own", "step_7/weights.safetensors", "generic", false},
		{"torchtune", "step_7/model.safetensors step_7/adapter_model.pt", "torchtune", true},
		{"Orbax below its prefix", "ckpt_7/_CHECKPOINT_METADATA", "orbax", true},
		{"LeRobot has bare numbers", "000007/pretrained_model/model.safetensors 000007/training_state/training_step.json", "lerobot", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				p := b.process()
				p.put(strings.Fields(c.files)...)
				b.settle()
				for _, when := range []string{"at once", "after a remount"} {
					r := b.runAt("")
					if r.layout() == nil || r.layout().Name != c.want || r.guessed.Load() == c.proved && when == "at once" {
						t.Fatalf("%s: guessed is %v: %s", when, r.guessed.Load(), r.why)
					}
					b.pass(2 * patience)
					b.restart()
				}
			})
		})
	}
}

// What a save lacks is said by name as soon as somebody asks.
func TestMissingIsSaidAtOnce(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		p.put("checkpoint-7/config.json", "checkpoint-7/model.safetensors")
		if got := b.Status().Runs[0].Saves[0].Missing; !slices.Equal(got, []string{"trainer_state.json"}) {
			t.Errorf("it lacks %q", got)
		}
		p.put("checkpoint-7/model.safetensors.index.json")
		if got := strings.Join(b.Status().Runs[0].Saves[0].Missing, ", "); !strings.Contains(got, "trainer_state.json") {
			t.Errorf("then it lacks %q", got)
		}
	})
}

// Two trainers in sibling directories each get their own.
func TestSiblingRuns(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		p.put("a/checkpoint-7/model.safetensors", "a/checkpoint-7/trainer_state.json", "b/global_step7/mp_rank_00_model_states.pt")
		b.settle()
		for dir, want := range map[string]string{"a": "transformers", "b": "deepspeed"} {
			if got := b.runAt(dir).layout().Name; got != want {
				t.Errorf("%s: %s", dir, got)
			}
		}
	})
}

// best/ is what the trainer calls the best: here by the loss of its evaluation.
func TestBestByTheTrainersMetric(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		for name, loss := range map[string]string{"checkpoint-1": "0.5", "checkpoint-2": "0.25", "checkpoint-3": "NaN", "checkpoint-4": "0.75"} {
			p.put(name + "/model.safetensors")
			step := strings.TrimPrefix(name, "checkpoint-")
			b.must(p.write(name+"/trainer_state.json", []byte(`{"global_step": `+step+`, "log_history": [{"eval_loss": `+loss+`}]}`)))
		}
		b.settle()
		b.showsNames("by the loss", map[string]string{"latest": "checkpoint-4", "resume": "checkpoint-4", "best": "checkpoint-2"})

		// The trainer's word goes before: the newest says which one it is.
		p.put("checkpoint-5/model.safetensors")
		b.must(p.write("checkpoint-5/trainer_state.json", []byte(`{"global_step": 5, "best_model_checkpoint": "/some/where/checkpoint-1"}`)))
		b.settle()
		b.showsNames("by name", map[string]string{"latest": "checkpoint-5", "best": "checkpoint-1"})
	})
}

// A marker beside a checkpoint holds it up, and its removal is the word that it is
// complete.
func TestMarkerHoldsUp(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		p.put("gpt-step=7-last-unfinished")
		p.put("gpt-step=7-last/weights/metadata.json", "gpt-step=7-last/weights/__0_0.distcp", "gpt-step=7-last/context/model.yaml")
		b.settle()
		if l := b.runAt("").layout(); l == nil || l.Name != "nemo" {
			t.Fatal(b.runAt("").why)
		}
		b.showsNames("while it is marked", map[string]string{"latest": ""})
		if got := strings.Join(b.unfinished()["gpt-step=7-last"], ", "); !strings.Contains(got, "gpt-step=7-last-unfinished is still there") {
			t.Errorf("it lacks %q", got)
		}
		b.must(p.unlink("gpt-step=7-last-unfinished"))
		b.pass(100 * time.Millisecond) // no settling: it was said
		b.showsNames("after", map[string]string{"latest": "gpt-step=7-last"})

		// It is laid there again before the trainer removes it: what is committed stays.
		p.put("gpt-step=7-last-unfinished")
		b.settle()
		b.showsNames("marked again", map[string]string{"latest": "gpt-step=7-last"})
	})
}

// Where the trainer has a file of a view's name, that name is its own from the
// first checkpoint on: the kernel would not let it create the file otherwise.
func TestNamesOfTheTrainer(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		p.put("global_step7/mp_rank_00_model_states.pt")
		b.pass(2 * patience)
		if _, ok := b.View("", "latest"); ok {
			t.Error("latest is a view, and DeepSpeed's file")
		}
		if v, ok := b.View("", "@latest"); !ok || v.Version.Name != "global_step7" {
			t.Errorf("@latest is %+v", v)
		}
		if got := b.Listed("", func(string) bool { return false }); len(got) == 0 || got[0] != "@latest" {
			t.Errorf("listed are %q", got)
		}
		want := "the name latest is that of an entry of deepspeed; the view is at @latest"
		if got := b.Status().Runs[0].Hints; !slices.Contains(got, want) {
			t.Errorf("the hints are %q", got)
		}
	})
}
