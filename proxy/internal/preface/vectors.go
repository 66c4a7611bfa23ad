package preface

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/pires/go-proxyproto"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// vectorHead is the size of a TLV's type and length (section 2.2).
const vectorHead = 3

// checkVectors checks the TLVs behind the addresses, which the library does not parse.
// Only the checksum is used here.
func checkVectors(header []byte) error {
	if isLine(header) {
		return nil
	}
	for at := fixedSize + addressSize(header); at < len(header); {
		if len(header)-at < vectorHead {
			return errVector
		}
		value := at + vectorHead
		end := value + int(binary.BigEndian.Uint16(header[at+1:]))
		if end > len(header) {
			return errVector
		}
		if proxyproto.PP2Type(header[at]) == proxyproto.PP2_TYPE_CRC32C && !sumIsRight(header, value, end) {
			return errChecksum
		}
		at = end
	}
	return nil
}

// sumIsRight reports whether header[from:to] is the checksum of the header. The
// checksum's own bytes count as zeros (section 2.2.3).
func sumIsRight(header []byte, from, to int) bool {
	var zeros [crc32.Size]byte
	if to-from != crc32.Size {
		return false
	}
	sum := crc32.Checksum(header[:from], castagnoli)
	sum = crc32.Update(sum, castagnoli, zeros[:])
	sum = crc32.Update(sum, castagnoli, header[to:])
	return sum == binary.BigEndian.Uint32(header[from:])
}
