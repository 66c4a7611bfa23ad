package main

import "testing"

func TestCheckPart(t *testing.T) {
	want := pattern(100)
	for _, tt := range []struct {
		name   string
		header frameHeader
		part   []byte
		offset uint64
		ok     bool
	}{
		{"the whole", frameHeader{opcode: opBinary, length: 100}, want, 0, true},
		{"a part in the middle", frameHeader{opcode: opBinary, length: 100}, want[30:50], 30, true},
		{"another opcode", frameHeader{opcode: opText, length: 100}, want, 0, false},
		{"another length", frameHeader{opcode: opBinary, length: 99}, want[:99], 0, false},
		{"bytes out of place", frameHeader{opcode: opBinary, length: 100}, want[30:50], 31, false},
	} {
		if err := checkPart(&tt.header, tt.part, tt.offset, opBinary, want); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
