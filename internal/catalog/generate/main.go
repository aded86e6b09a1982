// Command generate makes models.tsv, the table of models in the directory above, from the catalogue that
// charm.land/catwalk embeds (MIT license). With -check it only says whether the table is what it would make.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"charm.land/catwalk/pkg/catwalk"
	"charm.land/catwalk/pkg/embedded"
)

const sourceModule = "charm.land/catwalk"

const head = `# Models, their limits and their prices. Made by internal/catalog/generate from charm.land/catwalk (MIT license,
# Copyright (c) 2025 Charmbracelet, Inc): do not edit; "make generate" makes it anew.
#
# provider: name, host (or what a host ends with, from a dot on)
# model: name, context window, longest usual output, price of input, of input read from a cache, of input written to one, of output;
#   prices in millionths of a US dollar for a million tokens; - is unknown
`

// hosts of the providers whose endpoint the source leaves to a setting.
var hosts = map[catwalk.InferenceProvider]string{
	catwalk.InferenceProviderOpenAI:    "api.openai.com",
	catwalk.InferenceProviderAnthropic: "api.anthropic.com",
	catwalk.InferenceProviderGemini:    "generativelanguage.googleapis.com",
	catwalk.InferenceProviderAzure:     ".openai.azure.com",
}

func main() {
	check := flag.Bool("check", false, "only say whether FILE is up to date")
	flag.Parse()
	if err := run(flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(file string, check bool) error {
	if file == "" {
		return errors.New("usage: generate [-check] FILE")
	}
	made, err := table()
	if err != nil {
		return err
	}
	if !check {
		return os.WriteFile(file, made, 0o644)
	}
	is, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(is, made) {
		return fmt.Errorf("%s is not what the catalogue gives: run make generate", file)
	}
	return nil
}

func table() ([]byte, error) {
	version, err := sourceVersion()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(head)
	fmt.Fprintf(&b, "version\tcatwalk-%s\n", strings.TrimPrefix(version, "v"))
	providers := embedded.GetAll()
	slices.SortFunc(providers, func(a, b catwalk.Provider) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i := range providers {
		p := &providers[i]
		fmt.Fprintf(&b, "\nprovider\t%s\t%s\n", p.ID, host(p))
		models := slices.Clone(p.Models)
		slices.SortFunc(models, func(a, b catwalk.Model) int { return strings.Compare(a.ID, b.ID) })
		for j := range models {
			b.WriteString(row(&models[j]))
		}
	}
	return b.Bytes(), nil
}

// sourceVersion is the version of the module that the catalogue is from.
func sourceVersion() (string, error) {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == sourceModule {
				return m.Version, nil
			}
		}
	}
	return "", errors.New("the catalogue's version is not known")
}

func host(p *catwalk.Provider) string {
	if h, ok := hosts[p.ID]; ok {
		return h
	}
	u, err := url.Parse(p.APIEndpoint)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func row(m *catwalk.Model) string {
	in, cached, written, out := "-", "-", "-", "-"
	// Nothing for both means that it is sold otherwise, by subscription mostly, or that nobody knows.
	if m.CostPer1MIn > 0 || m.CostPer1MOut > 0 {
		in, out = micros(m.CostPer1MIn), micros(m.CostPer1MOut)
		if price, ok := cachedPrice(m); ok {
			cached = micros(price)
		}
		if price, ok := writePrice(m); ok {
			written = micros(price)
		}
	}
	return strings.Join([]string{m.ID, count(m.ContextWindow), count(m.DefaultMaxTokens), in, cached, written, out}, "\t") + "\n"
}

// cachedPrice is the price of input that is read from a cache. The source keeps it in either of two fields, the other one
// holding the price of writing to the cache, the same again, or nothing: it is the lower of those that are no more than
// the price of input.
func cachedPrice(m *catwalk.Model) (price float64, ok bool) {
	for _, candidate := range []float64{m.CostPer1MInCached, m.CostPer1MOutCached} {
		if candidate > 0 && candidate <= m.CostPer1MIn && (!ok || candidate < price) {
			price, ok = candidate, true
		}
	}
	return price, ok
}

// writePrice is the price of input that is written to a cache, where that costs more than other input: the one of the two
// fields that does. What is more than twice as much is none: some rows hold the price of output there.
func writePrice(m *catwalk.Model) (price float64, ok bool) {
	price = max(m.CostPer1MInCached, m.CostPer1MOutCached)
	return price, price > m.CostPer1MIn && price <= 2*m.CostPer1MIn
}

func micros(dollars float64) string { return fmt.Sprint(int64(math.Round(dollars * 1e6))) }

func count(n int64) string {
	if n <= 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
