package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/parley-llm/parley/internal/config"
)

// composeFile has what our compose files use of the format. Another key is most likely a misspelt one.
type composeFile struct {
	Name     string
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Build *struct {
		Context string
		Args    map[string]string
	}
	Image       string
	Command     []string
	Healthcheck *struct {
		Test              []string
		Interval, Timeout time.Duration
		StartPeriod       time.Duration `yaml:"start_period"`
		Retries           int
	}
	EnvFile []struct {
		Path     string
		Required bool
	} `yaml:"env_file"`
	Environment     map[string]string
	Ports, Volumes  []string
	DependsOn       map[string]struct{ Condition string } `yaml:"depends_on"`
	ReadOnly        bool                                  `yaml:"read_only"`
	CapDrop         []string                              `yaml:"cap_drop"`
	SecurityOpt     []string                              `yaml:"security_opt"`
	Restart         string
	Hostname        string
	StopGracePeriod time.Duration `yaml:"stop_grace_period"`
}

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	// Compose fills these in from the shell that it is called from.
	variable = regexp.MustCompile(`\$\{([A-Z_]+):-([^}]*)\}`)
	// pinned is an image with a version of it.
	pinned = regexp.MustCompile(`^[a-z][a-z0-9./-]*:[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*$`)
)

func filledIn(text string) string { return variable.ReplaceAllString(text, "$2") }

func TestComposeFilesSetWhatThereIs(t *testing.T) {
	files, err := filepath.Glob("../../compose*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			var file composeFile
			decoder := yaml.NewDecoder(strings.NewReader(filledIn(readDeploy(t, filepath.Base(name)))))
			decoder.KnownFields(true)
			if err := decoder.Decode(&file); err != nil {
				t.Fatal(err)
			}
			for service, s := range file.Services {
				if s.Build == nil && !pinned.MatchString(s.Image) {
					t.Errorf("%s: the image %s has no version", service, s.Image)
				}
				for other := range s.DependsOn {
					if _, there := file.Services[other]; !there {
						t.Errorf("%s depends on %s, which does not exist", service, other)
					}
				}
				for _, mount := range s.Volumes {
					volume, _, _ := strings.Cut(mount, ":")
					if _, there := file.Volumes[volume]; !there {
						t.Errorf("%s: no volume %s", service, volume)
					}
				}
				for _, port := range s.Ports {
					if !strings.HasPrefix(port, "127.0.0.1:") {
						t.Errorf("%s: port %s is published to others", service, port)
					}
				}
			}
			parley := file.Services["parley"]
			cfg := loadAll(t, parley.Environment)
			if err := cfg.CheckExposure(); err != nil {
				t.Error(err)
			}
			if parley.StopGracePeriod <= cfg.ShutdownTimeout {
				t.Errorf("it is killed after %v and takes up to %v to stop", parley.StopGracePeriod, cfg.ShutdownTimeout)
			}
			if !slices.Contains(parley.Ports, "127.0.0.1:8000:8000") || string(cfg.Addr) != "0.0.0.0:8000" || cfg.Data != "/data" || !parley.ReadOnly {
				t.Errorf("%+v", parley)
			}
			if len(parley.EnvFile) != 1 || parley.EnvFile[0].Path != ".env" || parley.EnvFile[0].Required {
				t.Errorf("it reads %v, not .env where there is one", parley.EnvFile)
			}
		})
	}
}

// loadAll loads the settings that an environment consists of, and fails for each name or value that is none.
func loadAll(t *testing.T, environment map[string]string) *config.Config {
	t.Helper()
	known := map[string]bool{}
	for _, s := range config.Settings() {
		known[s.Name] = true
		known[s.Name+config.FileSuffix] = s.Secret
	}
	var environ []string
	for name, value := range environment {
		if !known[name] {
			t.Errorf("%s is no setting", name)
		}
		environ = append(environ, name+"="+value)
	}
	cfg, err := config.Load(config.Input{Environ: environ, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range cfg.Warnings {
		t.Error(warning)
	}
	return cfg
}

func TestTheDockerfileSetsWhatThereIs(t *testing.T) {
	text := strings.ReplaceAll(readDeploy(t, "Dockerfile"), "\\\n", " ")
	environment := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^ENV (.*)$`).FindAllStringSubmatch(text, -1) {
		for _, pair := range strings.Fields(line[1]) {
			name, value, _ := strings.Cut(pair, "=")
			environment[name] = value
		}
	}
	cfg := loadAll(t, environment)
	if cfg.CheckExposure() == nil {
		t.Error("the image serves everybody, without a key and without leave")
	}
	if !strings.Contains(text, "\nVOLUME "+cfg.Data+"\n") {
		t.Errorf("the data directory %s is no volume", cfg.Data)
	}
	images := regexp.MustCompile(`(?m)^ARG [A-Z]+_IMAGE=(.*)$`).FindAllStringSubmatch(text, -1)
	if len(images) != 2 {
		t.Fatalf("the base images: %v", images)
	}
	for _, image := range images {
		if image[1] != "scratch" && !pinned.MatchString(image[1]) {
			t.Errorf("the base image %s has no version", image[1])
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(text, -1) {
		if !strings.Contains(from, "_IMAGE}") {
			t.Errorf("%s: the image cannot be replaced", from)
		}
	}
}

func TestTheSystemdUnitSetsWhatThereIs(t *testing.T) {
	text := readDeploy(t, "deploy/parley.service")
	environment := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllStringSubmatch(text, -1) {
		name, value, _ := strings.Cut(line[1], "=")
		environment[name] = value
	}
	cfg := loadAll(t, environment)
	directory := regexp.MustCompile(`(?m)^StateDirectory=(.*)$`).FindStringSubmatch(text)
	if len(directory) == 0 || cfg.Data != "/var/lib/"+directory[1] {
		t.Errorf("the data is in %s; it may write to %q", cfg.Data, directory)
	}
	stop, err := time.ParseDuration(regexp.MustCompile(`(?m)^TimeoutStopSec=([0-9]+)$`).FindStringSubmatch(text)[1] + "s")
	if err != nil || stop <= cfg.ShutdownTimeout {
		t.Errorf("it is killed after %v and takes up to %v to stop", stop, cfg.ShutdownTimeout)
	}
}

// The workflow of the public repository runs code of others: which, may not change behind our backs, nor may it write anything.
func TestTheWorkflowIsPinnedAndMayWriteNothing(t *testing.T) {
	var workflow struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Permissions any
			Steps       []struct{ Uses, Run string }
		}
	}
	if err := yaml.NewDecoder(bytes.NewReader([]byte(readDeploy(t, ".github/workflows/ci.yml")))).Decode(&workflow); err != nil {
		t.Fatal(err)
	}
	if len(workflow.Permissions) != 1 || workflow.Permissions["contents"] != "read" {
		t.Errorf("permissions: %v", workflow.Permissions)
	}
	if len(workflow.Jobs) < 2 {
		t.Fatalf("jobs: %v", workflow.Jobs)
	}
	commit := regexp.MustCompile(`@[0-9a-f]{40}$`)
	for name, job := range workflow.Jobs {
		if job.Permissions != nil {
			t.Errorf("%s has permissions of its own: %v", name, job.Permissions)
		}
		for _, step := range job.Steps {
			if step.Uses != "" && !commit.MatchString(step.Uses) {
				t.Errorf("%s uses %s, which is not pinned to a commit", name, step.Uses)
			}
			script, _, _ := strings.Cut(step.Run, " ")
			if strings.HasPrefix(script, ".ci/") {
				readDeploy(t, script)
			}
		}
	}
}
