package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"ckptfs/policy"
)

const stepOne, stepTwo = "checkpoint_epoch1_step1", "checkpoint_epoch2_step1"

func (p *process) symlink(target, name string) error {
	if p.exists(name) {
		return unix.EEXIST
	}
	_, err := p.b.Symlink(target, name, p.caller())
	return err
}

// A checkpoint's name that is a link to another of the run is that one's other
// name: its kind counts for the target, and it is no checkpoint of its own.
func TestAliases(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{stepOne: {"one", 1, 1}, stepTwo: {"two", 2, 1}})
		b.shows("no alias", map[string]string{"resume": "two", "best": ""})
		p := b.process()
		b.must(p.symlink(stepOne, last))
		b.must(p.symlink("./"+last, "best_model")) // by way of the other
		for range 2 {
			b.shows("aliases", map[string]string{"resume": "one", "best": "one", "latest": "two"})
			p = b.process()
			if a, err := p.stat(last); err != nil || !a.IsSymlink() || a.Checkpoint {
				t.Errorf("the link is shown as %+v, %v", a, err)
			}
			if row := b.row(last); row.State != policy.Alias || row.Reason != "another name of "+stepOne || len(row.Views) > 0 {
				t.Errorf("it is listed as %+v", row)
			}
			if decisions, err := b.Decide("", b.cfg.Retention); err != nil || len(decisions) != 2 {
				t.Errorf("retention counts %+v, %v", decisions, err)
			}
			b.restart()
		}
		// ln -sfn makes a link beside it and renames that over the old one.
		b.must(p.symlink(stepTwo, "CuTmp0"))
		b.must(p.rename("CuTmp0", last))
		b.shows("renamed over", map[string]string{"resume": "two", "best": "two"})
		b.must(p.unlink(last))
		b.shows("unlinked", map[string]string{"resume": "two", "best": ""}) // best_model dangles now
		b.must(p.unlink("best_model"))
		b.must(p.save(last, content{"real", 1, 0}))
		b.settle()
		b.shows("a checkpoint takes the name", map[string]string{"resume": "real", "best": ""})
		b.check("a checkpoint takes the name")
	})
}

// Links that lead to no checkpoint of the run are foreign, and stand for nothing.
func TestForeignLinks(t *testing.T) {
	for name, target := range map[string]string{
		"another run": "../b/" + last, "out of the directory": "../../../etc", "absolute": "/etc",
		"nothing": "checkpoint_epoch9_step9", "itself": "best_model", "a plain directory": "logs",
		"below a checkpoint": last + "/config.json", "a private one": "../" + Private,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				p := b.process()
				b.must(p.mkdir("a"))
				b.must(p.mkdir("b"))
				b.must(p.mkdir("a/logs"))
				b.seed(map[string]content{"a/" + last: {"a", 1, 0}, "b/" + last: {"b", 1, 0}})
				b.must(b.process().symlink(target, "a/best_model"))
				for range 2 {
					b.shows("linked", map[string]string{"a/best": "", "b/best": "", "a/resume": "a"})
					b.restart()
				}
			})
		})
	}
}

// While a version is renamed aside its name is free for a link or a file; the
// version is not lost, nor does the next mount stumble over it.
func TestLinkInTheGapOfARenameAside(t *testing.T) {
	for _, removed := range []bool{false, true} {
		inBubble(t, func(b *bench) {
			b.seed(map[string]content{last: {"old", 1, 0}, stepTwo: {"two", 2, 1}})
			p := b.process()
			b.must(p.rename(last, ".backup_"+last))
			b.must(p.symlink(stepTwo, "tmp"))
			b.must(p.rename("tmp", last))
			if a, err := p.stat(last); err != nil || !a.IsSymlink() {
				t.Errorf("the link is shown as %+v, %v", a, err)
			}
			if err := p.mkdir(last); !errors.Is(err, unix.EEXIST) {
				t.Errorf("mkdir over it: %v", err)
			}
			b.must(p.mkdir("plain"))
			if err := p.rename("plain", last); !errors.Is(err, unix.ENOTDIR) {
				t.Errorf("a directory renamed over it: %v", err)
			}
			if removed {
				b.must(p.removeAll(".backup_" + last))
			}
			b.restart()
			b.settle()
			p = b.process()
			if a, err := p.stat(last); err != nil || !a.IsSymlink() {
				t.Errorf("mounted again, the link is shown as %+v, %v", a, err)
			}
			if !removed {
				if token, err := p.load(".backup_" + last); err != nil || token != "old" {
					t.Errorf("the version that was renamed aside is %q, %v", token, err)
				}
			}
			b.must(p.unlink(last))
			b.must(p.save(last, content{"new", 3, 0}))
			b.settle()
			b.shows("saved", map[string]string{"resume": "new"})
			b.check("saved")
		})
	}
}

// Of nested matches the outermost is the checkpoint.
func TestNestedNames(t *testing.T) {
	inBubble(t, func(b *bench) {
		p := b.process()
		b.must(p.save(last, content{"outer", 1, 0}))
		b.must(p.save(last+"/best_model", content{"inner", 2, 0}))
		b.settle()
		for range 2 {
			b.shows("committed", map[string]string{"resume": "outer", "best": "", last + "/best": ""})
			if rows := b.List(false).Runs; len(rows) != 1 || len(rows[0].Checkpoints) != 1 {
				t.Errorf("listed are %+v", rows)
			}
			if at := b.locate(last + "/best_model/config.json"); at.rec == nil || at.rel != "best_model/config.json" {
				t.Errorf("its place is %+v", at)
			}
			b.restart()
		}
	})
}

// A mountpoint is foreign: what lies behind it is not ours.
func TestMountpointIsForeign(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount something")
	}
	inBubble(t, func(b *bench) {
		b.seed(map[string]content{last: {"old", 1, 0}})
		b.stop()
		point := filepath.Join(b.dir, "best_model")
		b.must(os.CopyFS(point, os.DirFS(filepath.Join(b.dir, last))))
		if err := unix.Mount(point, point, "", unix.MS_BIND, ""); err != nil {
			t.Skipf("nothing can be mounted here: %v", err)
		}
		defer unix.Unmount(point, unix.MNT_DETACH)
		b.start()
		b.shows("mounted", map[string]string{"best": "", "resume": "old"})
		if got := b.happened("invalid"); slices.Contains(got, "best_model") {
			t.Errorf("it was judged: %q", got)
		}
		b.stop()
	})
}
