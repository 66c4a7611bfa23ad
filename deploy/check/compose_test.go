package check

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"sigs.k8s.io/yaml"
)

// loaded loads compose.yaml. It is held to the schema of the compose specification, and to
// itself: each service, volume and dependency that is named exists.
func loaded(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithResolvedPaths(true), cli.WithConsistency(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestCompose(t *testing.T) {
	project := loaded(t)
	for name, s := range project.Services {
		if s.Build != nil {
			if dockerfile := filepath.Join(s.Build.Context, s.Build.Dockerfile); !exists(dockerfile) {
				t.Errorf("%s: there is no %s", name, dockerfile)
			}
		} else if !regexp.MustCompile(`^[a-z/]+:v?\d+\.\d+\.\d+$`).MatchString(s.Image) {
			t.Errorf("%s: the image %s has no whole version", name, s.Image)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && !exists(v.Source) {
				t.Errorf("%s: there is no %s", name, v.Source)
			}
			if v.Type == types.VolumeTypeBind && !v.ReadOnly {
				t.Errorf("%s: it may write to %s", name, v.Source)
			}
		}
		for _, p := range s.Ports {
			if (name != "holdfast" || p.Target != 8080) && p.HostIP != "127.0.0.1" {
				t.Errorf("%s: everybody reaches port %s", name, p.Published)
			}
		}
	}
	proxy := project.Services["holdfast"]
	var environ []string
	for name, value := range proxy.Environment {
		environ = append(environ, name+"="+*value)
	}
	stopsInTime(t, environ, time.Duration(*proxy.StopGracePeriod))
	if !proxy.ReadOnly || !slices.Equal(proxy.CapDrop, []string{"ALL"}) {
		t.Error("the proxy has rights that it does not need")
	}
}

// Prometheus scrapes the admin listener, and its rules are those of deploy/prometheus.
func TestPrometheusOfCompose(t *testing.T) {
	project := loaded(t)
	var c struct {
		Global        map[string]string `json:"global"`
		RuleFiles     []string          `json:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string `json:"job_name"`
			StaticConfigs []struct {
				Targets []string `json:"targets"`
			} `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.UnmarshalStrict(file(t, "compose/prometheus.yml"), &c, yaml.DisallowUnknownFields); err != nil {
		t.Fatal(err)
	}
	job := c.ScrapeConfigs[0]
	service, port, _ := strings.Cut(job.StaticConfigs[0].Targets[0], ":")
	s, known := project.Services[service]
	if job.JobName != "holdfast" || !known || *s.Environment["HOLDFAST_ADMIN_LISTEN"] != ":"+port {
		t.Errorf("the job %s scrapes %s:%s", job.JobName, service, port)
	}
	mounted := map[string]string{}
	for _, v := range project.Services["prometheus"].Volumes {
		mounted[v.Target] = v.Source
	}
	for _, name := range c.RuleFiles {
		if !strings.HasSuffix(mounted["/etc/prometheus/"+name], "/deploy/prometheus/"+name) {
			t.Errorf("the rules %s are not in the container: %v", name, mounted)
		}
	}
}

// Grafana finds the dashboard, and the dashboard its data source.
func TestGrafanaOfCompose(t *testing.T) {
	project := loaded(t)
	var sources struct {
		Datasources []struct{ UID, Type, URL string }
	}
	var providers struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	for name, into := range map[string]any{"compose/grafana/datasources.yml": &sources, "compose/grafana/dashboards.yml": &providers} {
		if err := yaml.Unmarshal(file(t, name), into); err != nil {
			t.Fatal(err)
		}
	}
	source := sources.Datasources[0]
	host, _, _ := strings.Cut(strings.TrimPrefix(source.URL, "http://"), ":")
	if _, known := project.Services[host]; !known || source.Type != "prometheus" {
		t.Errorf("the data source is %+v", source)
	}
	dashboards := 0
	for _, v := range project.Services["grafana"].Volumes {
		if filepath.Dir(v.Target) != providers.Providers[0].Options.Path {
			continue
		}
		dashboards++
		name := v.Source
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(b) {
			t.Errorf("%s is not JSON", name)
		}
		// A variable of the dashboard stands for any data source of the type.
		for _, uid := range regexp.MustCompile(`"datasource":\s*\{[^}]*"uid":\s*"([^"]*)"`).FindAllStringSubmatch(string(b), -1) {
			if !strings.HasPrefix(uid[1], "$") && uid[1] != source.UID && uid[1] != "-- Grafana --" && uid[1] != "grafana" {
				t.Errorf("%s wants the data source %q", name, uid[1])
			}
		}
	}
	if dashboards == 0 {
		t.Error("Grafana finds no dashboard")
	}
}
