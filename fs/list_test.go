package fs_test

import (
	"encoding/json"

	"ckptfs/fs/store"
)

// list is `ckptfs ls --all --json` of the root run.
func (m *mounted) list() []store.CheckpointRow {
	m.t.Helper()
	var rep store.ListReport
	if err := json.Unmarshal([]byte(read(m.t, m.path(".ckptfs", "ls.json"))), &rep); err != nil {
		m.t.Fatal(err)
	}
	return rep.Runs[0].Checkpoints
}

// status is `ckptfs status --json`.
func (m *mounted) status() store.StatusReport {
	m.t.Helper()
	var rep store.StatusReport
	if err := json.Unmarshal([]byte(read(m.t, m.path(".ckptfs", "status.json"))), &rep); err != nil {
		m.t.Fatal(err)
	}
	return rep
}
