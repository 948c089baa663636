package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/xxh3"
	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
	"ckptfs/fs/store/disk/disktest"
	"ckptfs/layout"
)

// version is a checkpoint of the real run, as a source of backups.
type version struct {
	dir string
	Source
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newVersion lays out a copy of best_model, with its manifest.
func newVersion(t *testing.T) *version {
	t.Helper()
	v := &version{dir: t.TempDir()}
	must(t, os.CopyFS(v.dir, os.DirFS("../../../testdata/runs/enstack/best_model")))
	must(t, os.Mkdir(filepath.Join(v.dir, "tokenizer"), 0o755))
	must(t, os.WriteFile(filepath.Join(v.dir, "tokenizer", "vocab.txt"), []byte("[PAD]\n"), 0o640))
	must(t, os.Symlink("config.json", filepath.Join(v.dir, "latest.json")))
	v.describe(t, "1", time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC))
	return v
}

// describe makes the manifest of what lies there, as a commit does.
func (v *version) describe(t *testing.T, id string, at time.Time) {
	t.Helper()
	m := store.Manifest{Format: 1, ID: id, Name: "best_model", Kind: layout.Best, CommittedAt: at}
	for name, data := range v.files(t) {
		sum := xxh3.Hash128([]byte(data)).Bytes()
		m.Files = append(m.Files, store.ManifestFile{Path: name, Size: int64(len(data)), XXH3: hex.EncodeToString(sum[:])})
		m.Size += int64(len(data))
	}
	slices.SortFunc(m.Files, func(a, b store.ManifestFile) int { return strings.Compare(a.Path, b.Path) })
	root, err := disk.OpenRoot(v.dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	v.Source = Source{Tree: root, Manifest: m, Run: "/runs/codebert"}
}

func (v *version) files(t *testing.T) map[string]string { return readFiles(t, os.DirFS(v.dir)) }

func readFiles(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, fs.WalkDir(tree, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := fs.ReadFile(tree, p)
		out[p] = string(data)
		return err
	}))
	return out
}

// options are those of a backup on a day.
func options(day int) Options {
	return Options{Now: time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)}
}

// run makes a backup that has to succeed.
func (v *version) run(t *testing.T, dest disk.Disk, opts Options) Result {
	t.Helper()
	res, err := Run(context.Background(), v.Source, dest, opts)
	must(t, err)
	v.whole(t, dest, res.Entry)
	return res
}

// whole checks that a backup is what was to be copied.
func (v *version) whole(t *testing.T, dest disk.Disk, entry string) {
	t.Helper()
	if diff := cmp.Diff(v.files(t), readFiles(t, dest.Sub(entry))); diff != "" {
		t.Errorf("%s (-version +backup):\n%s", entry, diff)
	}
}

// entries lists what lies in DEST.
func entries(t *testing.T, dest disk.Disk, dir string) (out []string) {
	t.Helper()
	list, err := dest.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		if e.Name != Private && e.Name != "lock" {
			out = append(out, e.Name)
		}
	}
	slices.Sort(out)
	return out
}

func realDest(t *testing.T) *disk.Root {
	t.Helper()
	root, err := disk.OpenRoot(t.TempDir())
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return root
}

const entry1 = "best_model-20261125T100000Z"

func TestBackup(t *testing.T) {
	v, dest := newVersion(t), realDest(t)
	res := v.run(t, dest, options(26))
	if res.Entry != entry1 || res.Already || !res.Proven || res.Size != v.Manifest.Size {
		t.Errorf("the result is %+v", res)
	}
	for _, name := range []string{"", "pytorch_model.bin", "tokenizer", "tokenizer/vocab.txt", "latest.json"} {
		was, err := v.Tree.Stat(name)
		must(t, err)
		is, err := dest.Stat(path.Join(res.Entry, name))
		must(t, err)
		if was.Mode != is.Mode || !was.IsSymlink() && was.Mtime != is.Mtime {
			t.Errorf("%s has mode %o and time %v, and had %o, %v", name, is.Mode, is.Mtime, was.Mode, was.Mtime)
		}
	}
	if again := v.run(t, dest, options(27)); !again.Already || again.Entry != entry1 {
		t.Errorf("once more: %+v", again)
	}
	// A damaged backup is none.
	f, err := dest.Open("", entry1+"/pytorch_model.bin", os.O_RDWR, 0)
	must(t, err)
	must(t, dest.Write("", f, []byte("x"), 100))
	f.Close()
	said := ""
	opts := options(28)
	opts.Note = func(format string, a ...any) { said += fmt.Sprintf(format, a...) }
	if anew := v.run(t, dest, opts); anew.Entry != entry1+"-2" || !strings.Contains(said, "pytorch_model.bin is not what was copied") {
		t.Errorf("with a damaged one: %+v, %q", anew, said)
	}
}

// What is damaged is not backed up, and said to be damaged.
func TestDamagedVersion(t *testing.T) {
	for what, damage := range map[string]func(data []byte) []byte{
		"a byte is another":  func(data []byte) []byte { data[100] ^= 1; return data },
		"it is cut short":    func(data []byte) []byte { return data[:100] },
		"something is added": func(data []byte) []byte { return append(data, 0) },
	} {
		t.Run(what, func(t *testing.T) {
			v, dest := newVersion(t), realDest(t)
			file := filepath.Join(v.dir, "pytorch_model.bin")
			data, err := os.ReadFile(file)
			must(t, err)
			must(t, os.WriteFile(file, damage(data), 0o644))
			if _, err := Run(context.Background(), v.Source, dest, options(26)); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "pytorch_model.bin") {
				t.Errorf("it says %v", err)
			}
			if left := entries(t, dest, ""); len(left) > 0 {
				t.Errorf("DEST holds %v", left)
			}
		})
	}
	t.Run("of which no hash is known", func(t *testing.T) {
		v, dest := newVersion(t), realDest(t)
		for i := range v.Manifest.Files {
			v.Manifest.Files[i].XXH3 = ""
		}
		if res := v.run(t, dest, options(26)); res.Proven {
			t.Error("it counts as compared with its hashes")
		}
		file := filepath.Join(v.dir, "pytorch_model.bin")
		data, err := os.ReadFile(file)
		must(t, err)
		data[len(data)/2] ^= 1
		must(t, os.WriteFile(file, data, 0o644))
		v.Manifest.ID, v.Manifest.Files[1].MtimeNS = "2", 1
		if _, err := Run(context.Background(), v.Source, dest, options(26)); !errors.Is(err, ErrDamaged) {
			t.Errorf("it says %v", err)
		}
	})
}

// Interrupted at any piece, a backup goes on where it was.
func TestInterrupted(t *testing.T) {
	v, dest := newVersion(t), realDest(t)
	pieces := 0
	for stopped := true; stopped; pieces++ {
		ctx, cancel := context.WithCancel(context.Background())
		opts, seen := options(26), 0
		opts.Progress = func(done, total int64) {
			if seen++; seen > pieces {
				cancel()
			}
			if done > total {
				t.Errorf("%d of %d bytes are done", done, total)
			}
		}
		res, err := Run(ctx, v.Source, dest, opts)
		cancel()
		if stopped = errors.Is(err, context.Canceled); !stopped {
			must(t, err)
			v.whole(t, dest, res.Entry)
			if res.Resumed == 0 {
				t.Error("nothing was taken over from the attempts before")
			}
		} else if left := entries(t, dest, ""); len(left) > 0 {
			t.Fatalf("DEST holds %v", left)
		}
	}
	if pieces < 3 {
		t.Errorf("it was interrupted %d times", pieces)
	}
	if left := entries(t, dest, Private); !slices.Equal(left, []string{entry1 + ".json"}) {
		t.Errorf("%s holds %v", Private, left)
	}
}

// What an earlier attempt has left is believed only as far as the hashes say.
func TestTornAttempt(t *testing.T) {
	for what, torn := range map[string]func(data []byte) []byte{
		"half of it, with zeros": func(data []byte) []byte { clear(data[len(data)/4:]); return data[:len(data)/2] },
		"all of it, torn":        func(data []byte) []byte { clear(data[len(data)/2:]); return data },
		"more than all of it":    func(data []byte) []byte { return append(data, data...) },
	} {
		t.Run(what, func(t *testing.T) {
			v, dest := newVersion(t), realDest(t)
			dir := path.Join(Private, entry1+partialSuffix)
			must(t, dest.Mkdir("", Private, 0o700))
			must(t, dest.Mkdir("", dir, 0o700))
			must(t, dest.Mkdir("", path.Join(Private, "best_model-20200101T000000Z"+partialSuffix), 0o700)) // given up
			for name, data := range map[string][]byte{
				"training_state.pth": torn([]byte(v.files(t)["training_state.pth"])), "stray": []byte("of another version"),
			} {
				f, err := dest.Open("", path.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
				must(t, err)
				must(t, dest.Write("", f, data, 0))
				f.Close()
			}
			v.run(t, dest, options(26))
			if left := entries(t, dest, Private); !slices.Equal(left, []string{entry1 + ".json"}) {
				t.Errorf("%s holds %v", Private, left)
			}
		})
	}
}

// A power cut at any moment of a backup leaves nothing in DEST but whole backups,
// on any disk: what was said to be done is there, and done again it succeeds.
func TestPowerCut(t *testing.T) {
	for _, keep := range []int{0, 1} {
		t.Run(fmt.Sprintf("keep %d", keep), func(t *testing.T) { powerCut(t, keep) })
	}
}

func powerCut(t *testing.T, keep int) {
	v := newVersion(t)
	later := newVersion(t)
	must(t, os.WriteFile(filepath.Join(later.dir, "config.json"), []byte(`{"later": true}`), 0o644))
	later.describe(t, "2", v.Manifest.CommittedAt.Add(time.Hour))
	m := disktest.NewMemory(t.TempDir())
	v.run(t, m, options(25))
	m.Settle()
	opts := options(26)
	opts.Keep = keep
	res := later.run(t, m, opts)
	m.Mark("done")
	want := entries(t, m, "")
	if (keep == 1) != slices.Equal(want, []string{res.Entry}) {
		t.Fatalf("there is %v", want)
	}
	states := 0
	for _, model := range disktest.Models {
		m.Recording().Cuts(model, 0, func(s *disktest.State) bool {
			states++
			left, err := s.Disk(t.TempDir())
			must(t, err)
			there := entries(t, left, "")
			for _, entry := range there {
				of := v
				if entry != entry1 {
					of = later
				}
				of.whole(t, left, entry)
			}
			if len(there) == 0 || len(s.Marks) > 0 && !slices.Contains(there, res.Entry) {
				t.Errorf("cut %d, %v: there is %v", s.Cut, model, there)
			}
			later.run(t, left, opts)
			if got := entries(t, left, ""); !slices.Equal(got, want) {
				t.Errorf("cut %d, %v: done again there is %v", s.Cut, model, got)
			}
			var records []string
			for _, entry := range want {
				records = append(records, entry+".json")
			}
			if got := entries(t, left, Private); !slices.Equal(got, records) {
				t.Errorf("cut %d, %v: done again %s holds %v", s.Cut, model, Private, got)
			}
			return !t.Failed()
		})
	}
	if states < 30 {
		t.Errorf("only %d states", states)
	}
}

// Each call fails once, in turn, or it and all that come after: what is in DEST is
// whole, and done again the backup succeeds.
func TestFaultAtEveryCall(t *testing.T) {
	v := newVersion(t)
	for _, c := range []struct {
		name string
		err  error
		more bool // and all calls that come after
	}{{"EIO", unix.EIO, false}, {"ENOSPC", unix.ENOSPC, false}, {"a crash", unix.EIO, true}} {
		t.Run(c.name, func(t *testing.T) {
			for n, through := 0, false; !through && !t.Failed(); n++ {
				dest := disktest.NewMemory(t.TempDir())
				calls, failed := 0, ""
				dest.Refuse = func(_ disk.Op, call string) error {
					calls++
					if calls-1 == n || c.more && calls > n {
						failed = call
						return c.err
					}
					return nil
				}
				_, err := Run(context.Background(), v.Source, dest, options(26))
				dest.Refuse = nil
				through = failed == ""
				if through {
					must(t, err)
				} else if err == nil || !errors.Is(err, c.err) {
					t.Errorf("%s failed, and it says %v", failed, err)
				}
				for _, entry := range entries(t, dest, "") {
					v.whole(t, dest, entry)
				}
				v.run(t, dest, options(26))
				if got := entries(t, dest, ""); !slices.Equal(got, []string{entry1}) {
					t.Errorf("%s failed; done again there is %v", failed, got)
				}
			}
		})
	}
}

// --keep takes the oldest backups of the same run and kind, and nothing that is
// not known to be one.
func TestKeep(t *testing.T) {
	v, dest := newVersion(t), realDest(t)
	var made []string
	said := ""
	back := func(day int, keep int) Result {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(v.dir, "config.json"), fmt.Appendf(nil, `{"day": %d}`, day), 0o644))
		v.describe(t, fmt.Sprint(day), time.Date(2026, 11, day, 10, 0, 0, 0, time.UTC))
		opts := options(day)
		opts.Keep = keep
		opts.Note = func(format string, a ...any) { said += fmt.Sprintf(format, a...) + "\n" }
		res := v.run(t, dest, opts)
		made = append(made, res.Entry)
		return res
	}
	for day := 1; day <= 4; day++ {
		back(day, 0)
	}
	// Of somebody else, or no longer what was copied.
	must(t, dest.Mkdir("", "best_model-20200101T000000Z", 0o755))
	other := newVersion(t)
	other.Run = "/runs/unixcoder"
	others := other.run(t, dest, options(1)).Entry
	f, err := dest.Open("", path.Join(made[1], "notes.txt"), os.O_WRONLY|os.O_CREATE, 0o644)
	must(t, err)
	f.Close()

	res := back(5, 2)
	if want := []string{made[2], made[0]}; !slices.Equal(res.Removed, want) {
		t.Errorf("removed %v, want %v", res.Removed, want)
	}
	if !strings.Contains(said, made[1]+" is kept: notes.txt is in it") {
		t.Errorf("it says %q", said)
	}
	want := []string{"best_model-20200101T000000Z", made[1], others, made[3], made[4]}
	slices.Sort(want)
	if got := entries(t, dest, ""); !slices.Equal(got, want) {
		t.Errorf("there is %v, want %v", got, want)
	}
}

// One backup at a time works on a place.
func TestTwoAtOnce(t *testing.T) {
	v, dest := newVersion(t), realDest(t)
	opts := options(26)
	opts.Progress = func(int64, int64) {
		if _, err := Run(context.Background(), v.Source, dest, options(26)); !errors.Is(err, errBusy) {
			t.Errorf("the second says %v", err)
		}
	}
	v.run(t, dest, opts)
}

// Records are data that somebody may have written: none leads out of DEST, nor to
// what is not its own.
func TestRecordsOfOthers(t *testing.T) {
	v, dest := newVersion(t), realDest(t)
	must(t, dest.Mkdir("", Private, 0o700))
	must(t, dest.Mkdir("", "precious", 0o755))
	bad := map[string]string{
		"up.json":       `{"format": 1, "entry": "../up", "run": "/runs/codebert", "kind": "best"}`,
		"dots.json":     `{"format": 1, "entry": "..", "run": "/runs/codebert", "kind": "best"}`,
		"..json":        `{"format": 1, "entry": ".", "run": "/runs/codebert", "kind": "best"}`,
		"other.json":    `{"format": 1, "entry": "precious", "run": "/runs/codebert", "kind": "best"}`,
		"precious.json": `{"format": 7, "entry": "precious", "run": "/runs/codebert", "kind": "best"}`,
		"files.json":    `{"format": 1, "entry": "files", "files": [{"path": "../../x"}]}`,
		"torn.json":     `{"format": 1, "ent`,
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		f, err := dest.Open("", path.Join(Private, name), os.O_WRONLY|os.O_CREATE, 0o600)
		must(t, err)
		must(t, dest.Write("", f, []byte(bad[name]), 0))
		f.Close()
		if _, err := parseRecord(name, []byte(bad[name])); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	opts := options(26)
	opts.Keep = 1
	v.run(t, dest, opts)
	if got := entries(t, dest, ""); !slices.Equal(got, []string{entry1, "precious"}) {
		t.Errorf("there is %v", got)
	}
}
