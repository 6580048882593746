module sallyport.dev/tools/vaultserver

go 1.26.8
