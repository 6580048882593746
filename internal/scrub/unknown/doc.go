// Package unknown finds secrets that nobody told us about: a token that a
// system has just minted, a key that somebody pasted into a form, a password in
// a connection string. It reads text that a person, a log or a model is about to
// see. What is found has a rule, a family (like cloud or payment) and a
// confidence: [Sure] for a format with a fixed text in it or a checksum, [Likely]
// for what only its surroundings make a secret, like the value of an assignment
// to db_password. The rules are data, in tokens.txt and assignments.txt; a few
// structures (keys in PEM, JWTs, URLs, headers, Kubernetes Secrets) are code.
// It is a pure function of its input: no network, disk or clock.
//
// It refuses to call these secrets: placeholders (<token>, ${VAR}, xxxx,
// AKIA...EXAMPLE), our own marks and ids, UUIDs, hashes and digests that no name
// makes a secret, and identifiers that are public by design (client ids,
// publishable keys). It doesn't decode: an encoded token is found where its
// encoding leaves it readable (JSON, HTML and shell quoting around it).
//
// # Security
//
// This is a net, and nets have holes: a secret without a known format, in a
// place without a telling name, passes. Secrets that are known are package
// scrub's, which promises to find them. A [Finding] has offsets and names,
// never the value. Time is linear in the text, whatever the text: candidates
// come from one pass over it, and what is read for each is bounded or shared. A
// system that wants a token to pass can write it so that it does; nothing here
// is to be relied on against that. docs/unknown-secrets.md has what was measured.
package unknown
