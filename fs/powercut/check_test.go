package powercut

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ckptfs/fs/store"
	"ckptfs/fs/store/disk"
	"ckptfs/policy"
	"ckptfs/testdata/saves"
)

// natural reads everything under natural names in a run of the disk itself: the
// newest save, and what is no whole checkpoint, or no whole file of one that lies
// in the run itself.
func (m *machine) natural(run string) (newest int, problems []string) {
	entries, err := os.ReadDir(filepath.Join(m.at, run))
	if err != nil {
		return 0, []string{err.Error()}
	}
	pattern := filepath.Base(run)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".tmp_") || strings.HasSuffix(e.Name(), ".tmp") { // names that promise nothing
			continue
		}
		token, err := m.token(pattern, filepath.Join(m.at, run, e.Name()))
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", e.Name(), err))
			continue
		}
		newest = max(newest, number(token))
		if token == "" || !strings.HasPrefix(e.Name(), "checkpoint_") {
			continue
		}
		if owner := saves.Target(saves.InPlaceNew, token); e.Name() != owner {
			problems = append(problems, fmt.Sprintf("%s holds what belongs to %s", e.Name(), owner))
		}
	}
	if saves.Spread(pattern) {
		for _, name := range saves.FilesOf(pattern) { // it is never taken away, not for a moment
			if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name }) {
				problems = append(problems, name+" is not there")
			}
		}
	}
	return newest, problems
}

// token reads an entry of a run.
func (m *machine) token(pattern, at string) (string, error) {
	if !saves.Spread(pattern) {
		return saves.Load(at)
	}
	b, err := os.ReadFile(at)
	if err != nil {
		return "", err
	}
	return saves.TokenOf(at, b)
}

// checkNatural is P4: under natural names there is nothing but whole checkpoints,
// each with its own content.
func (m *machine) checkNatural(f *found, when string) {
	for _, pattern := range saves.Patterns {
		_, problems := m.natural(filepath.Join(runsDir, pattern))
		for _, p := range problems {
			f.complain("%s, under natural names: %s/%s", when, pattern, p)
		}
	}
}

// checkSpread is P4 where a checkpoint's files lie in the run: they are of one
// save. It holds once the store has recovered, for the names of a group
// change one by one.
func (m *machine) checkSpread(f *found) {
	for _, pattern := range saves.Patterns {
		if !saves.Spread(pattern) {
			continue
		}
		if _, err := saves.LoadAs(pattern, filepath.Join(m.at, runsDir, pattern)); err != nil {
			f.complain("after recovery, under natural names: %s: %v", pattern, err)
		}
	}
}

// checkStore recovers without a mount, and compares every version with the
// hashes of its commit. It returns the newest whole save of each run in the
// trash.
func (m *machine) checkStore(f *found) (trash map[string]int) {
	root, err := disk.OpenRoot(filepath.Join(m.at, runsDir))
	m.must(err)
	cfg, err := policy.Parse("config", []byte(config(m.durability)))
	m.must(err)
	st, err := store.Open(root, store.Options{Config: cfg})
	if err != nil {
		f.complain("recovery: %v", err)
		return nil
	}
	defer func() { m.must(st.Close()) }()
	st.Settle(context.Background(), nil)
	rep, err := st.Verify(context.Background(), store.VerifyOptions{Deep: true, History: true, Trash: true})
	m.must(err)
	trash = map[string]int{}
	for _, v := range rep.Checkpoints {
		damage := v.Damage()
		if len(damage) > 0 {
			f.complain("verify: %s/%s, %s, version %s: %s", v.Run, v.Name, v.State, v.Version, strings.Join(damage, "; "))
		} else if v.State == policy.Trash {
			at := filepath.Join(m.at, runsDir, store.Private, "trash", v.Version)
			token, err := saves.LoadAs(v.Run, at)
			if _, gone := os.Stat(at + ".json"); err != nil && errors.Is(gone, os.ErrNotExist) {
				continue // its papers go first when the trash is emptied, as it is meanwhile
			}
			if err != nil {
				f.complain("the trash: version %s of %s/%s: %v", v.Version, v.Run, v.Name, err)
			}
			trash[v.Run] = max(trash[v.Run], number(token))
		}
	}
	return trash
}

// checkMount mounts ckptfs as after a boot: the views are whole (P1), what was
// promised is there or newer (P2), and the trainers' next saves go through.
func (m *machine) checkMount(f *found, promised, trash map[string]int) {
	m.startDaemon()
	defer m.stopDaemon()
	var all sync.WaitGroup
	for i, pattern := range saves.Patterns {
		all.Go(func() {
			newest, problems := m.viewed(pattern)
			for _, p := range problems {
				f.complain("in the mount: %s/%s", pattern, p)
			}
			// Who deletes before he writes has, in between, what lies in the trash: the
			// newest version of a run that has no other stays there.
			kept := newest
			if saves.HasGap(pattern) {
				kept = max(kept, trash[pattern])
			}
			if kept < promised[pattern] {
				f.complain("in the mount: %s: save %d was promised, the views show %d, the trash holds %d; unfinished: %v",
					pattern, promised[pattern], newest, trash[pattern], m.unfinished(pattern))
			}
			if err := m.saveAgain(pattern, m.newest+10*stride-m.newest%stride+i); err != nil {
				f.complain("in the mount: %s: the next save: %v", pattern, err)
			}
		})
	}
	all.Wait()
}

// unfinished says of the saves of a run what they lack.
func (m *machine) unfinished(pattern string) (out []string) {
	for _, run := range m.status().Runs {
		for _, save := range run.Saves {
			if run.Path == pattern {
				out = append(out, fmt.Sprintf("%s lacks %v", save.Name, save.Missing))
			}
		}
	}
	return out
}

// viewed loads every view of a run.
func (m *machine) viewed(pattern string) (newest int, problems []string) {
	run := filepath.Join(m.at, runsDir, pattern)
	paths := []string{"resume", "latest", "best"}
	for _, index := range []string{"by-epoch", "by-step"} {
		entries, err := os.ReadDir(filepath.Join(run, index))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			problems = append(problems, err.Error())
		}
		for _, e := range entries {
			paths = append(paths, filepath.Join(index, e.Name()))
		}
	}
	for _, p := range paths {
		token, err := saves.LoadAs(pattern, filepath.Join(run, p))
		if errors.Is(err, os.ErrNotExist) && !strings.Contains(p, "/") {
			continue // nothing resolves
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", p, err))
		}
		newest = max(newest, number(token))
	}
	return newest, problems
}

// saveAgain saves once more, and waits until a view shows it.
func (m *machine) saveAgain(pattern string, n int) error {
	run := filepath.Join(m.at, runsDir, pattern)
	if err := saves.Save(run, pattern, tokenOf(n), 1<<10); err != nil {
		return err
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) { // the pace of asking
		for _, view := range views {
			if token, _ := saves.LoadAs(pattern, filepath.Join(run, view)); token == tokenOf(n) {
				return nil
			}
		}
	}
	return fmt.Errorf("no view ever showed save %d", n)
}
