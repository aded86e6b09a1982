module github.com/parley-llm/parley/e2e

go 1.26.0
