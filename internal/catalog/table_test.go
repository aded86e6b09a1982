package catalog

import "testing"

func TestEveryRowOfTheTableIsSensible(t *testing.T) {
	table, err := parse(source)
	if err != nil {
		t.Fatal(err)
	}
	models := 0
	for _, p := range table.providers {
		if p.name == "" || len(p.models) == 0 {
			t.Errorf("provider %q has %d models", p.name, len(p.models))
		}
		for id, m := range p.models {
			models++
			if id == "" || m.ContextWindow < 0 || m.ContextWindow > 1<<31 || m.MaxOutput > 1<<31 {
				t.Errorf("%s, %s: %+v", p.name, id, m)
			}
			if m.Prices != nil && (m.Prices.Version == "" || m.Prices.CachedInput > m.Prices.Input || m.Prices.CacheWrite < m.Prices.Input || m.Prices.CacheWrite > 2*m.Prices.Input || m.Prices.Output > 1e10) {
				t.Errorf("%s, %s: %+v", p.name, id, m.Prices)
			}
		}
	}
	if models < 1000 {
		t.Errorf("only %d models", models)
	}
}

func TestATableThatIsDamagedIsRefused(t *testing.T) {
	const start = "version\tv1\nprovider\tone\texample.com\n"
	for _, text := range []string{
		"model\t1\t2\t3\t4\t5\t6\n", // of no provider
		start + "model\t1\t2\t3\t4\t5\n",
		start + "model\t1\t2\t3\t4\t5\tmany\n",
		start + "model\t-1\t2\t3\t4\t5\t6\n",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
