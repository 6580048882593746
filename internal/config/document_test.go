package config_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"
	"testing/fstest"

	"sallyport.dev/internal/config"
	"sallyport.dev/internal/resource"
)

var yamlFence = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// What docs/notifications.md shows loads as it stands.
func TestTheChannelsOfTheDocumentLoad(t *testing.T) {
	doc, err := os.ReadFile("../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	for i, m := range yamlFence.FindAllSubmatch(doc, -1) {
		files[strconv.Itoa(i)+".yaml"] = &fstest.MapFile{Data: m[1]}
	}
	b, err := config.LoadFS(files, nil, config.Options{Known: func(resource.Kind, string) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Resources) < 4 {
		t.Errorf("only %d were found", len(b.Resources))
	}
}
