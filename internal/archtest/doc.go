// Package archtest holds the architecture: the list of packages, layer by layer,
// and what must never be imported, called or exported by whom. The list is the
// drawing; its tests compare it with the code, and docs/architecture.md shows it.
//
// It refuses a package that is not on the list, an import that points up, what
// the never-lists name, an exported signature of the vault that could hand
// plaintext out, a module in the binary that nobody wrote down, and a file of
// more than 500 lines without a reason. An exception that is no longer needed
// fails too: a list that only grows says nothing.
//
// To change the architecture, change layers.go and the code in the same commit,
// then run "make docs" for the picture.
//
// # Security
//
// What is checked here is structure: who can hold plaintext, who can reach a
// system, who is a pure function. It is no proof about values; the tests with
// canary secrets are.
package archtest
