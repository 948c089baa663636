package store

import (
	"strconv"

	"ckptfs/policy"
)

// XattrPrefix begins the names of the attributes that tell about checkpoints.
const XattrPrefix = "user.ckptfs."

// Xattrs tells about a checkpoint at its live name; nil for anything else.
func (s *Store) Xattrs(p string) map[string]string {
	at := s.at(p)
	if at.rec == nil || at.rel != "" && !at.rec.spread() {
		return nil
	}
	rec := at.rec
	s.compareRecord(rec)
	rec.mu.RLock()
	defer rec.mu.RUnlock()
	out := map[string]string{"target": rec.name, "kind": string(rec.match.Kind)}
	damage := ""
	if v := rec.committed; v != nil {
		v.fill(out)
		damage = damageWords(s.damageOf(v))
	}
	switch {
	case len(rec.saves) > 0:
		state, reason := rec.saveState(s)
		out["state"], out["reason"] = string(state), reason
	case rec.committed == nil:
		out["state"], out["reason"] = string(policy.Invalid), rec.invalid
	case damage != "":
		out["state"], out["reason"] = string(policy.Invalid), damage
	}
	return withPrefix(out)
}

// Xattrs tells about the version that a view shows.
func (s *Store) VersionXattrs(v *Version) map[string]string {
	s.mu.RLock()
	out := map[string]string{"target": v.Name, "kind": string(v.Kind)}
	s.mu.RUnlock()
	v.fill(out)
	if why := damageWords(s.damageOf(v)); why != "" { // found since it was opened
		out["state"], out["reason"] = string(policy.Invalid), why
	}
	return withPrefix(out)
}

func (v *Version) fill(out map[string]string) {
	out["version"] = v.ID
	out["state"] = string(policy.Committed)
	if v.Progress.Epoch != nil {
		out["epoch"] = strconv.FormatInt(*v.Progress.Epoch, 10)
	}
	if v.Progress.Step != nil {
		out["step"] = strconv.FormatInt(*v.Progress.Step, 10)
	}
}

func withPrefix(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		if v != "" {
			out[XattrPrefix+k] = v
		}
	}
	return out
}
