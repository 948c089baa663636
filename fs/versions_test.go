package fs_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/fs/store"
	"ckptfs/policy"
)

// version finds the version of a name that is in a state.
func (m *mounted) version(t *testing.T, name string, state policy.State) string {
	t.Helper()
	var rep store.ListReport
	if err := json.Unmarshal([]byte(read(t, m.path(".ckptfs/ls.json"))), &rep); err != nil {
		t.Fatal(err)
	}
	for _, r := range rep.Runs {
		for _, c := range r.Checkpoints {
			if c.Name == name && c.State == state {
				return c.Version
			}
		}
	}
	return ""
}

func (m *mounted) command(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(m.path(".ckptfs/control"), []byte(text), 0); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// A restore changes what the live names show at once, also where nobody has
// written, and also to those who stand in the checkpoint or have looked at it.
// Open files, and versions that are shown by their id, stay what they are.
func TestRestoreThroughAMount(t *testing.T) {
	m := mountOver(t, copyRun(t), "save: {settle: 10ms}\n")
	const file = "training_state.pth"
	old, fresh := read(t, run+"/last_checkpoint/"+file), read(t, run+"/recovery_checkpoint/"+file)
	saveInPlace(t, run+"/recovery_checkpoint", m.path("last_checkpoint"))
	eventually(t, "the version before is history", func() bool { return m.version(t, "last_checkpoint", policy.History) != "" })
	eventually(t, "resume/ shows the save", func() bool { return read(t, m.path("resume", file)) == fresh })

	open, err := os.Open(m.path("last_checkpoint", file))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	inside, err := os.Open(m.path("last_checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	is := m.version(t, "last_checkpoint", policy.Committed)
	byID, err := os.OpenRoot(m.path(".ckptfs/versions", is))
	if err != nil {
		t.Fatal(err)
	}
	defer byID.Close()

	m.command(t, "restore last_checkpoint "+m.version(t, "last_checkpoint", policy.History)+"\n")
	for _, name := range []string{"last_checkpoint", "resume"} {
		if read(t, m.path(name, file)) != old {
			t.Errorf("%s/ does not show what was restored", name)
		}
	}
	fd, err := unix.Openat(int(inside.Fd()), file, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	from := os.NewFile(uintptr(fd), file)
	defer from.Close()
	if data, err := io.ReadAll(from); err != nil || string(data) != old {
		t.Errorf("who stands in it finds something else, %v", err)
	}
	if data, err := io.ReadAll(open); err != nil || string(data) != fresh {
		t.Errorf("the open file is another, %v", err)
	}
	if data, err := byID.ReadFile(file); err != nil || string(data) != fresh {
		t.Errorf("the version by its id is another, %v", err)
	}
	var manifest store.Manifest
	if err := json.Unmarshal([]byte(read(t, m.path(".ckptfs/versions", is+".json"))), &manifest); err != nil || manifest.ID != is || manifest.Name != "last_checkpoint" {
		t.Errorf("its manifest is %+v, %v", manifest, err)
	}
	if err := os.WriteFile(m.path(".ckptfs/versions", is, file), nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("a version is written to: %v", err)
	}
}

// Versions by their ids are for those who may command the daemon: a run may be
// closed to others.
func TestVersionsAreNotForOthers(t *testing.T) {
	m := sharedRun(t, func(dir string) {
		if err := os.Chown(dir, alice, alice); err != nil {
			t.Fatal(err)
		}
	})
	id := m.version(t, "last_checkpoint", policy.Committed)
	at := m.path(".ckptfs/versions", id)
	for _, c := range []struct {
		uid  uint32
		may  bool
		what string
	}{
		{0, true, "root"}, {bob, false, "another user"}, {alice, true, "the owner of the directory"}, {bob, false, "another user, once more"},
	} {
		for _, look := range []string{"cat " + at + ".json", "ls " + at, "cat " + at + "/config.json", "ls " + m.path(".ckptfs/versions")} {
			if err := as(c.uid, look); (err == nil) != c.may {
				t.Errorf("%s: %s: %v", c.what, look, err)
			}
		}
		for _, never := range []string{"touch " + at + "/new", "rm " + at + "/config.json", "rm " + at + ".json", "chmod 777 " + m.path(".ckptfs/versions"), "touch " + m.path(".ckptfs/versions/new")} {
			if err := as(c.uid, never); err == nil {
				t.Errorf("%s could: %s", c.what, never)
			}
		}
	}
}
