package layout

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said is what a name tells, in one line.
func said(l *Layout, name string, isDir bool) string {
	m, ok := l.Match(name, isDir)
	if !ok {
		return "-"
	}
	words := []string{string(m.Kind)}
	for _, n := range []struct {
		word string
		n    *int64
	}{{"epoch", m.Epoch}, {"step", m.Step}, {"global", m.GlobalStep}} {
		if n.n != nil {
			words = append(words, fmt.Sprintf("%s %d", n.word, *n.n))
		}
	}
	if m.Name != name {
		words = append(words, "of "+m.Name)
	}
	if m.Of != "" {
		words = append(words, "for "+m.Of)
	}
	return strings.Join(words, " ")
}

// The names that each trainer gives, and some that it does not. A slash at the
// end is a directory's.
func TestNamesOfTrainers(t *testing.T) {
	for _, c := range []struct{ layout, names string }{
		{"transformers", `
			checkpoint-500/: step global 500
			tmp-checkpoint-500/: temp global 500 for checkpoint-500
			checkpoint-500: -
			checkpoint-final/: -
			runs/: -`},
		{"accelerate", `
			checkpoint_0/: step global 0
			checkpoint_12/: step global 12
			checkpoint-12/: -`},
		{"diffusers", `
			checkpoint-1000/: step global 1000`},
		{"lightning", `
			epoch=0-step=100.ckpt: step epoch 1 global 100
			epoch=2-step=300-v1.ckpt: step epoch 3 global 300
			epoch=2-step=300.ckpt/: step epoch 3 global 300
			model-epoch=03-step=400-val_loss=0.25.ckpt: step epoch 4 global 400
			sample-mnist-epoch=02-val_loss=0.32.ckpt: epoch_end epoch 3
			last.ckpt: last
			last-v1.ckpt: last
			last.ckpt/: last
			hpc_ckpt_3.ckpt: recovery
			on_exception.ckpt: recovery
			best.ckpt: best
			whatever.ckpt: step
			hparams.yaml: -`},
		{"deepspeed", `
			global_step500/: step global 500
			global_step_500/: -
			latest: pointer`},
		{"megatron", `
			iter_0000500/: step global 500
			iter_500/: -
			release/: final`},
		{"nemo", `
			model--val_loss=0.25-step=100-last/: last global 100
			model--val_loss=0.25-step=100/: step global 100
			megatron_gpt-last/: last
			x-end/: epoch_end
			results/: -`},
		{"dcp", `
			step-1000/: step global 1000
			checkpoint/: last
			my_ckpt_7/: step global 7
			epoch_3/: epoch_end epoch 3
			logs/: -`},
		{"torchtitan", `
			step-1000/: step global 1000
			step_1000/: -`},
		{"orbax", `
			1000/: step global 1000
			ckpt_1000/: step global 1000
			1000.orbax-checkpoint-tmp/: temp global 1000 for 1000
			1000.orbax-checkpoint-tmp-1700000/: temp global 1000 for 1000
			metadata/: -`},
		{"keras", `
			model.keras: last
			best_model.keras: best
			weights.03-0.25.weights.h5: epoch_end epoch 3
			latest.weights.h5: recovery
			latest.weights.h5.bkp: -
			training_metadata.json: -`},
		{"tensorflow", `
			ckpt-7.index: step global 7 of ckpt-7
			ckpt-7.data-00000-of-00001: step global 7 of ckpt-7
			model.ckpt-12000.index: step global 12000 of model.ckpt-12000
			checkpoint: pointer
			ckpt-7_temp/: temp`},
		{"fairseq", `
			checkpoint3.pt: epoch_end epoch 3
			checkpoint_3_5000.pt: mid_epoch epoch 3 global 5000
			checkpoint_best.pt: best
			checkpoint_last.pt: last
			checkpoint.best_loss_3.45.pt: best
			checkpoint3.pt.tmp: temp epoch 3 for checkpoint3.pt
			checkpoint3-shard1.pt: epoch_end epoch 3 of checkpoint3
			checkpoint_last-shard0.pt: last of checkpoint_last`},
		{"detectron2", `
			model_0004999.pth: step
			model_final.pth: final
			model_best.pth: best
			last_checkpoint: pointer`},
		{"mmengine", `
			epoch_3.pth: epoch_end epoch 3
			epoch_3.pth/: epoch_end epoch 3
			iter_4000.pth: step global 4000
			best_coco_bbox_mAP_epoch_3.pth: best epoch 3
			best_acc_iter_4000.pth: best global 4000
			latest.pth: last
			model-0a1b2c3d.pth: final
			last_checkpoint: pointer`},
		{"ultralytics", `
			last.pt: last
			best.pt: best
			epoch0.pt: epoch_end epoch 1`},
		{"timm", `
			last.pth.tar: last
			checkpoint-4.pth.tar: epoch_end epoch 5
			model_best.pth.tar: best
			recovery-2-100.pth.tar: recovery epoch 3 step 100
			tmp.pth.tar: temp
			recovery_tmp.pth.tar: temp`},
		{"torchtune", `
			epoch_0/: epoch_end epoch 1
			step_500/: step global 500`},
		{"verl", `
			global_step_500/: step global 500
			latest_checkpointed_iteration.txt: pointer`},
		{"openrlhf", `
			global_step500/: step global 500
			best_global_step500/: best global 500
			global_step500_hf/: final global 500`},
		{"composer", `
			ep1-ba100-rank0.pt: step global 100 of ep1-ba100
			ep1-ba100-rank1.pt.gz: step global 100 of ep1-ba100
			ep1-ba100/: step global 100
			ba100/: step global 100
			latest-rank0.pt: last`},
		{"paddlenlp", `
			checkpoint-500/: step global 500`},
		{"olmo", `
			step1000/: step global 1000
			step1000-unsharded/: step global 1000
			step1000-tmp/: temp global 1000 for step1000
			latest/: -`},
		{"lerobot", `
			005000/: step global 5000
			last/: last`},
		{"generic", `
			step_1000/: step global 1000
			epoch_3.pt: epoch_end epoch 3
			model-epoch3-step500.pth: mid_epoch epoch 3 step 500
			epoch_3_step_500/: mid_epoch epoch 3 step 500
			ckpt.pt: last
			ckpt-500.pt: step global 500
			checkpoint_12.ckpt: step global 12
			my-model_iter20.safetensors: step global 20
			best_model.pth: best
			model_final.pt: final
			checkpoint-500/: step global 500
			ckpt.pt.tmp: temp
			version_0/: -
			lightning_logs/: -
			deepstep3/: -
			keep.txt: -
			train.py: -`},
	} {
		l, err := ByName(Builtin(), c.layout)
		if err != nil {
			t.Error(err)
			continue
		}
		for line := range strings.Lines(strings.TrimSpace(c.names)) {
			name, want, _ := strings.Cut(strings.TrimSpace(line), ": ")
			entry, isDir := strings.CutSuffix(name, "/")
			if got := said(l, entry, isDir); got != want {
				t.Errorf("%s: %s is %q, want %q", c.layout, name, got, want)
			}
		}
	}
}

// What lies in a fresh run decides which layout it is taken for, before anything
// can be looked into.
func TestDetectByNames(t *testing.T) {
	for names, want := range map[string]string{
		"":                                 "",
		"config.yaml logs/ wandb/":         "",
		"logs/ last_checkpoint/":           "enstack",
		".tmp_best_model_abcdefgh/":        "enstack",
		"checkpoint-500/ runs/":            "transformers",
		"checkpoint_0/":                    "accelerate",
		"epoch=0-step=100.ckpt last.ckpt":  "lightning",
		"global_step500/ latest":           "deepspeed",
		"global_step5/ best_global_step7/": "openrlhf",
		"global_step_500/":                 "verl",
		"iter_0000500/":                    "megatron",
		"iter_500.pth":                     "mmengine",
		"step-100/":                        "torchtitan",
		"step1000/ step2000-tmp/":          "olmo",
		"1000/":                            "orbax",
		"ckpt-7.index checkpoint":          "tensorflow",
		"checkpoint3.pt":                   "fairseq",
		"checkpoint_last.pt":               "fairseq",
		"model_0004999.pth":                "detectron2",
		"epoch_3.pth":                      "mmengine",
		"last.pth.tar":                     "timm",
		"model.keras":                      "keras",
		"ep0-ba100-rank0.pt":               "composer",
		"a--val_loss=0.5-step=1-last/":     "nemo",
		"step_1000/":                       "generic",
		"epoch_0/":                         "generic",
		"last.pt best.pt epoch3.pt":        "generic",
		"ckpt.pt":                          "generic",
		"model-epoch3-step500.pth":         "generic",
	} {
		var seen []Seen
		for name := range strings.FieldsSeq(names) {
			name, isDir := strings.CutSuffix(name, "/")
			seen = append(seen, Seen{Name: name, IsDir: isDir})
		}
		found := Detect(Builtin(), seen)
		got := ""
		if found.Layout != nil {
			got = found.Layout.Name
		}
		if got != want || found.Proved {
			t.Errorf("%s: %q because %s", names, got, found.Why)
		}
	}
}

func TestPointers(t *testing.T) {
	for _, c := range []struct{ layout, file, content, want string }{
		{"deepspeed", "latest", "global_step500", "global_step500"},
		{"deepspeed", "latest", "", ""},
		{"megatron", "latest_checkpointed_iteration.txt", "500", "iter_0000500"},
		{"megatron", "latest_checkpointed_iteration.txt", "release", ""},
		{"verl", "latest_checkpointed_iteration.txt", "500\n", "global_step_500"},
		{"detectron2", "last_checkpoint", "model_0004999.pth", "model_0004999.pth"},
		{"mmengine", "last_checkpoint", "/runs/dir/epoch_3.pth", "epoch_3.pth"},
		{"tensorflow", "checkpoint", "model_checkpoint_path: \"ckpt-7\"\nall_model_checkpoint_paths: \"ckpt-6\"\n", "ckpt-7"},
		{"tensorflow", "checkpoint", "model_checkpoint_path: \"/a/b/ckpt-7\"\n", "ckpt-7"},
		{"tensorflow", "checkpoint", "model_check", ""},
		{"transformers", "latest", "checkpoint-1", "no pointer"},
	} {
		l, err := ByName(Builtin(), c.layout)
		if err != nil {
			t.Fatal(err)
		}
		got := "no pointer"
		if p, ok := l.Pointer(c.file); ok {
			got, _ = p.Target([]byte(c.content))
		}
		if got != c.want {
			t.Errorf("%s: %s holding %q leads to %q, want %q", c.layout, c.file, c.content, got, c.want)
		}
	}
}

func TestMarkers(t *testing.T) {
	l, err := ByName(Builtin(), "nemo")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("gpt-last-unfinished", l.Marker("gpt-last")); d != "" {
		t.Error(d)
	}
	for entry, want := range map[string]string{"gpt-last-unfinished": "gpt-last", "-unfinished": "", "gpt-last": ""} {
		if got, _ := l.Marked(entry); got != want {
			t.Errorf("%s marks %q", entry, got)
		}
	}
	if enstack(t).Marker("a") != "" {
		t.Error("EnStack has no markers")
	}
}
