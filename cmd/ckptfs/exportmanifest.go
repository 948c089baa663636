package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zeebo/xxh3"
)

func newExportManifestCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "export-manifest PATH NAME-or-VIEW",
		Short: "Print the SHA-256 of every file of a checkpoint, as sha256sum does",
		Long: `Print the SHA-256 of every file of a checkpoint in the format of sha256sum, whose
-c then succeeds in the checkpoint's directory, or in a copy of it. Every file is
read, and compared with the hash of its commit; nothing is printed unless all are
what was committed.`,
		Example: `  ckptfs export-manifest checkpoints/codebert best > best.sha256`,
		Args:    operands(2, 2, "a PATH and the NAME of a checkpoint or view"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runExportManifest(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), config, args[0], args[1])
		},
	}
	addConfigFlag(cmd, &config)
	return cmd
}

func runExportManifest(ctx context.Context, out, notes io.Writer, config, dir, arg string) error {
	src, t, err := lookAt(dir, config)
	if err != nil {
		return err
	}
	defer src.Close() // it was only read
	v, n, err := chooseVersion(src, t, arg)
	if err != nil {
		return err
	}
	defer v.Close()
	p := newProgress(notes, "Reading "+n.name)
	defer p.clear()
	var lines bytes.Buffer
	done := int64(0)
	for _, f := range v.Files {
		sum, xxh, err := v.sums(ctx, f.Path, func(bytes int64) { done += bytes; p.at(done, v.Size) })
		if err != nil {
			return fmt.Errorf("read %s of %s: %w", f.Path, n.name, err)
		}
		if f.XXH3 != "" && f.XXH3 != xxh {
			p.clear()
			return damageError("%s of %s is not what was committed", f.Path, n.name)
		}
		lines.WriteString(sumLine(sum, f.Path))
	}
	p.clear()
	_, err = lines.WriteTo(out)
	return err
}

// sums reads a file once, for its SHA-256 and its XXH3.
func (v *openVersion) sums(ctx context.Context, name string, read func(bytes int64)) (sum, xxh string, err error) {
	f, err := v.Open("", name, os.O_RDONLY, 0)
	if err != nil {
		return "", "", err
	}
	defer f.Close()
	a, b := sha256.New(), xxh3.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", "", err
		}
		n, err := f.Read(buf)
		a.Write(buf[:n])
		b.Write(buf[:n])
		read(int64(n))
		if err == io.EOF {
			h := b.Sum128().Bytes()
			return hex.EncodeToString(a.Sum(nil)), hex.EncodeToString(h[:]), nil
		}
		if err != nil {
			return "", "", err
		}
	}
}

// sumLine is one line of sha256sum, which writes a name that would break the line
// with escapes, and says so by a backslash in front.
func sumLine(sum, name string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	if escaped != name {
		sum = `\` + sum
	}
	return sum + "  " + escaped + "\n"
}
