package layout

import "testing"

func TestResuming(t *testing.T) {
	n := func(v int64) *int64 { return &v }
	for _, test := range []struct {
		p    Progress
		want string
	}{
		{Progress{Epoch: n(3), Step: n(500), BatchesPerEpoch: n(1270)}, "epoch 3 is 39 % done, 770 batches remain; resuming continues epoch 3 at step 500"},
		{Progress{Epoch: n(2), Step: n(0), BatchesPerEpoch: n(1270)}, "epoch 2 is complete; resuming starts epoch 3"},
		{Progress{Epoch: n(1), Step: n(1269), BatchesPerEpoch: n(1270)}, "epoch 1 is 99 % done, 1 batch remains; resuming continues epoch 1 at step 1269"},
		{Progress{Epoch: n(1), Step: n(1270), BatchesPerEpoch: n(1270)}, "epoch 1 is 100 % done, no batch remains; resuming continues epoch 1 at step 1270"},
		{Progress{Epoch: n(1), Step: n(1271), BatchesPerEpoch: n(1270)}, "epoch 1 is at step 1271, of how many is not known; resuming continues epoch 1 at step 1271"},
		{Progress{Epoch: n(3), Step: n(4)}, "epoch 3 is at step 4, of how many is not known; resuming continues epoch 3 at step 4"},
		{Progress{Epoch: n(3), GlobalStep: n(77)}, "step 77 of the run, in epoch 3; resuming continues from there"},
		{Progress{Epoch: n(3)}, "epoch 3; nothing tells how much of it is done"},
		{Progress{GlobalStep: n(500)}, "step 500 of the run; resuming continues from there"},
		{Progress{}, "nothing tells how far training had come"},
	} {
		if got := test.p.Resuming(); got != test.want {
			t.Errorf("%v:\n got %s\nwant %s", test.p, got, test.want)
		}
	}
}
