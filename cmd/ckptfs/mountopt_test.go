package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestApplyOptions(t *testing.T) {
	tests := []struct {
		name  string
		given mountOptions // by flags
		lists []string
		want  mountOptions
	}{
		{"none", mountOptions{}, nil, mountOptions{}},
		{"flags", mountOptions{}, []string{"ro,allow_other"}, mountOptions{readOnly: true, allowOther: true}},
		{"values", mountOptions{}, []string{"config=/etc/ckptfs.yaml", "layout=enstack,log=/var/log/ckptfs"},
			mountOptions{config: "/etc/ckptfs.yaml", layout: "enstack", log: "/var/log/ckptfs"}},
		{"a flag goes first", mountOptions{layout: "enstack"}, []string{"layout=auto"}, mountOptions{layout: "enstack"}},
		{"for the kernel", mountOptions{}, []string{"nosuid,nodev,exec"}, mountOptions{kernel: []string{"nosuid", "nodev", "exec"}}},
		{"of fstab and systemd", mountOptions{}, []string{"defaults,rw,user,noauto,nofail,_netdev,x-systemd.automount,x-gvfs-show=yes,default_permissions"}, mountOptions{}},
		{"escaped", mountOptions{}, []string{`log=/a\,b\\c`}, mountOptions{log: `/a,b\c`}},
		{"empty parts", mountOptions{}, []string{",ro,,", ""}, mountOptions{readOnly: true}},
		{"an equals sign in a value", mountOptions{}, []string{"log=a=b"}, mountOptions{log: "a=b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.given
			if err := got.applyOptions(tt.lists); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(mountOptions{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestApplyOptionsRefuses(t *testing.T) {
	for _, list := range []string{"fast", "rw,fast", "ro=1", "uid=1000", "config", "config=", "log=", "X-odd"} {
		var opts mountOptions
		err := opts.applyOptions([]string{list})
		if exitCode(err) != exitUsage {
			t.Errorf("-o %s: %v, want an error of usage", list, err)
		}
	}
}

// FuzzSplitOptions: what is split can be written as a list again, with the same
// meaning.
func FuzzSplitOptions(f *testing.F) {
	for _, list := range []string{"ro,allow_other", `log=/a\,b`, `\`, ",,", `a\\,b`} {
		f.Add(list)
	}
	escape := strings.NewReplacer(`\`, `\\`, `,`, `\,`)
	f.Fuzz(func(t *testing.T, list string) {
		options := splitOptions(list)
		var again []string
		for _, option := range options {
			again = append(again, escape.Replace(option))
		}
		if diff := cmp.Diff(options, splitOptions(strings.Join(again, ","))); diff != "" {
			t.Errorf("%q, -first +again:\n%s", list, diff)
		}
	})
}
