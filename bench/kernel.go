package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// kernelMemory is memory of the kernel, of the whole machine.
type kernelMemory struct {
	caches  map[string]slabCache // by name; nil if /proc/slabinfo cannot be read
	slab    uint64               // bytes in all caches, by /proc/meminfo
	buffers uint64               // bytes in the buffers of TCP sockets, by /proc/net/sockstat
}

// A slabCache holds kernel objects of one kind.
type slabCache struct {
	objects uint64  // in use
	each    float64 // bytes of its pages for one object
}

func readKernelMemory() (kernelMemory, error) {
	var k kernelMemory
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return k, err
	}
	if k.slab, err = parseKilobytes(bytes.NewReader(meminfo), "Slab"); err != nil {
		return k, fmt.Errorf("/proc/meminfo: %w", err)
	}
	sockstat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return k, err
	}
	if k.buffers, err = parseSockstat(sockstat, os.Getpagesize()); err != nil {
		return k, fmt.Errorf("/proc/net/sockstat: %w", err)
	}
	slabinfo, err := os.ReadFile("/proc/slabinfo")
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return k, nil // only root may read it, and not every kernel has it
	}
	if err != nil {
		return k, err
	}
	if k.caches, err = parseSlabinfo(slabinfo, os.Getpagesize()); err != nil {
		return k, fmt.Errorf("/proc/slabinfo: %w", err)
	}
	return k, nil
}

// parseSockstat returns the bytes in the buffers of TCP. text contains a line like "TCP:
// inuse 5 orphan 0 tw 0 alloc 5 mem 2", where mem is in pages.
func parseSockstat(text []byte, pageSize int) (uint64, error) {
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == "mem" {
				pages, err := strconv.ParseUint(fields[i+1], 10, 64)
				return pages * uint64(pageSize), err
			}
		}
	}
	return 0, errors.New("no mem of TCP")
}

// parseSlabinfo reads slabinfo(5), version 2.1:
//
//	name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables … : slabdata <active_slabs> <num_slabs> <sharedavail>
func parseSlabinfo(text []byte, pageSize int) (map[string]slabCache, error) {
	caches := make(map[string]slabCache)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if line := lines.Text(); !strings.HasPrefix(line, "slabinfo") && !strings.HasPrefix(line, "#") {
			name, cache, err := parseSlabCache(line, pageSize)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			caches[name] = cache
		}
	}
	return caches, lines.Err()
}

func parseSlabCache(line string, pageSize int) (string, slabCache, error) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return "", slabCache{}, errors.New("too few columns")
	}
	var values [3]uint64
	for i, column := range []int{1, 4, 5} {
		var err error
		if values[i], err = strconv.ParseUint(fields[column], 10, 64); err != nil {
			return "", slabCache{}, err
		}
	}
	objects, perSlab, pagesPerSlab := values[0], values[1], values[2]
	if perSlab == 0 {
		return "", slabCache{}, errors.New("slabs without objects")
	}
	return fields[0], slabCache{objects, float64(pagesPerSlab) * float64(pageSize) / float64(perSlab)}, nil
}

// cachesGrown returns by how many bytes the caches have grown. It counts only caches with
// at least one more object for each session: other caches grow with the machine's other
// work. It counts objects and not pages, because pages that were half empty before fill
// up first.
func cachesGrown(before, after map[string]slabCache, sessions int) float64 {
	var grown float64
	for name, cache := range after {
		if cache.objects >= before[name].objects+uint64(sessions) {
			grown += float64(cache.objects-before[name].objects) * cache.each
		}
	}
	return grown
}
