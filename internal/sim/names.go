package main

var kindNames = [kinds]string{"says", "says in parts", "begins a frame", "pings", "pongs", "pings 200 times", "floods", "closes",
	"violates", "stops", "freezes", "vanishes", "ends its direction", "closes TCP", "resets"}

func (k Kind) String() string { return kindNames[k] }
