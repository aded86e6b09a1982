package main

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"testing/fstest"
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

func TestTheMemoryOfAControlGroupIsKnown(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"none":                        {nil, 0},
		"the unified hierarchy":       {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "268435456\n"}, 256 << 20},
		"one above it":                {map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "1048576\n"}, 1 << 20},
		"in a container":              {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "268435456\n"}, 256 << 20},
		"the older hierarchy":         {map[string]string{"proc/self/cgroup": "5:cpu:/\n4:memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "268435456\n"}, 256 << 20},
		"of a path that is not there": {map[string]string{"proc/self/cgroup": "4:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "268435456\n"}, 256 << 20},
		"unbounded":                   {map[string]string{"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		"no number":                   {map[string]string{"proc/self/cgroup": "0::/a\nx\n", "sys/fs/cgroup/a/memory.max": "lots\n"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for path, text := range test.files {
				root[path] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := groupMemory(root); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

func TestTheRoomForLargeAnswersIsAShareOfTheMemory(t *testing.T) {
	if memoryLimited() {
		t.Skip("GOMEMLIMIT goes before what there is")
	}
	for _, test := range []struct {
		group, machine int64
		want           int
	}{{0, 0, 4 << 20}, {256 << 20, 8 << 30, 4 << 20}, {1 << 30, 8 << 30, 16 << 20}, {0, 2 << 30, 32 << 20}, {0, 64 << 30, 64 << 20}} {
		if got := roomOf(test.group, test.machine); got != test.want {
			t.Errorf("of %d and %d: %d, want %d", test.group, test.machine, got, test.want)
		}
	}
}
