package check

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are what kustomize makes of a folder.
type manifests struct {
	t *testing.T

	deployment apps.Deployment
	services   map[string]*core.Service
	pdb        *policy.PodDisruptionBudget
	hpa        *autoscaling.HorizontalPodAutoscaler
	network    *networking.NetworkPolicy
	monitor    *monitoring.ServiceMonitor
	rule       *monitoring.PrometheusRule
}

// built builds a folder of deploy/kubernetes and decodes each object strictly: a field that
// its type does not have is an error.
func built(t *testing.T, folder string) *manifests {
	t.Helper()
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../kubernetes/"+folder)
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{t: t, services: map[string]*core.Service{}}
	for _, object := range objects.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		name := object.GetApiVersion() + " " + object.GetKind()
		var into any
		switch name {
		case "apps/v1 Deployment":
			into = &m.deployment
		case "v1 Service":
			s := &core.Service{}
			m.services[object.GetName()] = s
			into = s
		case "policy/v1 PodDisruptionBudget":
			m.pdb = &policy.PodDisruptionBudget{}
			into = m.pdb
		case "autoscaling/v2 HorizontalPodAutoscaler":
			m.hpa = &autoscaling.HorizontalPodAutoscaler{}
			into = m.hpa
		case "networking.k8s.io/v1 NetworkPolicy":
			m.network = &networking.NetworkPolicy{}
			into = m.network
		case "monitoring.coreos.com/v1 ServiceMonitor":
			m.monitor = &monitoring.ServiceMonitor{}
			into = m.monitor
		case "monitoring.coreos.com/v1 PrometheusRule":
			m.rule = &monitoring.PrometheusRule{}
			into = m.rule
		default:
			t.Fatalf("%s: no type is known for %s", folder, name)
		}
		if err := yaml.UnmarshalStrict(text, into, yaml.DisallowUnknownFields); err != nil {
			t.Errorf("%s, %s %s: %v", folder, name, object.GetName(), err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return m
}

// holdfast returns the container of the proxy.
func (m *manifests) holdfast() core.Container {
	m.t.Helper()
	all := m.deployment.Spec.Template.Spec.Containers
	i := slices.IndexFunc(all, func(c core.Container) bool { return c.Name == "holdfast" })
	if i < 0 {
		m.t.Fatal("the pod has no container holdfast")
	}
	return all[i]
}

// port returns the number of a named port of the proxy's container.
func (m *manifests) port(name string) int32 {
	m.t.Helper()
	for _, p := range m.holdfast().Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	m.t.Errorf("the container has no port %s", name)
	return 0
}

// finds wants a selector to find the pods.
func (m *manifests) finds(what string, selector map[string]string) {
	m.t.Helper()
	if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(m.deployment.Spec.Template.Labels)) {
		m.t.Errorf("%s does not find the pods: %v", what, selector)
	}
}

func environOf(c core.Container) (environ []string) {
	for _, v := range c.Env {
		environ = append(environ, v.Name+"="+v.Value)
	}
	return environ
}

// What holds for Holdfast in any pod.
func TestPods(t *testing.T) {
	for _, folder := range []string{"base", "monitoring", "sidecar"} {
		t.Run(folder, func(t *testing.T) {
			m := built(t, folder)
			pod, c := m.deployment.Spec.Template.Spec, m.holdfast()
			stopsInTime(t, environOf(c), time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second)
			if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
				t.Error("variables of Services come into the pod")
			}
			m.finds("the Deployment", m.deployment.Spec.Selector.MatchLabels)
			for name, s := range m.services {
				m.finds("the Service "+name, s.Spec.Selector)
				for _, p := range s.Spec.Ports {
					m.port(p.TargetPort.String())
				}
			}
			if ws, admin := m.port("ws"), m.port("admin"); ws != 8080 || admin != 8081 || !slices.Contains(environOf(c), "HOLDFAST_ADMIN_LISTEN=:8081") {
				t.Errorf("the ports are %d and %d", ws, admin)
			}
			for path, probe := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
				if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port != intstr.FromString("admin") {
					t.Errorf("no probe asks for %s", path)
				}
			}
			m.dropsEverything(pod.SecurityContext, c.SecurityContext)
			if !strings.HasPrefix(c.Image, "registry.example.com/holdfast:") {
				t.Errorf("the image is %s", c.Image)
			}
		})
	}
}

// dropsEverything wants a container without any right.
func (m *manifests) dropsEverything(pod *core.PodSecurityContext, c *core.SecurityContext) {
	m.t.Helper()
	user, nonRoot, seccomp := c.RunAsUser, c.RunAsNonRoot, c.SeccompProfile
	if pod != nil && user == nil {
		user, nonRoot, seccomp = pod.RunAsUser, pod.RunAsNonRoot, pod.SeccompProfile
	}
	switch {
	case user == nil || *user != 65532 || nonRoot == nil || !*nonRoot:
		m.t.Error("the container does not run as the user of the image")
	case seccomp == nil || seccomp.Type != core.SeccompProfileTypeRuntimeDefault:
		m.t.Error("the container may make any system call")
	case c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation:
		m.t.Error("the container may get more rights")
	case c.ReadOnlyRootFilesystem == nil || !*c.ReadOnlyRootFilesystem:
		m.t.Error("the container may write files")
	case c.Capabilities == nil || !slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) || len(c.Capabilities.Add) > 0:
		m.t.Error("the container has capabilities")
	}
}

func TestDeploymentOfItsOwn(t *testing.T) {
	m := built(t, "base")
	m.finds("the PodDisruptionBudget", m.pdb.Spec.Selector.MatchLabels)
	m.finds("the NetworkPolicy", m.network.Spec.PodSelector.MatchLabels)
	if of := m.hpa.Spec.ScaleTargetRef; of.Kind != "Deployment" || of.Name != m.deployment.Name {
		t.Errorf("the HorizontalPodAutoscaler scales %s %s", of.Kind, of.Name)
	}
	if m.deployment.Spec.Replicas != nil {
		t.Error("the Deployment sets the number of replicas, and so does the HorizontalPodAutoscaler")
	}
	if name := m.hpa.Spec.Metrics[0].Pods.Metric.Name; !exposes(t, name) {
		t.Errorf("it scales on %s, which is not a metric", name)
	}
	for _, in := range m.network.Spec.Ingress {
		for _, p := range in.Ports {
			m.port(p.Port.String())
		}
	}
	for _, p := range m.services["holdfast"].Spec.Ports {
		if p.TargetPort.String() == "admin" {
			t.Error("clients reach the admin listener")
		}
	}
}

// The requests have room for five times the row of 10,000 sessions, and the limits too.
func TestResourcesHaveRoomForTheMeasuredSessions(t *testing.T) {
	performance, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| 10,000 \| ([0-9.]+) \| ([0-9.]+) \| 20,000 \| \d+ \| [0-9,]+ \| ([0-9.]+) \|$`).FindSubmatch(performance)
	if row == nil {
		t.Fatal("docs/performance.md has no row of 10,000 sessions")
	}
	figure := func(i int) float64 {
		f, err := strconv.ParseFloat(string(row[i]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	memory, cores := (figure(1)+figure(2))*(1<<30), figure(3)
	for folder, sessions := range map[string]float64{"base": 50_000, "sidecar": 1000} {
		resources := built(t, folder).holdfast().Resources
		asked, limit := resources.Requests.Memory().AsApproximateFloat64(), resources.Limits.Memory().AsApproximateFloat64()
		if least := memory * sessions / 10_000; asked < least || limit < 1.5*least {
			t.Errorf("%s: memory of %v, at most %v, for sessions that need %v", folder, asked, limit, least)
		}
		if least := cores * sessions / 10_000; resources.Requests.Cpu().AsApproximateFloat64() < least {
			t.Errorf("%s: %v of a core, for heartbeats that need %v", folder, resources.Requests.Cpu(), least)
		}
		if !resources.Limits.Cpu().IsZero() {
			t.Errorf("%s: the CPU is limited", folder)
		}
	}
	target := built(t, "base").hpa.Spec.Metrics[0].Pods.Target.AverageValue
	if target.AsApproximateFloat64() >= 50_000 {
		t.Errorf("pods are added at %v sessions each, which is all that they have room for", target)
	}
}

// The service lives until Holdfast has told all clients of the end.
func TestTheServiceOfASidecarOutlivesTheDrain(t *testing.T) {
	m := built(t, "sidecar")
	pod := m.deployment.Spec.Template.Spec
	service := pod.Containers[0]
	if service.Name != "chat" || service.Lifecycle == nil || service.Lifecycle.PreStop == nil || service.Lifecycle.PreStop.Sleep == nil {
		t.Fatal("the service does not wait before its end")
	}
	wait := service.Lifecycle.PreStop.Sleep.Seconds
	// The times of `holdfast env`: the delay, the spread, and the time for the last Close.
	var longest time.Duration
	for _, name := range []string{"HOLDFAST_DRAIN_DELAY", "HOLDFAST_DRAIN_SPREAD", "HOLDFAST_CLOSE_TIMEOUT"} {
		longest += durationOf(t, environOf(m.holdfast()), name)
	}
	if waits := time.Duration(wait) * time.Second; waits <= longest || wait >= *pod.TerminationGracePeriodSeconds {
		t.Errorf("the service waits for %v, and Holdfast needs it for %v", waits, longest)
	}
	if !slices.Contains(environOf(m.holdfast()), "HOLDFAST_UPSTREAM=ws://127.0.0.1:9000") {
		t.Error("the upstream is not in the pod")
	}
}

// Prometheus finds the admin listener, and knows the job by the name that an alert has.
func TestMonitoring(t *testing.T) {
	m := built(t, "monitoring")
	admin := m.services["holdfast-admin"]
	if !labels.SelectorFromSet(m.monitor.Spec.Selector.MatchLabels).Matches(labels.Set(admin.Labels)) {
		t.Error("the ServiceMonitor does not find the Service of the admin listener")
	}
	if labels.SelectorFromSet(m.monitor.Spec.Selector.MatchLabels).Matches(labels.Set(m.services["holdfast"].Labels)) {
		t.Error("the ServiceMonitor finds the Service of the clients, too")
	}
	if job := admin.Labels[m.monitor.Spec.JobLabel]; job != "holdfast" {
		t.Errorf("the job is called %q", job)
	}
	if port := m.monitor.Spec.Endpoints[0].Port; port != admin.Spec.Ports[0].Name {
		t.Errorf("the port %q is not one of the Service", port)
	}
}

// The operator's rules are those of deploy/prometheus, in an object of its own.
func TestRulesAreThoseOfPrometheus(t *testing.T) {
	const name = "../kubernetes/monitoring/prometheusrule.yaml"
	var rules strings.Builder
	rules.WriteString(`# Made from deploy/prometheus/holdfast.rules.yml by
# go -C deploy/check test -run TestRulesAreThoseOfPrometheus -update
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: holdfast
  labels:
    app.kubernetes.io/name: holdfast
spec:
`)
	for line := range strings.Lines(string(file(t, "prometheus/holdfast.rules.yml"))) {
		if !strings.HasPrefix(line, "#") {
			rules.WriteString(strings.TrimRight("  "+line, " \n") + "\n")
		}
	}
	if *update {
		if err := os.WriteFile(name, []byte(rules.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if is := file(t, "kubernetes/monitoring/prometheusrule.yaml"); !bytes.Equal(is, []byte(rules.String())) {
		t.Errorf("%s differs from the rules of Prometheus; -update writes it", name)
	}
	var source struct {
		Groups []monitoring.RuleGroup `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(file(t, "prometheus/holdfast.rules.yml"), &source, yaml.DisallowUnknownFields); err != nil {
		t.Fatal(err)
	}
	got := built(t, "monitoring").rule.Spec.Groups
	a, errA := yaml.Marshal(source.Groups)
	b, errB := yaml.Marshal(got)
	if errA != nil || errB != nil || len(got) == 0 || !bytes.Equal(a, b) {
		t.Errorf("the object has other rules, %v, %v:\n%s", errA, errB, b)
	}
}
