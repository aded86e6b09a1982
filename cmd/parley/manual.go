package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/parley-llm/parley/internal/config"
)

// This file writes the manual, as one page of Markdown and as man pages, from what the commands say of themselves.

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIRECTORY",
		Short:   "Write the manual as man pages",
		Long:    "Writes one man page for each command into a directory, which it makes if it is not there.",
		Example: "  parley man /usr/local/share/man/man1\n  parley man . && man ./parley-serve.1",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one directory to write to")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // manuals are for everybody
				return fmt.Errorf("making the directory: %w", err)
			}
			for _, cmd := range manualCommands(manualRoot()) {
				name := filepath.Join(args[0], strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
				if err := os.WriteFile(name, []byte(manPage(cmd)), 0o644); err != nil { //nolint:gosec // manuals are for everybody
					return fmt.Errorf("writing a man page: %w", err)
				}
			}
			return nil
		},
	}
}

// manualRoot is the program with all its commands, those that cobra adds included.
func manualRoot() *cobra.Command {
	root := rootCommand(nil)
	root.InitDefaultCompletionCmd()
	return root
}

// manualCommands are a command and all under it, in the order of the help.
func manualCommands(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			list = append(list, manualCommands(sub)...)
		}
	}
	return list
}

// about is what a command says of itself at length.
func about(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}
	return cmd.Short + "."
}

func usageLine(cmd *cobra.Command) string {
	if !cmd.Runnable() {
		return cmd.CommandPath() + " COMMAND"
	}
	return cmd.UseLine()
}

// ownFlags are a command's flags, without those of the settings where it takes them all.
func ownFlags(cmd *cobra.Command) (own []*pflag.Flag, takesSettings bool) {
	names := map[string]bool{}
	takesSettings = true
	for _, s := range config.Settings() {
		names[s.Flag] = true
		if s.Secret {
			names[config.FlagName(s.Name+config.FileSuffix)] = true
		}
		takesSettings = takesSettings && cmd.Flags().Lookup(s.Flag) != nil
	}
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden && !(takesSettings && names[f.Name]) {
			own = append(own, f)
		}
	})
	return own, takesSettings
}

// flagText is a flag as it is typed.
func flagText(f *pflag.Flag) string {
	text := "--" + f.Name
	if f.Shorthand != "" {
		text = "-" + f.Shorthand + ", " + text
	}
	if f.Value.Type() != "bool" {
		name, _ := pflag.UnquoteUsage(f)
		if name == "string" {
			name = "text"
		}
		text += " " + strings.ToUpper(name)
	}
	return text
}

// usageText is what a flag is for, without the marks around the name of its value.
func usageText(f *pflag.Flag) string {
	_, usage := pflag.UnquoteUsage(f)
	return usage
}

// markdown is the whole manual.
func markdown(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString("# Command line\n\nEvery command and what it says of itself; `parley COMMAND --help` says the same. It is made by `make generate`. " +
		"Exit codes: 0 done, 1 failed, 2 not understood.\n")
	for _, cmd := range manualCommands(root) {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n", cmd.CommandPath(), about(cmd), usageLine(cmd))
		own, takesSettings := ownFlags(cmd)
		if len(own) > 0 {
			b.WriteString("\n| flag | |\n| --- | --- |\n")
		}
		for _, f := range own {
			fmt.Fprintf(&b, "| `%s` | %s |\n", flagText(f), strings.ReplaceAll(usageText(f), "|", `\|`))
		}
		if takesSettings {
			b.WriteString("\nIt takes every [setting](configuration.md) as a flag.\n")
		}
		if cmd.Example != "" {
			fmt.Fprintf(&b, "\nFor example:\n\n```sh\n%s\n```\n", unindent(cmd.Example))
		}
	}
	return b.String()
}

// unindent takes the indentation of help texts away.
func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

// manPage is the man page of one command.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"Parley %s\" \"Parley\"\n", roff(strings.ToUpper(name)), roff(buildVersion()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(usageLine(cmd)))
	b.WriteString(".SH DESCRIPTION\n")
	for i, paragraph := range strings.Split(about(cmd), "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(strings.Trim(paragraph, "\n")) + "\n")
	}
	own, takesSettings := ownFlags(cmd)
	if len(own) > 0 || takesSettings {
		b.WriteString(".SH OPTIONS\n")
	}
	flags := own
	if takesSettings {
		flags = nil
		cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f) })
	}
	for _, f := range flags {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR\n%s\n", roff(flagText(f)), roff(usageText(f)))
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(unindent(cmd.Example)))
	}
	b.WriteString(".SH EXIT STATUS\n0 done, 1 failed, 2 not understood.\n")
	if also := seeAlso(cmd); len(also) > 0 {
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", strings.Join(also, ", "))
	}
	return b.String()
}

func seeAlso(cmd *cobra.Command) []string {
	var list []string
	page := func(c *cobra.Command) string {
		return "\\fB" + roff(strings.ReplaceAll(c.CommandPath(), " ", "-")) + "\\fR(1)"
	}
	if cmd.HasParent() {
		list = append(list, page(cmd.Parent()))
	}
	for _, sub := range manualCommands(cmd)[1:] {
		if sub.Parent() == cmd {
			list = append(list, page(sub))
		}
	}
	return list
}

// roff is a text in which man finds no request of its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
