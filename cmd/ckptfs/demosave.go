package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// newDemoSaveCommand is the trainer of the tour, as a process that can be
// killed. It saves as trainers do that do not know of ckptfs: it opens the files
// of the checkpoint in place, one after the other, and writes them in pieces.
func newDemoSaveCommand() *cobra.Command {
	var half bool
	cmd := &cobra.Command{
		Use:    "demo-save FROM CHECKPOINT",
		Hidden: true,
		Args:   operands(2, 2, "FROM and CHECKPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return demoSave(args[0], args[1], func(done, total int64) error {
				if !half || done*2 < total {
					return nil
				}
				fmt.Fprintln(cmd.OutOrStdout(), "half of it is written")
				<-cmd.Context().Done() // or it is killed
				return cmd.Context().Err()
			})
		},
	}
	cmd.Flags().BoolVar(&half, "half", false, "stop half-way, say so, and wait to be killed")
	return cmd
}

// piece is small, for the checkpoints of the tour are.
const piece = 1 << 10

// demoSave writes the content of one checkpoint over another; wrote is called
// after each piece, with the file of that piece still open.
func demoSave(from, to string, wrote func(done, total int64) error) error {
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	var total, done int64
	for _, e := range list {
		st, err := e.Info()
		if err != nil {
			return err
		}
		total += st.Size()
	}
	for _, e := range list {
		content, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			return err
		}
		err = inPieces(filepath.Join(to, e.Name()), content, func(n int) error {
			done += int64(n)
			return wrote(done, total)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func inPieces(file string, content []byte, wrote func(n int) error) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	for len(content) > 0 && err == nil {
		n := min(piece, len(content))
		if _, err = f.Write(content[:n]); err == nil {
			err = wrote(n)
		}
		content = content[n:]
	}
	return errors.Join(err, f.Close())
}
