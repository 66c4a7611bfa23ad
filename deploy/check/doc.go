// Package check holds every file of deploy/ to what reads it: the manifests to the types of
// Kubernetes, the compose file to its schema, the units to systemd, the Dockerfile to what
// its steps do, and the Debian package to dpkg. It also holds the settings that the documents
// show to the programs that read them from a file. `make deploy-check` runs it, as root on
// Debian.
//
// It is a module of its own, so that Holdfast does not depend on Kubernetes. There is no
// container engine in it: image_test.go carries the Dockerfile out by hand.
package check
