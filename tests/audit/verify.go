// SPDX-License-Identifier: Apache-2.0

// Checks what "sallyport audit tiles" and "sallyport audit prove" wrote with the checksum database packages of the Go
// project, which share no line with this program:
//
//	verify tiles DIR VKEYFILE [OLD]   signature, every entry against the signed root, and that OLD is extended
//	verify proof VKEYFILE PROOF LEAF  signature and inclusion of the bytes of one entry
//
// Exit status 0 when all of it holds.
package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const width = 256

func fail(format string, args ...interface{}) {
	fmt.Printf(format+"\n", args...)
	os.Exit(1)
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		fail("%v", err)
	}
	return data
}

// The head of a checkpoint whose signature is good. The package's own tree format has another first line.
func openHead(text []byte, vkeyFile string) tlog.Tree {
	verifier, err := note.NewVerifier(strings.TrimSpace(string(read(vkeyFile))))
	if err != nil {
		fail("verifier key: %v", err)
	}
	signed, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		fail("checkpoint: %v", err)
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		fail("checkpoint: not of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		fail("checkpoint: %v", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		fail("checkpoint: no root")
	}
	head := tlog.Tree{N: size}
	copy(head.Hash[:], root)
	return head
}

type dirReader struct{ dir string }

func (r dirReader) Height() int { return 8 }

// C2SP writes tile/LEVEL/N, the Go project tile/HEIGHT/LEVEL/N.
func (r dirReader) path(t tlog.Tile) string {
	return filepath.Join(r.dir, "tile", strings.TrimPrefix(t.Path(), "tile/8/"))
}

func (r dirReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(r.path(t))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func (r dirReader) SaveTiles([]tlog.Tile, [][]byte) {}

func bundle(r dirReader, number, size int64) []byte {
	have := int(width)
	if size-number*width < width {
		have = int(size - number*width)
	}
	path := tlog.Tile{H: 8, L: 0, N: number, W: have}.Path()
	return read(filepath.Join(r.dir, "tile", "entries", strings.TrimPrefix(path, "tile/8/0/")))
}

func checkTiles(dir, vkeyFile string) tlog.Tree {
	head := openHead(read(filepath.Join(dir, "checkpoint")), vkeyFile)
	r := dirReader{dir}
	hashes := tlog.TileHashReader(head, r)
	root, err := tlog.TreeHash(head.N, hashes)
	if err != nil || root != head.Hash {
		fail("root: %v", err)
	}
	for number := int64(0); number*width < head.N; number++ {
		data := bundle(r, number, head.N)
		var indexes []int64
		var leaves []tlog.Hash
		for i := number * width; i < head.N && i < (number+1)*width; i++ {
			if len(data) < 2 || len(data) < 2+int(data[0])<<8+int(data[1]) {
				fail("entry %d: the bundle is short", i)
			}
			length := int(data[0])<<8 + int(data[1])
			indexes = append(indexes, tlog.StoredHashIndex(0, i))
			leaves = append(leaves, tlog.RecordHash(data[2:2+length]))
			data = data[2+length:]
		}
		if len(data) != 0 {
			fail("bundle %d is long", number)
		}
		stored, err := hashes.ReadHashes(indexes)
		if err != nil {
			fail("bundle %d: %v", number, err)
		}
		for i := range stored {
			if stored[i] != leaves[i] {
				fail("entry %d is not what was signed", number*width+int64(i))
			}
		}
	}
	fmt.Printf("%d entries\n", head.N)
	return head
}

func checkExtends(dir string, head tlog.Tree, old tlog.Tree) {
	proof, err := tlog.ProveTree(head.N, old.N, tlog.TileHashReader(head, dirReader{dir}))
	if err != nil {
		fail("consistency: %v", err)
	}
	if err := tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash); err != nil {
		fail("consistency: %v", err)
	}
	fmt.Printf("extends %d\n", old.N)
}

func checkProof(vkeyFile, proofFile, leafFile string) {
	parts := bytes.SplitN(read(proofFile), []byte("\n\n"), 2)
	lines := strings.Split(string(parts[0]), "\n")
	if len(parts) != 2 || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "index ") {
		fail("not a tlog-proof")
	}
	index, err := strconv.ParseInt(lines[1][6:], 10, 64)
	if err != nil {
		fail("index: %v", err)
	}
	var proof tlog.RecordProof
	for _, line := range lines[2:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != tlog.HashSize {
			fail("not a hash: %s", line)
		}
		var hash tlog.Hash
		copy(hash[:], raw)
		proof = append(proof, hash)
	}
	head := openHead(parts[1], vkeyFile)
	leaf := bytes.TrimSuffix(read(leafFile), []byte("\n"))
	if err := tlog.CheckRecord(proof, head.N, head.Hash, index, tlog.RecordHash(leaf)); err != nil {
		fail("entry %d: %v", index, err)
	}
	fmt.Printf("entry %d\n", index)
}

func main() {
	switch {
	case len(os.Args) >= 4 && os.Args[1] == "tiles":
		head := checkTiles(os.Args[2], os.Args[3])
		if len(os.Args) == 5 {
			checkExtends(os.Args[2], head, openHead(read(os.Args[4]), os.Args[3]))
		}
	case len(os.Args) == 5 && os.Args[1] == "proof":
		checkProof(os.Args[2], os.Args[3], os.Args[4])
	default:
		fail("usage: verify tiles DIR VKEYFILE [OLD] | verify proof VKEYFILE PROOF LEAF")
	}
}
