package llm

import (
	"strings"
)

// BuiltIn is the name of the endpoint that is always there; its models are always named with it ("parley/echo").
const BuiltIn = "parley"

// Endpoint is a configured provider: its name in model ids, the host it talks to (for the audit) and the driver.
type Endpoint struct {
	Name     string
	Host     string
	Provider Provider
}

// Router picks the endpoint for a model id. It is read-only once built.
type Router struct {
	// Endpoints by Name.
	Endpoints []Endpoint
	// Default takes the ids that name no endpoint.
	Default string
	// Fallbacks are the ids of the models that take the place of one that fails, in the order in which they are tried, by its Full id.
	Fallbacks map[string][]string
}

// Route splits a model id into the endpoint and the model's name there. The part before the first "/" names an
// endpoint only if one of that name is configured; otherwise the whole id goes to the default endpoint
// ("Qwen/Qwen2.5-7B" is a model's name). The second result is false where there is no endpoint at all.
func (r *Router) Route(id string) (Endpoint, string, bool) {
	if name, model, found := strings.Cut(id, "/"); found {
		if e, ok := r.endpoint(name); ok {
			return e, model, true
		}
	}
	e, ok := r.endpoint(r.Default)
	return e, id, ok
}

// Full is a model's id with its endpoint's name in front, also where it is the default one.
func (r *Router) Full(id string) string {
	e, name, _ := r.Route(id)
	return e.Name + "/" + name
}

func (r *Router) endpoint(name string) (Endpoint, bool) {
	for _, e := range r.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// ID is the id by which a request names an endpoint's model: the model's own name at the default endpoint, unless
// that would be read as another endpoint's; else with the endpoint's name in front.
func (r *Router) ID(endpoint, model string) string {
	if e, name, ok := r.Route(model); endpoint == r.Default && ok && e.Name == endpoint && name == model && endpoint != BuiltIn {
		return model
	}
	return endpoint + "/" + model
}
