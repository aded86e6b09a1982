package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// mapped is how much of files, the program's own above all, is resident.
func mapped(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Skip("the kernel does not say what is resident of files")
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib
}

func TestWhatOnlyTheStartNeededIsGivenBack(t *testing.T) {
	before := mapped(t)
	unmapBinary()
	if after := mapped(t); after > before*3/4 {
		t.Errorf("of %d KiB %d are left", before, after)
	}
}
