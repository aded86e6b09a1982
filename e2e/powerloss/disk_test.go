package powerloss

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
)

// makeFile makes a file in the root, entered and not synced.
func makeFile(t *testing.T, d *Disk, name string) *inode {
	t.Helper()
	in := d.file(name, 0o600)
	if errno := d.enter(d.root, name, step{name: in}); errno != 0 {
		t.Fatal(errno)
	}
	return in
}

func TestADiskForgetsWhatWasNotSynced(t *testing.T) {
	d := NewDisk(1 << 20)
	kept, lost := makeFile(t, d, "kept"), makeFile(t, d, "lost")
	for _, errno := range []syscall.Errno{
		d.write(kept, []byte("0123456789"), 0), d.resize(Truncate, kept, 8), d.sync(kept), d.sync(d.root),
		d.write(kept, []byte("xx"), 2), d.write(kept, []byte("yy"), 12), d.resize(Truncate, kept, 1),
		d.write(lost, []byte("never synced"), 0),
	} {
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	makeFile(t, d, "nobody's")
	if string(kept.data) != "0" {
		t.Errorf("%q", kept.data)
	}
	d.Cut()
	if errno := d.write(kept, []byte("x"), 0); errno != syscall.EIO {
		t.Errorf("in the dark: %v", errno)
	}
	after, n := d.PowerLoss(Loss{})
	if len(after.root.entries) != 2 || n == 0 {
		t.Errorf("%v, %d lost", after.root.entries, n)
	}
	if data := after.root.entries["kept"].data; string(data) != "01234567" {
		t.Errorf("%q", data)
	}
	if data := after.root.entries["lost"].data; len(data) != 0 {
		t.Errorf("%q", data)
	}
}

func TestADiskMayKeepSectorsOfWhatWasNotSynced(t *testing.T) {
	torn := false
	for seed := range uint64(50) {
		d := NewDisk(1 << 20)
		in := makeFile(t, d, "file")
		d.write(in, []byte(strings.Repeat("a", 4*sector)), 0)
		d.sync(in)
		d.sync(d.root)
		d.write(in, []byte(strings.Repeat("b", 4*sector)), 0)
		d.Cut()
		after, _ := d.PowerLoss(Loss{Keep: 0.5, Random: rand.New(rand.NewPCG(seed, 0))})
		data := string(after.root.entries["file"].data)
		if len(data) != 4*sector {
			t.Fatalf("%d bytes", len(data))
		}
		for at := 0; at < len(data); at += sector {
			if part := data[at : at+sector]; strings.Trim(part, "a") != "" && strings.Trim(part, "b") != "" {
				t.Errorf("a sector is torn: %q", part)
			}
		}
		torn = torn || strings.Contains(data, "a") && strings.Contains(data, "b")
	}
	if !torn {
		t.Error("no write was ever torn")
	}
}

func TestADiskStopsAtTheOperationThatItIsTold(t *testing.T) {
	d := NewDisk(100)
	in := makeFile(t, d, "file")
	d.CutAt(3)
	for i, want := range []syscall.Errno{0, syscall.ENOSPC, syscall.EIO, syscall.EIO} {
		size := 10
		if want == syscall.ENOSPC {
			size = 200
		}
		if errno := d.write(in, make([]byte, size), 0); errno != want {
			t.Errorf("operation %d: %v", i, errno)
		}
	}
	select {
	case <-d.Dark():
	default:
		t.Error("there is light")
	}
	if d.Ops() != 4 || d.Failed() != 1 {
		t.Errorf("%d operations, %d failed", d.Ops(), d.Failed())
	}
}
