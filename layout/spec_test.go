package layout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuiltinLayouts(t *testing.T) {
	var names []string
	for _, l := range Builtin() {
		names = append(names, l.Name)
		if l.Source == "" || l.About == "" {
			t.Errorf("%s does not say whose it is, or where its facts come from", l.Name)
		}
		if got, err := ByName(Builtin(), l.Name); err != nil || got != l {
			t.Errorf("ByName(%s): %v, %v", l.Name, got, err)
		}
	}
	// Where only names are known they are tried in this order.
	if d := cmp.Diff(strings.Fields(`
		enstack transformers lightning accelerate composer deepspeed megatron verl openrlhf tensorflow timm
		detectron2 fairseq mmengine torchtitan keras nemo olmo
		generic
		dcp diffusers orbax paddlenlp torchtune ultralytics lerobot`), names); d != "" {
		t.Error(d)
	}
	if !enstack(t).ListsViews {
		t.Error("enstack bears views in listings")
	}
	_, err := ByName(Builtin(), "enstak")
	if want := `no layout is called "enstak"; there are: enstack, transformers, `; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestCoreFiles(t *testing.T) {
	l := enstack(t)
	want := [][]string{{"config.json"}, {"training_state.pth"}, {"model.safetensors", "pytorch_model.bin"}}
	if d := cmp.Diff(want, l.CoreGroups(Dir)); d != "" {
		t.Error(d)
	}
	for path, want := range map[string]bool{
		"training_state.pth": true, "model.safetensors": true, "pytorch_model.bin": true, "config.json": true,
		"generation_config.json": false, "training_state.pth.backup": false, "old/config.json": false,
	} {
		if got := l.Core(Dir, path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const entries = "name: x\nentries: [{kind: last, type: dir, name: last}]\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "layout test.yaml: it is empty"},
		{"no entries", "name: x", "layout test.yaml: name and entries are needed"},
		{"two documents", entries + "---\n" + entries, "layout test.yaml: one document is allowed"},
		{"an unknown key", entries + "colour: red", "line 3: field colour not found"},
		{"an unknown kind", "name: x\nentries:\n- {kind: newest, type: dir, name: a}", `line 3: unknown kind "newest"; there are ["last" "recovery"`},
		{"an unknown type", "name: x\nentries:\n- {kind: last, type: link, name: a}", `line 3: unknown type "link"; there are ["dir" "file" "group"]`},
		{"a bad expression", "name: x\nentries:\n- {kind: last, type: dir, name: '('}", "line 3: error parsing regexp"},
		{"an unknown group", "name: x\nentries:\n- {kind: last, type: dir, name: '(?P<iter>.)'}", `line 3: unknown group "iter"`},
		{"half an entry", "name: x\nentries: [{kind: last, type: dir}]", "entry 1: kind, type and name are needed"},
		{"a backup of nothing", "name: x\nentries: [{kind: backup, type: dir, name: b}]", `entry 1: the group "of"`},
		{"a last of something", "name: x\nentries: [{kind: last, type: dir, name: '(?P<of>.)'}]", `entry 1: the group "of"`},
		{"an unknown format", entries + "files: [{any_of: [{path: a, format: [tar]}]}]", `line 3: unknown format "tar"`},
		{"a bad pattern", entries + "files: [{any_of: [{path: '[a'}]}]", `line 3: bad pattern "[a"`},
		{"an empty group", entries + "files: [{required: true}]", "file group 1: any_of is empty"},
		{"metadata of nothing", entries + "metadata: [{epoch: a}]", "metadata 1: file is needed"},
		{"an unknown rule", entries + "metadata: [{file: a, step_zero: daily}]", `line 3: unknown step_zero "daily"`},
		{"a group without a name", "name: x\nentries: [{kind: last, type: group, name: a}]", `entry 1: the group "name"`},
		{"a file with one", "name: x\nentries: [{kind: last, type: file, name: '(?P<name>a)'}]", `entry 1: the group "name"`},
		{"a marker of nothing", entries + "marker: unfinished", `line 3: the marker "unfinished"`},
		{"a pointer to nothing", entries + "pointers: [{name: latest, content: '.+'}]", `pointer 1: its content needs the group "name"`},
		{"a pointer to half a name", entries + "pointers: [{name: latest, content: '(?P<n>.)', target: step}]", "pointer 1: its content needs"},
		{"files of no count", entries + "counted: [{path: 'a\\d'}]", `counted 1: the path needs the group "count"`},
		{"metrics of no name", entries + "metrics_in_name: 'a'", `metrics_in_name needs the groups "metric" and "value"`},
		{"an unknown mode", entries + "best: {metric: a, mode: most}", `line 3: unknown mode "most"; there are ["max" "min"]`},
	} {
		_, err := Parse("test.yaml", []byte(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), "layout test.yaml: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	data, err := builtinFiles.ReadFile("builtin/enstack.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, "last_checkpoint")
	f.Add([]byte("name: x\nentries: [{kind: temp, type: dir, name: '(?P<of>.)*'}]\n"), "aa")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		if l, err := Parse("fuzz", data); err == nil {
			l.Match(name, true)
			l.Core(Dir, name)
			l.Ignored(name)
		}
	})
}
