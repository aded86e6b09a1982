package chat

import (
	"context"
	"sync"

	"github.com/parley-llm/parley/internal/fault"
	"github.com/parley-llm/parley/internal/llm"
)

// Model is a model that prompts may name by ID.
type Model struct {
	llm.Model
	Provider string
	// Info is what is known of it, from whomever; its ContextWindow is the one that counts.
	Info llm.ModelInfo
}

// Unavailable is a provider that could not say what it offers.
type Unavailable struct {
	Provider string
	Code     string
}

// Models lists what all providers offer, in their configured order. A provider that fails is named, and the others' models stand.
// Models of the default provider have their own ids, others are prefixed by their provider's name.
func (s *Service) Models(ctx context.Context) ([]Model, []Unavailable) {
	type answer struct {
		models []llm.Model
		err    error
	}
	answers := make([]answer, len(s.Router.Endpoints))
	var wg sync.WaitGroup
	for i, e := range s.Router.Endpoints {
		wg.Go(func() { answers[i].models, answers[i].err = e.Provider.Models(ctx) })
	}
	wg.Wait()
	models, unavailable := []Model{}, []Unavailable{}
	for i, e := range s.Router.Endpoints {
		if err := answers[i].err; err != nil {
			unavailable = append(unavailable, Unavailable{Provider: e.Name, Code: fault.Of(err).Code})
			continue
		}
		for _, m := range answers[i].models {
			if s.Catalog != nil && m.ContextWindow > 0 {
				s.Catalog.Learn(e, m.ID, m.ContextWindow)
			}
			info := s.modelInfo(e, m.ID)
			m.ID = s.Router.ID(e.Name, m.ID)
			models = append(models, Model{Model: m, Provider: e.Name, Info: info})
		}
	}
	return models, unavailable
}
