package store

import "testing"

func TestWords(t *testing.T) {
	list := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for n, want := range map[int]string{
		0: "",
		1: "a",
		6: "a; b; c; d; e; f",
		7: "a; b; c; d; e; and 2 more",
		8: "a; b; c; d; e; and 3 more",
	} {
		if got := Words(list[:n]); got != want {
			t.Errorf("of %d: %q, want %q", n, got, want)
		}
	}
	if list[5] != "f" {
		t.Error("the list was changed")
	}
}
