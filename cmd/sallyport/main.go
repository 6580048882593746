// Command sallyport is the whole product: the server, its command line, and the
// demo. See package cli.
package main

import (
	"os"

	"sallyport.dev/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:forbidigo // this is main
}
