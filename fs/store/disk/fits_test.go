package disk

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestQuotaIn(t *testing.T) {
	const mountinfo = `24 1 253:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard
25 24 253:2 /home /home rw shared:2 - xfs /dev/vdb rw,attr2,usrquota,prjquota
26 24 7:0 / /project rw - xfs /dev/loop0 rw,prjquota
27 24 7:1 / /old rw - ext4 /dev/loop1 rw,usrjquota=aquota.user,jqfmt=vfsv0
28 24 7:2 / /none rw - xfs /dev/loop2 rw,noquota
broken
`
	for dev, want := range map[[2]uint32]bool{
		{253, 1}: false, {253, 2}: true, {7, 0}: false, {7, 1}: true, {7, 2}: false, {9, 9}: false,
	} {
		if got := quotaIn(mountinfo, unix.Mkdev(dev[0], dev[1])); got != want {
			t.Errorf("%v: %v, want %v", dev, got, want)
		}
	}
}
