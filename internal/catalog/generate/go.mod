// Its own module: what makes the table is no part of the program.
module github.com/parley-llm/parley/internal/catalog/generate

go 1.26.6

require charm.land/catwalk v0.52.1

require github.com/charmbracelet/x/etag v0.2.0 // indirect
