package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

// askOptions are the flags of every command that asks about a PATH.
type askOptions struct {
	config string
	json   bool
}

func (o *askOptions) addFlags(cmd *cobra.Command) {
	addConfigFlag(cmd, &o.config)
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

func addConfigFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "read the configuration from `FILE`, where the directory is not mounted (default "+configName+" in it)")
}

// operand is the first argument, the working directory where there is none.
func operand(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// writeJSON writes one document.
func writeJSON(out io.Writer, document any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(document)
}
