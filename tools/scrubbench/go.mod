module sallyport.dev/tools/scrubbench

go 1.26.8

require (
	github.com/BobuSumisu/aho-corasick v1.0.3
	sallyport.dev v0.0.0
)

replace sallyport.dev => ../..
