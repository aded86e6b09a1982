package catalog

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/parley-llm/parley/internal/llm"
)

// models.tsv says at its top how it is made and what its columns are.
//
//go:embed models.tsv
var source string

// table is models.tsv as it is looked up.
type table struct {
	providers []*provider
	byName    map[string][]*provider
	// anywhere holds a model's limits, without prices, by its name alone: of those that are offered, the ones in the middle.
	anywhere map[string]llm.ModelInfo
}

// provider is one who sells models. Several may share a host.
type provider struct {
	name string
	// host is a host name, or what a host name ends with, from a dot on; empty where there is none.
	host   string
	models map[string]llm.ModelInfo
	// newest leads from a model's name without a date to its newest snapshot.
	newest map[string]string
}

// loaded is the table, read when it is first needed.
var loaded = sync.OnceValue(func() *table {
	t, err := parse(source)
	if err != nil {
		panic(err) // the table is part of the program, and a test reads it
	}
	return t
})

func parse(text string) (*table, error) {
	t := &table{byName: map[string][]*provider{}, anywhere: map[string]llm.ModelInfo{}}
	offers := map[string][]llm.ModelInfo{}
	version := ""
	var p *provider
	line := 0
	for row := range strings.Lines(text) {
		line++
		row = strings.TrimSuffix(row, "\n")
		fields := strings.Split(row, "\t")
		switch {
		case row == "" || strings.HasPrefix(row, "#"):
		case fields[0] == "version" && len(fields) == 2:
			version = fields[1]
		case fields[0] == "provider" && len(fields) == 3:
			p = &provider{name: fields[1], host: fields[2], models: map[string]llm.ModelInfo{}, newest: map[string]string{}}
			t.providers = append(t.providers, p)
			t.byName[p.name] = append(t.byName[p.name], p)
		case p != nil && len(fields) == 7:
			info, err := parseModel(fields[1:], version)
			if err != nil {
				return nil, fmt.Errorf("models.tsv, line %d: %w", line, err)
			}
			p.add(fields[0], info)
			if info.ContextWindow > 0 {
				offers[fields[0]] = append(offers[fields[0]], limits(info))
			}
		default:
			return nil, fmt.Errorf("models.tsv, line %d: not a row", line)
		}
	}
	for id, all := range offers {
		slices.SortFunc(all, func(a, b llm.ModelInfo) int {
			return cmp.Or(cmp.Compare(a.ContextWindow, b.ContextWindow), cmp.Compare(a.MaxOutput, b.MaxOutput))
		})
		t.anywhere[id] = all[len(all)/2]
	}
	return t, nil
}

func (p *provider) add(id string, info llm.ModelInfo) {
	p.models[id] = info
	if undated, ok := cutDate(id); ok && id > p.newest[undated] {
		p.newest[undated] = id
	}
}

// parseModel reads window, longest output, and the prices of input, cached input, input that is written to a cache, and output; - where unknown.
func parseModel(fields []string, version string) (llm.ModelInfo, error) {
	var n [6]int64
	for i, f := range fields {
		if f == "-" {
			continue
		}
		var err error
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil || n[i] < 0 {
			return llm.ModelInfo{}, fmt.Errorf("column %d is not a number", i+2)
		}
	}
	info := llm.ModelInfo{ContextWindow: n[0], MaxOutput: n[1]}
	if fields[2] != "-" {
		info.Prices = &llm.Prices{Version: version, Input: n[2], CachedInput: n[3], CacheWrite: n[4], Output: n[5]}
		if fields[3] == "-" {
			info.Prices.CachedInput = n[2]
		}
		if fields[4] == "-" {
			info.Prices.CacheWrite = n[2]
		}
	}
	return info, nil
}

// model finds a model by its name; a name without a date is that of the newest snapshot.
func (p *provider) model(id string) (llm.ModelInfo, bool) {
	info, ok := p.models[id]
	if !ok {
		info, ok = p.models[p.newest[id]]
	}
	return info, ok
}

// byHost finds the providers at a host, which may come with a port.
func (t *table) byHost(host string) []*provider {
	host, _, _ = strings.Cut(strings.ToLower(host), ":")
	var found []*provider
	for _, p := range t.providers {
		if p.host != "" && (p.host == host || p.host[0] == '.' && strings.HasSuffix(host, p.host)) {
			found = append(found, p)
		}
	}
	return found
}
