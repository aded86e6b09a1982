package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-llm/parley/internal/config"
	"github.com/parley-llm/parley/internal/terminal"
)

// helpWidth is how wide help is where it goes to no terminal, and at most.
const helpWidth = 110

// printHelp writes what a command says of itself, as wide as the terminal. Flags of settings stand in the help of serve
// alone: they would bury the flags of every other command that takes them.
func printHelp(cmd *cobra.Command) {
	width := helpWidth
	if f, ok := cmd.OutOrStdout().(*os.File); ok {
		if columns := terminal.Width(f); columns > 0 {
			width = min(width, max(columns, 60))
		}
	}
	_, _ = fmt.Fprint(cmd.OutOrStdout(), helpText(cmd, width))
}

func helpText(cmd *cobra.Command, width int) string {
	var b strings.Builder
	b.WriteString(wrap(strings.TrimSpace(about(cmd)), width) + "\n\nUsage:\n")
	if cmd.Runnable() && !cmd.HasParent() {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [flags]\n", cmd.CommandPath())
	} else {
		fmt.Fprintf(&b, "  %s\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nCommands:\n")
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				fmt.Fprintf(&b, "  %-*s %s\n", cmd.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	own, settings := flagsOf(cmd)
	fmt.Fprintf(&b, "\nFlags:\n%s", own.FlagUsagesWrapped(width))
	switch {
	case settings == nil:
	case cmd.Name() == "serve":
		fmt.Fprintf(&b, "\nSettings:\n%s", settings.FlagUsagesWrapped(width))
	default:
		b.WriteString("\nIt takes every setting as a flag, such as --addr and --data: \"parley serve --help\" lists them.\n")
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\n\"%s COMMAND --help\" says more of a command.\n", cmd.CommandPath())
	}
	return b.String()
}

// flagsOf are a command's flags apart: its own, and those of the settings, which are nil where it does not take them all.
func flagsOf(cmd *cobra.Command) (own, settings *pflag.FlagSet) {
	list, takesSettings := ownFlags(cmd)
	own = pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	for _, flag := range append(list, cmd.Flags().Lookup("help")) {
		if flag != nil {
			own.AddFlag(flag)
		}
	}
	if !takesSettings {
		return own, nil
	}
	settings = pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	for _, s := range config.Settings() {
		for _, name := range []string{s.Flag, config.FlagName(s.Name + config.FileSuffix)} {
			if flag := cmd.Flags().Lookup(name); flag != nil {
				settings.AddFlag(flag)
			}
		}
	}
	settings.SortFlags = false
	return own, settings
}

// wrap breaks the paragraphs of a text anew. One with a line that is indented, or of a list, stays as it is.
func wrap(text string, width int) string {
	paragraphs := strings.Split(text, "\n\n")
	for i, paragraph := range paragraphs {
		if !strings.Contains("\n"+paragraph, "\n\t") && !strings.Contains("\n"+paragraph, "\n ") && !strings.Contains("\n"+paragraph, "\n#") {
			paragraphs[i] = wrapParagraph(paragraph, width)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}

func wrapParagraph(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
