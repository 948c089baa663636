package policy

import "fmt"

// remedy is what to change for resume/ to follow latest/. latest/ is never
// behind resume/, for both choose among the committed checkpoints.
func (r *resolver) remedy(v Views, p ResumePolicy) string {
	if v.Latest.Target < 0 {
		return ""
	}
	latest := r.cs[v.Latest.Target]
	if v.Resume.Target >= 0 && !r.order.ahead(&latest, &r.cs[v.Resume.Target]) {
		return ""
	}
	switch inOrder := p.has(p.kindOf(latest)); {
	case inOrder:
		return "set resume.prefer: progress"
	case p.prefersPriority() && v.Resume.Target >= 0:
		return fmt.Sprintf("add %s to resume.order and set resume.prefer: progress", latest.Kind)
	}
	return fmt.Sprintf("add %s to resume.order", latest.Kind)
}

// Behind says how far resume/ is behind latest/: the steps, whether that
// number is known, and a sentence for the user with the way to switch. The
// hint is "" when resume/ is not behind. v must be what cs resolved to.
func Behind(cs []Checkpoint, v Views) (steps int64, known bool, hint string) {
	if v.Latest.Target < 0 {
		return 0, false, ""
	}
	latest := cs[v.Latest.Target]
	if v.Resume.Target < 0 {
		return 0, false, fmt.Sprintf("resume/ resolves to nothing, latest/ to %s; %s in .ckptfs.yaml to resume from it",
			latest.Name, v.Remedy)
	}
	resume := cs[v.Resume.Target]
	if v.Remedy == "" {
		return 0, true, ""
	}
	steps, known = stepsBetween(resume, latest)
	if steps <= 0 { // the epochs say that it is behind; the steps contradict them
		steps, known = 0, false
	}
	const remedy = "resume/ is %sbehind latest/ (%s); %s in .ckptfs.yaml to resume from the most advanced one"
	distance, where := "", describe(resume)+", "+describe(latest)
	if known {
		distance = plural(steps, "step") + " "
	}
	if !latest.Known() {
		where = fmt.Sprintf("%s was committed after %s", latest.Name, resume.Name)
	}
	return steps, known, fmt.Sprintf(remedy, distance, where, v.Remedy)
}

// stepsBetween is known where both have a global step, or a step within the
// same epoch.
func stepsBetween(from, to Checkpoint) (int64, bool) {
	switch {
	case from.GlobalStep != nil && to.GlobalStep != nil:
		return *to.GlobalStep - *from.GlobalStep, true
	case from.Epoch != nil && to.Epoch != nil && *from.Epoch == *to.Epoch && inEpoch(from) && inEpoch(to):
		return *to.Step - *from.Step, true
	}
	return 0, false
}

// inEpoch reports whether c's step is one within its epoch; at the end of an
// epoch its number is 0 and its distance depends on the epoch's length.
func inEpoch(c Checkpoint) bool { return c.Step != nil && *c.Step > 0 }

func plural(n int64, noun string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
