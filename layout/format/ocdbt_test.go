package format

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// manifest is a manifest.ocdbt with this body, which says that it has n bytes
// more than it has.
func manifest(body string, n int) []byte {
	b := []byte("\x0c\xdb\x3a\x2a")
	b = binary.LittleEndian.AppendUint64(b, uint64(lenManifestHeader+len(body)+4+n))
	b = append(b, body...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func TestOCDBT(t *testing.T) {
	const body = "\x00\x01the configuration and the version tree, compressed"
	whole := manifest(body, 0)
	if res := check("1000/default/manifest.ocdbt", whole); res.Format != OCDBT || !res.Proven || !res.Verified {
		t.Errorf("%+v", res)
	}
	for i := range whole {
		whole[i] ^= 0x04
		if res := check("manifest.ocdbt", whole); res.Problem == "" {
			t.Errorf("byte %d changed: %+v", i, res)
		}
		whole[i] ^= 0x04
		if res := check("manifest.ocdbt", whole[:i]); res.Problem == "" {
			t.Errorf("first %d bytes: %+v", i, res)
		}
	}
	for _, c := range []struct {
		name    string
		data    []byte
		problem string
	}{
		{"cut", whole[:20], "cut short: it has 20 bytes of 68"},
		{"too long", manifest(body, -3), "damaged: 3 bytes follow its end"},
		{"zeros", make([]byte, 68), "damaged: it does not begin as a manifest"},
		{"nothing", nil, "empty"},
		{"a length of 2^64", []byte("\x0c\xdb\x3a\x2a\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"), "cut short: it has 16 bytes of 18446744073709551615"},
	} {
		if res := check("manifest.ocdbt", c.data); res.Problem != c.problem {
			t.Errorf("%s: %+v, want %q", c.name, res, c.problem)
		}
	}
}
