package fs_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"ckptfs/testdata/saves"
)

// How trainers write a file, and go on when the disk is full: the exception is
// caught, what was opened is closed, and the process ends with 0.
var fullWriters = map[string]string{
	"pytorch_model.bin": `
import torch
try:
    torch.save({"weights": torch.zeros(size // 4)}, path)
except Exception as e:
    heard(e)`,
	"training_state.pth": `
import torch
try:
    with open(path, "wb") as f:
        torch.save({"epoch": 2, "state": torch.zeros(size // 4)}, f)
except Exception as e:
    heard(e)`,
	// The library presets the whole length, and then writes.
	"model.safetensors": `
import json, struct
header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
header += b" " * (-len(header) % 8)
with open(path, "wb", buffering=0) as f:
    try:
        f.truncate(8 + len(header) + size)
        f.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size >> 16):
            f.write(bytes(1 << 16))
    except Exception as e:
        heard(e)`,
	"optimizer.bin": `
with open(path, "wb", buffering=0) as f:
    try:
        for _ in range(size >> 16):
            f.write(bytes(1 << 16))
    except Exception as e:
        heard(e)`,
}

const fullWriter = `
import os, shutil, sys
path, others, size = sys.argv[1], sys.argv[2], 48 << 20
def heard(e):
    print("heard", e)
`

// It goes on with the files of the save that it does not write itself.
const andGoesOn = `
for name in os.listdir(others):
    if name != os.path.basename(path):
        shutil.copyfile(os.path.join(others, name), os.path.join(os.path.dirname(path), name))
`

// With passthrough ckptfs hears of no failed write, and a caught exception looks
// like a good close. So the file has to prove itself: torch finishes its archive
// although a write has failed, safetensors has its length from the start, and
// other formats prove nothing, and are held back when the disk was full (P1, P7,
// DESIGN 8).
func TestWritersOnAFullDisk(t *testing.T) {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import torch").Run(); err != nil {
		t.Skip("the writers need torch: install python3-torch")
	}
	c := crowd(t, smallDisk(t, 64, append(ext4, "-m", "0")...), "save: {settle: 10ms}\n")
	if !c.passthrough {
		t.Log("without passthrough the failed write is seen as well")
	}
	c.save("0")
	n := 0
	for file, script := range fullWriters {
		n += 2
		before, again := fmt.Sprint(n-2), fmt.Sprint(n)
		c.fillUp(3 << 20)
		others := t.TempDir()
		if err := saves.Write(others, fmt.Sprint(n-1), 0); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, "-c", fullWriter+script+andGoesOn, c.path("last_checkpoint", file), others).CombinedOutput()
		first, _, _ := strings.Cut(string(out), "\n")
		t.Logf("%s: the writer ends with %v, and says: %s", file, err, first)
		if !strings.HasPrefix(first, "heard") { // torch may abort later, when it cleans up
			t.Errorf("%s: the writer hears of no error:\n%s", file, out)
		}
		eventually(t, file+" is judged", func() bool {
			for _, sv := range c.status().Runs[0].Saves {
				if sv.Writers > 0 || len(sv.Missing) == 0 {
					return false
				}
			}
			return true // every save that is left lacks something
		})
		c.shows(file, before)
		c.whole(file)
		c.clear()
		c.save(again)
	}
	c.plain()
}
