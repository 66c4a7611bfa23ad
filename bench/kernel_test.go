package main

import "testing"

const slabinfoText = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
TCP                   79    130   2368   13    8 : tunables    0    0    0 : slabdata     10     10      0
filp                 644    819    192   21    1 : tunables    0    0    0 : slabdata     39     39      0
`

func TestParseSlabinfo(t *testing.T) {
	caches, err := parseSlabinfo([]byte(slabinfoText), 4096)
	if err != nil {
		t.Fatal(err)
	}
	if len(caches) != 2 || caches["TCP"] != (slabCache{79, 8.0 * 4096 / 13}) || caches["filp"] != (slabCache{644, 4096.0 / 21}) {
		t.Errorf("read as %v", caches)
	}
	for _, bad := range []string{"TCP 79 130\n", "TCP x 130 2368 13 8 : tunables 0\n", "TCP 79 130 2368 0 8 : tunables 0\n"} {
		if _, err := parseSlabinfo([]byte(bad), 4096); err == nil {
			t.Errorf("%q passes for a slabinfo", bad)
		}
	}
}

func TestParseSockstat(t *testing.T) {
	const text = "sockets: used 13\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 19\nUDP: inuse 0 mem 7\n"
	if got, err := parseSockstat([]byte(text), 4096); err != nil || got != 19*4096 {
		t.Errorf("%d, %v, want %d", got, err, 19*4096)
	}
	for _, bad := range []string{"", "UDP: inuse 0 mem 7\n", "TCP: inuse 1 mem x\n"} {
		if _, err := parseSockstat([]byte(bad), 4096); err == nil {
			t.Errorf("%q passes for a sockstat", bad)
		}
	}
}

func TestCachesGrownLeavesOutWhatOthersDo(t *testing.T) {
	before := map[string]slabCache{"TCP": {10, 2500}, "dentry": {5000, 195}, "inode": {300, 700}}
	after := map[string]slabCache{"TCP": {210, 2500}, "dentry": {5099, 195}, "inode": {100, 700}, "filp": {100, 200}}
	if got := cachesGrown(before, after, 100); got != 200*2500+100*200 {
		t.Errorf("grown by %v bytes, want those of TCP and filp: 520000", got)
	}
}
