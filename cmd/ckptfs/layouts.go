package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ckptfs/layout"
)

func newLayoutsCommand() *cobra.Command {
	var config string
	all := func() ([]*layout.Layout, error) {
		if config == "" {
			return layout.Builtin(), nil
		}
		cfg, err := loadConfig(".", config)
		return cfg.AllLayouts(), err
	}
	cmd := &cobra.Command{
		Use:   "layouts",
		Short: "List the trainers whose checkpoints are known",
		Example: `  ckptfs layouts
  ckptfs layouts show generic`,
		Args: operands(0, 0, "no operand, or show NAME"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := all()
			if err != nil {
				return err
			}
			return listLayouts(cmd.OutOrStdout(), list)
		},
	}
	cmd.PersistentFlags().StringVar(&config, "config", "", "also those of the configuration `FILE`")
	cmd.AddCommand(&cobra.Command{
		Use:   "show NAME",
		Short: "Print one as YAML, to be copied below layouts: and changed",
		Args:  operands(1, 1, "a NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := all()
			if err != nil {
				return err
			}
			l, err := layout.ByName(list, args[0])
			if err != nil {
				return usageError("layouts: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(l.Text())
			return err
		},
	})
	return cmd
}

func listLayouts(out io.Writer, list []*layout.Layout) error {
	slices.SortFunc(list, func(a, b *layout.Layout) int { return strings.Compare(a.Name, b.Name) })
	w := newTable(out)
	fmt.Fprintln(w, "NAME\tVIEWS LISTED\tCHECKPOINTS OF\t")
	for _, l := range list {
		listed := "yes"
		if !l.ListsViews {
			listed = "no"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t\n", l.Name, listed, l.About)
	}
	return w.Flush()
}
