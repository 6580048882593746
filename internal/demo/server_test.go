package demo_test

func serverMain() {}
